"""What people's reviews taught about a taxonomy in one embedding space. Files do not contain it.

It belongs to the scoring that was reviewed (``Taxonomy.scoring``), and is kept while that stays the same, whatever else
a new file changes. It is part of the taxonomy's version, so it is planned, applied and rolled back like a file.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.types import Floats

#: In ``Head.rows``, in place of a label: none of these.
NONE_OF_THESE = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What says that a label's tags are right often enough."""

    certificate: int
    precision: float  # that is proven, such as 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A learned change of a taxonomy's rows; vectors are those of ``packed``.

    A head decides nothing itself: labels are compared with images as before, by rows that have moved.
    """

    number: int  # in the table of heads; not part of the version
    moves: Mapping[str, str] = field(default_factory=dict, hash=False)  # top label → what is added to its rows
    rows: Mapping[str, str] = field(default_factory=dict, hash=False)  # label without prompts, or "" → its row

    @property
    def digest(self) -> str:
        """16 hex digits of a hash over everything that affects scores."""
        canonical = json.dumps([dict(self.moves), dict(self.rows)], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Learned:
    """Thresholds and a head from reviews."""

    model: str  # of the space
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)  # label → in place of the file's
    proofs: Mapping[str, Proof] = field(default_factory=dict, hash=False)  # label →
    head: Head | None = None

    def proven(self, target: float) -> frozenset[str]:
        """The labels that are proven to be at least so precise."""
        return frozenset(label for label, own in self.proofs.items() if own.precision >= target)

    def score_affecting(self, target: float | None) -> dict[str, Any]:
        """What the version covers; which labels are proven only affects tags where a precision is asked for."""
        fields: dict[str, Any] = {
            "thresholds": {label: float(number) for label, number in self.thresholds.items()},
            "head": self.head.digest if self.head else "",
            "proven": sorted(self.proven(target)) if target is not None else [],
        }
        return {name: value for name, value in fields.items() if value}


def packed(vector: Floats) -> str:
    """``[d]`` as base64 of little-endian float32."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def unpacked(text: str) -> Floats:
    """What ``packed`` returned → ``[d]``.

    Raises:
        ValueError: it is something else.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
