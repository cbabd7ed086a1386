"""How well heads name what is in a photo, and what so few photos can tell about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from training import corpus, vocabulary
from worker.types import Floats

_RESAMPLES = 10_000
_BEST = 5


class Texts(Protocol):
    """What of a model naming needs."""

    def prototypes(self, prompts: Sequence[Sequence[str]]) -> Floats:
        """One unit row per label: the mean of its prompts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Naming:
    """Of n photos, each with the names put in order."""

    first: Floats  # (n,): 1 where the likeliest name is in the photo
    five: Floats  # (n,): 1 where any of the likeliest five is
    precision: Floats  # (n,): average precision of the order, which uses all names that are in the photo

    def means(self) -> dict[str, float]:
        return {
            "top-1": float(self.first.mean()),
            f"any of {_BEST}": float(self.five.mean()),
            "average precision": float(self.precision.mean()),
        }


def name_objects(model: Texts, vectors: Floats, objects: Mapping[int, frozenset[str]], names: Sequence[str]) -> Naming:
    """Order the names by likeness to each photo; ``objects`` says by row of ``vectors`` which are right."""
    texts = [[f"a photo of {a}", a, f"a photo with {a} in it"] for a in map(vocabulary.with_article, names)]
    rows = np.array(sorted(objects))
    order = (vectors[rows] @ model.prototypes(texts).T).argsort(1)[:, ::-1]
    right = np.array([[names[i] in objects[row] for i in best] for row, best in zip(rows, order, strict=True)])
    so_far = right.cumsum(1) / np.arange(1, len(names) + 1)
    return Naming(
        first=right[:, 0].astype(np.float32),
        five=np.asarray(right[:, :_BEST].any(1), dtype=np.float32),
        precision=((so_far * right).sum(1) / right.sum(1)).astype(np.float32),
    )


def mentioned(flickr: corpus.Flickr, files: Sequence[str], names: Sequence[str]) -> dict[int, frozenset[str]]:
    """By row of Flickr8k's dev photos: the names that two captions mention, where that is more than a person."""
    rules = {name: re.compile(rf"\b{name}(s|es)?\b") for name in names} | {"person": vocabulary.RULES["person"]}
    stems = [Path(file).name for file in files]
    present = {
        row: frozenset(name for name in names if _count(rules[name], flickr.captions[stem]) > 1)
        for row, stem in enumerate(stems)
        if stem in flickr.splits["dev"] and stem in flickr.captions
    }
    return {row: found for row, found in present.items() if found - {"person"}}


def _count(rule: re.Pattern[str], captions: Sequence[str]) -> int:
    return sum(rule.search(caption) is not None for caption in captions)


def over_photos(values: Floats) -> tuple[float, float]:
    """95 % interval of the mean, (photos,), by drawing the photos anew with replacement (percentile bootstrap)."""
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def report(ours: Sequence[Naming], theirs: Sequence[Naming] = ()) -> list[str]:
    """What can be said of one recipe's seeds, and of the difference to another's on the same photos."""
    lines = []
    for metric in ("first", "precision"):
        own = np.mean([getattr(each, metric) for each in ours], axis=0)
        lines.append(f"{metric}: {_spread(own)}")
        if theirs:
            other = np.mean([getattr(each, metric) for each in theirs], axis=0)
            lines.append(f"{metric}, other recipe: {_spread(other)}; difference: {_spread(own - other)}")
    return lines


def _spread(values: Floats) -> str:
    low, high = over_photos(values)
    return f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
