"""The encoder as transformers and torch run it when they are simply called.

python -m bench.bare          (ENRICH_* variables say which model; a line on stdin is a turn)

In a process of its own: beside other threads that have computed, OpenMP's wait for each other in another way, and the
same calls take up to a quarter less time.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers

from bench import child
from bench.rates import rate
from worker import settings
from worker.encoder.device import choose, this_machine

_SECONDS = 4.0


def main() -> None:
    chosen = settings.load()
    place = choose(chosen.device, chosen.dtype, this_machine())
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loader: Any = transformers.AutoModel
    clip = loader.from_pretrained(chosen.model, dtype=getattr(torch, place.dtype)).eval().to(place.device)
    side, batch = clip.config.vision_config.image_size, chosen.encoder_batch

    @torch.inference_mode()
    def encode() -> int:
        pixels = torch.zeros((batch, 3, side, side), dtype=clip.dtype, device=clip.device)
        getattr(found := clip.get_image_features(pixel_values=pixels), "pooler_output", found).float().cpu()
        return batch

    child.serve(lambda: {"rate": rate(encode, _SECONDS)})


if __name__ == "__main__":
    main()
