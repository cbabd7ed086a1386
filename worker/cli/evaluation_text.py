"""Sentences about an evaluation, for the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.pipeline.evaluation.metrics import Share
    from worker.pipeline.evaluation.report import Evaluation, LabelFileReport, MethodReport, TaxonomyReport

#: Why images do not count, by how they were chosen.
_CHOSEN: Mapping[str, str] = {
    "direct": "picked by a person",
    "uncertain": "chosen by uncertainty",
    "disagreement": "chosen because spaces disagree",
    "search": "found by a search",
    "label-error": "shown as probable errors",
    "bulk": "decided in bulk",
    "import": "imported",
    "sql": "written by SQL",
}
#: What a confusion matrix calls them.
NONE, NO_TAG = "none of these", "no tag"


def heading(found: Evaluation) -> str:
    """When, where and of which decisions."""
    spaces = "space " if len(found.spaces) == 1 else "spaces "
    spaces += ", ".join(map(str, found.spaces))
    upto = f"; decisions up to {found.last_decision:,}" if found.last_decision is not None and not found.file else ""
    return f"{found.made_at:%Y-%m-%d %H:%M} UTC; {spaces}{upto}"


def of_file(file: LabelFileReport) -> str:
    """Where labels come from."""
    how = "drawn at random, as the file says" if file.random else "how they were chosen is not known"
    wrong = f"; {_rows(file.problems)} left out" if file.problems else ""
    return f"labels of {_images(file.images)} from {file.file}; {how}{wrong}"


def how(found: TaxonomyReport, file: LabelFileReport | None = None) -> Iterator[str]:
    """How the images were chosen."""
    scenes = "1 scene" if found.scenes == 1 else f"{found.scenes:,} scenes"
    if file is not None:
        yield f"{_images(found.drawn)} of the file: {scenes}; one of near-duplicates counts"
    elif found.drawn:
        yield f"{found.drawn:,} of {_images(found.decided)} drawn at random: {scenes}; one of near-duplicates counts"
    else:
        yield (
            f"none of {_images(found.decided)} was drawn at random, so nothing can be estimated: "
            f"`enrich review {found.taxonomy} LABEL` draws some"
        )
    if found.left_out:
        each = ", ".join(f"{count:,} {_CHOSEN.get(chosen, chosen)}" for chosen, count in sorted(found.left_out.items()))
        yield f"not counted: {each}"
    if found.measured < found.decided:
        yield (
            f"{_images(found.decided - found.measured)} not measured: no vector in space {found.space}, a condition "
            "that is not met, or too many"
        )
    yield from _design(found)


def _design(found: TaxonomyReport) -> Iterator[str]:
    if found.design == "by-label":
        yield (
            f"drawn label by label ({', '.join(found.asked)}); coverage and accuracy are weighted to stand for all "
            "images that have or nearly have one of these labels (Hájek)"
        )
    elif found.design == "declared":
        yield "drawn at random, say those who recorded them: all numbers are about what they drew from"
    elif found.design == "everything":
        yield "coverage and accuracy are of images drawn at random from all that the taxonomy applies to"
    elif found.design == "unknown":
        yield "drawn with different chances that are not known: there is no coverage or accuracy across labels"
    elif found.design == "one-by-one":
        yield "each label is a question of its own: there is no coverage or accuracy across labels"


def percent(share: Share | None) -> str:
    """``96.2 %``; a dash where it is not known."""
    return "–" if share is None or share.share is None else f"{100 * share.share:.1f} %"


def interval(share: Share | None) -> str:
    """``88–99 %``."""
    return "" if share is None or share.share is None else f"{100 * share.low:.0f}–{100 * share.high:.0f} %"


def counts(share: Share | None) -> str:
    """``51/52``, with ``w`` where the share is weighted."""
    if share is None or not share.of:
        return "–"
    return f"{share.seen:,}/{share.of:,}" + (" w" if share.weighted else "")


def totals(found: TaxonomyReport) -> str:
    """Coverage, and accuracy beside it."""
    if found.coverage is None or found.accuracy is None:
        return ""
    suggested = any(label.suggested for label in found.labels)
    return ("suggestions included, " if suggested else "") + (
        f"coverage {counts(found.coverage)} = {percent(found.coverage)} ({interval(found.coverage)}); of these right "
        f"{counts(found.accuracy)} = {percent(found.accuracy)} ({interval(found.accuracy)})"
    )


def with_duplicates(found: TaxonomyReport) -> str:
    """The counts of all images, where some are near-duplicates."""
    every = found.all_images
    if every is None or every.images == found.scenes:
        return ""
    return (
        f"with near-duplicates: {every.tagged:,} of {_images(every.images)} have a tag, and {every.right:,} of these "
        "are right; intervals are of scenes"
    )


def recall(share: Share | None) -> str:
    """With its interval."""
    return f"{percent(share)} ({interval(share)})" if interval(share) else "–"


def result(method: MethodReport) -> str:
    """The sign test against the first method."""
    test = method.against_first
    return "" if test is None else f"{test.won:,} : {test.lost:,}"


def chance(number: float) -> str:
    """A p-value."""
    return "< .001" if number < 0.001 else f"{number:.3f}"  # noqa: PLR2004


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
