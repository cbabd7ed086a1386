"""Damage that any file can take: bits, bytes, numbers and runs, wherever they are."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

Mutation: TypeAlias = Callable[[random.Random, bytes], bytes]

#: Files grow no longer than this, however often something is repeated.
LONGEST: Final = 1 << 20

_EDGES: Final = tuple(
    edge + delta for edge in (0, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 1 << 15, 1 << 16) for delta in (-1, 0, 1)
)
_GIANTS: Final = ((1 << 24) - 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 32) - 8, (1 << 63) - 1, (1 << 64) - 1)


def number(rng: random.Random, *, like: int = 0, length: int = 0) -> int:
    """A number that programs get wrong: edges, giants, neighbours of what was there, the length of the file."""
    choice = rng.random()
    if choice < 0.4:
        return rng.choice(_EDGES)
    if choice < 0.55:
        return rng.choice(_GIANTS)
    if choice < 0.7:
        return length + rng.randint(-2, 2)
    if choice < 0.9:
        return like + rng.choice((-2, -1, 1, 2, like, -like, 255))
    return rng.getrandbits(32)


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """One to sixteen bits."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def set_bytes(rng: random.Random, data: bytes) -> bytes:
    """A run of one value, or of noise."""
    at, length = _run(rng, data)
    fill = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", rng.randbytes(1)))
    return data[:at] + (rng.randbytes(length) if rng.random() < 0.5 else fill * length) + data[at + length :]


def set_number(rng: random.Random, data: bytes) -> bytes:
    """A number of one to eight bytes, mostly near the start, where headers are."""
    size = rng.choice((1, 2, 2, 3, 4, 4, 8))
    near = min(len(data), rng.choice((32, 128, 512, len(data))))
    at = rng.randrange(max(1, near - size))
    return put(rng, data, at, size, big=rng.random() < 0.5)


def cut_out(rng: random.Random, data: bytes) -> bytes:
    at, length = _run(rng, data)
    return data[:at] + data[at + length :]


def repeat(rng: random.Random, data: bytes) -> bytes:
    """A run, from twice to hundreds of times."""
    at, length = _run(rng, data)
    times = min(rng.choice((2, 3, 20, 400)), max(2, (LONGEST - len(data)) // length))
    return data[:at] + data[at : at + length] * times + data[at + length :]


def swap(rng: random.Random, data: bytes) -> bytes:
    """Two runs of one length change places."""
    one, length = _run(rng, data)
    other = rng.randrange(len(data) - length + 1)
    damaged = bytearray(data)
    damaged[one : one + length], damaged[other : other + length] = (
        data[other : other + length],
        data[one : one + length],
    )
    return bytes(damaged)


def truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def extend(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.choice((1, 7, 300)))


def _run(rng: random.Random, data: bytes) -> tuple[int, int]:
    at = rng.randrange(len(data))
    return at, min(rng.choice((1, 2, 4, 8, 16, 64, 256)), len(data) - at)


def put(rng: random.Random, data: bytes, at: int, size: int, *, big: bool) -> bytes:
    """Another number where one is."""
    order: Literal["big", "little"] = "big" if big else "little"
    before = int.from_bytes(data[at : at + size], order)
    value = number(rng, like=before, length=len(data)) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, order) + data[at + size :]


ANYWHERE: Final[tuple[Mutation, ...]] = (
    flip_bits, flip_bits, set_bytes, set_number, set_number, cut_out, repeat, swap, truncate, extend
)  # fmt: skip
