"""Which reviewed images may judge a label, and at which planned looks.

Only images count that were drawn at random from those whose best answer the label is, one for each scene. They come in
an order that does not depend on what reviewers said: review plans by place, imported files as a whole, other random
decisions one by one. Looks are the planned ones, the ends of imported files, and other decisions where there are half
as many more. Each look spends half of what the one before spent (``review.sampling.share``), unless so few images
cannot prove anything: such a look cannot be wrong, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from worker.catalog.reviewed_images import Draw, PersonAnswer
from worker.pipeline.evaluation.certify import least
from worker.pipeline.evaluation.reviewed import Reviewed
from worker.pipeline.review.sampling import share
from worker.tagging.label_probabilities import LabelProbabilities
from worker.types import Floats

#: Without a plan, a look is only where there is at least half more than at the look before; otherwise small batches
#: would use up the error probability.
_GROWTH = 1.5
#: An image counts as drawn with a lower probability than the others of its plan below this share of theirs.
LOWER = 0.8
#: Of the numbers of imported files (``review.import_file.batch_of``), which depend on the content alone.
_IMPORTED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanProgress:
    """A random review plan about images as they are scored now."""

    id: int
    label: str | None  # None: the whole taxonomy
    looks: tuple[int, ...]  # after how many items, of those that are complete
    queued: Mapping[str, int]  # label → items that nobody has decided about; of a closed plan: none


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pool:
    """Reviewed images that judge a label, or all labels together, at the last look."""

    probabilities: Floats
    right: npt.NDArray[np.bool_]
    labels: tuple[str, ...]  # of each image, the label that it judges
    look: int  # how many looks were spent before this one
    is_judged: bool  # False: no look is complete at which something could be proven; all images so far are here
    images: int  # reviewed
    scenes: int  # of which so many look different; where fewer count, the others were drawn with lower probability
    waiting: int  # reviewed as well, for the next look
    plans: tuple[int, ...]
    last_decision: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What is to be proven."""

    label: str | None  # at the top level; None: all labels of a taxonomy with one answer, together
    target: float
    delta: float  # error probability of all looks
    after: int = 0  # only images that were decided about after this decision
    space: int | None = None  # whose scores are asked about
    versions: frozenset[str] = frozenset()  # of the taxonomy, that score images there as they are scored now
    spent: int = 0  # looks at other images, which belong to the same error probability


@dataclass(frozen=True, kw_only=True, slots=True)
class _Item:
    place: int  # of the image among those reviewed
    label: str
    source: tuple[str, str]
    position: int  # within the source
    probability: float
    right: bool
    decision: int
    share: float | None  # with what probability its scene was drawn; None: as all others of its source


def pool(found: Reviewed, scored: LabelProbabilities, plans: Sequence[PlanProgress], asked: Question) -> Pool:
    """The images that judge a label.

    Args:
        found: reviewed images.
        scored: all their probabilities.
        plans: about labels as they are scored now.
        asked: what is to be proven.
    """
    usable = [each for each in plans if each.label is None or each.label == asked.label]
    of_plans = {each.id for each in usable}
    items = [
        each for each in _items(found, scored, asked) if each.source[0] == "batch" or int(each.source[1]) in of_plans
    ]
    return _chosen(found, items, usable, asked)


def queued(plans: Sequence[PlanProgress], label: str | None) -> tuple[int, int | None]:
    """How many images wait for a reviewer, and in which plan."""
    waiting = [
        (sum(each.queued.values()) if label is None else each.queued.get(label, 0), each.id)
        for each in plans
        if label is None or each.label in (None, label)
    ]
    count, number = max(waiting, default=(0, None))
    return count, number if count else None


# -- which images ------------------------------------------------------------------------------------------------------
def _items(found: Reviewed, scored: LabelProbabilities, asked: Question) -> Iterator[_Item]:
    """The images whose best answer the label is, and about which people said whether it holds."""
    rows: Sequence[int] = range(len(scored.labels))
    if asked.label is not None:  # not searched for in Python: each of 10,000 labels may be asked about
        rows = [scored.labels.index(asked.label)] if asked.label in scored.labels else []
    for row in rows:
        label = scored.labels[row]
        if scored.level[row] != 0:
            continue
        for place in np.flatnonzero(scored.eligible[row]).tolist():
            answer = found.images[place].about(label)
            if answer is not None and answer.draw is not None and _may_judge(answer.draw, label, asked):
                yield _item(place, float(scored.probability[row, place]), label, answer, answer.draw)


def _may_judge(draw: Draw, label: str, asked: Question) -> bool:
    """Whether an image was drawn from those that have the label as they are scored now, or from all.

    Without a plan, images to which an older version gave a label are not a sample of those that have it now; nor are
    images with one label a sample of those with another.
    """
    if draw.decision <= asked.after:
        return False
    if draw.plan is not None or draw.asked is None:
        return True
    return draw.asked == label and draw.version in asked.versions and draw.space in (None, asked.space)


def _item(place: int, probability: float, label: str, answer: PersonAnswer, draw: Draw) -> _Item:
    return _Item(
        place=place,
        label=label,
        source=("batch", draw.batch) if draw.plan is None else ("plan", str(draw.plan)),
        position=draw.decision if draw.place is None else draw.place,
        probability=probability,
        right=answer.label == label and answer.holds,
        decision=draw.decision,
        share=draw.of_scene,
    )


def _chosen(found: Reviewed, items: Sequence[_Item], plans: Sequence[PlanProgress], asked: Question) -> Pool:
    ordered, ends = _in_order(items, {("plan", str(each.id)): each.looks for each in plans})
    counted = _first_of_each([found.scenes[each.place] for each in ordered])
    chances = np.array([each.probability for each in ordered], dtype=np.float32)
    lower = _lower(ordered)

    def usable(end: int) -> npt.NDArray[np.intp]:
        """The images that count at a look, in the order of review."""
        own = np.flatnonzero(counted[:end])
        # They were drawn from fewer images than the others, such as the near misses of a rare label, and would have
        # too little weight. A test of all images above one of them would not be about a uniform sample.
        rare = own[lower[own]]
        return own[chances[own] > chances[rare].max()] if len(rare) else own

    end, look = _last_look(ends, usable, asked)
    places = usable(len(ordered) if end is None else end)
    used = [ordered[each] for each in places.tolist()]
    return Pool(
        probabilities=chances[places],
        right=np.array([each.right for each in used], dtype=bool),
        labels=tuple(each.label for each in used),
        look=look,
        is_judged=end is not None,
        images=len(ordered) if end is None else end,
        scenes=int(counted[:end].sum()),
        waiting=0 if end is None else int(counted[end:].sum()),
        plans=tuple(sorted({int(each.source[1]) for each in used if each.source[0] == "plan"})),
        last_decision=max((each.decision for each in used), default=None),
    )


def _in_order(
    items: Sequence[_Item], looks: Mapping[tuple[str, str], tuple[int, ...]]
) -> tuple[list[_Item], list[tuple[int, bool]]]:
    """The items, those of incomplete looks last; after how many of them each look is, and whether it was planned."""
    sources: dict[tuple[str, str], list[_Item]] = {}
    for each in items:
        sources.setdefault(_unit(each), []).append(each)
    ordered: list[_Item] = []
    rest: list[_Item] = []
    ends: list[tuple[int, bool]] = []
    for source, own in sorted(sources.items(), key=lambda pair: min(each.decision for each in pair[1])):
        own.sort(key=lambda each: each.position)
        if source[0] != "plan":
            ordered += own
            ends.append((len(ordered), False))
            continue
        before, positions = len(ordered), [each.position for each in own]
        planned = [before + int(np.searchsorted(positions, look)) for look in looks.get(source, ())]
        ends += [(end, True) for end in planned]
        complete = planned[-1] - before if planned else 0
        ordered += own[:complete]
        rest += own[complete:]
    return [*ordered, *rest], ends


def _unit(item: _Item) -> tuple[str, str]:
    """A plan, an imported file, or a single decision.

    Clients may add to a batch of their own. If its end were a look, that look would move, and the same share of the
    error probability would be spent again and again.
    """
    if item.source[0] == "plan" or UUID(item.source[1]).version == _IMPORTED:
        return item.source
    return "decision", str(item.decision)


def _last_look(
    ends: Sequence[tuple[int, bool]], usable: Callable[[int], npt.NDArray[np.intp]], asked: Question
) -> tuple[int | None, int]:
    """The last look, and how many were spent before it."""
    last, count, spent = None, 0, 0
    for end, planned in ends:
        needed = least(asked.target, asked.delta * share(asked.spent + spent))
        if end < needed or (not planned and end < _GROWTH * count):
            continue
        own = len(usable(end))
        if own >= needed and (planned or own >= _GROWTH * count):
            last, count, spent = end, own, spent + 1
    return last, asked.spent + max(spent - 1, 0)


def _first_of_each(scenes: Sequence[int]) -> npt.NDArray[np.bool_]:
    first = np.zeros(len(scenes), dtype=bool)
    first[np.unique(np.array(scenes, dtype=np.intp), return_index=True)[1]] = True
    return first


def _lower(items: Sequence[_Item]) -> npt.NDArray[np.bool_]:
    """Which were drawn with a markedly lower probability than others of their plan or batch."""
    highest: dict[tuple[str, str], float] = {}
    for each in items:
        highest[each.source] = max(highest.get(each.source, 0.0), each.share or 0.0)
    return np.array(
        [each.share is not None and each.share < LOWER * highest[each.source] for each in items], dtype=bool
    )
