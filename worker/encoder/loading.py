"""The one way to get an encoder."""

from __future__ import annotations

from importlib import import_module

from worker import logs
from worker.encoder.files import ModelFiles, locate
from worker.encoder.interface import Encoder, Towers
from worker.errors import ConfigurationError

STARTER = "starter"

_log = logs.get("encoder")


def load_encoder(
    model: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    threads: int = 0,
    batch: int = 32,
    image_only: bool = False,
    text_only: bool = False,
) -> Encoder:
    """Load a model. Imports torch, takes seconds, and initialises CUDA where there is a GPU: never before a fork.

    Args:
        model: ``starter``, a hub id, or a directory (see ``docs/models.md``).
        revision: hub branch, tag or commit; for a directory, the digest it must have.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        threads: CPU threads of this process's torch; 0 leaves torch's default, one per core.
        batch: most images or texts in one forward pass.
        image_only: keep only the image tower in memory; ``encode_texts`` then refuses.
        text_only: keep only the text tower in memory; ``encode_images`` then refuses.

    Raises:
        ConfigurationError: a device, dtype or revision that cannot be had, or both towers excluded.
        ModelUnavailableError: the model's files are nowhere to be had.
        ModelUnsupportedError: the files are damaged, unsafe, or not an image–text model.
    """
    if image_only and text_only:
        raise ConfigurationError("image_only and text_only exclude each other")
    if model == STARTER:
        encoder = _starter(device=device, dtype=dtype, threads=threads, batch=batch)
    else:
        towers: Towers = "image" if image_only else "text" if text_only else "both"
        files = locate(model, revision)  # before torch takes seconds to import: a wrong name is reported at once
        encoder = _pretrained(files, device=device, dtype=dtype, threads=threads, batch=batch, towers=towers)
    _log.info(f"loaded {encoder.purpose}", action="model-loaded", space=encoder.space.fingerprint)
    return encoder


def _starter(*, device: str, dtype: str, threads: int, batch: int) -> Encoder:
    starter = import_module("worker.encoder.starter")
    encoder: Encoder = starter.load(device=device, dtype=dtype, threads=threads, batch=batch)
    return encoder


def _pretrained(files: ModelFiles, *, device: str, dtype: str, threads: int, batch: int, towers: Towers) -> Encoder:
    import torch

    from worker.encoder import pretrained
    from worker.encoder.device import choose, this_machine

    placement = choose(device, dtype, this_machine())
    if threads:
        torch.set_num_threads(threads)
    return pretrained.load(files, placement, batch=batch, towers=towers)
