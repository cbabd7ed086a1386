"""Preparing pictures: the short way gives the processor's pixels, and nothing a picture is makes it explode."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.encoder.interface import Pixels
from worker.encoder.preprocessing import Preprocessor
from worker.errors import ModelUnsupportedError

SQUARE = {"height": 32, "width": 32}


def clip(**options: Any) -> Any:
    return transformers.CLIPImageProcessorPil(**options)


def siglip(**options: Any) -> Any:
    return transformers.SiglipImageProcessorPil(**options)


def naflex(patches: int) -> Any:
    return transformers.Siglip2ImageProcessorPil(patch_size=16, max_num_patches=patches)


#: Made by the tests: their classes take seconds to load, also where tests are only collected.
PROCESSORS = {
    "clip": partial(clip, size={"shortest_edge": 32}, crop_size=SQUARE),
    "clip, smaller crop": partial(clip, size={"shortest_edge": 37}, crop_size=SQUARE),
    "clip, bilinear": partial(clip, size={"shortest_edge": 32}, crop_size=SQUARE, resample=2),
    "siglip": partial(siglip, size=SQUARE),
    "siglip, oblong": partial(siglip, size={"height": 24, "width": 40}),
    "raw values": partial(siglip, size=SQUARE, do_normalize=False, do_rescale=False),
    "rescaled only": partial(siglip, size=SQUARE, do_normalize=False),
}
ODD = {
    "crop larger than the picture": partial(clip, size={"shortest_edge": 30}, crop_size=SQUARE),
    "no resizing": partial(clip, do_resize=False, crop_size=SQUARE),
}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def finished(preprocessor: Preprocessor, pixels: Pixels) -> Pixels:
    """What the model sees: uint8 pixels after the normalisation that is left to the device."""
    if (norm := preprocessor.normalisation) is None:
        return pixels
    return pixels.astype(np.float32) * norm.factor[:, None, None] + norm.offset[:, None, None]


@pytest.mark.parametrize("name", PROCESSORS)
def test_ordinary_processors_take_the_short_way(name):
    """Bytes come out, not floats: a quarter of the memory in line and on the way to the device."""
    pixels = Preprocessor(PROCESSORS[name]())(noise(50, 40))
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(PROCESSORS | ODD)),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    seed=st.integers(0, 9),
)
def test_pixels_are_the_processors_own(name, width, height, seed):
    """For any size, what reaches the model equals the image processor's output."""
    processor = (PROCESSORS | ODD)[name]()
    picture = noise(width, height, seed) if max(width, height) <= 64 * min(width, height) else noise(64, 64, seed)
    expected = processor(picture, return_tensors="np")["pixel_values"][0]
    preprocessor = Preprocessor(processor)
    assert np.abs(expected - finished(preprocessor, preprocessor(picture))).max() < 1e-5 * max(
        1, np.abs(expected).max()
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(PROCESSORS)),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    seed=st.integers(0, 9),
)
def test_fast_pixels_are_the_processors_but_for_roundings(name, width, height, seed):
    """Of 255 steps at most three, on noise, whether it is made larger or smaller."""
    fast, exact = Preprocessor(PROCESSORS[name](), exact=False), Preprocessor(PROCESSORS[name]())
    picture = noise(width, height, seed)
    assert not fast.exact
    assert np.abs(fast(picture).astype(int) - exact(picture)).max() <= 3


@pytest.mark.parametrize(
    "processor", [*ODD.values(), partial(clip, size={"shortest_edge": 32}, crop_size=SQUARE, resample=1)]
)
def test_what_cannot_be_fast_is_exact(processor):
    """Unusual processors, and filters that torch does not have."""
    assert Preprocessor(processor(), exact=False).exact


def test_fast_pixels_are_another_space():
    """The fingerprint tells pixels apart that are not the same to the last bit."""
    fast, exact = (Preprocessor(PROCESSORS["clip"](), exact=exact) for exact in (False, True))
    assert fast.fingerprint != exact.fingerprint


def test_fast_preprocessing_starts_no_threads_of_its_own():
    """Many threads prepare at once; a team of helpers for each of them would swamp the machine."""
    preprocessor = Preprocessor(clip(), exact=False)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: None).result()
        before = len(list(Path("/proc/self/task").iterdir()))
        pool.submit(preprocessor, noise(1000, 800)).result()
        assert before == len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("name", ODD)
def test_unusual_processors_run_themselves(name):
    """Where the short way does not apply the processor does the work, and floats come out."""
    preprocessor = Preprocessor(ODD[name]())
    assert preprocessor.recipe is None
    assert preprocessor(noise(50, 40)).dtype == np.float32


def test_a_processor_that_does_more_is_not_imitated():
    """A processor of the ordinary configuration whose pixels differ is found out when the model loads."""

    class Mirrored(transformers.SiglipImageProcessorPil):  # type: ignore[misc, unused-ignore]
        def resize(self, image, size, resample=None, reducing_gap=None, **kwargs):
            return super().resize(image[..., ::-1], size, resample, reducing_gap, **kwargs)

    preprocessor = Preprocessor(Mirrored(size=SQUARE))
    assert preprocessor.recipe is None
    upright = Preprocessor(siglip(size=SQUARE))
    mirrored = np.flip(preprocessor(noise(32, 32)), axis=2)
    assert np.allclose(mirrored, finished(upright, upright(noise(32, 32))), atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_other_modes_are_taken_as_rgb(mode):
    """The contract is RGB; a slip costs no crash."""
    preprocessor = Preprocessor(PROCESSORS["clip"]())
    picture = noise(40, 50).convert(mode)
    assert np.array_equal(preprocessor(picture), preprocessor(picture.convert("RGB")))


@pytest.mark.parametrize("name", ["clip", "no resizing", "siglip"])
@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (65_500, 3)])
def test_ribbons_do_not_explode(name, size):
    """Scaling the shorter side of a 20,000 × 1 picture to 224 would need gigabytes; its middle is kept first."""
    preprocessor = Preprocessor((PROCESSORS | ODD)[name]())
    picture = noise(*size)
    tracemalloc.start()
    try:
        pixels = preprocessor(picture)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (3, 32, 32) == pixels.shape
    assert peak < 8_000_000


def test_the_middle_of_a_ribbon_is_what_is_kept():
    """A ribbon that is red in the middle and black elsewhere is seen as red."""
    strip = np.zeros((4, 10_000, 3), dtype=np.uint8)
    strip[:, 4_900:5_100, 0] = 255
    pixels = Preprocessor(PROCESSORS["clip"]())(Image.fromarray(strip))
    assert 255 == pixels[0].min()
    assert 0 == pixels[1:].max()


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (PROCESSORS["clip, smaller crop"], 37),
        (PROCESSORS["siglip, oblong"], 40),
        (ODD["crop larger than the picture"], 30),
        (partial(naflex, 256), 256),
    ],
)
def test_decoders_may_shrink_to_the_input_side(processor, expected):
    """The shorter side that the preprocessing needs, whatever its kind."""
    assert expected == Preprocessor(processor()).input_side


def test_the_fingerprint_knows_what_matters():
    """Every processor of this module prepares pixels differently, so every fingerprint differs."""
    processors = PROCESSORS | ODD | {"naflex": partial(naflex, 64)}
    prints = {Preprocessor(processor()).fingerprint for processor in processors.values()}
    assert len(prints) == len(processors)


def test_the_fingerprint_ignores_what_does_not_matter():
    """Keys that a newer transformers adds to the configuration do not make a new space."""
    processor = clip(size={"shortest_edge": 32}, crop_size=SQUARE)
    setattr(processor, "some_new_key", "x")  # noqa: B010 - mypy knows the class and not the key
    assert Preprocessor(processor).fingerprint == Preprocessor(PROCESSORS["clip"]()).fingerprint


def test_the_fingerprint_is_pinned():
    """A release that changes this value makes everybody's vectors incomparable: change SCHEME, knowingly."""
    assert "a831f53d2791f958fd596f852786bc34" == Preprocessor(clip()).fingerprint


def test_a_processor_without_the_pil_back_end_is_refused():
    """The torchvision back end's pixels differ slightly, so it is never used silently."""

    class Torchvision:
        backend = "torchvision"

    with pytest.raises(ModelUnsupportedError, match="no PIL back end"):
        Preprocessor(Torchvision())
