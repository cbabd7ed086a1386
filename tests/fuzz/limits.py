"""How much a file may cost here. Far below the product's defaults, so that nothing hides behind what is allowed."""

from __future__ import annotations

from typing import Final

from worker.images import ImageLimits

LIMITS: Final = ImageLimits(max_bytes=2 << 20, max_pixels=1 << 20, max_side=1 << 14)
#: The model's side: small, so that files of forty pixels are decoded smaller, too.
SIDE: Final = 16

#: Bytes that decoding one file may add to the process: 24 for each pixel allowed, 8 for each byte of the file, and what
#: codecs set up.
MOST_MEMORY: Final = 24 * LIMITS.max_pixels + 8 * LIMITS.max_bytes + (24 << 20)
#: Bytes beyond what was reserved for a file before it was decoded: its own, and what codecs set up.
MOST_BEYOND: Final = 8 * LIMITS.max_bytes + (24 << 20)
#: Bytes of address space beyond what the process has when it starts. Whoever wants more is refused by the system.
ADDRESS_SPACE: Final = 1 << 30
#: Bytes by which a process may have grown after all its files: what is never given back.
MOST_LEFT: Final = 96 << 20
#: Seconds of processor time for one file, and seconds until a process that says nothing is ended.
MOST_SECONDS: Final = 2.0
PATIENCE: Final = 20.0
