"""1,000 published CLIP vectors beside the checkout, of which people labelled some. Not every machine has them."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.linear_model import LogisticRegression

from tests.unsplash import FOLDER, rows_of
from worker.tagging.heads import Reviews

CLIP_PHOTOS = FOLDER
_FACTOR = 100  # as CLIP's; the rows below have their length from it
_ANSWERS = {
    "time": ("taken_time", {"day": 0, "dawn": 1, "dusk": 1, "twilight": 1, "night": 2}),
    "setting": ("taken_space", {"indoor": 0, "outdoor": 1}),
}
_LABELS = ("unsplash_labels_480.csv", "unsplash_labels_95_clip_said_indoor.csv")


@cache
def labelled(question: str) -> Reviews:
    """All labelled photos, with zero-shot logits of rows that explain CLIP's published answers.

    CLIP's own rows are not published. Those of a regression give its answers, at a scale that is not CLIP's.
    """
    column, numbers = _ANSWERS[question]
    places = {row["photo_id"]: place for place, row in enumerate(rows_of("photo_ids.csv"))}
    vectors = np.load(CLIP_PHOTOS / "features.npy").astype(np.float32)
    given = {row["photo_id"]: numbers[row[column]] for row in rows_of("photos-1k-pred.csv")}
    model = LogisticRegression(C=1000, fit_intercept=False, max_iter=5000)
    model.fit(vectors, [given[photo] for photo in places])
    rows = model.coef_ if len(model.coef_) > 1 else np.concatenate([-model.coef_ / 2, model.coef_ / 2])
    truth = {
        row["photo_id"]: numbers[row[question]]
        for name in _LABELS
        for row in rows_of(name)
        if row.get(question) in numbers
    }
    chosen = vectors[[places[photo] for photo in truth]]
    count = len(chosen)
    return Reviews(
        vectors=chosen,
        factor=np.full(count, _FACTOR, dtype=np.float32),
        base=(chosen @ rows.T).astype(np.float32),
        other=np.full(count, -np.inf, dtype=np.float32),
        answers=np.array(list(truth.values())),
        weights=np.ones(count, dtype=np.float32),
        clusters=np.arange(count),
        judges=np.ones(count, dtype=bool),
    )
