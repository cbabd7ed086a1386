"""What a calibration found, in words: for the command line and the API."""

from __future__ import annotations

from collections.abc import Iterator

from worker.pipeline.evaluation.calibrate import LabelCalibration
from worker.pipeline.evaluation.shortfall import sentence


def message(own: LabelCalibration) -> str:
    """What the reviews prove about a label, or what is missing."""
    if own.missing is not None:
        return sentence(own.missing, queued=own.queued)
    test = own.test
    wrong = f"{test.errors:,} wrong" if test.errors else "none wrong"
    accepted = "all accepted" if test.accepted == test.reviewed else f"{test.accepted:,} accepted"
    return (
        f"{test.target:g} is proven from a probability of {test.threshold:.4g} on: {test.reviewed:,} pictures "
        f"reviewed, {accepted}, {wrong}; the precision is at least {_floor(test.lower_bound or 0.0)}"
    )


def notes(own: LabelCalibration) -> Iterator[str]:
    """What else a person should know about it."""
    if own.images > own.scenes:
        yield f"these {own.images:,} reviews are {own.scenes:,} different scenes; {own.scenes:,} counted"
    if own.scenes > own.test.reviewed:
        yield (
            f"{own.scenes - own.test.reviewed:,} improbable ones were drawn from fewer images than the others, so that "
            "only those above them can be tested"
        )
    if own.taught and own.missing is not None:
        yield (
            f"{own.taught:,} reviewed pictures taught the head in force, and cannot judge it: new ones can, or "
            f"`enrich learn {own.taxonomy}` again"
        )
    if own.label is None and own.proves:
        yield f"this holds for {', '.join(own.proves)}: of other labels no reviewed picture was accepted"
    if own.waiting:
        yield f"{own.waiting:,} more are reviewed, and count at the next look"
    if own.lost is not None:
        yield f"certificate {own.lost.id} ends: the threshold of the file holds again"
    for each in {proof.id: proof for proof in own.kept.values()}.values():
        labels = ", ".join(sorted(name for name, proof in own.kept.items() if proof.id == each.id))
        yield f"certificate {each.id} proves {each.target:g} for {labels} already: it stays"
    if own.stands is not None:
        yield (
            f"certificate {own.stands.id} goes on: {own.stands.target:g} was proven on {own.stands.at:%Y-%m-%d}, from "
            f"a probability of {own.stands.threshold or 0.0:.4g} on"
        )
    if own.missing is not None and not own.missing.is_hopeless:
        yield _next(own)


def _next(own: LabelCalibration) -> str:
    what = f"{own.taxonomy} {own.label}" if own.label is not None else own.taxonomy
    if own.plan is not None:
        return f"go on with plan {own.plan}: `enrich review {what}`"
    return f"draw more at random: `enrich review {what} --target {own.test.target:g}`"


def _floor(share: float) -> str:
    """Three decimals, never more than it is."""
    return f"{int(share * 1_000) / 1_000:.3f}"
