"""What both sides are given: JPEG files, and a CLIP ViT-B/32 of random weights. Made once, from a seed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.models import CONTEXT, small_tokenizer

QUALITY = 88
#: Shown as names of rows; width × height in pixels.
SIZES = {"12 MP": (4032, 3024), "640 px": (640, 480)}
_PHOTOS = ("chelsea.png", "coffee.png", "astronaut.png", "motorcycle_left.png")


def jpegs(size: str, count: int) -> Iterator[bytes]:
    """``count`` different JPEG files: photos that ship with scikit-image, enlarged, with the grain of a sensor."""
    import skimage

    folder = Path(skimage.__file__).with_name("data")
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = Image.open(folder / _PHOTOS[number % len(_PHOTOS)]).convert("RGB")
        picture = np.asarray(photo.resize(SIZES[size], Image.Resampling.LANCZOS), dtype=np.int16)
        grain = rng.integers(-4, 5, picture.shape, dtype=np.int16)
        made = Image.fromarray((picture + grain).clip(0, 255).astype(np.uint8))
        file = io.BytesIO()
        made.save(file, "JPEG", quality=QUALITY)
        yield file.getvalue()


def clip_b32(directory: Path) -> Path:
    """A directory with a CLIP of ViT-B/32's shape: its vectors cost what the real one's cost, and mean nothing."""
    if (directory / "model.safetensors").exists():
        return directory
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    texts = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for part in (CLIPModel(CLIPConfig(text_config=texts)), tokenizer, CLIPImageProcessorPil()):
        part.save_pretrained(directory)
    return directory
