"""What happens to the bucket: a pure function of a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tests.chaos.contents import KILLER, PICTURE, POISONS, TEXT

_DROPPED, _DOUBLED = 0.10, 0.10
_POISONED, _TEXTS = 0.03, 0.02
_OBJECTS_PER_KILLER = 2_000
#: What is written on a key after its first file: (share of keys, steps). ``True`` writes, ``False`` deletes.
_LIVES: tuple[tuple[float, tuple[bool, ...]], ...] = (
    (0.50, ()),
    (0.25, (True,)),
    (0.08, (True, True)),
    (0.10, (False,)),
    (0.07, (False, True)),
)
_LONGEST_DELAY = 2.0  # seconds of most events; one in twenty takes three times as long


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One upload or deletion, and what becomes of its event."""

    number: int
    at: float  # seconds after the start
    key: str
    content: str | None  # None: the object is deleted
    delays: tuple[float, ...]  # seconds until each copy of the event is sent; none: the event is lost


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """All steps, in the order of their times."""

    seed: int
    seconds: float
    steps: tuple[Step, ...]

    @property
    def final(self) -> Mapping[str, Step]:
        """The last step of every key."""
        return {step.key: step for step in self.steps}


def make_script(*, seed: int, objects: int, seconds: float) -> Script:
    """``objects`` keys, written, overwritten and deleted during ``seconds``."""
    rng = random.Random(seed)
    killers = rng.sample(range(objects), max(2, objects // _OBJECTS_PER_KILLER))
    drafts = [
        draft
        for number in range(objects)
        for draft in (
            _killer(rng, number, seconds, mended=killers.index(number) % 2 == 1)
            if number in killers
            else _life(rng, number, seconds)
        )
    ]
    drafts.sort(key=lambda draft: draft.at)
    return Script(seed=seed, seconds=seconds, steps=tuple(replace(d, number=n) for n, d in enumerate(drafts)))


def _life(rng: random.Random, number: int, seconds: float) -> Iterator[Step]:
    """The steps of an ordinary key."""
    key, at = _key(rng, number), rng.uniform(0, seconds * 0.8)
    yield _step(rng, at, key, _content(rng, key))
    (_, later), *_ = rng.choices(_LIVES, [share for share, _ in _LIVES])
    for writes in later:
        at = rng.uniform(at, seconds)
        yield _step(rng, at, key, _content(rng, key) if writes else None)


def _killer(rng: random.Random, number: int, seconds: float, *, mended: bool) -> Iterator[Step]:
    """Early, because it takes three leases to find it out. Where a good file replaces it, nobody is told."""
    key = f"album/{number:05}.jpg"
    yield _step(rng, rng.uniform(0, seconds * 0.2), key, KILLER)
    if mended:
        yield replace(_step(rng, rng.uniform(seconds * 0.8, seconds), key, PICTURE), delays=())


def _step(rng: random.Random, at: float, key: str, content: str | None) -> Step:
    return Step(number=0, at=at, key=key, content=content, delays=_delays(rng))


def _key(rng: random.Random, number: int) -> str:
    """Mostly plain, some with what has to be escaped in events."""
    if rng.random() < _TEXTS:
        return f"notes/{number:05}.txt"
    return rng.choice((f"album/{number:05}.jpg",) * 9 + (f"größe + maß/{number:05} (1).jpg",))


def _content(rng: random.Random, key: str) -> str:
    if key.endswith(".txt"):
        return TEXT
    return rng.choice(POISONS) if rng.random() < _POISONED else PICTURE


def _delays(rng: random.Random) -> tuple[float, ...]:
    luck = rng.random()
    copies = 0 if luck < _DROPPED else 2 if luck < _DROPPED + _DOUBLED else 1
    return tuple(rng.uniform(0, _LONGEST_DELAY) * (3 if rng.random() < 0.05 else 1) for _ in range(copies))
