"""The image half compiled by torch: the same space, the same vectors but for roundings, whatever a batch's size."""

from __future__ import annotations

import gc
import shutil
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.models import tiny_siglip2
from worker.encoder import Encoder, MicroBatcher, compiled_tower, load_encoder
from worker.encoder.device import Placement
from worker.encoder.preprocessing import Preprocessor
from worker.errors import ConfigurationError, FatalDeviceError

pytestmark = pytest.mark.slow
needs_a_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs g++")


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
        yield


@pytest.fixture
def uncompiled(monkeypatch) -> None:
    """The model is traced for each size, as ever, and then runs layer by layer: seconds instead of a minute."""
    trace: Callable[..., Any] = torch.compile
    monkeypatch.setattr(torch, "compile", lambda tower, **how: trace(tower, backend="eager", **how))


def load(directory: object, *, runtime: str = "torch-compile", **how: Any) -> Encoder:
    return load_encoder(str(directory), device="cpu", **({"dtype": "float32"} | how), runtime=runtime)  # type: ignore[arg-type]


def pictures(encoder: Encoder, count: int) -> list[Any]:
    random = np.random.default_rng(7)
    noise = [random.integers(0, 256, (80, 96, 3), dtype=np.uint8) for _ in range(count)]
    return [encoder.preprocess(Image.fromarray(each)) for each in noise]


def weights_of(encoder: Encoder) -> weakref.ref[torch.Tensor]:
    """Known to nobody but the encoder."""
    return weakref.ref(next(encoder._parts._model.vision_model.parameters()))  # type: ignore[attr-defined]


def least_cosine(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours * theirs).sum(axis=1).min())


@needs_a_compiler
def test_vectors_are_those_of_torch(clip_dir, monkeypatch):
    """Really compiled, for batches of two: three pictures give torch's vectors, and memory is given back."""
    monkeypatch.setattr(compiled_tower, "sizes", lambda batch: [batch])  # each takes a compiler ten seconds
    encoder, reference = load(clip_dir, batch=2), load(clip_dir, runtime="torch")
    pixels = pictures(reference, 3)
    assert least_cosine(reference.encode_images(pixels), encoder.encode_images(pixels)) >= 0.9999
    assert reference.space == encoder.space
    assert encoder.purpose.endswith("on cpu in float32, compiled by torch")
    weights = weights_of(encoder)
    del encoder
    gc.collect()
    assert weights() is None


@needs_a_compiler
def test_siglip_is_compiled_too(siglip_dir):
    """Another family, with another pooling, in a short format."""
    encoder, reference = load(siglip_dir, batch=1, dtype="bfloat16"), load(siglip_dir, runtime="torch")
    pixels = pictures(reference, 2)
    assert least_cosine(reference.encode_images(pixels), encoder.encode_images(pixels)) >= 0.999


@needs_a_compiler
def test_without_a_compiler_the_way_out_is_said(clip_dir):
    """A machine that cannot compile gets told so at the start, with what to install and what to set."""
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "fx_graph_cache": False}),
        pytest.raises(ConfigurationError, match=r"C\+\+ compiler.*g\+\+.*or set ENRICH_ENCODER_RUNTIME=torch"),
    ):
        load(clip_dir, batch=1)


@pytest.mark.usefixtures("uncompiled")
def test_batches_of_any_size_are_filled_up(clip_dir):
    """Each picture's vector is its own, however many others and whatever leftovers it is computed with."""
    encoder, reference = load(clip_dir, batch=6), load(clip_dir, runtime="torch")
    pixels = pictures(reference, 13)
    expected = reference.encode_images(pixels)
    for count in (6, 1, 5, 2, 3, 4, 13):
        assert np.abs(expected[:count] - encoder.encode_images(pixels[:count])).max() < 1e-5


@pytest.mark.usefixtures("uncompiled")
def test_nothing_is_compiled_after_loading(clip_dir):
    """Every size was tried before the encoder is handed out, and other threads find it compiled."""
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    encoder = load(clip_dir, batch=11)
    loaded = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert before < loaded
    with MicroBatcher(encoder) as batcher:
        for count in range(1, 12):
            batcher.encode(pictures(encoder, count), timeout=60)
    assert loaded == torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.usefixtures("uncompiled")
def test_more_sizes_than_torch_likes(clip_dir, monkeypatch):
    """Torch gives up after eight shapes of one function; we have more."""
    monkeypatch.setattr(compiled_tower, "sizes", lambda batch: list(range(1, batch + 1)))
    encoder = load(clip_dir, batch=9, image_only=True)
    assert np.isfinite(encoder.encode_images(pictures(encoder, 9))).all()


@pytest.mark.usefixtures("uncompiled")
def test_models_of_one_shape_keep_their_own_weights(clip_dir, siglip_dir, tmp_path):
    """Two models share what was compiled for both, and nothing of what they have learned."""
    shutil.copytree(clip_dir, tmp_path / "other")
    model = load(clip_dir, runtime="torch")._parts._model  # type: ignore[attr-defined]
    for weights in model.parameters():
        weights.mul_(1.1)
    model.save_pretrained(tmp_path / "other")
    first, second = load(clip_dir, batch=2), load(tmp_path / "other", batch=2)
    for encoder, directory in ((first, clip_dir), (second, tmp_path / "other")):
        reference = load(directory, runtime="torch")
        pixels = pictures(reference, 2)
        assert np.abs(reference.encode_images(pixels) - encoder.encode_images(pixels)).max() < 1e-5
    assert least_cosine(first.encode_images(pixels), second.encode_images(pixels)) < 0.9999


@given(st.integers(1, 4096))
def test_sizes_are_few_and_close(batch):
    """Any batch fits into one of at most thirteen, and less than half of that is there to fill it up."""
    found = compiled_tower.sizes(batch)
    assert sorted(set(found)) == found
    assert batch == found[-1]
    assert len(found) <= 13
    for count in range(1, batch + 1):
        size = next(each for each in found if each >= count)
        assert count > size / 2


@pytest.mark.usefixtures("uncompiled")
def test_a_process_that_only_searches_compiles_nothing(clip_dir):
    """Texts are encoded by torch as it is, whatever runs the image half."""
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    words = load(clip_dir, text_only=True)
    assert (1, words.space.dimension) == words.encode_texts(["dog"]).shape
    assert before == torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_models_with_pictures_of_any_shape_are_refused(tmp_path):
    """Before they are loaded, with what to set."""
    with pytest.raises(ConfigurationError, match=r"a fixed image size; set ENRICH_ENCODER_RUNTIME=torch"):
        load(tiny_siglip2(tmp_path / "naflex"))


@pytest.mark.parametrize(
    ("runtime", "device", "message"),
    [
        ("torch-compile", "mps", "torch-compile is for CPUs and CUDA, but the model runs on mps"),
        ("cuda-graphs", "cpu", "cuda-graphs is for CUDA, but the model runs on cpu: set ENRICH_ENCODER_RUNTIME=torch"),
    ],
)
def test_a_device_that_is_not_for_it_is_refused(runtime, device, message):
    """Before a model is loaded."""
    with pytest.raises(ConfigurationError, match=message):
        compiled_tower.check(object.__new__(Preprocessor), Placement(device=device, dtype="float32"), runtime)


def test_recording_is_refused_on_a_cpu(clip_dir):
    """As a setting says it, from end to end."""
    with pytest.raises(ConfigurationError, match="is for CUDA"):
        load(clip_dir, runtime="cuda-graphs")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            RuntimeError("backend='inductor' raised:\nCppCompileError: C++ compile error\n\nCommand: g++ …"),
            ConfigurationError,
            r"\(CppCompileError: C\+\+ compile error\): set ENRICH_ENCODER_RUNTIME=torch",
        ),
        (
            RuntimeError("backend='inductor' raised:\nRuntimeError: Failed to find C compiler. Please specify via CC"),
            ConfigurationError,
            r"Failed to find C compiler.*install a C\+\+ compiler, such as g\+\+, and Python's headers; or set",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            ConfigurationError,
            "batches of 4 .*ENRICH_ENCODER_BATCH lower",
        ),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), FatalDeviceError, "illegal memory"),
        (
            RuntimeError("CUDA error: operation not permitted when stream is capturing"),
            ConfigurationError,
            "cannot be recorded as a CUDA graph .* set ENRICH_ENCODER_RUNTIME=torch",
        ),
        (AssertionError(), ConfigurationError, "AssertionError"),
    ],
)
def test_whatever_a_compiler_raises_ends_in_a_sentence(clip_dir, monkeypatch, error, kind, message):
    """Which says what was wrong and what to do, and keeps nothing of the failed attempt alive."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
    with pytest.raises(kind, match=message) as caught:
        load(clip_dir, batch=4)
    assert caught.value.__context__ is None


@pytest.mark.usefixtures("uncompiled")
def test_an_encoder_that_is_dropped_frees_its_model(clip_dir):
    """A worker that leaves a space's model gets its memory back: torch keeps what it compiled, not the weights."""
    encoder = load(clip_dir, batch=2)
    encoder.encode_images(pictures(encoder, 3))
    weights = weights_of(encoder)
    assert weights() is not None
    del encoder
    gc.collect()
    assert weights() is None
