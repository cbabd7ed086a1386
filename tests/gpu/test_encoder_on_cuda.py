"""What only a real CUDA device can show about the encoder."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.models import tiny_clip, tiny_siglip, tiny_siglip2
from worker.encoder import Encoder, MicroBatcher, Pixels, load_encoder
from worker.encoder.failures import FailureKind, classify

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

RUNTIMES = [
    "torch",
    "cuda-graphs",
    pytest.param("torch-compile", marks=pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")),
]
TEXTS = ["a photo of a dog", "night", "a long letter about rooms and trees " * 9]
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


@pytest.fixture(scope="module", params=[tiny_clip, tiny_siglip], ids=["clip", "siglip"])
def directory(request, tmp_path_factory) -> str:
    return str(request.param(tmp_path_factory.mktemp("gpu") / "model"))


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture
def pictures() -> list[Image.Image]:
    random = np.random.default_rng(5)
    return [Image.fromarray(random.integers(0, 256, (60 + n, 90, 3), dtype=np.uint8)) for n in range(40)]


@pytest.fixture
def busy_device() -> Iterator[threading.Event]:
    """Keeps the device busy for about a second; the event is set once it is done."""
    done, ended = threading.Event(), torch.cuda.Event()
    torch.cuda._sleep(2_000_000_000)  # cycles, of about 1.5 GHz
    ended.record()

    def watch() -> None:
        ended.synchronize()
        done.set()

    thread = threading.Thread(target=watch)
    thread.start()
    yield done
    thread.join()


def prepared(encoder: Encoder, pictures: list[Image.Image]) -> list[Pixels]:
    return [encoder.preprocess(picture) for picture in pictures]


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    found: np.ndarray = (ours * theirs).sum(axis=1)
    return found


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("dtype", "least"), [("auto", 0.999), ("float16", 0.999), ("float32", 0.9999)])
def test_a_gpu_and_a_cpu_fill_the_same_space(directory, pictures, dtype, least, runtime):
    """Vectors made on a GPU agree with a CPU's float32, in batches of any size, compiled or not."""
    reference = load_encoder(directory, device="cpu", dtype="float32")
    encoder = load_encoder(directory, device="cuda", dtype=dtype, runtime=runtime, batch=6)
    assert encoder.space == reference.space
    assert encoder.purpose.split(" on ")[1].startswith("cuda:0 in ")
    pixels = prepared(reference, pictures)
    assert cosines(encoder.encode_images(pixels), reference.encode_images(pixels)).min() >= least
    assert cosines(encoder.encode_texts(TEXTS), reference.encode_texts(TEXTS)).min() >= least


def test_pictures_of_any_shape(tmp_path, pictures):
    """A model that takes patches instead of squares, whose masks and positions come from the processor's side."""
    directory = str(tiny_siglip2(tmp_path / "naflex"))
    reference = load_encoder(directory, device="cpu", dtype="float32")
    encoder = load_encoder(directory, device="cuda", dtype="float32", batch=7)
    pixels = prepared(reference, pictures)
    assert cosines(encoder.encode_images(pixels), reference.encode_images(pixels)).min() >= 0.999


def test_attention_is_fused(directory, pictures):
    """With the plain implementation forbidden, the image half still runs."""
    encoder = load_encoder(directory, device="cuda", dtype="auto")
    with sdpa_kernel(FUSED):
        assert np.isfinite(encoder.encode_images(prepared(encoder, pictures))).all()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_launching_waits_for_nothing(directory, pictures, runtime, request):
    """Two passes are launched while the device is busy with something else; both give the right vectors."""
    encoder = load_encoder(directory, device="cuda", dtype="auto", runtime=runtime, batch=20)
    pixels = prepared(encoder, pictures)
    expected = encoder.encode_images(pixels)
    for _ in range(3):  # what two passes need is allocated, which may wait for the device
        for each in [encoder.launch_images(pixels[:20]), encoder.launch_images(pixels[20:])]:
            each.vectors()
    torch.cuda.synchronize()
    done = request.getfixturevalue("busy_device")
    started = time.perf_counter()
    passes = [encoder.launch_images(pixels[:20]), encoder.launch_images(pixels[20:])]
    spent = time.perf_counter() - started
    assert not done.is_set(), f"launching took {spent:.2f} s"
    assert np.abs(np.concatenate([each.vectors() for each in passes]) - expected).max() < 0.01


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_under_load_everybody_gets_their_own(directory, pictures, runtime):
    """Hundreds of passes in flight two at a time: no buffer, input or output of one reaches another."""
    encoder = load_encoder(directory, device="cuda", dtype="auto", runtime=runtime, batch=8)
    assert 2 == encoder.ahead
    pixels = prepared(encoder, pictures)
    expected = np.concatenate([encoder.encode_images([each]) for each in pixels])
    turns = [[(3 * turn + n) % len(pixels) for n in range(1 + turn % 11)] for turn in range(400)]
    with MicroBatcher(encoder) as batcher, ThreadPoolExecutor(12) as pool:
        results = pool.map(lambda turn: batcher.encode([pixels[n] for n in turn], timeout=120), turns)
        for turn, found in zip(turns, results, strict=True):
            assert cosines(np.stack([np.asarray(each) for each in found]), expected[turn]).min() >= 0.999


@pytest.mark.parametrize("runtime", RUNTIMES[1:])
def test_texts_are_encoded_while_another_model_is_recorded(directory, pictures, runtime):
    """Loading a second model, graphs and all, disturbs nobody who uses the device meanwhile."""
    words = load_encoder(directory, device="cuda", dtype="float32")
    expected, over, failures = words.encode_texts(TEXTS), threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            if cosines(words.encode_texts(TEXTS), expected).min() < 0.9999:
                failures.append("other vectors")

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        encoder = load_encoder(directory, device="cuda", dtype="float32", runtime=runtime, batch=4)
        over.set()
        asking.result(60)
    assert not failures
    assert np.isfinite(encoder.encode_images(prepared(encoder, pictures))).all()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_memory_is_given_back(directory, pictures, runtime):
    """An encoder that is dropped leaves the device as it was, graphs and all."""

    def use() -> None:
        encoder = load_encoder(directory, device="cuda", dtype="auto", runtime=runtime, batch=16)
        with MicroBatcher(encoder) as batcher:
            batcher.encode(prepared(encoder, pictures), timeout=60)

    use()  # workspaces of libraries stay
    levels = []
    for _ in range(3):
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        levels.append(torch.cuda.memory_reserved())
        use()
    assert levels[-1] <= levels[0] + (4 << 20)


def test_a_real_shortage_of_memory_is_survived(directory, pictures):
    """With next to no memory allowed, batches shrink until they fit, and every image gets its vector."""
    encoder = load_encoder(directory, device="cuda", dtype="float32", batch=4096)
    pixels = prepared(encoder, pictures) * 100
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (96 << 20)) / total)
    try:
        with MicroBatcher(encoder) as batcher:
            results = batcher.encode(pixels, timeout=120)
            assert batcher.max_batch < 4000
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert not any(isinstance(result, Exception) for result in results)
    expected = encoder.encode_images(pixels[:40])
    assert cosines(np.stack([np.asarray(each) for each in results[-40:]]), expected).min() >= 0.9999


def test_a_real_out_of_memory_error_is_recognised():
    """The message of this torch on this driver means what we take it to mean."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
    assert classify(caught.value) is FailureKind.OUT_OF_MEMORY


_POISON = """
import sys, torch
from worker.encoder import MicroBatcher, load_encoder
from worker.errors import FatalDeviceError
from PIL import Image

encoder = load_encoder(sys.argv[1], device="cuda", dtype="float32")
model = encoder._parts._model
features = model.get_image_features

def poisoned(**inputs):
    torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")]  # an assertion fails in the kernel, later
    return features(**inputs)

def told(ask):
    try:
        return ask()
    except FatalDeviceError:
        print("fatal")

pixels = [encoder.preprocess(Image.new("RGB", (64, 64)))]
with MicroBatcher(encoder) as batcher:
    assert len(batcher.encode(pixels, timeout=60)) == 1
    model.get_image_features = poisoned
    futures = [told(lambda: batcher.submit(pixels)) for _ in range(5)]
    for future in futures:
        if future is not None:
            told(lambda: future.result(60))
"""


def test_a_fault_on_the_device_ends_the_batcher(directory):
    """In a process of its own, which is of no more use: what a kernel reports late is fatal for everybody in line."""
    done = subprocess.run(
        [sys.executable, "-c", _POISON, directory], capture_output=True, text=True, timeout=240, check=False
    )
    assert ["fatal"] * 5 == done.stdout.split(), done.stderr
