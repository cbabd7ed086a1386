"""Preprocessing: does exactly what the model's own image processor does, only faster.

The processor of transformers is pinned to its PIL back end (the torchvision one gives slightly different pixels). For
the processors nearly every model has (resize, crop, scale, normalise) the same pixels are made here without the
processor's three copies of the whole picture, and normalisation moves to the device, so that an image waits and
travels as bytes instead of floats. Whether the short way really gives the processor's pixels is checked when the
model loads; if it does not, the processor itself runs.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from worker.encoder.interface import Pixels
from worker.errors import ModelUnsupportedError
from worker.types import Floats

#: Raise when anything between file and tensor changes so that vectors could: how pictures are decoded and reduced
#: (``worker.images``), how they are prepared here, or what Pillow's filters compute. Old and new vectors then live in
#: different spaces.
SCHEME = 1

#: Everything a processor's configuration says that changes pixels. Named one by one, because new releases of
#: transformers add keys, and a new key must not make a new space.
_DECISIVE = (
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
    "image_mean", "image_std", "do_pad", "pad_size", "patch_size", "max_num_patches",
)  # fmt: skip

#: Longest side of a picture over its shortest. A processor that scales the shorter side to 224 makes a 20,000 × 1
#: picture 4.5 million pixels wide before it keeps the middle 224; we keep the middle first.
_MAX_ASPECT = 64


#: Filters that torch has with Pillow's definition (``antialias=True``), by its name for them.
_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}
#: How much the quick method may differ, in 255ths. Both methods round twice, once for each direction.
_ROUNDING = 3

Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A processor's resize and crop, as plain numbers. Sides in pixels."""

    height: int  # of the result
    width: int
    shorter: int | None  # the shorter side is scaled to this and the middle kept; None: both sides are squeezed
    resample: Image.Resampling

    @property
    def is_vectorised(self) -> bool:
        """Whether ``quickly`` knows the filter."""
        return self.resample in _MODES

    def exactly(self, image: Image.Image) -> Bytes:
        """``[3, height, width]``, to the last bit what the processor makes."""
        image = self._sane(image)
        resized = image.resize(self._scaled(image), self.resample)
        left, top = self._corner(resized.width, resized.height)
        cropped = resized.crop((left, top, left + self.width, top + self.height))
        return np.ascontiguousarray(np.asarray(cropped).transpose(2, 0, 1))

    def quickly(self, image: Image.Image) -> Bytes:
        """Like ``exactly`` but for rounding, in a quarter of the time: torch resamples bytes with vector instructions.

        Everything else stays with numpy: torch would start threads of its own for each thread that calls. Less
        than halving stays with Pillow: it is quick, and overshoots are cut off at another place.
        """
        import torch

        image = self._sane(image)
        width, height = self._scaled(image)
        if 2 * width > image.width or 2 * height > image.height:
            return self.exactly(image)
        rows = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(
            rows, size=(height, width), mode=_MODES[self.resample], antialias=True
        )
        left, top = self._corner(width, height)
        return np.ascontiguousarray(resized[0].numpy()[:, top : top + self.height, left : left + self.width])

    def _sane(self, image: Image.Image) -> Image.Image:
        return image if self.shorter is None else _not_too_long(image)

    def _corner(self, width: int, height: int) -> tuple[int, int]:
        return (width - self.width) // 2, (height - self.height) // 2

    def _scaled(self, image: Image.Image) -> tuple[int, int]:
        """Width and height before the crop. The longer side is rounded down, as in torchvision and transformers."""
        if self.shorter is None:
            return self.width, self.height
        longer = int(self.shorter * max(image.size) / min(image.size))
        return (self.shorter, longer) if image.width <= image.height else (longer, self.shorter)


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalisation:
    """``pixel * factor + offset`` for each channel: rescaling, mean and standard deviation in one step."""

    factor: Floats  # [3]
    offset: Floats  # [3]


class Preprocessor:
    """One model's image processor. Pure and thread-safe once built."""

    def __init__(self, processor: Any, *, exact: bool = True) -> None:
        """Wrap an image processor of transformers.

        Args:
            processor: with the PIL back end.
            exact: its very pixels; else within roundings of them, and faster.

        Raises:
            ModelUnsupportedError: it has no PIL back end, or makes tensors of varying size.
        """
        self._processor = _pinned(processor)
        self._config: dict[str, Any] = processor.to_dict()
        self.recipe = _recipe(processor)
        if self.recipe is not None and not _agree(self.recipe, processor):
            self.recipe = None
        self.exact = exact or self.recipe is None or not _nearly_agrees(self.recipe)

    @property
    def max_patches(self) -> int | None:
        """How many patches a picture may have, for models that take any aspect ratio (SigLIP 2 NaFlex)."""
        return self._config.get("max_num_patches")

    @property
    def normalisation(self) -> Normalisation | None:
        """What the device must still do to uint8 pixels; None if ``__call__`` returns finished floats."""
        if self.recipe is None:
            return None
        ones, zeros = np.ones(3), np.zeros(3)
        scale = self._config["rescale_factor"] if self._config["do_rescale"] else 1.0
        normalises = self._config["do_normalize"]
        std = np.array(self._config["image_std"]) if normalises else ones
        mean = np.array(self._config["image_mean"]) if normalises else zeros
        factor, offset = np.broadcast_to(scale / std, 3), np.broadcast_to(-mean / std, 3)
        return Normalisation(factor=factor.astype(np.float32), offset=offset.astype(np.float32))

    @property
    def input_side(self) -> int:
        """Pixels the shorter side of a picture should have at least, so that nothing the model could see is lost."""
        if self.recipe is not None:
            return self.recipe.shorter or max(self.recipe.height, self.recipe.width)
        if self.max_patches is not None:
            return math.ceil(math.sqrt(self.max_patches)) * int(self._config["patch_size"])
        size: dict[str, int | None] = self._config.get("size") or {}
        return max((side for side in size.values() if side), default=224)

    @property
    def fingerprint(self) -> str:
        """32 hex digits that differ whenever prepared pixels could.

        Device and dtype are left out on purpose: bfloat16 on a GPU and float32 on a CPU give vectors whose cosine is
        at least 0.999 (tested), far closer than two photos of one thing. Counting them as spaces would make vectors
        of one bucket incomparable only because two machines worked on it.
        """
        decisive = {key: _plain(self._config[key]) for key in _DECISIVE if self._config.get(key) is not None}
        kind = str(self._config.get("image_processor_type", type(self._processor).__name__)).removesuffix("Fast")
        facts = {"scheme": SCHEME, "processor": kind, "backend": "pil"} | decisive
        if not self.exact:
            facts["resampling"] = "torch"
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def __call__(self, image: Image.Image) -> Pixels:
        """Prepare one picture.

        Returns:
            uint8 ``[3, H, W]`` when there is a ``normalisation`` to apply; else float32, ``[3, H, W]``, or
            ``[rows, columns, values]`` of patches for models that take any aspect ratio.
        """
        picture = image if image.mode == "RGB" else image.convert("RGB")
        if self.recipe is not None:
            return self.recipe.exactly(picture) if self.exact else self.recipe.quickly(picture)
        return self._slowly(picture)

    def _slowly(self, picture: Image.Image) -> Floats:
        if self.max_patches is None and not self._squeezes:
            picture = _not_too_long(picture)
        features = self._processor(picture, return_tensors="np")
        values: Floats = features["pixel_values"][0].astype(np.float32, copy=False)
        if "spatial_shapes" in features:
            rows, columns = (int(side) for side in features["spatial_shapes"][0])
            return values[: rows * columns].reshape(rows, columns, -1)
        return values

    @property
    def _squeezes(self) -> bool:
        return "shortest_edge" not in (self._config.get("size") or {})


def _pinned(processor: Any) -> Any:
    if getattr(processor, "backend", None) != "pil":
        raise ModelUnsupportedError(
            f"{type(processor).__name__} has no PIL back end; its pixels would depend on which torchvision is "
            "installed. Use a model whose image processor has one (CLIP, SigLIP and their kin do)"
        )
    return processor


def _recipe(processor: Any) -> Recipe | None:
    """The processor as plain numbers; None if it does anything unusual."""
    config, size = processor.to_dict(), {k: v for k, v in (processor.to_dict().get("size") or {}).items() if v}
    if config.get("do_pad") or not config.get("do_resize") or config.get("resample") is None:
        return None
    resample = Image.Resampling(int(config["resample"]))
    if set(size) == {"height", "width"} and not config.get("do_center_crop"):
        return Recipe(height=size["height"], width=size["width"], shorter=None, resample=resample)
    crop = config.get("crop_size") or {}
    if set(size) == {"shortest_edge"} and config.get("do_center_crop") and {"height", "width"} <= set(crop):
        return _cropping(crop["height"], crop["width"], size["shortest_edge"], resample)
    return None


def _cropping(height: int, width: int, shorter: int, resample: Image.Resampling) -> Recipe | None:
    """None when the crop is larger than the resized picture: the processor then pads."""
    if max(height, width) > shorter:
        return None
    return Recipe(height=height, width=width, shorter=shorter, resample=resample)


def _agree(recipe: Recipe, processor: Any) -> bool:
    """Whether the recipe produces the same bytes as the processor, on noise of awkward sizes."""
    for picture in _noise():
        theirs = processor(picture, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        if not np.array_equal(recipe.exactly(picture), theirs):
            return False
    return True


def _nearly_agrees(recipe: Recipe) -> bool:
    """Whether the quick method differs by rounding only. Noise is the worst case: every pixel overshoots."""
    if not recipe.is_vectorised:
        return False
    steps = (
        np.abs(recipe.quickly(picture).astype(np.int16) - recipe.exactly(picture)).max(initial=0)
        for picture in _noise()
    )
    return bool(max(steps) <= _ROUNDING)


def _noise() -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = ((301, 203), (67, 129), (640, 640))
    return [Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def _not_too_long(image: Image.Image) -> Image.Image:
    """The middle of a picture that is more than ``_MAX_ASPECT`` times longer than wide; any other as it is."""
    longest = min(image.size) * _MAX_ASPECT
    if max(image.size) <= longest:
        return image
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _plain(value: Any) -> Any:
    """JSON for comparing: floats rounded, tuples as lists, unset sizes left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return round(value, 8) if isinstance(value, float) else value
