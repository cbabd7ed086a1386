"""A thousand real CLIP vectors of photos, what CLIP answered about them, and what people say about some.

The vectors and answers were published with the data set; CLIP's text vectors were not. They are recovered here: rows
whose products with the images' vectors explain CLIP's answers best. Their scale is not CLIP's, their answers are.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from worker.types import Floats

#: Beside the checkout; tests that need it are skipped elsewhere.
FOLDER = Path(__file__).parents[2] / "shared" / "trust"
MODEL = "openai/clip-vit-base-patch32"
LOGIT_SCALE = 100.0
#: Question → its answers → CLIP's words for each.
LABELS: dict[str, dict[str, tuple[str, ...]]] = {
    "time": {"day": ("day",), "night": ("night",), "twilight": ("dawn", "dusk")},
    "setting": {"indoor": ("indoor",), "outdoor": ("outdoor",)},
}
_PUBLISHED = {"time": "taken_time", "setting": "taken_space"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Photos:
    """The whole data set."""

    ids: tuple[str, ...]
    vectors: Floats  # [n, 512], of unit length
    people: dict[str, dict[str, str]]  # question → photo → what a person said, if that was clear
    picked: frozenset[str]  # photos that were labelled because CLIP said indoor: fit for training, not for judging
    texts: dict[str, Floats]  # CLIP's word → [512], of unit length

    def zero_shot(self, question: str, photos: Sequence[str]) -> list[str]:
        """CLIP's answers."""
        words = {word: label for label, its in LABELS[question].items() for word in its}
        places = [self.ids.index(each) for each in photos]
        best = (self.vectors[places] @ np.stack([self.texts[word] for word in words]).T).argmax(axis=1)
        return [list(words.values())[place] for place in best]

    def labelled(self, question: str) -> list[str]:
        """The photos that may judge, in the order of the data set."""
        return [each for each in self.ids if each in self.people[question] and each not in self.picked]


def photos() -> Photos:
    """Load it; skips the test where it is not."""
    if not FOLDER.is_dir():
        pytest.skip(f"{FOLDER} is not there")
    return _loaded()


@cache
def _loaded() -> Photos:
    ids = tuple(row["photo_id"] for row in rows_of("photo_ids.csv"))
    vectors = np.load(FOLDER / "features.npy").astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answered = {row["photo_id"]: row for row in rows_of("photos-1k-pred.csv")}
    random, picked = rows_of("unsplash_labels_480.csv"), rows_of("unsplash_labels_95_clip_said_indoor.csv")
    people = {
        question: {row["photo_id"]: row[question] for row in [*random, *picked] if row.get(question) in labels}
        for question, labels in LABELS.items()
    }
    texts: dict[str, Floats] = {}
    for question, column in _PUBLISHED.items():
        given = np.array([answered[each][column] if each in answered else "" for each in ids])
        words = tuple(word for its in LABELS[question].values() for word in its)
        texts |= _recovered(vectors, given, words)
    return Photos(
        ids=ids, vectors=vectors, people=people, picked=frozenset(row["photo_id"] for row in picked), texts=texts
    )


def rows_of(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _recovered(vectors: Floats, given: np.ndarray, labels: tuple[str, ...]) -> dict[str, Floats]:
    """Rows of unit length whose logits are those of a regression on the published answers.

    What they lack to unit length points where the images hardly differ, so it adds the same to all labels.
    """
    among = np.isin(given, labels)
    model = LogisticRegression(C=100.0, fit_intercept=False, max_iter=2000).fit(vectors[among], given[among])
    weights = model.coef_ if len(labels) > 2 else np.concatenate([-model.coef_ / 2, model.coef_ / 2])
    moved = (weights - weights.mean(axis=0)) / LOGIT_SCALE
    quiet = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][-1]
    quiet = quiet - np.linalg.pinv(moved) @ (moved @ quiet)
    quiet /= np.linalg.norm(quiet)
    rows = moved + np.sqrt(1 - np.square(moved).sum(axis=1, keepdims=True)) * quiet
    return {str(label): row.astype(np.float32) for label, row in zip(model.classes_, rows, strict=True)}
