"""Images that a queue has chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from worker.catalog.review_candidates import Disagreement
from worker.pipeline.review.candidates import Candidate


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """A chosen image, not looked up yet."""

    image: int
    label: str
    probability: float | None
    given: bool
    why: str
    inclusion_probability: float | None = None


_About = TypeVar("_About", Candidate, Disagreement)


def first_of_each(found: Sequence[_About]) -> list[_About]:
    """Only the first about each image."""
    once: dict[int, _About] = {}
    for each in found:
        once.setdefault(each.image, each)
    return list(once.values())


def pick_of(candidate: Candidate, *, why: str, inclusion_probability: float | None = None) -> Pick:
    """Choose a candidate."""
    return Pick(
        image=candidate.image,
        label=candidate.label,
        probability=candidate.probability,
        given=candidate.given,
        why=why,
        inclusion_probability=inclusion_probability,
    )
