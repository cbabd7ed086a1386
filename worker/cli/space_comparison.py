"""``enrich space compare``: two spaces side by side, to decide between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.catalog.space_comparison import LabelPair
    from worker.catalog.spaces import Space
    from worker.db import Engine
    from worker.pipeline.spaces.compare import SpaceComparison

_ABSTAINED = "–"


def compare(  # noqa: PLR0917  # typer reads options from positionals
    space: Annotated[int, typer.Argument(metavar="NUMBER", help="Number as shown by `enrich space list`.")],
    other: Annotated[int | None, typer.Option("--with", metavar="NUMBER", help="Default: the active one.")] = None,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Most images whose tags are compared.")] = 10_000,
    queries: Annotated[int, typer.Option(metavar="N", min=0, help="Most images whose neighbours are compared.")] = 200,
    k: Annotated[int, typer.Option("--k", metavar="K", min=1, max=100, help="Neighbours per image.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show how far two spaces agree: tags, neighbours, and accuracy where people have answered a taxonomy."""
    from worker.pipeline.spaces import compare as use_case
    from worker.pipeline.spaces import lifecycle

    engine = context.database(context.load_settings())
    second = lifecycle.get(engine, space)
    first = lifecycle.get(engine, other) if other is not None else _active(engine, second)
    with context.progress(TextColumn("comparing neighbours"), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("", total=queries)
        found = use_case.compare(
            engine,
            first,
            second,
            sample=sample,
            queries=queries,
            k=k,
            progress=lambda done: bar.update(task, completed=done),
        )
    if as_json:
        context.json_document(asdict(found))
    else:
        _print(found)


def _active(engine: Engine, second: Space) -> Space:
    from worker.errors import ConfigurationError
    from worker.pipeline.spaces import lifecycle

    number = next((each.id for each in lifecycle.filled(engine) if each.state == "active"), None)
    if number is None or number == second.id:
        raise ConfigurationError(f"space {second.id} is the active one: name another with --with NUMBER")
    return lifecycle.get(engine, number)


def _print(found: SpaceComparison) -> None:
    (a, b), (model_a, model_b) = found.spaces, found.models
    context.line(f"{found.sampled:,} images in space {a} ({model_a}) and in space {b} ({model_b})")
    if found.overlap is not None:
        context.line(f"{found.overlap:.0%} of the {found.k} nearest images are the same ({found.queries:,} queries)")
    table = Table("taxonomy", "images", "agree", "kappa", f"none in {a}", f"none in {b}", box=None, pad_edge=False)
    for each in found.taxonomies:
        kappa = _ABSTAINED if each.kappa is None else f"{each.kappa:.2f}"
        none_a, none_b = each.abstained
        table.add_row(
            each.taxonomy, f"{each.images:,}", f"{each.agreement:.0%}", kappa, f"{none_a:.0%}", f"{none_b:.0%}"
        )
    context.out.print("", table)
    _print_changes(found)
    _print_judged(found)


def _print_changes(found: SpaceComparison) -> None:
    table = Table("taxonomy", "from", "to", "images", "example", box=None, pad_edge=False)
    for each in found.taxonomies:
        for pair in each.changes:
            table.add_row(each.taxonomy, *_labels(pair), f"{pair.images:,}", context.name(pair.example))
    if table.rows:
        context.out.print("", "Most frequent changes:", table)


def _print_judged(found: SpaceComparison) -> None:
    a, b = found.spaces
    table = Table("taxonomy", "labelled", f"correct in {a}", f"correct in {b}", f"none in {a}", f"none in {b}")
    table.box, table.pad_edge = None, False
    for each in found.judged:
        shares = (each.a_right, each.b_right, each.a_abstained, each.b_abstained)
        table.add_row(each.taxonomy, f"{each.images:,}", *(f"{share / each.images:.0%}" for share in shares))
    if table.rows:
        context.out.print("", "Compared with people's labels:", table)


def _labels(pair: LabelPair) -> tuple[str, str]:
    return ", ".join(pair.a) or _ABSTAINED, ", ".join(pair.b) or _ABSTAINED
