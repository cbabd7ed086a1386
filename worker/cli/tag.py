"""``enrich tag``: tag local files with the same encoder and tagging code, without any server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.table import Table

from worker import safe_files
from worker.cli import abstentions, context, label_options
from worker.safe_files import NotConfinedError

if TYPE_CHECKING:
    from worker.pipeline.enrichment.local_files import FileTagger, RefusedFile, TaggedFile
    from worker.tagging import Abstention
    from worker.types import Tag

    Results: TypeAlias = Iterable[TaggedFile | RefusedFile]

_ABSTAINED = "–"
_MEANING_OF_A_DASH = (
    "– means that no label was certain enough: the taxonomy abstains instead of guessing. The reasons are below; what "
    "they mean is in docs/explanation/how-tags-are-decided.md."
)
_INTERRUPTED = 130  # the shell's status for SIGINT


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Trying it")(tag)


def tag(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE_OR_DIR...", exists=True)],
    taxonomy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these: shipped names, files or directories.")
    ] = None,
    *,
    label: label_options.Labels = None,
    template: label_options.Templates = None,
    background: label_options.Background = None,
    many: label_options.Many = False,
    threshold: label_options.Threshold = None,
    margin: label_options.Margin = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=context.output, help="Also write a page with thumbnails, in one file."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, even on a terminal.")] = False,
) -> None:
    """Tag local files. Prints a table on a terminal, else one JSON object per line.

    In a directory, tags every file below it that has an image's extension, except hidden ones. With --label, the best
    of these labels is printed instead of what the taxonomies say.
    """
    from worker import bootstrap

    labels = label_options.given_labels(
        label, templates=template, background=background, many=many, threshold=threshold, margin=margin
    )
    if labels and taxonomy:
        raise typer.BadParameter("tag by --label or by --taxonomy, not by both")
    settings = context.own_settings()
    files = list(_files(paths))
    if not files:
        raise typer.BadParameter("no image files there: name image files, or directories that hold some")
    if labels:
        from worker.bootstrap import reading

        use_case = reading.label_tagger(settings, labels)
    else:
        use_case = bootstrap.file_tagger(settings, tuple(taxonomy) if taxonomy else None)
    with _page(html, use_case) as collected:
        results = collected(use_case.run(files))
        if as_json or not context.is_terminal():
            refused = _write_lines(results, frozenset(each.name for each in use_case.tagger.taxonomies if each.many))
        else:
            refused = _print_table(results, len(files), use_case, by_label=labels is not None)
    raise typer.Exit(1 if refused == len(files) else 0)


@contextmanager
def _page(file: Path | None, tagger: FileTagger) -> Iterator[Callable[[Results], Results]]:
    """Notes results for a page, which is written at the end, also when the person interrupts."""
    if file is None:
        yield lambda results: results
        return
    from worker.cli.tag_page import TagPage

    page = TagPage(tagger.limits)
    try:
        yield page.collected
    finally:
        context.write_file(file, page.html().encode())
        context.say(f"{file} shows {page.files:,} files")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Named files as they are; from directories every file that claims to be an image, sorted, except hidden ones."""
    from worker import images

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for found in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if (
                not hidden
                and images.claims_to_be_image(found.name, None)
                and found.is_file()
                and _is_inside(path, found)
            ):
                yield found


def _is_inside(folder: Path, file: Path) -> bool:
    """Whether a file lies in the folder. A link that leads out of it is reported and skipped."""
    try:
        safe_files.inside(folder, file)
    except NotConfinedError as error:
        context.say(f"not read: {context.name(str(file))} {error}")
        return False
    return True


def _write_lines(results: Results, many: Collection[str]) -> int:
    from worker.pipeline.enrichment.local_files import RefusedFile

    refused = 0
    for result in results:
        refused += isinstance(result, RefusedFile)
        context.json_line(_line(result, many))
    return refused


def _line(result: TaggedFile | RefusedFile, many: Collection[str]) -> dict[str, object]:
    from worker.pipeline.enrichment.local_files import RefusedFile

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
        "tags": {name: _shape(own, name in many) for name, own in _by_taxonomy(result.tags).items()},
        "abstentions": {each.taxonomy: _why(each) for each in result.abstentions},
    }


def _why(each: Abstention) -> dict[str, object]:
    return {
        "reason": each.reason,
        "nearest": each.nearest,
        "probability": round(each.probability, 4),
        "score": round(each.score, 4),
    }


def _shape(tags: Sequence[Tag], many: bool) -> object:
    """A list if there can be several tags, as everywhere else. An empty list means abstention."""
    return [_detailed(tag) for tag in tags if tag.label is not None] if many else _detailed(tags[0])


def _by_taxonomy(tags: Iterable[Tag]) -> dict[str, list[Tag]]:
    """Tags by taxonomy; a taxonomy that does not apply is missing."""
    grouped: dict[str, list[Tag]] = {}
    for tag in tags:
        grouped.setdefault(tag.taxonomy, []).append(tag)
    return grouped


def _detailed(tag: Tag) -> dict[str, object]:
    return {
        "label": tag.label,
        "probability": round(tag.probability, 4),
        "score": round(tag.score, 4),
        "version": tag.version,
    }


def _print_table(results: Results, total: int, tagger: FileTagger, *, by_label: bool) -> int:
    """Print one table, however many files there are, so that its columns fit all of them."""
    from worker.pipeline.enrichment.local_files import TaggedFile

    taxonomies = [each.name for each in tagger.tagger.taxonomies]
    columns = ("image", "label", "probability", "similarity") if by_label else ("file", *taxonomies)
    table, refused, interrupted, cells = Table(*columns, pad_edge=False), [], False, set()
    try:
        with context.progress(TextColumn("tagging"), BarColumn(), MofNCompleteColumn()) as progress:
            for result in progress.track(results, total=total):
                if not isinstance(result, TaggedFile):
                    refused.append(f"{context.name(str(result.path))}: {result.message}")
                    continue
                own = _by_taxonomy(result.tags)
                row = _best(result.tags) if by_label else [_cell(own.get(name, [])) for name in taxonomies]
                table.add_row(context.name(str(result.path)), *row)
                cells.update(row)
    except KeyboardInterrupt:
        interrupted = True
    if table.rows:
        context.out.print(table)
    if _ABSTAINED in cells:
        context.say(_MEANING_OF_A_DASH)
        for name, found in tagger.summaries().items():
            if found.abstained.seen:
                context.say(f"{name}: {abstentions.sentence(found)}")
    for sentence in refused:
        context.err.print(sentence, style="yellow")
    if interrupted:
        context.say(
            f"interrupted: {len(table.rows) + len(refused):,} of {total:,} files were examined, in the order given"
        )
        raise typer.Exit(_INTERRUPTED)
    return len(refused)


def _best(tags: Sequence[Tag]) -> list[str]:
    """Labels of the command line, with their numbers; one a line where there are several."""
    return [
        "\n".join(context.name(tag.label) if tag.label else _ABSTAINED for tag in tags),
        "\n".join(f"{tag.probability:.1%}" for tag in tags),
        "\n".join(f"{tag.score:.3f}" for tag in tags),
    ]


def _cell(tags: Iterable[Tag]) -> str:
    """The labels of one taxonomy; empty if it does not apply."""
    return ", ".join(f"{tag.label} {tag.probability:.0%}" if tag.label else _ABSTAINED for tag in tags)
