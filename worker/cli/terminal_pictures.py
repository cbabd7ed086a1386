"""Pictures in a terminal: the kitty graphics protocol and sixel, where the terminal answers that it has them.

Sources: sw.kovidgoyal.net/kitty/graphics-protocol (2026), "Querying support"; vt100.net/docs/vt3xx-gp/chapter14.html,
"Sixel graphics"; xterm's ctlseqs, "Send Device Attributes".
"""

from __future__ import annotations

import base64
import io
import os
import re
import select
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

#: How a terminal shows pictures.
Protocol: TypeAlias = Literal["kitty", "sixel", "none"]

#: Asks for a tiny picture of kitty's, and then for the device's attributes, which every terminal answers.
_QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_PATIENCE = 0.5  # seconds; over SSH an answer takes as long as the line does
_CHUNK = 4_096  # bytes of base64, as the protocol has it
_ROWS = 20  # lines of text that a picture takes at most
_COLOURS = 128
_BAND = 6  # rows of pixels in one sixel


@contextmanager
def keys_at_once(terminal: int) -> Iterator[None]:
    """Read single keys, not lines, without showing them; Ctrl-C still interrupts."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def supported(terminal: int, out: int) -> Protocol:
    """Ask the terminal; call it while keys come at once. What does not answer shows no pictures."""
    os.write(out, _QUERY)
    answer, until = b"", time.monotonic() + _PATIENCE
    while not _ATTRIBUTES.search(answer) and (left := until - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            answer += os.read(terminal, 1_024)
    return understood(answer)


def understood(answer: bytes) -> Protocol:
    """What a terminal's answer says."""
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    attributes = _ATTRIBUTES.search(answer)
    return "sixel" if attributes and b"4" in attributes.group(1).split(b";")[1:] else "none"


def picture(preview: bytes, protocol: Protocol, *, rows: int) -> bytes:
    """What to write to the terminal, with a line break; nothing where it shows none.

    Args:
        preview: a file of the picture.
        protocol: of the terminal.
        rows: lines of text that the terminal has.
    """
    import numpy as np
    from PIL import Image

    if protocol == "none":
        return b""
    with Image.open(io.BytesIO(preview)) as opened:
        shown = opened.convert("RGB")
    if protocol == "sixel":
        return sixel(np.asarray(shown)) + b"\n"
    png = io.BytesIO()
    shown.save(png, "PNG")
    return _kitty(png.getvalue(), rows=max(min(_ROWS, rows - 10), 4)) + b"\n"


def _kitty(png: bytes, *, rows: int) -> bytes:
    data = base64.b64encode(png)
    parts = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    commands = []
    for number, part in enumerate(parts):
        keys = f"a=T,f=100,q=2,r={rows}," if number == 0 else ""
        more = int(number < len(parts) - 1)
        commands.append(f"\x1b_G{keys}m={more};".encode() + part + b"\x1b\\")
    return b"".join(commands)


def sixel(pixels: np.ndarray) -> bytes:
    """Encode uint8 ``[H, W, 3]`` with 128 colours."""
    import numpy as np
    from PIL import Image

    quantized = Image.fromarray(pixels).quantize(_COLOURS)
    indices = np.asarray(quantized, dtype=np.uint8)
    palette = np.array(quantized.getpalette() or [], dtype=int).reshape(-1, 3) * 100 // 255  # in per cent
    out = [f'\x1bP0;1q"1;1;{indices.shape[1]};{indices.shape[0]}']
    out += [f"#{colour};2;{red};{green};{blue}" for colour, (red, green, blue) in enumerate(palette.tolist())]
    weights = 1 << np.arange(_BAND)[:, np.newaxis]
    for top in range(0, len(indices), _BAND):
        band = indices[top : top + _BAND]
        lines = [
            f"#{colour}" + _run_lengths(((band == colour) * weights[: len(band)]).sum(axis=0) + ord("?"))
            for colour in np.unique(band).tolist()
        ]
        out.append("$".join(lines) + "-")
    return ("".join(out) + "\x1b\\").encode()


def _run_lengths(codes: np.ndarray) -> str:
    import numpy as np

    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    lengths = np.diff(starts, append=len(codes))
    runs = zip(codes[starts].tolist(), lengths.tolist(), strict=True)
    return "".join(chr(code) * length if length < 4 else f"!{length}{chr(code)}" for code, length in runs)  # noqa: PLR2004
