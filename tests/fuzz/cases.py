"""Numbered files: the same number under the same seed is the same file."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.fuzz.anywhere import ANYWHERE, LONGEST
from tests.fuzz.containers import CONTAINERS
from tests.fuzz.mutations import OWN, graft, splice
from tests.fuzz.seeds import seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A file to be decoded."""

    seed: int
    number: int
    origin: str  # the intact file it was made from
    data: bytes

    @property
    def label(self) -> str:
        """What makes it again."""
        return f"{self.seed}-{self.number}"


def case(seed: int, number: int) -> Case:
    """One damaged file. Formats take turns, so that any run of consecutive numbers has all of them."""
    rng = random.Random(f"{seed}:{number}")
    names = sorted(seeds())
    format_name = names[number % len(names)]
    family = seeds()[format_name]
    origin = rng.choice(sorted(family))
    data = family[origin]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = _damage(rng, data, format_name)
    return Case(seed=seed, number=number, origin=origin, data=data[: 2 * LONGEST])


def cases(seed: int, count: int, *, first: int = 0) -> Iterator[Case]:
    """Consecutive ones."""
    return (case(seed, number) for number in range(first, first + count))


def _damage(rng: random.Random, data: bytes, format_name: str) -> bytes:
    try:
        return _mutated(rng, data, format_name)
    except (IndexError, ValueError, StopIteration, struct.error):
        return data + rng.randbytes(1)  # what was damaged before could not be taken apart


def _mutated(rng: random.Random, data: bytes, format_name: str) -> bytes:
    choice = rng.random()
    if choice < 0.6:
        return rng.choice(OWN[format_name])(rng, data)
    if choice < 0.85:
        return rng.choice(ANYWHERE)(rng, data)
    same = rng.random() < 0.7
    others = seeds()[format_name if same else rng.choice(sorted(seeds()))]
    other = others[rng.choice(sorted(others))]
    if same and format_name in CONTAINERS and choice < 0.93:
        return graft(rng, data, other, CONTAINERS[format_name])
    return splice(rng, data, other)
