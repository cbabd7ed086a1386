"""Copies among search results: the same bytes, or pictures whose perceptual hashes hardly differ. Pure functions.

The hashes of flat pictures say nothing about them: only equal bytes make copies of those.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from worker.catalog.search import Hit
from worker.pipeline.common.flat_hashes import says_nothing

#: Bits of 64 by which the hashes of copies differ at most. Of 60 photos and pages that were scaled to 256 pixels or
#: saved again as JPEG at quality 20 to 90, 98 % or more stayed within this. docs/decisions/0047 has what else did.
MOST_BITS = 4


@dataclass(kw_only=True, slots=True)
class CopyGroup:
    """A hit, and the hits behind it that are copies of it."""

    first: Hit
    copies: list[Hit] = field(default_factory=list)


def grouped(hits: Sequence[Hit]) -> list[CopyGroup]:
    """Hits in their order, each copy with the first hit that it is a copy of.

    Not transitive: a copy of a copy that differs from the first hit by more than a copy may starts a group.
    """
    groups: list[CopyGroup] = []
    by_bytes: dict[str, CopyGroup] = {}
    hashes = np.empty(len(hits), dtype=np.uint64)
    informative = np.zeros(len(hits), dtype=np.bool_)
    for hit, own in zip(hits, _hashes(hits), strict=True):
        group = by_bytes.get(hit.sha256)
        is_informative = not says_nothing(hit.phash)
        if group is None and is_informative:
            near = np.flatnonzero(_are_near(hashes[: len(groups)], own) & informative[: len(groups)])
            group = groups[int(near[0])] if len(near) else None
        if group is None:
            hashes[len(groups)], informative[len(groups)] = own, is_informative
            groups.append(CopyGroup(first=hit))
            by_bytes[hit.sha256] = groups[-1]
        else:
            group.copies.append(hit)
            by_bytes.setdefault(hit.sha256, group)
    return groups


def _are_near(hashes: npt.NDArray[np.uint64], own: np.uint64) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = np.bitwise_count(hashes ^ own) <= MOST_BITS
    return near


def _hashes(hits: Sequence[Hit]) -> Iterator[np.uint64]:
    return iter(np.array([hit.phash for hit in hits], dtype=np.int64).view(np.uint64))
