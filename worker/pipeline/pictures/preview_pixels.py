"""Reads kept previews for a model, in place of the originals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from worker import images, logs
from worker.images import ImageLimits
from worker.images.previews import PREVIEW
from worker.pipeline.pictures.previews import KeptPreviews
from worker.pipeline.resilience.memory_budget import DecodeSlots

if TYPE_CHECKING:
    from worker.encoder import Encoder, Pixels

_log = logs.get("previews")

#: Least shorter side of a preview, as a share of the model's input. Long pictures have few pixels that way: of one with
#: 512 × 100 pixels, a model that takes 224 would see a blur, while the original may have them all.
_LEAST_SHARE: Final = 0.75


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewReader:
    """Previews as a model's input. Threads may share it."""

    kept: KeptPreviews
    limits: ImageLimits
    decoders: DecodeSlots

    def read(self, sha256: str, *, shorter: int, encoder: Encoder) -> Pixels | None:
        """A preview, preprocessed.

        Args:
            sha256: of the original.
            shorter: its shorter side, in pixels.
            encoder: whose input it becomes.

        Returns:
            None if there is none, or the model would see much less of it than of the original.
        """
        webp = self.kept.get(sha256, PREVIEW)
        if webp is None:
            return None
        try:
            with self.decoders.turn():
                decoded = images.read_image(
                    webp, limits=self.limits, min_side=encoder.shrink_to, reserve=self.decoders.reserve
                )
                with decoded.pixels as picture:
                    wanted = min(encoder.input_side, shorter)
                    return encoder.preprocess(picture) if min(picture.size) >= _LEAST_SHARE * wanted else None
        except Exception as error:  # noqa: BLE001  # then the original is read
            _log.warning("a preview cannot be read", action="preview-read", sha256=sha256, error=str(error))
            return None
