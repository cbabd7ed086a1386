"""Loads encoders; there is no other way to get one."""

from __future__ import annotations

from importlib import import_module

from worker import logs, notices
from worker.encoder.device import Placement, choose, this_machine
from worker.encoder.files import ModelFiles, locate
from worker.encoder.interface import Encoder, Preprocessing, Runtime, Towers
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
    preprocessing: Preprocessing = "exact",
    runtime: Runtime = "torch",
    image_only: bool = False,
    text_only: bool = False,
) -> Encoder:
    """Load a model. Imports torch, takes seconds, and initialises CUDA if there is a GPU: never call it before a fork.

    Args:
        model: ``starter``, a hub id, or a directory (see ``docs/reference/models.md``).
        revision: hub branch, tag or commit; for a directory, the digest it must have.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        threads: CPU threads of this process's torch; 0 leaves torch's default, one per core.
        batch: most images or texts in one forward pass.
        preprocessing: part of the space. ``exact``: pixels are those of the model's own processor on the picture at
            full size; ``fast``: those of a picture that was decoded smaller, resized within roundings.
        runtime: of the image half. ``cuda-graphs`` is for GPUs; ``torch-compile`` takes minutes to load and needs a C++
            compiler; ``openvino`` is for CPUs, and an extra; the starter always runs in torch.
        image_only: keep only the image tower in memory; ``encode_texts`` then refuses.
        text_only: keep only the text tower in memory; ``encode_images`` then refuses.

    Raises:
        ConfigurationError: a device, dtype or revision that is not available, or both towers excluded.
        ModelUnavailableError: the model's files cannot be found anywhere.
        ModelUnsupportedError: the files are damaged, unsafe, or not an image–text model.
    """
    if image_only and text_only:
        raise ConfigurationError("image_only and text_only exclude each other")
    exact = preprocessing == "exact"
    notices.tell(f"loading the model {model} …")
    if model == STARTER:
        encoder = _starter(device=device, dtype=dtype, threads=threads, batch=batch, exact=exact)
    else:
        towers: Towers = "image" if image_only else "text" if text_only else "both"
        files = locate(model, revision)  # before torch takes seconds to import: a wrong name is reported at once
        placement = _placement(device, dtype, threads)
        encoder = _pretrained(files, placement, batch=batch, towers=towers, exact=exact, runtime=runtime)
    _log.info(f"loaded {encoder.purpose}", action="model-loaded", space=encoder.space.fingerprint)
    return encoder


def _starter(*, device: str, dtype: str, threads: int, batch: int, exact: bool) -> Encoder:
    starter = import_module("worker.encoder.starter")
    encoder: Encoder = starter.load(device=device, dtype=dtype, threads=threads, batch=batch, exact=exact)
    return encoder


def _placement(device: str, dtype: str, threads: int) -> Placement:
    import torch

    if threads:
        torch.set_num_threads(threads)
    return choose(device, dtype, this_machine())


def _pretrained(
    files: ModelFiles, placement: Placement, *, batch: int, towers: Towers, exact: bool, runtime: Runtime
) -> Encoder:
    from worker.encoder import pretrained

    return pretrained.load(files, placement, batch=batch, towers=towers, exact=exact, runtime=runtime)
