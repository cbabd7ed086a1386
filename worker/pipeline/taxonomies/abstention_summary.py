"""How many images have no label of a taxonomy, and why."""

from __future__ import annotations

from dataclasses import dataclass

from worker.pipeline.common.estimates import Estimate, Sampling
from worker.tagging import AbstentionCounts, LabelReason


@dataclass(frozen=True, kw_only=True, slots=True)
class NearestLabelCount:
    """Images to which a label came nearest."""

    label: str
    images: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonCount:
    """Images whose nearest label does not hold for one reason."""

    reason: LabelReason
    images: Estimate
    nearest: tuple[NearestLabelCount, ...]  # most images first


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstentionSummary:
    """One taxonomy. Images about which a person decided in it are not counted."""

    asked: Estimate  # images to which the taxonomy applies
    not_asked: Estimate  # its condition is not met
    abstained: Estimate  # asked, and without a label: the sum over the reasons
    reasons: tuple[ReasonCount, ...]  # most images first


#: Every image was examined.
_ALL = Sampling(images=0, total=0, exact=True)


def summary(counts: AbstentionCounts, taxonomy: str, sampling: Sampling = _ALL) -> AbstentionSummary:
    """What was counted, for all images of which those examined are a sample."""
    by_reason = counts.reasons(taxonomy)
    reasons = [
        ReasonCount(
            reason=reason,
            images=sampling.count(labels.total()),
            nearest=tuple(
                NearestLabelCount(label=label, images=sampling.count(images)) for label, images in labels.most_common()
            ),
        )
        for reason, labels in by_reason.items()
    ]
    return AbstentionSummary(
        asked=sampling.count(counts.asked[taxonomy]),
        not_asked=sampling.count(counts.not_asked[taxonomy]),
        abstained=sampling.count(sum(labels.total() for labels in by_reason.values())),
        reasons=tuple(sorted(reasons, key=lambda each: -each.images.seen)),
    )
