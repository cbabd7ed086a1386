"""Decodes JPEGs with libjpeg-turbo, and treats its warnings as what they mean: lost picture data.

Pillow has the same decoder, gives the same pixels, and hears none of its warnings: a half whose end was put on behind
the cut is a success to it. The decoder names its first warning only. So what it would complain of and no picture needs
is left out of what it gets (`plain_jpeg`), and what it still says is about the picture.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from worker.images.jpeg import has_hole, plain_jpeg

_COLOURS: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
#: Behind the last block; all blocks were there. Encoders that work by words leave a few bytes.
_EXTRANEOUS: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_EXTRANEOUS: Final = 64
_NO_MEMORY, _UNKNOWN_SAMPLING = "nsufficient memory", "Could not determine subsampling"


def decode_jpeg(data: bytes, image: JpegImageFile) -> Image.Image:
    """The pixels of an opened JPEG, at the size and in the mode that ``Image.draft`` gave it, with its ``info``.

    Raises:
        MemoryError: the decoder got no memory.
        ValueError: the decoder refuses the file, or had to make up some of the picture.
    """
    if has_hole(data):
        raise ValueError("zeros where data of the picture should be")
    colours = _COLOURS[image.mode]
    samples = np.empty((image.height, image.width, len(image.getbands())), np.uint8)
    try:
        simplejpeg.decode_jpeg(
            plain_jpeg(data), colours, min_height=image.height, min_width=image.width, buffer=samples, strict=True
        )
    except ValueError as error:
        if _UNKNOWN_SAMPLING in str(error):  # only of inks, and of pictures that hardly any encoder writes
            image.load()
            return image
        _judge(str(error))
    stored = "CMYK;I" if image.mode == "CMYK" else image.mode  # as Adobe writes it, like Pillow
    decoded = Image.frombuffer(image.mode, image.size, samples, "raw", stored, 0, 1)
    decoded.format, decoded.info = image.format, image.info
    return decoded


def _judge(words: str) -> None:
    """A warning does not stop the decoder: what it is no matter of has its pixels."""
    if _NO_MEMORY in words:
        raise MemoryError(words)
    extraneous = _EXTRANEOUS.search(words)
    if extraneous is None or int(extraneous[1]) > _MOST_EXTRANEOUS:
        raise ValueError(words)
