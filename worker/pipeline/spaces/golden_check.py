"""Checks that a model produces the same vectors here as those stored in its space.

Name and revision identify a model, but do not detect a library that computes differently or a file changed in a cache.
So each space stores its model's vectors of fixed pictures and texts (``golden_inputs``), and every process that will
write into the space computes them again.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, TypeAlias

import numpy as np
from PIL import features

from worker import catalog
from worker.catalog.golden import GoldenItem, GoldenSet
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder, Pixels
from worker.errors import SpaceMismatchError
from worker.pipeline.spaces import golden_inputs

#: What an encoder with one tower can be compared by.
Only: TypeAlias = Literal["texts", "pictures"]

_LIBRARIES = ("torch", "transformers", "tokenizers", "openvino", "pillow", "numpy")

#: Least cosine between the stored and the new vector. Measured worst (1 - cosine) between formats on CPUs, over
#: starter, CLIP and SigLIP: 2e-5 for float16 and 0.0023 for bfloat16 against float32, 1e-7 for another number of
#: threads. A layer of zeros costs 0.07 and more.
_LEAST_COSINE = 0.9995
_LEAST_COSINE_BFLOAT16 = 0.99
#: Mean difference of preprocessed samples, of 255 levels: tolerates decoders that round some samples differently.
#: Integer arithmetic is the same everywhere else; another resampling filter changes fine rings by several levels.
_MOST_LEVELS = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenMismatch:
    """One picture or text for which the model now produces a different vector."""

    name: str
    cosine: float  # of the vectors
    levels: float  # mean difference of the preprocessed picture, of 255; 0 for texts


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenResult:
    """The result of a comparison."""

    space: int
    compared: int
    least_cosine: float
    differences: tuple[GoldenMismatch, ...]
    changed: Mapping[str, tuple[str | None, str | None]]  # library, device or format → then, now; only if they differ

    @property
    def agrees(self) -> bool:
        return not self.differences


def check(engine: Engine, space: Space, encoder: Encoder, *, only: Only | None = None) -> GoldenResult:
    """Compare ``encoder``'s golden vectors with those stored for the space; store them if there are none yet.

    ``only``: for an encoder with one tower, which cannot store any.
    """
    with transaction(engine) as connection:
        known = catalog.golden.load(connection, space.id)
    made = _measure(encoder, only)
    now = environment(encoder)
    if known is None and only is None:
        with transaction(engine) as connection:
            known = catalog.golden.save(connection, space.id, made, now)
    return _compared(space, known or GoldenSet(made_with=now, entries=()), made, now)


def require(engine: Engine, space: Space, encoder: Encoder, *, only: Only | None = None) -> None:
    """Like ``check``, but raises on a mismatch.

    Raises:
        SpaceMismatchError: says what differs, and what to do.
    """
    found = check(engine, space, encoder, only=only)
    if not found.agrees:
        raise SpaceMismatchError(explain(found, space))


def accept(engine: Engine, space: Space, encoder: Encoder) -> None:
    """Use the vectors that ``encoder`` produces here as the reference from now on."""
    made = _measure(encoder)
    with transaction(engine) as connection:
        catalog.golden.delete(connection, space.id)
        catalog.golden.save(connection, space.id, made, environment(encoder))


def explain(found: GoldenResult, space: Space) -> str:
    """What differs, and what to do about it."""
    if found.changed:
        changes = (f"{name} {then or '(none)'} → {now or '(none)'}" for name, (then, now) in found.changed.items())
        cause = f"Changed since: {', '.join(changes)}"
    else:
        cause = "Libraries, device and number format are the same, so files of the model or its processor have changed"
    return (
        f"the model {space.model} at revision {space.revision} produces different vectors here than those stored in "
        f"space {space.id}: {'; '.join(map(_describe, found.differences))}. {cause}. Nothing is written, because the "
        "two cannot be compared. Restore what has changed; or, if you know that the difference does not matter, run "
        f"`enrich space check {space.id} --accept`"
    )


def environment(encoder: Encoder) -> dict[str, str]:
    """Device, number format and libraries of this process, with their versions."""
    libraries = {name: found for name in _LIBRARIES if (found := _version(name)) is not None}
    jpeg = features.version("libjpeg_turbo") or features.version("jpg")
    return (
        {"device": encoder.traits.device.partition(":")[0], "dtype": encoder.traits.dtype}
        | libraries
        | ({"libjpeg": jpeg} if jpeg else {})
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _measure(encoder: Encoder, only: Only | None = None) -> list[GoldenItem]:
    return [*([] if only == "pictures" else _texts(encoder)), *([] if only == "texts" else _pictures(encoder))]


def _texts(encoder: Encoder) -> list[GoldenItem]:
    rows = golden_inputs.text_vectors(encoder)
    return [GoldenItem(name=name, vector=row, pixels=None) for name, row in rows.items()]


def _pictures(encoder: Encoder) -> list[GoldenItem]:
    pixels = golden_inputs.preprocessed(encoder)
    rows = golden_inputs.picture_vectors(encoder, pixels)
    return [GoldenItem(name=name, vector=row, pixels=_pack(pixels[name])) for name, row in rows.items()]


def _compared(space: Space, known: GoldenSet, made: Iterable[GoldenItem], now: Mapping[str, str]) -> GoldenResult:
    then = known.made_with
    least = _LEAST_COSINE_BFLOAT16 if "bfloat16" in (then.get("dtype"), now["dtype"]) else _LEAST_COSINE
    ours = {each.name: each for each in made}
    pairs = [(each, ours[each.name]) for each in known.entries if each.name in ours]
    return GoldenResult(
        space=space.id,
        compared=len(pairs),
        least_cosine=least,
        differences=tuple(_differences(pairs, least)),
        changed={
            name: (then.get(name), now.get(name))
            for name in dict.fromkeys((*then, *now))
            if then.get(name) != now.get(name)
        },
    )


def _differences(pairs: Iterable[tuple[GoldenItem, GoldenItem]], least: float) -> Iterator[GoldenMismatch]:
    for theirs, ours in pairs:
        cosine = _cosine(theirs, ours)
        levels = 0.0 if theirs.pixels is None or ours.pixels is None else _levels(theirs.pixels, ours.pixels)
        if not cosine >= least or levels > _MOST_LEVELS:  # "not >=", so that NaN counts as a difference
            yield GoldenMismatch(name=ours.name, cosine=cosine, levels=levels)


def _cosine(one: GoldenItem, other: GoldenItem) -> float:
    if one.vector.shape != other.vector.shape:
        return 0.0
    return float(one.vector.astype(np.float64) @ other.vector.astype(np.float64))


def _levels(one: bytes, other: bytes) -> float:
    """Mean difference of two packed pictures, of 255; those of floats are normalised, two standard deviations wide."""
    theirs, ours = _unpack(one), _unpack(other)
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return 255.0
    mean = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).mean())
    return mean if theirs.dtype == np.uint8 else mean * 64


def _describe(each: GoldenMismatch) -> str:
    cosine = f"cosine {each.cosine:.4f}"
    if each.levels > _MOST_LEVELS:
        return f"{each.name} is preprocessed differently (by {each.levels:.1f} of 255 levels on average; {cosine})"
    return f"the vector of {each.name} differs ({cosine})"


def _pack(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=False)
    return zlib.compress(buffer.getvalue(), level=6)


def _unpack(packed: bytes) -> Pixels:
    pixels: Pixels = np.load(io.BytesIO(zlib.decompress(packed)), allow_pickle=False)
    return pixels
