"""The use case: what would change if another space were active."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from worker import catalog
from worker.catalog.space_comparison import HumanAgreement, LabelPair
from worker.catalog.spaces import Space
from worker.db import Engine, transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far two spaces agree in one taxonomy."""

    taxonomy: str
    images: int  # in the sample, decided in both spaces
    agreement: float  # share with the same answer; "none of these" is an answer
    kappa: float | None  # Cohen's: agreement beyond chance, at most 1; None if both always give one answer
    abstained: tuple[float, float]  # shares with "none of these", in either space
    changes: tuple[LabelPair, ...]  # the most frequent changes


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceComparison:
    """Two spaces side by side: the first is usually the active one."""

    spaces: tuple[int, int]
    models: tuple[str, str]
    sampled: int  # images, with a vector in both
    queries: int  # of these, whose neighbours were compared
    k: int
    overlap: float | None  # mean share of the k nearest images that are the same; None without queries
    taxonomies: tuple[Agreement, ...]
    judged: tuple[HumanAgreement, ...]  # on images that people have labelled


def compare(
    engine: Engine,
    first: Space,
    second: Space,
    *,
    sample: int,
    queries: int,
    k: int,
    shown: int = 5,
    progress: Callable[[int], None] = lambda _: None,
) -> SpaceComparison:
    """Compare tags on a sample, neighbours of some of it, and both with everything that people have labelled.

    Args:
        engine: the database.
        first: a space.
        second: another one.
        sample: most images whose tags are compared.
        queries: most images whose neighbours are compared.
        k: neighbours of each.
        shown: most changes named for each taxonomy.
        progress: told how many queries are done.
    """
    with transaction(engine) as connection:
        ids = catalog.space_comparison.common_sample(connection, first.id, second.id, limit=sample)
        pairs = catalog.space_comparison.label_pairs(connection, first.id, second.id, ids)
        labelled = catalog.space_comparison.human_agreement(connection, first.id, second.id)
    shares = []
    for number, image in enumerate(ids[:queries], 1):
        shares.append(_overlap(engine, first, second, image, k))
        progress(number)
    return SpaceComparison(
        spaces=(first.id, second.id),
        models=(first.model, second.model),
        sampled=len(ids),
        queries=len(shares),
        k=k,
        overlap=sum(shares) / len(shares) if shares else None,
        taxonomies=tuple(agreements(pairs, shown=shown)),
        judged=tuple(labelled),
    )


def _overlap(engine: Engine, first: Space, second: Space, image: int, k: int) -> float:
    with transaction(engine) as connection:
        ours = catalog.space_comparison.neighbours(connection, first, image, k=k)
        theirs = catalog.space_comparison.neighbours(connection, second, image, k=k)
    found = max(len(ours), len(theirs))
    return len({*ours} & {*theirs}) / found if found else 1.0


def agreements(pairs: Iterable[LabelPair], *, shown: int) -> Iterable[Agreement]:
    """One for each taxonomy of ``pairs``, which are sorted by taxonomy, most frequent first."""
    for taxonomy, group in groupby(pairs, key=lambda pair: pair.taxonomy):
        theirs = list(group)
        images = sum(pair.images for pair in theirs)
        yield Agreement(
            taxonomy=taxonomy,
            images=images,
            agreement=sum(pair.images for pair in theirs if pair.a == pair.b) / images,
            kappa=kappa(theirs),
            abstained=(
                sum(pair.images for pair in theirs if not pair.a) / images,
                sum(pair.images for pair in theirs if not pair.b) / images,
            ),
            changes=tuple([pair for pair in theirs if pair.a != pair.b][:shown]),
        )


def kappa(pairs: Sequence[LabelPair]) -> float | None:
    """Cohen's kappa of two raters: ``(observed - expected) / (1 - expected)`` agreement (Cohen, 1960).

    Returns:
        None where both give one and the same answer to everything: chance alone would agree as well.
    """
    total = sum(pair.images for pair in pairs)
    ours: Counter[tuple[str, ...]] = Counter()
    theirs: Counter[tuple[str, ...]] = Counter()
    for pair in pairs:
        ours[pair.a] += pair.images
        theirs[pair.b] += pair.images
    observed = sum(pair.images for pair in pairs if pair.a == pair.b) / total
    expected = sum(count * theirs[answer] for answer, count in ours.items()) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
