"""``enrich decisions list`` and ``export``: what people decided."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from uuid import UUID

    from worker.catalog.decisions import Decision, DecisionFilter

_Where = Annotated[str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="Only about images here.")]
_Taxonomies = Annotated[
    list[str] | None, typer.Option("--taxonomy", metavar="NAME", help="Only this; may be repeated.")
]
_By = Annotated[str | None, typer.Option("--reviewer", metavar="NAME", help="Only this person's.")]
_Batch = Annotated[str | None, typer.Option("--batch", metavar="BATCH", help="Only this batch.")]
_Since = Annotated[str | None, typer.Option(metavar="AGE", help="Only those since then: 2d, 12h, 15m, or a time.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]

group = typer.Typer(no_args_is_help=True, help="What people decided about tags: list, export, import.")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="decisions", rich_help_panel="Reviewing tags")


# -- list --------------------------------------------------------------------------------------------------------------
@group.command("list")
def list_decisions(
    image: Annotated[str | None, typer.Argument(metavar="[BUCKET/KEY]", help="Only about this image.")] = None,
    *,
    where: _Where = None,
    taxonomy: _Taxonomies = None,
    reviewer: _By = None,
    batch: _Batch = None,
    since: _Since = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Most decisions to show.")] = 50,
    after: Annotated[int | None, typer.Option(metavar="ID", min=1, help="Continue: only older ones than this.")] = None,
    as_json: _Json = False,
) -> None:
    """List decisions, newest first, also those that were undone."""
    from dataclasses import asdict

    from worker.pipeline.review.history import decisions

    wanted = _filter(image, where=where, taxonomies=taxonomy, reviewer=reviewer, batch=batch, since=since)
    found = decisions(context.database(context.load_settings()), wanted, limit=limit, after=after)
    if as_json:
        rows = [{**asdict(each), "batch": str(each.batch)} for each in found.decisions]
        context.json_document({"decisions": rows, "next": found.next})
    elif found.decisions:
        _print(found.decisions)
        if found.next is not None:
            context.say(f"the newest {len(found.decisions):,}; continue with --after {found.next}, or raise --limit")
    else:
        context.line(
            "there are no decisions yet: `enrich review` and `enrich decide` make some"
            if wanted == _filter()
            else "no decision matches"
        )


def _print(decisions: Sequence[Decision]) -> None:
    table = Table("id", "image", "decision", "reviewer", "at", "chosen", "", box=None, pad_edge=False)
    for each in decisions:
        label = f" {each.label}" if each.label is not None else ""
        table.add_row(
            str(each.id),
            context.name(f"{each.bucket}/{each.key}"),
            context.name(f"{each.taxonomy}: {each.verdict}{label}"),
            context.name(each.reviewer),
            f"{each.at:%Y-%m-%d %H:%M}",
            each.chosen,
            "undone" if each.undone_by is not None else f"of {each.undoes}" if each.undoes is not None else "",
        )
    context.out.print(table)


# -- export ------------------------------------------------------------------------------------------------------------
@group.command()
def export(
    *,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON lines.")] = False,
    in_force: Annotated[
        bool, typer.Option("--in-force", help="What holds now by people's decisions, instead of their history.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", callback=context.output, help="Instead of stdout.")
    ] = None,
    where: _Where = None,
    taxonomy: _Taxonomies = None,
    reviewer: _By = None,
    batch: _Batch = None,
    since: _Since = None,
) -> None:
    """Write people's decisions as JSON lines or CSV, oldest first. `enrich decisions import` reads both.

    With --in-force: the labels that people gave or rejected, by image. This is what to train a model with.
    """
    from worker.pipeline.review import export as use_case

    wanted = _filter(where=where, taxonomies=taxonomy, reviewer=reviewer, batch=batch, since=since)
    engine = context.database(context.load_settings())
    columns = use_case.IN_FORCE if in_force else use_case.HISTORY
    rows = (use_case.in_force if in_force else use_case.history)(engine, wanted)
    with _writing(output) as text:
        count = _write_csv(text, columns, rows) if as_csv else _write_jsonl(text, rows)
    context.say(f"{count:,} {'row' if count == 1 else 'rows'} written" + (f" to {output}" if output else ""))


@contextmanager
def _writing(output: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file that appears under its name only when it is complete."""
    from worker.errors import ConfigurationError

    if output is None:
        sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
        yield sys.stdout
        sys.stdout.flush()
        return
    partial = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="") as text:
            yield text
            text.flush()
            os.fsync(text.fileno())
        partial.replace(output)
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _write_jsonl(text: TextIO, rows: Iterator[dict[str, Any]]) -> int:
    import json

    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        text.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
    return count


def _write_csv(text: TextIO, columns: Sequence[str], rows: Iterator[dict[str, Any]]) -> int:
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007
        writer.writerow([_cell(row[name]) for name in columns])
    return count


def _cell(value: object) -> object:
    import json

    if isinstance(value, list | tuple):
        plain = not any(";" in each or each.startswith("[") for each in value)
        return ";".join(value) if plain else json.dumps(value, ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else value


# -- filters -----------------------------------------------------------------------------------------------------------
def _filter(
    image: str | None = None,
    *,
    where: str | None = None,
    taxonomies: list[str] | None = None,
    reviewer: str | None = None,
    batch: str | None = None,
    since: str | None = None,
) -> DecisionFilter:
    from worker.catalog.decisions import DecisionFilter
    from worker.pipeline.common import time_filters

    if image is not None and where is not None:
        raise typer.BadParameter("give one image or --in, not both")
    ref = None if image is None else context.image_ref(image)
    bucket, _, prefix = (where or "").partition("/")
    try:
        return DecisionFilter(
            bucket=ref.bucket if ref else bucket or None,
            key=ref.key if ref else None,
            prefix=prefix or None,
            taxonomies=tuple(taxonomies or ()),
            reviewer=reviewer,
            batch=None if batch is None else _batch(batch),
            since=None if since is None else time_filters.parse(since),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _batch(word: str) -> UUID:
    from uuid import UUID

    try:
        return UUID(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is not the number of a batch, such as 5f0c3f0e-…") from None
