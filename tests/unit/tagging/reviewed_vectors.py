"""Reviews to learn heads from: random vectors about label directions that zero-shot does not quite know."""

from __future__ import annotations

import numpy as np

from worker.tagging.heads import UNDECIDED, Reviews


def reviews(count: int, *, independent: bool = False, seed: int = 0, blur: float = 0.5, none: int = 0) -> Reviews:
    """``count`` images of 3 labels, in 24 dimensions; labels differ from what zero-shot takes them for.

    The first ``none`` images have none of the labels.
    """
    random = np.random.default_rng(seed)
    rows = _units(random.normal(size=(3, 24)))
    true = _units(rows + random.normal(size=rows.shape) * blur)
    true = np.concatenate([true, _units(random.normal(size=(1, 24)))])
    answers = np.where(np.arange(count) < none, 3, np.arange(count) % 3)
    vectors = _units(true[answers] + random.normal(size=(count, 24)) * 0.25)
    base = (20 * vectors @ rows.T).astype(np.float32)
    about = (answers[:, None] == np.arange(3)).astype(np.intp)
    about[random.random(about.shape) < 0.2] = UNDECIDED
    return Reviews(
        vectors=vectors.astype(np.float32),
        factor=np.full(count, 20, dtype=np.float32),
        base=base,
        other=np.full((count, 3) if independent else count, 6 if independent else -np.inf, dtype=np.float32),
        answers=about if independent else answers,
        weights=np.ones(count, dtype=np.float32),
        clusters=np.arange(count),
        judges=np.ones(count, dtype=bool),
        independent=independent,
    )


def _units(rows: np.ndarray) -> np.ndarray:
    units: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return units
