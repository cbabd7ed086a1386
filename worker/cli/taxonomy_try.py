"""``enrich taxonomy try``: what a taxonomy would say about a sample of the catalog; nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import abstentions, context
from worker.cli.abstentions import number
from worker.cli.taxonomy import group

if TYPE_CHECKING:
    from worker.pipeline.reading.taxonomy_trials import ImageStrips, TaxonomyTrial, TriedImage, TriedLabel
    from worker.settings import Settings
    from worker.tagging import TaxonomyFile

#: A bar of a histogram by its height, the lowest first; none is a space.
_BARS, _ASCII = "▁▂▃▄▅▆▇█", ".:-=+*#@"
_STRIPS = {"best": "likeliest", "above": "just above", "below": "just below", "worst": "least likely"}


def register(_: typer.Typer) -> None:
    """Add the command to the group."""
    group.command("try")(try_taxonomy)


def try_taxonomy(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file, or a shipped name.")],
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Also show images of this label; may be repeated.")
    ] = None,
    *,
    sample: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Images to score; of fewer, all are.")] = (
        2_000
    ),
    images: Annotated[int, typer.Option(min=1, max=24, metavar="N", help="With --label: most images of a kind.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show what a taxonomy would say about a random sample of the catalog, as if it were in force. Stores nothing.

    For each label a histogram of its probabilities with its threshold, and how many images would get it.
    """
    shown = tuple(label) if label else None if as_json else ()
    found = _tried(context.load_settings(), _file(file), shown, sample=sample, images=images)
    if as_json:
        from worker.api.trial_models import TaxonomyTrialResult

        context.json_document(TaxonomyTrialResult.of(found).model_dump(mode="json"))
    else:
        _show(found)


def _file(name: str) -> TaxonomyFile:
    from worker import tagging
    from worker.errors import TaxonomyError

    files = tagging.load_files([name], alone=False)
    if len(files) != 1:
        names = ", ".join(each.taxonomy.name for each in files)
        raise TaxonomyError(f"{name} holds {len(files)} taxonomies; name the file of one: {names}")
    return files[0]


def _tried(
    settings: Settings, file: TaxonomyFile, shown: tuple[str, ...] | None, *, sample: int, images: int
) -> TaxonomyTrial:
    from worker import bootstrap
    from worker.bootstrap import reading
    from worker.pipeline.reading.taxonomy_trials import TaxonomyTrials

    engine = context.database(settings, pool_size=2)
    examples = reading.examples(settings, engine, bootstrap.search(settings, engine))
    return TaxonomyTrials(engine, examples)(file, sample=sample, shown=shown, strip=images)


def _show(found: TaxonomyTrial) -> None:
    taxonomy = found.taxonomy
    context.line(f"{taxonomy.name}: {taxonomy.title} ({taxonomy.mode}, version {taxonomy.version})", style="bold")
    for line in _summary(found):
        context.line(line)
    table = Table("label", "threshold", box=None, pad_edge=False)
    table.add_column("images", justify="right")
    table.add_column("suggested", justify="right")
    table.add_column("0  probability, in log scale  1")
    for each in found.labels:
        trial = each.trial
        table.add_row(
            ("  " if trial.parent else "") + context.name(trial.label),
            f"{trial.threshold:g}",
            number(each.tagged),
            number(each.suggested) if trial.suggested else "",
            histogram(trial.histogram, trial.threshold, plain=not _draws_blocks()),
        )
    context.out.print(table)
    for each in found.labels:
        if each.strips is not None:
            _show_strips(each, each.strips)


def _summary(found: TaxonomyTrial) -> Iterator[str]:
    sampling = found.sampling
    about = "" if sampling.exact else "about "
    whole = (
        f"all {sampling.images:,} images"
        if sampling.is_full
        else (f"a random sample of {sampling.images:,} of {about}{sampling.total:,} images")
    )
    yield f"tried on {whole}, by {found.space.model}"
    yield f"would tag {found.tagged.seen:,} of {sampling.images:,}" + (
        "" if sampling.is_full else f", so {number(found.tagged)} of {about}{sampling.total:,}"
    )
    yield abstentions.sentence(found.abstentions)
    if found.differs is not None:
        yield f"{abstentions.images(found.differs)} would gain or lose a label, compared with what is stored"
    if not found.taxonomy.is_calibrated_for(found.space.model):
        yield "unproven: it has no numbers for the active model, so it is judged relative to neutral prompts"
    if found.unlearned:
        yield f"not recognised until they are learned: {', '.join(found.unlearned)}"


def histogram(counts: Sequence[int], threshold: float, *, plain: bool = False) -> str:
    """One character for each bin, as high as the logarithm of its images, and a line at the threshold."""
    bars, line = (_ASCII, "|") if plain else (_BARS, "│")
    most = math.log1p(max(counts, default=0)) or 1.0

    def bar(count: int) -> str:
        return bars[min(int(math.log1p(count) / most * len(bars)), len(bars) - 1)] if count else " "

    drawn = "".join(map(bar, counts))
    place = round(threshold * len(counts))
    return f"{drawn[:place]}{line}{drawn[place:]}"


def _draws_blocks() -> bool:
    return (context.out.encoding or "").lower().startswith("utf")


def _show_strips(label: TriedLabel, strips: ImageStrips) -> None:
    context.line("")
    context.line(context.name(label.trial.label), style="bold")
    for name, title in _STRIPS.items():
        found: Sequence[TriedImage] = getattr(strips, name)
        if found:
            images = ", ".join(f"{context.name(str(each.image.ref))} {each.probability:.2f}" for each in found)
            context.line(f"  {title}: {images}")
