"""``enrich tag``: the same encoder and tagging code, without any server."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from worker import bootstrap, images
from worker.cli import context
from worker.errors import ConfigurationError
from worker.pipeline.files import RefusedFile, TaggedFile

_ABSTAINED = "–"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Trying it")(tag)


def tag(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", exists=True)],
    taxonomy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these: shipped names, files or directories.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, also on a terminal.")] = False,
) -> None:
    """Tag local files. A table on a terminal, one JSON object a line otherwise."""
    settings = context.load_settings()
    files = list(_files(paths))
    if not files:
        raise ConfigurationError("no image files there: name files, or directories that hold some")
    use_case = bootstrap.file_tagger(settings, tuple(taxonomy) if taxonomy else None)
    results = use_case.run(files)
    refused = _write_lines(results) if as_json or not context.is_terminal() else _print_table(results)
    raise typer.Exit(1 if refused == len(files) else 0)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as named; of directories everything that claims to be an image, sorted, hidden ones left out."""
    for path in paths:
        if path.is_file():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if not hidden and images.claims_to_be_image(found.name, None) and found.is_file():
                yield found


def _write_lines(results: Iterable[TaggedFile | RefusedFile]) -> int:
    refused = 0
    for result in results:
        refused += isinstance(result, RefusedFile)
        typer.echo(json.dumps(_line(result), ensure_ascii=False))
    return refused


def _line(result: TaggedFile | RefusedFile) -> dict[str, object]:
    if isinstance(result, RefusedFile):
        return {"file": str(result.path), "reason": result.reason, "message": result.message}
    meta = result.metadata
    return {
        "file": str(result.path),
        "width": meta.width,
        "height": meta.height,
        "format": meta.format,
        "taken_at": meta.taken_at.isoformat() if meta.taken_at else None,
        "sha256": meta.sha256,
        "tags": {
            tag.taxonomy: {
                "label": tag.label,
                "probability": round(tag.probability, 4),
                "score": round(tag.score, 4),
                "version": tag.version,
            }
            for tag in result.tags
        },
    }


def _print_table(results: Iterable[TaggedFile | RefusedFile]) -> int:
    refused = 0
    table: Table | None = None
    for result in results:
        if isinstance(result, RefusedFile):
            refused += 1
            context.err.print(f"{result.path}: {result.message}", style="yellow", highlight=False, markup=False)
            continue
        if table is None:
            table = Table("file", *(tag.taxonomy for tag in result.tags), pad_edge=False)
        table.add_row(
            str(result.path), *(f"{t.label} {t.probability:.0%}" if t.label else _ABSTAINED for t in result.tags)
        )
    if table is not None:
        context.out.print(table)
    return refused
