"""Damage to the directories of a TIFF, and of the EXIF block that any format may hold, which is one."""

from __future__ import annotations

import random
from typing import Final

from tests.fuzz.anywhere import flip_bits, number
from tests.fuzz.containers import CONTAINERS

_TAGS: Final = (
    256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 292, 317, 320, 322, 323, 324, 325, 330, 338, 339,
    347, 512, 513, 514, 519, 529, 530, 531, 532, 700, 33432, 34377, 34665, 34675, 34853, 37500, 36867, 40965, 50706,
)  # fmt: skip
_PLAUSIBLE: Final = {
    258: (1, 2, 4, 8, 12, 16, 32, 64),
    259: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 32766, 32771, 32773, 32809, 32908, 32946, 34661, 34676, 34677, 34712, 34887,
          34925, 50000, 50001),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 32803, 32844, 32845, 34892),
    266: (1, 2),
    277: (1, 2, 3, 4, 5, 6, 7, 255, 65535),
    284: (1, 2),
    317: (1, 2, 3, 4),
    322: (1, 15, 16, 17, 256, 65535),
    323: (1, 15, 16, 17, 256, 65535),
    338: (0, 1, 2, 3),
    339: (1, 2, 3, 4, 5, 6),
    530: (1, 2, 4, 8, 3),
}  # fmt: skip


def change_tiff(rng: random.Random, data: bytes) -> bytes:
    """Entries of a TIFF's directories: tags, types, counts, values, offsets; chains that loop or lead nowhere."""
    frame = _TiffFrame(data)
    spots = frame.entries()
    if not spots:
        return flip_bits(rng, data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = _change_entry(rng, data, frame, rng.choice(spots))
    if rng.random() < 0.1:
        data = frame.put(data, frame.first_at, rng.choice((0, frame.first, len(data) - 1, number(rng))), frame.wide)
    if rng.random() < 0.2:
        data = _change_directory(rng, data, frame)
    return data


def _change_entry(rng: random.Random, data: bytes, frame: _TiffFrame, at: int) -> bytes:
    tag = frame.get(data, at, 2)
    choice = rng.random()
    if choice < 0.15:
        return frame.put(data, at, rng.choice(_TAGS), 2)
    if choice < 0.3:
        return frame.put(data, at + 2, rng.randrange(20), 2)
    if choice < 0.45:
        return frame.put(data, at + 4, number(rng, like=1, length=len(data)), frame.wide)
    if tag in _PLAUSIBLE and choice < 0.85:
        data = frame.put(frame.put(data, at + 2, 3, 2), at + 4, 1, frame.wide)
        return frame.put(data, at + 4 + frame.wide, rng.choice(_PLAUSIBLE[tag]), 2)
    like = frame.get(data, at + 4 + frame.wide, frame.wide)
    value = rng.choice((number(rng, like=like, length=len(data)), frame.first, at))
    return frame.put(data, at + 4 + frame.wide, value, rng.choice((2, frame.wide)))


def _change_directory(rng: random.Random, data: bytes, frame: _TiffFrame) -> bytes:
    start, count = rng.choice(frame.directories)
    if rng.random() < 0.5:
        return frame.put(data, start, number(rng, like=count), frame.counter)
    follow = start + frame.counter + count * frame.step
    return frame.put(data, follow, rng.choice((start, frame.first, 0, 8, len(data), number(rng))), frame.wide)


class _TiffFrame:
    """Where a TIFF's numbers are."""

    def __init__(self, data: bytes) -> None:
        self.order = "<" if data[:2] == b"II" else ">"
        self.data = data
        big = self.get(data, 2, 2) == 43
        self.wide, self.counter, self.step, self.first_at = (8, 8, 20, 8) if big else (4, 2, 12, 4)
        self.first = self.get(data, self.first_at, self.wide)
        self.directories: list[tuple[int, int]] = []

    def entries(self) -> list[int]:
        """Offsets of all entries of all directories that can be found."""
        found, waiting = [], [self.first]
        while waiting and len(self.directories) < 20:
            start = waiting.pop()
            count = self.get(self.data, start, self.counter)
            if not 0 < count < 200 or any(start == known for known, _ in self.directories):
                continue
            self.directories.append((start, count))
            own = [start + self.counter + n * self.step for n in range(count)]
            found += [at for at in own if at + self.step <= len(self.data)]
            waiting += [self._value(at) for at in own if self.get(self.data, at, 2) in {330, 34665, 34853, 40965}]
            waiting.append(self.get(self.data, start + self.counter + count * self.step, self.wide))
        return found

    def _value(self, at: int) -> int:
        return self.get(self.data, at + 4 + self.wide, self.wide)

    def get(self, data: bytes, at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if self.order == "<" else "big")

    def put(self, data: bytes, at: int, value: int, size: int) -> bytes:
        if not 0 <= at <= len(data) - size:
            return data
        packed = (value % (1 << 8 * size)).to_bytes(size, "little" if self.order == "<" else "big")
        return data[:at] + packed + data[at + size :]


def change_exif(rng: random.Random, data: bytes) -> bytes:
    """The directories of the EXIF block inside any file. Where a checksum is around it, that is made right."""
    if data.startswith(b"\x89PNG"):
        head, parts = CONTAINERS["PNG"].split(data)
        for part in parts:
            if part.kind == b"eXIf" and part.payload:
                part.payload = change_tiff(rng, part.payload)
        return CONTAINERS["PNG"].join(head, parts)
    at = data.find(b"Exif\0\0")
    start = at + 6 if at >= 0 else max(data.find(b"MM\0*"), data.find(b"II*\0"))
    if start < 0:
        return flip_bits(rng, data)
    return data[:start] + change_tiff(rng, data[start:])
