"""``enrich tag``: the same encoder and tagging code, without any server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.files import RefusedFile, TaggedFile

    Results: TypeAlias = Iterable[TaggedFile | RefusedFile]

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
    """Tag local files. A table on a terminal, one JSON object a line otherwise.

    Of a directory, everything below it that is named like an image; hidden files are left out.
    """
    from worker import bootstrap

    settings = context.own_settings()
    files = list(_files(paths))
    if not files:
        raise typer.BadParameter("no image files there: name files, or directories that hold some")
    use_case = bootstrap.file_tagger(settings, tuple(taxonomy) if taxonomy else None)
    results = use_case.run(files)
    refused = _write_lines(results) if as_json or not context.is_terminal() else _print_table(results, len(files))
    raise typer.Exit(1 if refused == len(files) else 0)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as named; of directories everything that claims to be an image, sorted, hidden ones left out."""
    from worker import images

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if not hidden and images.claims_to_be_image(found.name, None) and found.is_file():
                yield found


def _write_lines(results: Results) -> int:
    from worker.pipeline.files import RefusedFile

    refused = 0
    for result in results:
        refused += isinstance(result, RefusedFile)
        context.json_line(_line(result))
    return refused


def _line(result: TaggedFile | RefusedFile) -> dict[str, object]:
    from worker.pipeline.files import RefusedFile

    if isinstance(result, RefusedFile):
        return {"file": str(result.path), "reason": result.reason, "message": result.message}
    meta = result.metadata
    return {
        "file": str(result.path),
        "width": meta.width,
        "height": meta.height,
        "format": meta.format,
        "taken_at": meta.taken_at,
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


def _print_table(results: Results, total: int) -> int:
    """The table is printed as one, whatever the number of files, so that its columns fit all of them."""
    from worker.pipeline.files import TaggedFile

    table, refused = Table(pad_edge=False), []
    with context.progress(TextColumn("tagging"), BarColumn(), MofNCompleteColumn()) as progress:
        for result in progress.track(results, total=total):
            if not isinstance(result, TaggedFile):
                refused.append(f"{context.name(str(result.path))}: {result.message}")
                continue
            for heading in ["file", *(tag.taxonomy for tag in result.tags)] if not table.columns else ():
                table.add_column(heading)
            table.add_row(context.name(str(result.path)), *(_cell(tag.label, tag.probability) for tag in result.tags))
    if table.columns:
        context.out.print(table)
    for sentence in refused:
        context.err.print(sentence, style="yellow")
    return len(refused)


def _cell(label: str | None, probability: float) -> str:
    return f"{label} {probability:.0%}" if label else _ABSTAINED
