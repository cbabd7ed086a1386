"""Examples as people write them on a command line: words, files, images of the catalog, labels."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import typer

from worker.errors import ConfigurationError

#: What EXAMPLE may be, for help texts.
FORMS = "a file, BUCKET/KEY, or words; file:, image:, text: or label:TAXONOMY/LABEL in front leaves no doubt"
#: Names that end so mean a file, even if there is none.
_PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp", "avif", "heic", "heif", "jp2"})


def parsed(argument: str) -> dict[str, Any]:
    """One example in the API's format.

    With a prefix, what it says. Without one: a file if there is one of this name; else an image of the catalog if there
    is a slash; else words.

    Raises:
        BadParameter: it names a file that does not exist, or nothing.
        ConfigurationError: the file cannot be read.
    """
    kind, colon, rest = argument.partition(":")
    if colon and kind in ("text", "file", "image", "label"):
        return _prefixed(kind, rest)
    path = Path(argument)
    if path.is_file():
        return _file(path)
    if argument.rpartition(".")[2].lower() in _PICTURES and "/" not in argument:
        raise typer.BadParameter(
            f"there is no file {argument!r} here; write BUCKET/KEY for an image of the catalog, or text:{argument} for "
            "these words"
        )
    return _prefixed("image" if "/" in argument else "text", argument)


def _prefixed(kind: str, rest: str) -> dict[str, Any]:
    if not rest.strip():
        raise typer.BadParameter(f"an example is empty: write {FORMS}")
    if kind == "file":
        return _file(Path(rest))
    if kind == "text":
        return {"text": rest}
    before, slash, after = rest.partition("/")
    if not (before and slash and after):
        raise typer.BadParameter(f"{rest!r}: write {'BUCKET/KEY' if kind == 'image' else 'TAXONOMY/LABEL'}")
    return {"image": rest} if kind == "image" else {"label": {"taxonomy": before, "label": after}}


def _file(path: Path) -> dict[str, Any]:
    try:
        return {"data": base64.b64encode(path.read_bytes()).decode()}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
