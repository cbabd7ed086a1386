"""What only a real CUDA device can show about the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.models import tiny_clip, tiny_siglip
from worker.encoder import MicroBatcher, load_encoder
from worker.encoder.failures import Failure, classify

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

TEXTS = ["a photo of a dog", "night", "a long letter about rooms and trees " * 9]


@pytest.fixture(scope="module", params=[tiny_clip, tiny_siglip], ids=["clip", "siglip"])
def directory(request, tmp_path_factory) -> str:
    return str(request.param(tmp_path_factory.mktemp("gpu") / "model"))


@pytest.fixture
def pictures() -> list[Image.Image]:
    random = np.random.default_rng(5)
    return [Image.fromarray(random.integers(0, 256, (60 + n, 90, 3), dtype=np.uint8)) for n in range(40)]


@pytest.mark.parametrize("dtype", ["auto", "float16", "float32"])
def test_a_gpu_and_a_cpu_fill_the_same_space(directory, pictures, dtype):
    """Vectors made on a GPU in a short format agree with a CPU's float32 to a cosine of 0.999."""
    reference = load_encoder(directory, device="cpu", dtype="float32")
    encoder = load_encoder(directory, device="cuda", dtype=dtype)
    assert encoder.space == reference.space
    assert encoder.purpose.split(" on ")[1].startswith("cuda:0 in ")
    prepared = [encoder.preprocess(p) for p in pictures]
    images = (encoder.encode_images(prepared) * reference.encode_images(prepared)).sum(axis=1)
    texts = (encoder.encode_texts(TEXTS) * reference.encode_texts(TEXTS)).sum(axis=1)
    assert images.min() >= 0.999
    assert texts.min() >= 0.999


def test_a_real_shortage_of_memory_is_survived(directory, pictures):
    """With next to no memory allowed, batches shrink until they fit, and every image gets its vector."""
    encoder = load_encoder(directory, device="cuda", dtype="float32", batch=4096)
    prepared = [encoder.preprocess(p) for p in pictures] * 100
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (96 << 20)) / total)
    try:
        with MicroBatcher(encoder) as batcher:
            results = batcher.encode(prepared, timeout=120)
            assert batcher.max_batch < 4000
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert not any(isinstance(result, Exception) for result in results)


def test_a_real_out_of_memory_error_is_recognised():
    """The message of this torch on this driver means what we take it to mean."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
    assert classify(caught.value) is Failure.OUT_OF_MEMORY
