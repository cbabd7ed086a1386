"""Queries whose right and wrong images are known, for two models: the study of relevance.

The starter on Flickr8k's development and test photos, which it was not trained on; what captions say is the truth. CLIP
ViT-B/32 on 1,000 Unsplash photos with the published vectors of LVIS names; what descriptions say is the truth. Not
every machine has the data.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from tests import unsplash
from worker.tagging import neutral
from worker.tagging.relevance import Null, RelevanceScale, distinct, null_of, scale_of
from worker.types import Floats

DATA = Path(__file__).resolve().parents[2] / "shared" / "starter"
_QUERIES = Path(__file__).parent / "fixtures" / "relevance" / "queries.yaml"
_SAMPLE = 1_000
#: Fewer right images say too little.
_FEWEST_RIGHT = {"starter": 5, "clip": 3}

Flags = npt.NDArray[np.bool_]


class Photos:
    """A catalog, and what random texts and images get in it."""

    def __init__(self, vectors: Floats, texts: Floats, *, seed: int = 0) -> None:
        self.vectors, self.texts = vectors, texts  # [n, d], [t, d]
        drawn = np.random.default_rng(seed).permutation(len(vectors))[:_SAMPLE]
        self.sample: Floats = distinct(vectors[drawn])
        self._nulls: dict[bool, Null] = {}

    def scale(self, query: Floats, *, by_image: bool = False) -> RelevanceScale:
        """As the product makes it."""
        if by_image not in self._nulls:
            some = np.arange(min(200, len(self.sample)))
            self._nulls[by_image] = (
                null_of(self.sample[some], self.sample, centred=False, own=some)
                if by_image
                else null_of(self.texts, self.sample, centred=True)
            )
        return scale_of(query, self.sample, self._nulls[by_image])

    def relevances(self, query: Floats, *, by_image: bool = False) -> Floats:
        """``[n]``."""
        return self.scale(query, by_image=by_image)(self.vectors @ query, self.vectors)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Case:
    """A query, and which images of a catalog are right and which wrong; neither: not clear."""

    concept: str
    query: Floats
    photos: Photos
    right: Flags
    wrong: Flags
    without: Photos  # the same catalog without everything that may be right


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cases:
    """All queries of a model."""

    present: tuple[Case, ...]
    photos: Photos
    absent: Mapping[str, Floats]
    nonsense: Mapping[str, Floats]

    def half(self, which: int) -> Cases:
        """Every second concept: one half to choose by, the other to report."""
        concepts = set(list(dict.fromkeys(each.concept for each in self.present))[which::2])
        return Cases(
            present=tuple(each for each in self.present if each.concept in concepts),
            photos=self.photos,
            absent=dict(list(self.absent.items())[which::2]),
            nonsense=dict(list(self.nonsense.items())[which::2]),
        )


def available() -> bool:
    """Whether this machine has the data."""
    return DATA.is_dir() and unsplash.FOLDER.is_dir()


@cache
def queries() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_QUERIES.read_text(encoding="utf-8"))
    return found


# -- the starter -------------------------------------------------------------------------------------------------------
@cache
def starter() -> Cases:
    """Flickr8k: an image is right if two of its five captions say it, wrong if none does."""
    from training import corpus, features  # torch
    from training.evaluate import take

    known, stored = corpus.flickr(DATA), features.read(DATA / "features" / "lite0_flickr.npz")
    names = [Path(file).name for file in stored.files]
    held_out = known.splits["test"] | known.splits["dev"]
    rows = [row for row, name in enumerate(names) if name in held_out and name in known.captions]
    model = _model()
    texts = dict(zip(_texts(), model.texts(_texts()), strict=True))
    photos = Photos(model.images(take(stored, rows)), model.texts(neutral.PROMPTS))
    present: list[Case] = []
    for concept, given in queries()["flickr"].items():
        said = re.compile(given["said"], re.IGNORECASE)
        mentions = np.array([sum(said.search(each) is not None for each in known.captions[names[row]]) for row in rows])
        present += _cases(concept, [texts[each] for each in given["queries"]], photos, mentions > 1, mentions == 0)
    return Cases(
        present=tuple(each for each in present if each.right.sum() >= _FEWEST_RIGHT["starter"]),
        photos=photos,
        absent={each: texts[each] for each in queries()["absent"]},
        nonsense={each: texts[each] for each in queries()["nonsense"]},
    )


def _model() -> Any:
    from safetensors.torch import load_file

    from training.evaluate import Model
    from worker.encoder.starter.heads import Heads
    from worker.encoder.starter.model import HEADS, filled, load_parts

    return Model(load_parts(), filled(Heads, load_file(HEADS)))


def _texts() -> list[str]:
    asked = [query for each in queries()["flickr"].values() for query in each["queries"]]
    return [*asked, *queries()["absent"], *queries()["nonsense"]]


# -- CLIP --------------------------------------------------------------------------------------------------------------
@cache
def clip(seed: int = 0) -> Cases:
    """Unsplash: a photo is right if its description says it, else wrong; 200 other names are the random texts."""
    names, rows = _lvis()
    loaded = unsplash.photos()
    described = _descriptions(loaded.ids)
    asked, absent = queries()["clip"], [each for each in queries()["clip_absent"] if each in names]
    others = [row for row, name in enumerate(names) if name not in {*asked, *absent}]
    random = np.random.default_rng(seed).permutation(others)[:200]
    photos = Photos(loaded.vectors, rows[random])
    present: list[Case] = []
    for name, said in asked.items():
        pattern = re.compile(rf"\b({said})\b")
        right = np.array([pattern.search(each) is not None for each in described])
        present += _cases(name, [rows[names.index(name)]], photos, right, ~right)
    return Cases(
        present=tuple(each for each in present if each.right.sum() >= _FEWEST_RIGHT["clip"]),
        photos=photos,
        absent={each: rows[names.index(each)] for each in absent},
        nonsense={},
    )


def _lvis() -> tuple[list[str], Floats]:
    with np.load(DATA / "clip_vitb32_class_text_vectors.npz") as stored:
        rows = stored["lvis_text_embeds"].astype(np.float32)
        return [str(each) for each in stored["lvis_names"]], rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _descriptions(ids: Sequence[str]) -> list[str]:
    with (unsplash.FOLDER / "photos-1k-pred.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["photo_id"]: row for row in csv.DictReader(file)}
    return [f"{rows[each]['photo_description']} | {rows[each]['ai_description']}".lower() for each in ids]


# -- together ----------------------------------------------------------------------------------------------------------
def _cases(concept: str, asked: Sequence[Floats], photos: Photos, right: Flags, wrong: Flags) -> list[Case]:
    without = Photos(photos.vectors[wrong], photos.texts)
    return [
        Case(concept=concept, query=each, photos=photos, right=right, wrong=wrong, without=without) for each in asked
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What one cut does, as means over queries."""

    precision: float  # of queries with hits
    recall: float
    f1: float
    empty_removed: float  # share of queries that return nothing where all that may be right was removed
    few_removed: float  # two hits at most
    empty_absent: float  # where nothing is pictured anywhere in the catalog
    few_absent: float
    empty_nonsense: float


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Values:
    """What a way of judging gives all images for all queries."""

    cases: Cases
    present: Sequence[Floats]  # each [n]
    removed: Sequence[Floats]
    absent: Sequence[Floats]
    nonsense: Sequence[Floats]


def values(cases: Cases, value: Callable[[Photos, Floats], Floats]) -> Values:
    """``value(photos, query)`` gives ``[n]``."""
    return Values(
        cases=cases,
        present=[value(each.photos, each.query) for each in cases.present],
        removed=[value(each.without, each.query) for each in cases.present],
        absent=[value(cases.photos, each) for each in cases.absent.values()],
        nonsense=[value(cases.photos, each) for each in cases.nonsense.values()],
    )


def scores(found: Values, cut: float) -> Scores:
    """What is not below ``cut`` is returned."""
    hits = [
        (((own >= cut) & each.right).sum(), ((own >= cut) & each.wrong).sum(), each.right.sum())
        for own, each in zip(found.present, found.cases.present, strict=True)
    ]
    removed, absent, nonsense = (
        np.array([(own >= cut).sum() for own in given]) for given in (found.removed, found.absent, found.nonsense)
    )
    precisions = [right / (right + wrong) for right, wrong, _ in hits if right + wrong]
    return Scores(
        precision=float(np.mean(precisions)) if precisions else 1.0,
        recall=float(np.mean([right / all_ for right, _, all_ in hits])),
        f1=float(np.mean([2 * right / (right + wrong + all_) for right, wrong, all_ in hits])),
        empty_removed=float((removed == 0).mean()),
        few_removed=float((removed <= 2).mean()),
        empty_absent=float((absent == 0).mean()),
        few_absent=float((absent <= 2).mean()),
        empty_nonsense=float((nonsense == 0).mean()) if len(nonsense) else float("nan"),
    )
