"""``enrich explain``: why an image has the tags it has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.encoder import Encoder
    from worker.pipeline.explain import Explained
    from worker.settings import Settings
    from worker.tagging.explain import LabelExplanation, TaxonomyExplanation

_MOST_TEXTS = 3  # of a label, nearest first, on a terminal


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Reading results")(explain)


def explain(
    image: Annotated[str, typer.Argument(metavar="BUCKET/KEY")],
    taxonomy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only these: shipped names, files or directories.")
    ] = None,
    seen: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Fetch the object and write there what the model saw.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every number, as one JSON document on stdout.")] = False,
) -> None:
    """Why an image has its tags: prompts, similarities, thresholds, reasons, from the vector in the catalog.

    The object is fetched only for --seen. A taxonomy file that is not in use yet can be tried with --taxonomy.
    """
    from worker import bootstrap
    from worker.pipeline import explain as use_case

    ref, settings = context.image_ref(image), context.load_settings()
    engine = context.database(settings)
    encoder = bootstrap.encoder(settings, text_only=seen is None)
    tagger = bootstrap.tagger(settings, encoder, tuple(taxonomy) if taxonomy else None)
    explained = use_case.explain(engine, ref, encoder=encoder, tagger=tagger)
    if as_json:
        context.json_document(_document(explained))
    else:
        _print(explained)
    if seen is not None:
        _write_picture(seen, explained, settings, encoder)


def _document(explained: Explained) -> dict[str, Any]:
    record = explained.record
    return {
        "bucket": record.bucket,
        "key": record.key,
        "model": explained.model,
        "current": explained.current,
        "tags": [asdict(tag) for tag in record.tags],
        "taxonomies": [asdict(each) for each in explained.taxonomies],
    }


def _print(explained: Explained) -> None:
    for one in explained.taxonomies:
        context.line(_heading(one), style="bold")
        table = Table("label", "", "probability", "threshold", "lead", "margin", "similarity", "nearest prompts",
                      box=None, pad_edge=False)  # fmt: skip
        for each in sorted(one.labels, key=lambda each: -each.probability) if _flat(one) else one.labels:
            table.add_row(*_cells(each, one), style=None if each.holds else "dim")
        context.out.print(table)
        for rivals in one.background:
            nearest = rivals.texts[0]
            where = f"of {rivals.parent}" if rivals.parent else "of all"
            context.line(f"background {where}: {nearest.similarity:.3f} {context.name(nearest.text)}", style="dim")
        context.line("")
    if not explained.current:
        context.say(
            "these are not the tags in the catalog (`enrich show`): taxonomies have changed since they were written"
        )


def _flat(one: TaxonomyExplanation) -> bool:
    return all(each.parent is None for each in one.labels)


def _heading(one: TaxonomyExplanation) -> str:
    answer = ", ".join(one.decided) or "none of these"
    notes = "" if one.calibrated else "; never calibrated for this model"
    return f"{one.taxonomy} ({one.version}{notes}): {answer if one.applies else 'does not apply'}"


def _cells(each: LabelExplanation, one: TaxonomyExplanation) -> list[str]:
    texts = "; ".join(f"{text.similarity:.3f} {context.name(text.text)}" for text in each.texts[:_MOST_TEXTS])
    name = each.label if _flat(one) or each.parent is None else f"  {each.parent} › {each.label}"
    numbers = (each.probability, each.threshold, each.lead, each.margin)
    return [name, str(each.reason), *(f"{number:.2f}" for number in numbers), f"{each.similarity:.3f}", texts]


def _write_picture(path: Path, explained: Explained, settings: Settings, encoder: Encoder) -> None:
    from worker import bootstrap
    from worker.pipeline import explain as use_case
    from worker.types import ObjectRef

    record = explained.record
    ref = ObjectRef(bucket=record.bucket, key=record.key)
    shown = use_case.seen(bootstrap.store(settings), ref, encoder=encoder, limits=bootstrap.limits(settings))
    path.write_bytes(shown.png)
    changed = "; the object has changed since it was tagged" if shown.etag != record.etag else ""
    context.say(f"what the model sees of it is in {path}{changed}")
