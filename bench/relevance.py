"""The study of relevance: ways to turn a cosine into a number that one cut suits, for all queries and two models.

python -m bench.relevance          (without servers; needs the data beside the checkout)

Each way's cut is chosen on half of the concepts, one cut for both models, and judged on the other half. What is
judged: F1 of what is returned where images show what is asked for; how many queries return nothing where none does,
because such images were removed, or never were there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
from scipy.stats import rankdata

from tests import relevance_cases
from tests.relevance_cases import Cases, Photos, Scores, Values, scores, values
from worker.tagging.relevance import DEFAULT_CUT
from worker.types import Floats

Value = Callable[[Photos, Floats], Floats]
_FIRST = 50  # hits that count for the ranking of all queries' hits together
_LOGIT_SCALE = {896: 17.4, 512: 100.0}  # by dimension: the starter's, CLIP's
_SIZES = (50, 100, 300)


@cache
def _texts_to(photos: Photos) -> tuple[Floats, Floats]:
    """Similarities of random texts to all images ``[t, n]`` and to the sample."""
    return photos.texts @ photos.vectors.T, photos.texts @ photos.sample.T


def _cosine(photos: Photos, query: Floats) -> Floats:
    return photos.vectors @ query


def _z(photos: Photos, query: Floats) -> Floats:
    similarities = photos.sample @ query
    found: Floats = (photos.vectors @ query - similarities.mean()) / similarities.std()
    return found


def _z_lower(photos: Photos, query: Floats) -> Floats:
    similarities = photos.sample @ query
    middle = np.median(similarities)
    below = similarities[similarities <= middle] - middle
    found: Floats = (photos.vectors @ query - middle) / np.sqrt(np.square(below).mean())
    return found


def _null(photos: Photos, query: Floats) -> Floats:
    texts, _ = _texts_to(photos)
    found: Floats = (photos.vectors @ query - texts.mean(axis=0)) / texts.std(axis=0)
    return found


def _two_way(photos: Photos, query: Floats) -> Floats:
    _, texts = _texts_to(photos)
    similarities = (photos.sample @ query - texts.mean(axis=0)) / texts.std(axis=0)
    found: Floats = (_null(photos, query) - similarities.mean()) / similarities.std()
    return found


def _softmax(photos: Photos, query: Floats) -> Floats:
    texts, _ = _texts_to(photos)
    scale = _LOGIT_SCALE[photos.vectors.shape[1]]
    found: Floats = -np.log1p(np.exp(scale * (texts - photos.vectors @ query)).sum(axis=0))
    return found


def _extremes(photos: Photos, query: Floats) -> Floats:
    _, texts = _texts_to(photos)
    top = np.quantile(texts, 0.99, axis=1)
    found: Floats = (photos.vectors @ query - np.median(top)) / top.std()
    return found


WAYS: Mapping[str, Value] = {
    "one cosine": _cosine,
    "z against what the query gets": _z,
    "the same, by median and lower half": _z_lower,
    "z against random texts, for each image": _null,
    "both, one after the other": _two_way,
    "softmax against random texts": _softmax,
    "above the best hits of random texts": _extremes,
    "relevance": lambda photos, query: photos.relevances(query),
}


def _objective(each: Scores) -> float:
    return each.f1 + each.empty_absent / 2


def best_cut(models: Sequence[Values]) -> float:
    """One for all models."""
    right = [own[each.right] for found in models for own, each in zip(found.present, found.cases.present, strict=True)]
    cuts = np.quantile(np.concatenate(right), np.linspace(0.05, 0.97, 45))
    return float(max(cuts, key=lambda cut: np.mean([_objective(scores(each, cut)) for each in models])))


def auc(found: Values) -> tuple[float, float]:
    """Right before wrong, of all queries together: all images, and the first 50 of each query."""
    pairs = list(zip(found.present, found.cases.present, strict=True))
    whole = _auc([own[each.right] for own, each in pairs], [own[each.wrong] for own, each in pairs])
    firsts = [(own, each, np.argsort(-own)[:_FIRST]) for own, each in pairs]
    return whole, _auc(
        [own[first][each.right[first]] for own, each, first in firsts],
        [own[first][each.wrong[first]] for own, each, first in firsts],
    )


def _auc(right: list[Floats], wrong: list[Floats]) -> float:
    one, other = np.concatenate(right), np.concatenate(wrong)
    ranks = rankdata(np.concatenate([one, other]))[: len(one)]
    return float((ranks.sum() - len(one) * (len(one) + 1) / 2) / (len(one) * len(other)))


def _row(name: str, cut: float, models: Sequence[Values]) -> str:
    cells = []
    for each in models:
        found, (whole, first) = scores(each, cut), auc(each)
        cells += [f"{whole:.2f} {first:.2f}", f"{found.f1:.2f} ({found.precision:.2f}, {found.recall:.2f})"]
        nonsense = "" if np.isnan(found.empty_nonsense) else f" {found.empty_nonsense:.2f}"
        cells += [f"{found.empty_removed:.2f} {found.few_removed:.2f}", f"{found.empty_absent:.2f}{nonsense}"]
    return f"| {name} | {' | '.join(cells)} |"


def compare(models: Mapping[str, Cases]) -> None:
    """Print a row for each way."""
    for name, way in WAYS.items():
        chosen, reported = ([values(each.half(half), way) for each in models.values()] for half in (0, 1))
        print(_row(f"{name} ≥ {(cut := best_cut(chosen)):.2f}", cut, reported), flush=True)
        if way is _cosine:
            for model, own in zip(models, chosen, strict=True):
                print(_row(f"the best for {model} alone, {(cut := best_cut([own])):.2f}", cut, reported), flush=True)
    print(_row(f"{name} ≥ {DEFAULT_CUT}", DEFAULT_CUT, reported), flush=True)


def sizes(models: Mapping[str, Cases]) -> None:
    """Print how far relevances move with the sample, and with the catalog around the same images."""
    for model, cases in models.items():
        asked = [each.query for each in cases.present]
        before = np.stack([cases.photos.relevances(each) for each in asked])
        matter = before > 0.1
        for size in _SIZES:
            changes = [
                np.abs(np.stack([_sampled(cases.photos, size, seed, each) for each in asked]) - before)[matter]
                for seed in range(5)
            ]
            print(f"{model}, a sample of {size}: {_spread(changes)}", flush=True)
        for name, changed in _catalogs(cases.photos).items():
            count = len(cases.photos.vectors)
            moved = np.stack([changed.relevances(each)[:count] for each in asked])
            print(f"{model}, {name}: {_spread([np.abs(moved - before)[matter]])}", flush=True)


def _sampled(photos: Photos, size: int, seed: int, query: Floats) -> Floats:
    drawn = _drawn(photos, size, seed)
    return drawn.scale(query)(photos.vectors @ query, photos.vectors)


@cache
def _drawn(photos: Photos, size: int, seed: int) -> Photos:
    chosen = np.random.default_rng(seed).permutation(len(photos.vectors))[:size]
    return Photos(photos.vectors[chosen], photos.texts)


def _catalogs(photos: Photos) -> Mapping[str, Photos]:
    """The same images first."""
    random = np.random.default_rng(1)
    tenfold = np.repeat(photos.vectors, 9, axis=0) + 0.02 * random.normal(size=(9 * len(photos.vectors), 1))
    noise = random.normal(size=(4 * len(photos.vectors), photos.vectors.shape[1])).astype(np.float32)
    noise = photos.vectors.mean(axis=0) + noise * photos.vectors.std(axis=0)
    make: Callable[[Floats], Photos] = partial(_with, photos)
    return {
        "every image ten times": make(_units(tenfold.astype(np.float32))),
        "four times as many that show nothing": make(_units(noise)),
        "one image 5,000 times more": make(np.repeat(photos.vectors[:1], 5_000, axis=0)),
    }


def _with(photos: Photos, more: Floats) -> Photos:
    return Photos(np.concatenate([photos.vectors, more]), photos.texts)


def _units(rows: Floats) -> Floats:
    units: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units


def _spread(changes: list[Floats]) -> str:
    together = np.concatenate(changes)
    return f"moved by {np.median(together):.3f} in the median, {np.quantile(together, 0.9):.3f} of nine in ten at most"


def main() -> None:
    """Print the table and the stability."""
    if not relevance_cases.available():
        sys.exit(f"the study needs {relevance_cases.DATA} and the photos beside it")
    models = {"starter": relevance_cases.starter(), "clip": relevance_cases.clip()}
    compare(models)
    sizes(models)


if __name__ == "__main__":
    main()
