"""Examples on the command line: files, images of the catalog, texts and labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.reading.examples import OfLabel, Stored, Uploaded


def image(given: str, *, most: int) -> Uploaded | Stored:
    """A file of this machine if there is one of that name, else the image BUCKET/KEY of the catalog.

    Args:
        given: what the user wrote. ``./a/b`` is always a file.
        most: bytes of a file that may be read.

    Raises:
        ImageRejectedError: the file is larger.
        ConfigurationError: the file cannot be read.
    """
    from worker.pipeline.reading.examples import Stored

    path = Path(given)
    if path.exists() or given.startswith(("/", "./", "../", "~")):
        return file(path.expanduser(), most=most)
    if "/" not in given:
        raise typer.BadParameter(f"there is no file {given!r} here; name a file, or an image as BUCKET/KEY")
    return Stored(ref=context.image_ref(given))


def file(path: Path, *, most: int) -> Uploaded:
    """The bytes of a file. Raises what ``image`` raises."""
    from worker.errors import ConfigurationError, ImageRejectedError
    from worker.pipeline.reading.examples import Uploaded
    from worker.types import Reason

    try:
        if path.stat().st_size > most:
            message = f"{context.name(str(path))}: larger than {most:,} bytes (ENRICH_MAX_BYTES)"
            raise ImageRejectedError(Reason.TOO_MANY_BYTES, message)
        return Uploaded(data=path.read_bytes(), name=context.name(str(path)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def label(given: str) -> OfLabel:
    """Parse TAXONOMY=LABEL."""
    from worker.pipeline.reading.examples import OfLabel

    taxonomy, equals, name = given.partition("=")
    if not (taxonomy and equals and name):
        raise typer.BadParameter(f"{given!r} does not name a label: write TAXONOMY=LABEL, such as setting=indoor")
    return OfLabel(taxonomy=taxonomy, label=name)
