"""``enrich explain``: why an image has the tags it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from worker.db import Engine
    from worker.encoder import Encoder
    from worker.pipeline.reading.explain import ExplainedTaxonomy, ImageExplanation
    from worker.settings import Settings
    from worker.tagging import Taxonomy
    from worker.tagging.explain import LabelExplanation, TaxonomyExplanation, TextSimilarity

_MOST_TEXTS = 3  # of a label, nearest first, for people
_MOST_LABELS = 50  # of a taxonomy


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Reading results")(explain)


def explain(
    image: Annotated[str, typer.Argument(metavar="BUCKET/KEY")],
    taxonomy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only these: names of taxonomies in force; or, to try them, files or directories."
        ),
    ] = None,
    seen: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            callback=context.output,
            help="Fetch the object and write what the model saw to this file.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every number, as one JSON document on stdout.")] = False,
) -> None:
    """Explain the tags of an image: prompts, similarities, thresholds and reasons, from its vector in the catalog.

    Uses the taxonomy versions that decided the tags, or the given files, which need not be in use. The object is
    fetched only for --seen.
    """
    from worker import bootstrap
    from worker.api.explanations import explanation

    ref, settings = context.image_ref(image), context.load_settings()
    engine = context.database(settings)
    explainer, load = bootstrap.explain(settings, engine, text_only=seen is None)
    only, given = _chosen(engine, taxonomy or [])
    explained = explainer(ref, given, only=only)
    if as_json:
        context.json_document(explanation(explained).model_dump(mode="json"))
    else:
        _print(explained)
    _warn(explained)
    if seen is not None:
        _write_picture(seen, explained, settings, load())


def _chosen(engine: Engine, names: Sequence[str]) -> tuple[list[str], Sequence[Taxonomy] | None]:
    """Which of the taxonomies in the catalog to explain, or the files to explain by instead."""
    from worker import tagging
    from worker.pipeline.reading.explain import known_names

    known = known_names(engine) if names else frozenset()
    if all(each in known for each in names):
        return list(names), None
    return [], tagging.load_taxonomies(names)


def _print(explained: ImageExplanation) -> None:
    for one in explained.taxonomies:
        context.line(_heading(one), style="bold")
        for note in (*_provenance(one), *_precision(one)):
            context.line(note)
        context.out.print(table(one.numbers))
        for line in lines_below(one.numbers):
            context.line(line, style="dim")
        context.line("")


def _warn(explained: ImageExplanation) -> None:
    if explained.uncalibrated:
        context.say(
            f"not calibrated for {explained.space.model}: {', '.join(explained.uncalibrated)}; their tags are "
            "unproven and their probabilities rough (docs/explanation/how-tags-are-decided.md)"
        )
    for note in explained.notes:
        context.say(note)


def _heading(one: ExplainedTaxonomy) -> str:
    numbers = one.numbers
    if one.human or one.rejected:
        return f"{numbers.taxonomy}: {_by_people(one)} (human-decision)"
    return f"{numbers.taxonomy}: {_answer(numbers.decided) if numbers.applies else 'not asked'} ({numbers.because})"


def _by_people(one: ExplainedTaxonomy) -> str:
    in_force = [tag.label for tag in (*one.human, *one.written) if tag.in_force]
    return ", ".join([*(label or "none of these" for label in in_force), *(f"not {tag.label}" for tag in one.rejected)])


def _provenance(one: ExplainedTaxonomy) -> Iterator[str]:
    for tag in one.human:
        yield f"{tag.label or 'none of these'}: accepted by {context.name(tag.reviewer or '')}, {_time(tag.decided_at)}"
    for each in one.rejected:
        yield f"{each.label}: rejected by {context.name(each.reviewer)}, {_time(each.decided_at)}"
    if one.human or one.rejected:
        says = _answer(one.numbers.decided) if one.numbers.applies else "not asked"
        yield f"the model says: {says}; the numbers are the model's"
    version = one.numbers.version
    if one.written:
        first = one.written[0]
        yield f"version {first.taxonomy_version}, space {first.space}, {first.source}, {_time(first.decided_at)}"
    if one.standing == "older-version" and one.newer is not None:
        says = _answer(one.newer.labels) if one.newer.applies else "not asked"
        yield f"decided by an older version; the one in use now, {one.newer.version}, says: {says}"
    elif one.standing == "differs":
        stored = _answer([tag.label for tag in one.written])
        yield f"the catalog says {stored}; version {version} would not write that"
    elif one.standing == "nothing" and one.numbers.applies:
        yield f"version {version} has written nothing for this image yet"


def _precision(one: ExplainedTaxonomy) -> Iterator[str]:
    """What reviews prove, and what is not applied because they do not."""
    for tag in one.written:
        if tag.proven is not None:
            yield (
                f"{tag.label}: proven to be right on at least {tag.proven.precision:g} of its images, by "
                f"{tag.proven.n:,} reviewed ones, {tag.proven.date:%F}"
            )
    if one.numbers.suggested:
        yield (
            f"suggested, not applied: {', '.join(one.numbers.suggested)}; their precision is not proven: "
            f"enrich calibrate {one.numbers.taxonomy}"
        )


def _answer(labels: Sequence[str | None]) -> str:
    return ", ".join(label or "none of these" for label in labels) or "none of these"


def _time(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")


def lines_below(one: TaxonomyExplanation) -> Iterator[str]:
    """What the labels were compared with, and the formula of their probabilities."""
    if one.neutral is not None:
        levels = {each.parent: each.neutral_level for each in one.labels}
        for parent, level in levels.items():
            yield f"neutral level {f'of {parent}' if parent else 'of all'}: {level:.4f}"
        yield (
            f"neutral prompts: mean {one.neutral.mean:.4f}, standard deviation {one.neutral.deviation:.4f}, "
            f"nearest {one.neutral.nearest.similarity:.3f} {one.neutral.nearest.text}"
        )
    for rivals in one.background:
        where = f"of {rivals.parent}" if rivals.parent else "of all"
        yield f"background {where}: {rivals.similarity:.4f}, of {_nearest(rivals.texts)}"
    for each in one.labels:
        if each.opposite is not None:
            yield f"not {context.name(each.label)}: {each.opposite.similarity:.4f}, of {_nearest(each.opposite.texts)}"
    yield _formula(one)


def _formula(one: TaxonomyExplanation) -> str:
    """How the table's probabilities follow from its similarities."""
    alone = f"1 / (1 + exp({one.factor:g} × (rival - similarity)))"
    among = f"exp({one.factor:g} × similarity), divided by the sum of that over all candidates"
    if one.neutral is not None:
        return f"probability: {alone}"
    if one.mode != "multi-label":
        return f"probability: {among}"
    return f"probability: {alone}" if _flat(one) else f"probability: {alone}; below a label: {among}"


def _nearest(texts: Sequence[TextSimilarity]) -> str:
    return f"{texts[0].similarity:.3f} {context.name(texts[0].text)}" if texts else "nothing"


def table(one: TaxonomyExplanation) -> Table:
    """Each label's numbers."""
    over = [] if one.neutral is None else ["over neutral"]
    made = Table("label", "", "probability", "threshold", "lead", "margin", "similarity", "rival", *over,
                 "nearest prompts", box=None, pad_edge=False)  # fmt: skip
    labels = sorted(one.labels, key=lambda each: -each.probability) if _flat(one) else one.labels
    for each in labels[:_MOST_LABELS]:
        made.add_row(*_cells(each, one), style=None if each.holds else "dim")
    if len(labels) > _MOST_LABELS:
        made.add_row(f"and {len(labels) - _MOST_LABELS:,} more: --json shows all", style="dim")
    return made


def _flat(one: TaxonomyExplanation) -> bool:
    return all(each.parent is None for each in one.labels)


def _cells(each: LabelExplanation, one: TaxonomyExplanation) -> list[str]:
    from worker import label_names

    texts = "; ".join(f"{text.similarity:.3f} {context.name(text.text)}" for text in each.texts[:_MOST_TEXTS])
    label = label_names.entitled(each.label, each.title)
    name = context.name(label if _flat(one) or each.parent is None else f"  {each.parent} › {label}")
    numbers = (each.probability, each.threshold, each.lead, each.margin)
    rival = "–" if each.rival is None else f"{each.rival:.4f}"
    shares = [f"{number:.2f}" for number in numbers]
    over = [] if each.over_neutral is None else [f"{each.over_neutral:+.2f}"]
    return [name, str(each.reason), *shares, f"{each.similarity:.4f}", rival, *over, texts]


def _write_picture(path: Path, explained: ImageExplanation, settings: Settings, encoder: Encoder) -> None:
    from worker import bootstrap
    from worker.pipeline.reading import model_input as use_case
    from worker.types import ObjectRef

    record = explained.record
    ref = ObjectRef(bucket=record.bucket, key=record.key)
    shown = use_case.model_input_of(bootstrap.store(settings), ref, encoder=encoder, limits=bootstrap.limits(settings))
    context.write_file(path, shown.png)
    changed = "; the object has changed since it was tagged" if shown.etag != record.etag else ""
    context.say(f"the model's view of the image is in {path}{changed}")
