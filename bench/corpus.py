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
#: Shown as names of rows; width × height in pixels. The largest is progressive, which takes most memory.
SIZES = {"12 MP": (4032, 3024), "640 px": (640, 480), "50 MP": (8660, 5774)}
_PROGRESSIVE = "50 MP"
_PHOTOS = ("chelsea.png", "coffee.png", "astronaut.png", "motorcycle_left.png")


def jpegs(size: str, count: int) -> Iterator[bytes]:
    """``count`` different JPEG files: photos that ship with scikit-image, enlarged, with the grain of a sensor."""
    photos = [_enlarged(name, SIZES[size]) for name in _PHOTOS[:count]]
    grain = np.random.default_rng(0).integers(-4, 5, photos[0].shape, dtype=np.int8)
    for number in range(count):
        moved = np.roll(grain, 977 * number, axis=1)  # other grain for every file, for the price of a copy
        picture = (photos[number % len(photos)] + moved).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, progressive=size == _PROGRESSIVE)
        yield file.getvalue()


def _enlarged(name: str, size: tuple[int, int]) -> np.ndarray:
    import skimage

    photo = Image.open(Path(skimage.__file__).with_name("data") / name).convert("RGB")
    return np.asarray(photo.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)


#: What ViT-L/14 has otherwise than ViT-B/32, as transformers names it.
_L14: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
    "projection_dim": 768,
}
_L14_TEXTS = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}


def clip_b32(directory: Path) -> Path:
    """A directory with a CLIP of ViT-B/32's shape: its vectors cost what the real one's cost, and mean nothing."""
    return _clip(directory, {}, {})


def clip_l14(directory: Path) -> Path:
    """The same of ViT-L/14's shape."""
    return _clip(directory, _L14_TEXTS, _L14)


def _clip(directory: Path, texts: dict[str, Any], others: dict[str, Any]) -> Path:
    if (directory / "model.safetensors").exists():
        return directory
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    torch.manual_seed(0)
    tokenizer = small_tokenizer()
    texts = texts | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for part in (CLIPModel(CLIPConfig(text_config=texts, **others)), tokenizer, CLIPImageProcessorPil()):
        part.save_pretrained(directory)
    return directory
