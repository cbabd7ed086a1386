"""Pictures and texts → unit vectors: loads image–text models, and shares one among threads.

Importing this room imports neither torch nor transformers; ``load_encoder`` does.
"""

from __future__ import annotations

from worker.encoder.fetching import fetch_model
from worker.encoder.interface import Encoder, EncoderTraits, Pixels, unit_rows
from worker.encoder.loading import load_encoder
from worker.encoder.microbatcher import Encoded, ForwardPass, MicroBatcher
from worker.encoder.preview import as_picture

__all__ = [
    "Encoded",
    "Encoder",
    "EncoderTraits",
    "ForwardPass",
    "MicroBatcher",
    "Pixels",
    "as_picture",
    "fetch_model",
    "load_encoder",
    "unit_rows",
]
