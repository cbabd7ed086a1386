"""Opens a file of decisions, finds out its format and reads it."""

from __future__ import annotations

import codecs
import enum
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from worker.errors import ChoiceError
from worker.pipeline.review.formats import fiftyone, label_studio, tables
from worker.pipeline.review.formats.json_stream import JsonError
from worker.pipeline.review.formats.rows import BadRow, Parts, Place, ReadOptions


class FileFormat(enum.StrEnum):
    """Formats of files of decisions. The words are an interface."""

    JSONL = "jsonl"
    CSV = "csv"
    LABEL_STUDIO = "label-studio"
    FIFTYONE = "fiftyone"


_READERS: Mapping[FileFormat, Callable[[TextIO, ReadOptions], Parts]] = {
    FileFormat.JSONL: tables.read_jsonl,
    FileFormat.CSV: tables.read_csv,
    FileFormat.LABEL_STUDIO: label_studio.read,
    FileFormat.FIFTYONE: fiftyone.read,
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BEGINNING = 1 << 16
_FIFTYONE = re.compile(rb'\{\s*"(samples"\s*:\s*\[|classes"\s*:|labels"\s*:\s*\{)')


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionFile:
    """A file that can be read as often as needed."""

    path: Path
    format: FileFormat
    sha256: str  # hex

    def parts(self, options: ReadOptions) -> Parts:
        """Everything in the file, in its order. What cannot be read ends it, as a damaged row."""
        with self.path.open("rb") as raw:
            text = _Text(raw)
            try:
                yield from _READERS[self.format](text, options)
            except JsonError as error:
                yield BadRow(place=Place(line=error.line), message=str(error), damaged=True)
            except UnicodeDecodeError as error:
                yield _not_utf8(self.path, error)


def open_file(path: Path, format_: FileFormat | None = None) -> DecisionFile:
    """Look at a file.

    Args:
        path: of a regular file, which is read twice.
        format_: None: found out from its beginning.

    Raises:
        ChoiceError: it cannot be read, is empty, or its format is not recognised.
    """
    digest = hashlib.sha256()
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as raw:
            if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                raise ChoiceError(f"{path} is not a file: it is read twice, so save it first")
            beginning = raw.read(_BEGINNING)
            digest.update(beginning)
            while chunk := raw.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ChoiceError(f"{path} cannot be read: {error.strerror}") from error
    return DecisionFile(path=path, format=format_ or _detected(path, beginning), sha256=digest.hexdigest())


def _detected(path: Path, beginning: bytes) -> FileFormat:
    if beginning.startswith(_UTF16):
        raise ChoiceError(f"{path} is UTF-16: save it as UTF-8")
    plain = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    if not plain:
        raise ChoiceError(f"{path} is empty")
    if plain.startswith(b"["):
        return FileFormat.LABEL_STUDIO
    if plain.startswith(b"{"):
        return FileFormat.FIFTYONE if _FIFTYONE.match(plain) else FileFormat.JSONL
    if b"\0" in plain or plain.startswith((b"PK", b"\x1f\x8b")):
        raise ChoiceError(f"{path} is not a text file: export it as CSV or JSON, uncompressed")
    return FileFormat.CSV


class _Text(io.TextIOWrapper):
    """UTF-8, with or without a byte order mark, and any line ends."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(raw, encoding="utf-8-sig", newline="")


def _not_utf8(path: Path, error: UnicodeDecodeError) -> BadRow:
    """Find the line: the decoder has read ahead."""
    with path.open("rb") as raw:
        for number, line in enumerate(raw, 1):
            try:
                line.decode()
            except UnicodeDecodeError as here:
                why = f"not UTF-8 (byte 0x{line[here.start]:02x}): save the file as UTF-8"
                return BadRow(place=Place(line=number), message=why, damaged=True)
    return BadRow(place=Place(line=1), message=f"not UTF-8: {error.reason}", damaged=True)
