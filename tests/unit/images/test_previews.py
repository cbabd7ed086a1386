"""Previews of every kind of file: upright, in sRGB, small, and without what the file says about itself."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.images.corpus import CORPUS, LIMITS, QUADRANTS, Sample
from worker.errors import ImageRejectedError
from worker.images import isolated_decoder, previews, read_image
from worker.images.previews import PREVIEW, THUMBNAIL


def previews_of(data: bytes) -> dict[int, Image.Image]:
    """As they are made on demand."""
    decoded = read_image(data, limits=LIMITS, min_side=previews.MIN_SIDE)
    return {int(size): opened(webp) for size, webp in previews.encode(decoded.pixels, decoded.profile).items()}


def opened(webp: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(webp))
    assert ("WEBP", set()) == (image.format, {"exif", "icc_profile", "xmp"} & set(image.info))
    return image.convert("RGB")


def noise(size: tuple[int, int], kind: str = "PNG", mode: str = "RGB", **options: object) -> bytes:
    rough = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("name", [name for name, each in CORPUS.items() if each.reason is None])
def test_every_readable_file_has_previews(name: str) -> None:
    """CMYK, transparent, deep, animated, turned, tiny: RGB, at most 512 or 256 pixels, never enlarged."""
    sample: Sample = CORPUS[name]
    data = sample.build()
    full = read_image(data, limits=LIMITS, min_side=None).metadata
    for size, shown in previews_of(data).items():
        scale = min(1.0, size / max(full.width, full.height))
        assert max(1, round(full.width * scale)) == pytest.approx(shown.width, abs=1)
        assert max(1, round(full.height * scale)) == pytest.approx(shown.height, abs=1)
        if sample.quadrants and min(shown.size) >= 8:  # in fewer rows, they are mixed
            corners = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
            seen = [shown.getpixel((int(x * shown.width), int(y * shown.height))) for x, y in corners]
            assert np.abs(np.array(seen) - np.array(QUADRANTS)).max() < 40


@pytest.mark.parametrize("name", [name for name, each in CORPUS.items() if each.reason is not None])
def test_a_file_that_cannot_be_read_has_none(name: str) -> None:
    """Truncated files and bombs are refused with the reason that quarantines them."""
    with pytest.raises(ImageRejectedError) as refused:
        previews_of(CORPUS[name].build())
    assert CORPUS[name].reason is refused.value.reason


@pytest.mark.parametrize(("width", "height"), [(1, 20_000), (20_000, 1), (1, 1), (512, 512), (513, 400)])
def test_awkward_sizes(width: int, height: int) -> None:
    """The longer side has exactly 512 or 256 pixels if the picture is larger, and the shorter one at least one."""
    for size, shown in previews_of(noise((width, height))).items():
        assert (min(size, max(width, height)), True) == (max(shown.size), min(shown.size) >= 1)


@pytest.mark.parametrize("side", [900, 1_000, 1_023, 1_024, 1_500, 2_000])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_squares_are_not_decoded_too_small(side: int, kind: str) -> None:
    """A model of 224 pixels would have them decoded to 448."""
    assert {512: (512, 512), 256: (256, 256)} == {
        size: shown.size for size, shown in previews_of(noise((side, side), kind)).items()
    }


@pytest.mark.parametrize("min_side", [224, 256, 336, None])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "JPEG2000", "AVIF"])
@pytest.mark.parametrize("side", [500, 1_000, 1_900])
def test_a_preview_is_the_same_whatever_model_the_picture_was_read_for(side: int, kind: str, min_side: int) -> None:
    """So its ETag can be told from the file's hash alone; and the model sees the same pixels with and without."""
    data = noise((side * 4 // 3, side), kind)
    alone = read_image(data, limits=LIMITS, min_side=min_side)
    both = read_image(data, limits=LIMITS, min_side=min_side, also=previews.MIN_SIDE)
    asked = read_image(data, limits=LIMITS, min_side=previews.MIN_SIDE)
    assert alone.pixels.tobytes() == both.pixels.tobytes()
    assert both.also is None or asked.pixels.tobytes() == both.also.tobytes()
    assert (kind in ("JPEG", "JPEG2000")) or both.also is not None


def wide_gamut(image: Image.Image, kind: str) -> bytes:
    """With a profile whose red is more than sRGB's: the same numbers mean other colours."""
    out = io.BytesIO()
    image.save(out, kind, icc_profile=swapped_profile())
    return out.getvalue()


def swapped_profile() -> bytes:
    """sRGB's own profile with the red and the green primary exchanged, under a name that is not sRGB's."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"tmp!").replace(b"gXYZ", b"rXYZ").replace(b"tmp!", b"gXYZ").replace(
        b"s\0R\0G\0B", b"t\0e\0s\0t"
    ).replace(b"sRGB", b"test")  # fmt: skip


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_colours_are_converted_to_srgb(kind: str) -> None:
    """By the file's profile: red of this one is sRGB's green."""
    shown = previews_of(wide_gamut(Image.new("RGB", (64, 64), (255, 0, 0)), kind))[PREVIEW].getpixel((30, 30))
    assert shown[1] > 200, shown  # type: ignore[index]
    assert shown[0] < 80, shown  # type: ignore[index]


@pytest.mark.parametrize("profile", [b"", b"not a profile", b"\0" * 16 + b"RGB " + b"\xff" * 200])
def test_a_broken_profile_costs_nothing(profile: bytes) -> None:
    """The samples are taken as sRGB, as by a viewer that cannot read it."""
    picture = Image.new("RGB", (64, 64), (255, 0, 0))
    assert 250 < opened(previews.encode(picture, profile or None)[PREVIEW]).getpixel((30, 30))[0]  # type: ignore[index]


def test_profile_and_second_size_come_from_the_decoder_process_too() -> None:
    """What is decoded apart has all that is decoded here."""
    data = wide_gamut(Image.new("RGB", (2_000, 1_500), (255, 0, 0)), "PNG")
    here = read_image(data, limits=LIMITS, min_side=224, also=previews.MIN_SIDE)
    apart = isolated_decoder.decode_apart(
        data, limits=LIMITS, min_side=224, also=previews.MIN_SIDE, reserve=lambda _: io.BytesIO()
    )
    assert here.also is not None
    assert apart.also is not None
    assert (here.profile, here.also.tobytes(), here.pixels.tobytes()) == (
        apart.profile, apart.also.tobytes(), apart.pixels.tobytes(),
    )  # fmt: skip


def test_a_preview_shows_when_it_is_not_whole() -> None:
    """By the length in its header."""
    webp = previews.encode(Image.new("RGB", (64, 64)), None)[THUMBNAIL]
    assert [True, False, False, False] == [
        previews.is_whole(each) for each in (webp, webp[:-2], b"", b"RIFF\4\0\0\0WEBP"[:12])
    ]
