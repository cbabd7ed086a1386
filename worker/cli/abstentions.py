"""Why images have no label, in one line for each taxonomy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.common.estimates import Estimate
    from worker.pipeline.taxonomies.abstention_summary import AbstentionSummary, NearestLabelCount

_MOST_LABELS = 3  # of each reason


def number(count: Estimate) -> str:
    """With its interval, if it is an estimate."""
    return f"{count.about:,}" if count.low == count.high else f"{count.about:,} ({count.low:,}–{count.high:,})"


def is_one(count: Estimate) -> bool:
    """Whether it is exactly one."""
    return count.low == count.high == 1


def images(count: Estimate) -> str:
    """So many images."""
    return f"{number(count)} {'image' if is_one(count) else 'images'}"


def sentence(found: AbstentionSummary) -> str:
    """``none of these: 41 of 109; 30 background-nearer (nearest: sunny 20, foggy 10), 11 below-threshold (…)``."""
    return "; ".join(_parts(found))


def _parts(found: AbstentionSummary) -> Iterator[str]:
    yield f"none of these: {number(found.abstained)} of {number(found.asked)}"
    if found.reasons:
        yield ", ".join(f"{number(each.images)} {each.reason} ({_nearest(each.nearest)})" for each in found.reasons)
    if found.not_asked.seen:
        yield f"`when` is not met by {number(found.not_asked)}"


def _nearest(labels: Sequence[NearestLabelCount]) -> str:
    shown = [f"{context.name(each.label)} {each.images.about:,}" for each in labels[:_MOST_LABELS]]
    left_out = len(labels) - len(shown)
    return f"nearest: {', '.join([*shown, *([f'{left_out} more'] if left_out else [])])}"
