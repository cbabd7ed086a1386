"""``enrich evaluate``: how right tags are, measured by what people decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context
from worker.cli import evaluation_text as text

if TYPE_CHECKING:
    from worker.db import Engine
    from worker.pipeline.evaluation.evaluate import LabelFile
    from worker.pipeline.evaluation.report import Evaluation, Picture, TaxonomyReport
    from worker.settings import Settings

#: Confused pairs and wrong tags that the terminal shows, and pictures that the page has.
_PAIRS, _WORST, _PICTURES = 8, 5, 80


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Reviewing tags")(evaluate)


def evaluate(
    *,
    taxonomy: Annotated[
        list[str] | None,
        typer.Option("--taxonomy", metavar="NAME", help="Only this; may be repeated. [default: all with decisions]"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Labels of a test set instead of decisions; formats of `enrich decisions import`."
        ),
    ] = None,
    space: Annotated[
        list[int] | None,
        typer.Option("--space", metavar="NUMBER", min=1, help="May be repeated, to compare. [default: the active one]"),
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --labels: of images that the file names by path.")
    ] = None,
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="With --labels: put before every path.")] = "",
    strip: Annotated[str, typer.Option(metavar="TEXT", help="With --labels: take off the start of every path.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=context.output, help="Also write a page with diagrams and pictures."),
    ] = None,
) -> None:
    """Measure tags: how many are right, of how many images, and how sure that is.

    Only images that were drawn at random count: those that `enrich review` asks about. How images were chosen is always
    said. What reviews taught and several spaces are compared on the same images. Nothing is stored.
    """
    from worker import bootstrap
    from worker.pipeline.evaluation.evaluate import EvaluationRequest
    from worker.pipeline.evaluation.evaluate import evaluate as use_case
    from worker.pipeline.learning.held_out import held_out
    from worker.pipeline.review.formats.rows import ReadOptions

    if labels is None and (bucket or prefix or strip):
        raise typer.BadParameter("--bucket, --prefix and --strip say how to read --labels FILE: add it")
    settings = context.load_settings()
    engine = context.database(settings, pool_size=2)
    only = taxonomy[0] if taxonomy and len(taxonomy) == 1 else None
    read = ReadOptions(taxonomy=only, bucket=bucket, prefix=prefix, strip=strip)
    file = None if labels is None else _labels(engine, labels, read)
    wanted = EvaluationRequest(
        taxonomies=tuple(taxonomy or ()), spaces=tuple(space or ()), file=file, cross_validate=held_out
    )
    found = use_case(engine, bootstrap.builder(settings, engine), wanted)
    if html is not None:
        _write_page(settings, found, html)
    if as_json:
        from dataclasses import asdict

        context.json_document(asdict(found))
    else:
        _print(found)
        if html is not None:
            context.say(f"{html} has diagrams and pictures: open it in a browser")


def _labels(engine: Engine, path: Path, read: object) -> LabelFile:
    from worker.pipeline.evaluation.label_files import read_labels
    from worker.pipeline.review.formats.reading import open_file

    return read_labels(engine, open_file(path), read)  # type: ignore[arg-type]


# -- on a terminal -----------------------------------------------------------------------------------------------------
def _print(found: Evaluation) -> None:
    context.line(text.heading(found))
    if found.file is not None:
        context.line(text.of_file(found.file))
        for problem in found.file.examples:
            context.say(f"{found.file.file}, line {problem.line}: {problem.message}")
        hidden = found.file.problems - len(found.file.examples)
        if hidden > 0:
            context.say(f"… and {hidden:,} more; `enrich decisions import --dry-run --refused FILE` lists all of them")
    for each in found.taxonomies:
        _print_taxonomy(each, found)


def _print_taxonomy(found: TaxonomyReport, whole: Evaluation) -> None:
    context.line("")
    context.line(
        f"{found.taxonomy} {found.version[:8]}, space {found.space} ({found.model}), {found.method}", style="bold"
    )
    for sentence in text.how(found, whole.file):
        context.line(f"  {sentence}")
    if found.note:
        context.line(f"  {found.note}")
    if not found.drawn:
        return
    if text.totals(found):
        context.line(f"  {text.totals(found)}")
    if text.with_duplicates(found):
        context.line(f"  {text.with_duplicates(found)}")
    context.out.print("", _label_table(found))
    if all(each.recall is None for each in found.labels):
        context.line("recall is not known: that needs images drawn from all, `enrich review " + found.taxonomy + "`")
    if len(found.methods) > 1:
        context.out.print("", _method_table(found))
        context.line("p: one-sided sign test of “better than the first”")
    if found.reliability:
        context.out.print("", _reliability_table(found))
    _print_mistakes(found)


def _label_table(found: TaxonomyReport) -> Table:
    table = Table("label", "right", "precision", "95 %", "silent", "recall", box=None, pad_edge=False)
    for each in found.labels:
        name = context.name(each.label) + (" (suggested only)" if each.suggested else "")
        table.add_row(
            name,
            text.counts(each.precision),
            text.percent(each.precision),
            text.interval(each.precision),
            text.counts(each.silence),
            text.recall(each.recall),
        )
    return table


def _method_table(found: TaxonomyReport) -> Table:
    table = Table("method", "coverage", "accuracy", "errors", "won:lost", "p", box=None, pad_edge=False)
    for each in found.methods:
        table.add_row(
            f"{each.method}, space {each.space}",
            f"{text.percent(each.coverage)} {text.counts(each.coverage)}",
            f"{text.percent(each.accuracy)} {text.counts(each.accuracy)}",
            text.percent(each.error),
            text.result(each),
            "" if each.against_first is None else text.chance(each.against_first.better),
        )
    return table


def _reliability_table(found: TaxonomyReport) -> Table:
    table = Table("probability", "mean", "right", "", "95 %", box=None, pad_edge=False)
    for each in found.reliability:
        table.add_row(
            f"{each.low:g}–{each.high:g}",
            f"{each.mean:.2f}",
            text.counts(each.right),
            text.percent(each.right),
            text.interval(each.right),
        )
    return table


def _print_mistakes(found: TaxonomyReport) -> None:
    pairs = Table("people say", "tag", "images", "example", box=None, pad_edge=False)
    for each in [cell for cell in found.confusion if cell.true != cell.given][:_PAIRS]:
        pairs.add_row(
            context.name(each.true or text.NONE),
            context.name(each.given or text.NO_TAG),
            f"{each.images:,}",
            context.name(f"{each.examples[0].bucket}/{each.examples[0].key}"),
        )
    worst = Table("surest wrong tags", "people say", "p", "image", box=None, pad_edge=False)
    for wrong in found.worst[:_WORST]:
        true = wrong.true or text.NONE
        worst.add_row(
            context.name(wrong.given),
            context.name(true),
            f"{wrong.probability:.2f}",
            context.name(f"{wrong.picture.bucket}/{wrong.picture.key}"),
        )
    for table in (pairs, worst):
        if table.rows:
            context.out.print("", table)


# -- as a page ---------------------------------------------------------------------------------------------------------
def _write_page(settings: Settings, found: Evaluation, path: Path) -> None:
    from worker.cli import evaluation_page

    shown = evaluation_page.pictures(found, most=_PICTURES)
    page = evaluation_page.page(found, _thumbnails(settings, shown))
    context.write_file(path, page.encode())


def _thumbnails(settings: Settings, shown: list[Picture]) -> dict[str, bytes | str]:
    from worker.cli.pictures import thumbnails_of

    wanted = {f"{each.bucket}/{each.key}": each.sha256 for each in shown}
    return thumbnails_of(settings, wanted)
