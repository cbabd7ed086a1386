"""How the fitted images are laid out: UMAP where the extra ``map`` is installed, PCA otherwise."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import warnings
from typing import Literal, TypeAlias

import numpy as np

from worker.errors import ChoiceError
from worker.pipeline.maps.placement import NEIGHBOURS
from worker.types import Floats

Method: TypeAlias = Literal["pca", "umap"]
#: ``auto``: UMAP if it is installed, else PCA.
AskedMethod: TypeAlias = Literal["auto", "pca", "umap"]
#: UMAP needs some neighbours to begin with; fewer images are laid out by PCA.
_LEAST_FOR_UMAP = 4 * NEIGHBOURS


def has_umap() -> bool:
    """Whether the extra ``map`` is installed here."""
    return importlib.util.find_spec("umap") is not None


def chosen(asked: AskedMethod, images: int) -> Method:
    """The method for so many images.

    Raises:
        ChoiceError: UMAP is asked for and not installed.
    """
    if asked == "umap" and not has_umap():
        raise ChoiceError(
            "UMAP is not installed where maps are drawn: run `pip install image-enricher[map]` there, or choose the "
            "method pca"
        )
    if asked == "pca" or images < _LEAST_FOR_UMAP or not has_umap():
        return "pca"
    return "umap"


def project(vectors: Floats, method: Method, *, seed: int) -> Floats:
    """Places of images, ``[n, 2]``; near vectors get near places. The same input gives the same places.

    Args:
        vectors: ``[n, d]``, of length 1.
        method: how.
        seed: for UMAP.
    """
    return pca(vectors) if method == "pca" else _umap(vectors, seed)


def pca(vectors: Floats) -> Floats:
    """The two directions in which vectors differ most. Each points to where its largest coefficient is positive."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    two = directions[:, :-3:-1]  # eigh sorts ascending
    largest = np.take_along_axis(two, np.abs(two).argmax(axis=0)[None], axis=0)
    places = (centred @ (two * np.where(largest < 0, -1, 1)).astype(np.float32)).astype(np.float32)
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1])))


def _umap(vectors: Floats, seed: int) -> Floats:
    # numba, which UMAP is compiled by, keeps what it compiled as pickles: in a folder of this process alone.
    with tempfile.TemporaryDirectory(prefix="enrich-map-") as folder, warnings.catch_warnings():
        os.environ["NUMBA_CACHE_DIR"] = folder
        warnings.simplefilter("ignore")  # that a fixed seed means one thread
        from umap import UMAP

        reducer = UMAP(n_neighbors=NEIGHBOURS, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(reducer.fit_transform(vectors), dtype=np.float32)
