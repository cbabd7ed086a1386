"""The interface of every model: pictures and texts in, unit vectors of one embedding space out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from worker import logs
from worker.errors import ModelUnsupportedError
from worker.suggestions import shown
from worker.types import Floats, SpaceSpec

if TYPE_CHECKING:
    from PIL import Image

#: One preprocessed image, ready to be stacked. Its shape and meaning belong to the encoder that made it:
#: uint8 ``[C, H, W]`` where normalisation happens on the device, float32 otherwise.
Pixels: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.float32]

#: Which towers of a model are kept in memory: a process that only searches needs no image tower.
Towers: TypeAlias = Literal["both", "image", "text"]

#: How pictures become pixels: bit-identical to the model's own processor, or with differences that do not matter to it.
Preprocessing: TypeAlias = Literal["fast", "exact"]

#: What runs the image tower: plain torch, recorded CUDA graphs, torch's compiler, or OpenVINO on CPUs.
Runtime: TypeAlias = Literal["torch", "cuda-graphs", "torch-compile", "openvino"]

#: Waits for what a device computes, and gives it: ``[n, dimension]`` of any length. Called once.
Collect: TypeAlias = Callable[[], Floats]

_Item = TypeVar("_Item")

_log = logs.get("encoder")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderTraits:
    """Facts about a model that callers need besides its vectors."""

    space: SpaceSpec  # which vectors may be compared with ours
    logit_scale: float  # similarities are multiplied by this (CLIP: about 100) before they become probabilities
    input_side: int  # pixels; the preprocessing needs a shorter side of at least this
    context: int  # most tokens of a text, with those that the model adds itself; what is behind them is cut
    purpose: str  # one line for logs and /readyz: "openai/clip-vit-base-patch32 on cpu in bfloat16"
    exact: bool = False  # pictures are to be decoded at full size, whatever the input side
    device: str = "cpu"  # torch's name
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Pending:
    """A launched forward pass, which may still be running on a device."""

    collect: Collect

    def vectors(self) -> Floats:
        """Wait for the pass. Call it once, from the thread that launched the pass.

        Returns:
            ``[n, dimension]``, as ``Encoder.encode_images`` gives them.

        Raises:
            Exception: what the pass failed with. A device that computes by itself reports an error here, or at a
                later call of anything.
        """
        return unit_rows(self.collect())


class Encoder(ABC):
    """An image–text model, in three stages so that each can run where it is cheap.

    ``preprocess`` runs in many CPU threads at once, ``encode_images`` and ``launch_images`` in the one thread that owns
    the device (see ``MicroBatcher``), ``encode_texts`` anywhere. Models implement ``preprocess``, ``_image_features``
    and ``_text_features``, and ``_launch_features`` where a device computes by itself; cutting into batches and scaling
    to unit length is the same for all and lives here.
    """

    def __init__(self, traits: EncoderTraits, *, batch: int = 32) -> None:
        """Keep the traits; at most ``batch`` images or texts go into one forward pass."""
        self._traits = traits
        self._batch = batch

    @property
    def traits(self) -> EncoderTraits:
        return self._traits

    @property
    def space(self) -> SpaceSpec:
        return self._traits.space

    @property
    def logit_scale(self) -> float:
        return self._traits.logit_scale

    @property
    def input_side(self) -> int:
        return self._traits.input_side

    @property
    def shrink_to(self) -> int | None:
        """For decoders: the most pixels of the shorter side that the model can use. None: do not shrink."""
        return None if self._traits.exact else self._traits.input_side

    @property
    def towers(self) -> Towers:
        """Which towers are in memory."""
        return "both"

    @property
    def purpose(self) -> str:
        return self._traits.purpose

    @property
    def batch(self) -> int:
        """Most images or texts in one forward pass."""
        return self._batch

    @property
    def ahead(self) -> int:
        """How many passes to launch before the first of them is collected.

        1: launching computes, so that a second launch would only keep the first one's vectors waiting. 2: a device
        computes by itself, and idles from one pass to the next unless that one has been launched by then.
        """
        return 1

    @abstractmethod
    def preprocess(self, image: Image.Image) -> Pixels:
        """Preprocess an RGB picture for the model. Pure and thread-safe; uses no device.

        Any two results of one encoder can be encoded together.
        """

    def encode_images(self, pixels: Sequence[Pixels]) -> Floats:
        """Embed preprocessed images.

        Args:
            pixels: results of ``preprocess``, any number of them.

        Returns:
            ``[n, dimension]`` of unit length, in order. An image the model maps to no direction (a zero or
            non-finite vector) gives a row of NaN and leaves the others alone: ``MicroBatcher`` reports it.
        """
        return self._in_batches(pixels, self._image_features)

    def launch_images(self, pixels: Sequence[Pixels]) -> Pending:
        """Begin to embed preprocessed images in one forward pass.

        Args:
            pixels: 1 to ``batch`` results of ``preprocess``; they may be changed or freed once this returns.

        Returns:
            What gives their vectors. Passes may be collected in any order; one that never is costs nothing more.
        """
        return Pending(self._launch_features(pixels))

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """Embed texts, truncated at the model's context length with a warning.

        Args:
            texts: any number of them, in any case; what the model's tokenizer wants done to them is done here.

        Returns:
            ``[n, dimension]`` of unit length, in order.

        Raises:
            ModelUnsupportedError: the model maps a text to no direction: it is broken or overflows in its dtype.
        """
        for text, tokens in self.cut(texts).items():
            _log.warning(f"a text is truncated: {self.why_cut(text, tokens)}", action="encode", model=self.space.model)
        vectors = self._in_batches(texts, self._text_features)
        for text, vector in zip(texts, vectors, strict=True):
            if not np.isfinite(vector).all():
                raise ModelUnsupportedError(
                    f"{self.purpose} gives no finite vector for the text {text[:60]!r}; try ENRICH_DTYPE=float32"
                )
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens in each text before truncation, including those that the model adds."""
        return list(self._count_tokens(texts)) if texts else []

    def cut(self, texts: Sequence[str]) -> dict[str, int]:
        """Texts with more tokens than the model reads, and how many they have."""
        counts = zip(texts, self.count_tokens(texts), strict=True)
        return {text: tokens for text, tokens in counts if tokens > self._traits.context}

    def why_cut(self, text: str, tokens: int) -> str:
        """A sentence about a text that is too long."""
        return (
            f"{shown(text)} has {tokens} tokens, and {self.space.model} reads {self._traits.context}: "
            "what is behind them counts for nothing; shorten it"
        )

    def release_memory(self) -> None:  # noqa: B027 - optional: most devices have nothing to give back
        """Give cached device memory back after running out of it. Nothing to do on a CPU."""

    @abstractmethod
    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        """``[n, dimension]`` of any length for 1 to ``batch`` preprocessed images, in one forward pass."""

    def _launch_features(self, pixels: Sequence[Pixels]) -> Collect:
        """Begin what ``_image_features`` does; must be done with ``pixels`` on return. Here: all of it."""
        features = self._image_features(pixels)
        return lambda: features

    @abstractmethod
    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The number of tokens in each text before truncation, including those that the model adds."""

    @abstractmethod
    def _text_features(self, texts: Sequence[str]) -> Floats:
        """``[n, dimension]`` of any length for 1 to ``batch`` texts, in one forward pass."""

    def _in_batches(self, items: Sequence[_Item], features: Callable[[Sequence[_Item]], Floats]) -> Floats:
        vectors = np.empty((len(items), self.space.dimension), dtype=np.float32)
        for start in range(0, len(items), self._batch):
            vectors[start : start + self._batch] = features(items[start : start + self._batch])
        return unit_rows(vectors)


def unit_rows(vectors: Floats) -> Floats:
    """Scale every row of ``[n, d]`` to length one; rows without a direction become NaN."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        rows: Floats = (vectors / np.where(np.isfinite(lengths) & (lengths > 0), lengths, np.nan)).astype(np.float32)
    return rows
