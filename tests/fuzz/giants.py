"""How large bombs are, what they may cost, and what fills them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import Final

Build = Callable[[int], bytes]
MB: Final = 1 << 20
#: Of a bomb's file, and what it may cost: seconds of a processor, and bytes beyond what was reserved for it.
LENGTH, MOST_SECONDS, MOST_BEYOND = 60 * MB, 5.0, 1 << 30
#: As wide as is allowed, and as high as 250 million pixels are then.
WIDE, HIGH = 65_488, 3_808
SQUARE: Final = 15_808


@cache
def zeros(length: int, filling: int = 0) -> bytes:
    """Deflated, without ever having been there: blocks that begin anew may be repeated."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes([filling]) * MB) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (length // MB + 1) + b"\3\0" + bytes(4)
