"""Cosines that are bit-identical on any machine, however images are batched.

A retagged catalog must agree with what workers wrote image by image, or every comparison of two versions would show
differences that nobody made. Products of float32 matrices do not give that: how a BLAS library orders a sum depends on
the shapes, the number of threads and the processor. So sums are made exact, and then their order does not matter:

- Vectors of images are read at half precision, which is what the catalog stores: multiples of 2⁻²⁴.
- Rows of labels are rounded to multiples of 2⁻²⁸, finer than float32 has them for all but tiny components.
- Their products are multiples of 2⁻⁵². For unit vectors no partial sum exceeds 1 (Cauchy-Schwarz, with room for what
  rounding adds), so every one of them is a multiple of 2⁻⁵² below 2, which is what the 53 bits of float64 hold.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from worker.errors import SpaceMismatchError
from worker.types import Floats

#: float64 array of which every sum of products is exact.
Exact: TypeAlias = npt.NDArray[np.float64]

_STEP = 2.0**28

#: Images a batch is filled up to a multiple of: vector units work in such groups, and handle what is left over by
#: other instructions, or sum it in another order.
LANES = 16


def exact_rows(rows: Floats) -> Exact:
    """Rows of labels, ``[r, d]`` of unit length, as ``similarities`` takes them."""
    return np.rint(rows.astype(np.float64) * _STEP) / _STEP


def as_stored(vectors: Floats) -> Floats:
    """Vectors as they are after a stay in the catalog, which keeps half precision (pgvector's ``halfvec``)."""
    with np.errstate(over="ignore"):
        return np.asarray(vectors).astype(np.float16).astype(np.float32)


def similarities(rows: Exact, vectors: Floats) -> Floats:
    """Cosines of unit vectors, ``[r, d]`` and ``[n, d]`` → ``[r, n]``.

    One row per text, so that reducing over candidates runs along images: numpy vectorises that.

    Raises:
        SpaceMismatchError: the dimensions differ.
        ValueError: not a matrix, or vectors that are not finite (the message names them).
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2:  # noqa: PLR2004
        raise ValueError(f"vectors must be a matrix [n, d], not of shape {vectors.shape}")
    if vectors.shape[1] != rows.shape[1]:
        raise SpaceMismatchError(
            f"the images have vectors of dimension {vectors.shape[1]}, the labels of {rows.shape[1]}: "
            "they are of different models; build the tagger with the model that embedded the images"
        )
    images = as_stored(vectors).astype(np.float64)
    _refuse_non_finite(images)
    return (rows @ images.T).astype(np.float32)


def _refuse_non_finite(images: Exact) -> None:
    finite = np.isfinite(images).all(axis=1)
    if not finite.all():
        broken = np.flatnonzero(~finite)
        raise ValueError(f"{len(broken)} vectors are not finite, first at row {broken[0]}; the image encoder failed")


def softmax(logits: Floats) -> Floats:
    """``[c, n]``, along axis 0, shifted so that the largest exponent is 0."""
    count = logits.shape[1]
    powers: Floats = np.exp(_filled_up(logits - logits.max(axis=0)))
    powers /= powers.sum(axis=0)
    return powers[:, :count]


def sigmoid(logits: Floats) -> Floats:
    """``[m, n]``: each logit against 0."""
    count = logits.shape[1]
    with np.errstate(over="ignore"):  # exp overflows to infinity, whose inverse is the right answer: 0
        chances: Floats = np.float32(1) / (np.float32(1) + np.exp(-_filled_up(logits)))
    return chances[:, :count]


def _filled_up(values: Floats) -> Floats:
    missing = -values.shape[1] % LANES
    return np.pad(values, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(values)
