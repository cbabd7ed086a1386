"""``enrich stats``: what the model says about images by day, and what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, read

if TYPE_CHECKING:
    from worker.pipeline.common.time_filters import TimeFilter
    from worker.pipeline.operations.tag_stats import LabelStats, PeriodStats, TagStats, TaxonomyStats

_MOST_LABELS = 5  # of a day


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stats", rich_help_panel="Reading results")(stats)


def stats(
    taxonomy: Annotated[
        list[str] | None, typer.Argument(metavar="[TAXONOMY]…", help="Only these taxonomies.", show_default=False)
    ] = None,
    bucket: Annotated[str | None, typer.Option(metavar="NAME", help="Only this bucket.")] = None,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="The first day: 14d, or a time with its offset; at most 90d.")
    ] = "14d",
    by_bucket: Annotated[bool, typer.Option("--by-bucket", help="Each bucket by itself, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")] = False,
) -> None:
    """Show what the model says about images by the day of their enrichment, and how far each day is from the 14 before.

    Only the model's answers count, not people's corrections. Days are those of UTC.
    """
    from worker.pipeline.common import tag_filters
    from worker.pipeline.operations import tag_stats

    start = _time(since)
    engine = context.database(context.load_settings())
    found = tag_stats.stats(engine, since=start, taxonomies=taxonomy or (), bucket=bucket, by_bucket=by_bucket)
    if as_json:
        from worker.api.stats_models import TagStats as Answer

        context.json_document(Answer.model_validate(found).model_dump(mode="json"))
        return
    _print(found, tag_filters.titles(engine, {each.taxonomy for each in found.taxonomies}))


def _time(since: str) -> TimeFilter:
    from worker.pipeline.common import time_filters

    try:
        return time_filters.parse(since)
    except ValueError as error:
        raise typer.BadParameter(f"--since {error}") from error


def _print(found: TagStats, titles: read.Titles) -> None:
    if not found.taxonomies:
        context.say(f"the model has no tag on an image that was enriched between {found.first} and {found.last} (UTC)")
        return
    context.out.print(_labels(found, titles), "", _days(found, titles), sep="\n")
    for each in found.taxonomies:
        for day in each.days:
            if day.finding:
                context.line(f"{day.day} {_whose(each)}: {day.finding}")
    context.say(_counted(found))


def _labels(found: TagStats, titles: read.Titles) -> Table:
    table = Table("taxonomy", *_bucket_column(found), "label", "images", "share", "p10", "median", "p90", box=None,
                  pad_edge=False)  # fmt: skip
    for each in found.taxonomies:
        place = _place(found, each)
        for label in each.total.labels:
            table.add_row(
                each.taxonomy,
                *place,
                read.entitled(each.taxonomy, label.label, titles),
                _number(each.total, label.images),
                _percent(label.share),
                *(_probability(value) for value in (label.p10, label.median, label.p90)),
            )
        without = round(each.total.no_label * each.total.images)
        table.add_row(
            each.taxonomy,
            *place,
            "– (no label)",
            _number(each.total, without),
            _percent(each.total.no_label),
            style="dim",
        )
    return _right(table, "images", "share", "p10", "median", "p90")


def _days(found: TagStats, titles: read.Titles) -> Table:
    table = Table("day", "taxonomy", *_bucket_column(found), "images", "no label", "labels (share, median probability)",
                  "PSI", "drift", box=None, pad_edge=False)  # fmt: skip
    for each in found.taxonomies:
        for day in each.days:
            table.add_row(
                str(day.day),
                each.taxonomy,
                *_place(found, each),
                _number(day, day.images),
                _percent(day.no_label),
                _shares(each.taxonomy, day.labels, titles),
                *_drift(day),
            )
    return _right(table, "images", "no label", "PSI")


def _drift(day: PeriodStats) -> tuple[str, str]:
    if day.drift is None:
        return "", "nothing before"
    if day.drift.level == "too-few":
        return "", "too few images"
    jump = ["no-label jump"] if day.drift.jump else []
    level = [] if day.drift.level == "none" else [day.drift.level]
    return f"{day.drift.psi:.2f}", ", ".join([*level, *jump]) or "none"


def _shares(taxonomy: str, labels: tuple[LabelStats, ...], titles: read.Titles) -> str:
    shown = [
        f"{read.entitled(taxonomy, each.label, titles)} {_percent(each.share)} {_probability(each.median)}".rstrip()
        for each in labels[:_MOST_LABELS]
    ]
    left_out = len(labels) - len(shown)
    return ", ".join([*shown, *([f"{left_out} more"] if left_out else [])])


def _counted(found: TagStats) -> str:
    whose = "the model's answers, without people's corrections"
    if found.exact:
        return f"all {found.images:,} images enriched from {found.first} to {found.last} (UTC) were counted: {whose}"
    return (
        f"estimated from a random sample of {found.counted:,} of about {found.images:,} images enriched from "
        f"{found.first} to {found.last} (UTC), at most {found.most:,} of a bucket and day: {whose}"
    )


def _bucket_column(found: TagStats) -> tuple[str, ...]:
    return ("bucket",) if any(each.bucket for each in found.taxonomies) else ()


def _place(found: TagStats, each: TaxonomyStats) -> tuple[str, ...]:
    return (context.name(each.bucket) if each.bucket else "(all)",) if _bucket_column(found) else ()


def _whose(each: TaxonomyStats) -> str:
    return f"{each.taxonomy} in {context.name(each.bucket)}" if each.bucket else each.taxonomy


def _number(period: PeriodStats, images: int) -> str:
    return f"{'' if period.exact else 'about '}{images:,}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _probability(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _right(table: Table, *names: str) -> Table:
    for column in table.columns:
        if column.header in names:
            column.justify = "right"
    return table
