"""read_image: bytes to upright RGB pixels and metadata."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.fuzz.bombs import BOMBS
from tests.unit.images.corpus import (
    CORPUS,
    GREY,
    HEIGHT,
    LIMITS,
    QUADRANTS,
    RED,
    WHITE,
    WIDTH,
    encode,
    huge_jpeg,
    jpeg,
    quadrants,
    tiff,
)
from worker.errors import ImageRejectedError
from worker.images import DecodedImage, ImageLimits, read_image, readable_formats
from worker.images.cost import jpeg2000_reduction
from worker.images.reader import decode
from worker.types import Reason

PICTURES = [name for name, sample in CORPUS.items() if sample.reason is None]
QUADRANT_PICTURES = [name for name, sample in CORPUS.items() if sample.quadrants]


def read(data: bytes, *, min_side: int | None = None, **limits: int) -> DecodedImage:
    values: dict[str, Any] = {
        "max_bytes": LIMITS.max_bytes,
        "max_pixels": LIMITS.max_pixels,
        "max_side": LIMITS.max_side,
    }
    return read_image(data, limits=ImageLimits(**(values | limits)), min_side=min_side)


def reserved(data: bytes, *, min_side: int | None) -> int:
    asked: list[int] = []

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        asked.append(size)
        yield

    read_image(data, limits=LIMITS, min_side=min_side, reserve=reserve)
    [size] = asked
    return size


def rejection(data: bytes, **limits: int) -> ImageRejectedError:
    with pytest.raises(ImageRejectedError) as caught:
        read(data, **limits)
    return caught.value


def outcome(data: bytes) -> Reason | None:
    try:
        read_image(data, limits=LIMITS, min_side=32)
    except ImageRejectedError as error:
        return error.reason
    return None


def colours(image: Image.Image) -> list[tuple[int, ...]]:
    """The middle of each quadrant, clockwise from the top left."""
    xs, ys = (image.width // 4, image.width * 3 // 4), (image.height // 4, image.height * 3 // 4)
    return [rgb(image, x, y) for x, y in ((xs[0], ys[0]), (xs[1], ys[0]), (xs[1], ys[1]), (xs[0], ys[1]))]


def rgb(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return pixel


def distance(expected: Sequence[Sequence[int]], actual: Sequence[Sequence[int]]) -> int:
    return int(np.abs(np.subtract(expected, actual)).max())


@pytest.mark.parametrize("name", CORPUS)
def test_every_kind_of_file_ends_as_it_must(name):
    """A file becomes a picture, or is refused for the reason that is true of it."""
    sample = CORPUS[name]
    assert sample.reason == outcome(sample.build())


@pytest.mark.parametrize("name", [name for name, sample in CORPUS.items() if sample.reason])
def test_a_refusal_tells_a_person_what_to_do(name):
    """A message names no Python object, is short, and ends with a way out."""
    message = str(rejection(CORPUS[name].build()))
    assert "0x" not in message
    assert len(message) < 500
    assert any(verb in message for verb in ("upload", "save", "rename", "convert"))


@pytest.mark.parametrize("name", QUADRANT_PICTURES)
@pytest.mark.parametrize("min_side", [None, 8])
def test_pixels_are_upright_and_have_their_colours(name, min_side):
    """Whatever the format, mode and orientation, each quadrant is where it belongs, in its colour."""
    decoded = read(CORPUS[name].build(), min_side=min_side)
    assert "RGB" == decoded.pixels.mode
    assert distance(QUADRANTS, colours(decoded.pixels)) <= 24


@pytest.mark.parametrize("name", QUADRANT_PICTURES)
def test_width_and_height_are_those_of_the_full_upright_picture(name):
    """Neither the orientation nor the reduced decoding changes what the metadata say."""
    expected = (20_000, 40) if name == "20,000 pixels wide" else (WIDTH, HEIGHT)
    metadata = read(CORPUS[name].build(), min_side=8).metadata
    assert expected == (metadata.width, metadata.height)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_kept_as_metadata(orientation):
    """Turning the pixels does not lose what the file said."""
    assert orientation == read(CORPUS[f"jpeg turned {orientation}"].build()).metadata.orientation


@pytest.mark.parametrize("name", ["16-bit png", "16-bit tiff", "float tiff"])
def test_deep_mid_grey_is_mid_grey(name):
    """16-bit and float samples are scaled, not clipped."""
    assert rgb(read(CORPUS[name].build()).pixels, 5, 5) == GREY


def test_sixteen_bits_keep_their_order_and_their_ends():
    """A 16-bit ramp becomes an 8-bit ramp from 0 to 255."""
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16)
    pixels = read(encode(Image.fromarray(np.tile(ramp, (4, 1))), "PNG")).pixels
    assert list(range(256)) == np.asarray(pixels)[0, :, 0].tolist()


def test_twelve_bits_are_scaled_from_their_own_white():
    """The white of a 12-bit TIFF is white, not a sixteenth of it."""
    tags = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 12), 262: (3, 1, 1), 273: (4, 1, 98), 277: (3, 1, 1)}
    data = tiff(tags | {279: (4, 1, 96)}, rest=b"\xff" * 96)
    assert rgb(read(data).pixels, 4, 4) == WHITE


def test_a_key_colour_of_sixteen_bits_is_transparent():
    """The 16-bit grey that a PNG declares transparent becomes white."""
    image = Image.fromarray(np.full((8, 8), 0x1234, np.uint16))
    assert rgb(read(encode(image, "PNG", transparency=0x1234)).pixels, 4, 4) == WHITE


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_what_is_transparent_is_white(mode):
    """Alpha lets white paper through, in proportion."""
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.paste((0, 0, 0, 128), (2, 0, 4, 4))
    data = encode(image.convert(mode), "TIFF" if mode == "PA" else "PNG")
    pixels = read(data).pixels
    assert (rgb(pixels, 0, 0), rgb(pixels, 3, 0)) == (WHITE, (127, 127, 127))


def test_red_ink_is_red():
    """CMYK, also inverted as Adobe writes it, becomes the colour that was printed."""
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert distance([RED], [rgb(read(encode(inks, "JPEG", quality=95)).pixels, 8, 8)]) <= 4


@pytest.mark.parametrize(
    ("name", "frames"),
    [("jpeg", 1), ("animated gif", 3), ("animated webp", 3), ("animated png", 3), ("multi-page tiff", 3)],
)
def test_frames_are_counted(name, frames):
    """The metadata tell an animation from a still; the pixels are those of the first frame."""
    assert frames == read(CORPUS[name].build()).metadata.frames


def test_metadata_of_a_telephone_picture():
    """Time with its offset, camera, signed position and altitude, and the file's digest."""
    data = CORPUS["gps"].build()
    metadata = read(data).metadata
    zone = timezone(-timedelta(hours=3, minutes=30))
    assert datetime(2024, 2, 29, 23, 59, 58, tzinfo=zone) == metadata.taken_at
    assert zone == (metadata.taken_at and metadata.taken_at.tzinfo)
    assert ("Canon", "EOS R5") == (metadata.camera_make, metadata.camera_model)
    assert (-22.91, -43.17, -1.5) == pytest.approx((metadata.latitude, metadata.longitude, metadata.altitude))
    assert hashlib.sha256(data).hexdigest() == metadata.sha256
    assert ("JPEG", "RGB", 1) == (metadata.format, metadata.mode, metadata.orientation)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "bmp", "tiff", "heic", "avif", "jpeg 2000"])
def test_a_picture_without_exif_has_none(name):
    """Absent metadata are None, not zero."""
    metadata = read(CORPUS[name].build()).metadata
    assert (None, None, None) == (metadata.taken_at, metadata.camera_make, metadata.latitude)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_exif_is_read_from_every_format_that_carries_it(format_name):
    """The camera is found wherever the format keeps its EXIF."""
    exif = Image.Exif()
    exif[0x010F] = "Acme"
    assert "Acme" == read(encode(quadrants(), format_name, exif=exif)).metadata.camera_make


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("format_name", ["HEIF", "AVIF"])
def test_containers_that_turn_by_themselves_are_turned_once(format_name, orientation):
    """HEIF and AVIF rotate by a property of the container; EXIF repeats it and must not turn the picture again."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quadrants().rotate({3: 180, 6: 90}[orientation], expand=True)
    chroma: dict[str, Any] = {"chroma": 444} if format_name == "HEIF" else {"subsampling": "4:4:4"}
    decoded = read(encode(stored, format_name, exif=exif.tobytes(), quality=95, **chroma))
    assert distance(QUADRANTS, colours(decoded.pixels)) <= 24
    assert (WIDTH, HEIGHT) == decoded.pixels.size == (decoded.metadata.width, decoded.metadata.height)
    assert orientation == decoded.metadata.orientation


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
@pytest.mark.parametrize(("width", "height"), [(1000, 700), (700, 1000), (5000, 64), (90, 70)])
def test_the_shorter_side_stays_twice_the_models(format_name, width, height):
    """Reduced decoding never leaves less than twice the input size, unless the file has less."""
    pixels = read(encode(Image.new("RGB", (width, height)), format_name), min_side=32).pixels
    assert min(pixels.size) >= min(64, width, height)
    assert min(pixels.size) < 128


def test_without_a_model_size_the_picture_is_decoded_whole():
    """``min_side=None`` keeps every pixel."""
    assert read(jpeg(), min_side=None).pixels.size == (WIDTH, HEIGHT)


def test_reduced_pixels_look_like_the_whole_picture():
    """Reduced decoding averages: scaled to the same size, both pictures are nearly the same."""
    noise = np.random.default_rng(1).integers(0, 256, (60, 80, 3), np.uint8)
    data = encode(Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC), "JPEG", quality=95)
    whole, reduced = (np.asarray(read(data, min_side=side).pixels.resize((40, 30)), float) for side in (None, 30))
    assert np.abs(whole - reduced).mean() < 3


@pytest.mark.parametrize(
    ("limits", "reason", "words"),
    [
        ({"max_bytes": 800}, Reason.TOO_MANY_BYTES, "879 bytes are more than the limit of 800"),
        ({"max_pixels": 6143}, Reason.TOO_MANY_PIXELS, "96 × 64 pixels are more than the limit of 6,143"),
        ({"max_side": 95}, Reason.SIDE_TOO_LONG, "longer than the limit of 95"),
    ],
)
def test_a_limit_is_named_with_the_value_that_breaks_it(limits, reason, words):
    """Each limit refuses with its own reason, both numbers and the setting to raise."""
    error = rejection(jpeg(), **limits)
    assert reason == error.reason
    assert words in str(error)
    assert f"ENRICH_{next(iter(limits)).upper()}" in str(error)


def test_limits_are_inclusive():
    """An image exactly at its limits is read."""
    data = jpeg()
    assert read(data, max_bytes=len(data), max_pixels=WIDTH * HEIGHT, max_side=WIDTH).metadata.width == WIDTH


def test_a_limit_above_pillows_own_is_the_one_that_counts():
    """A picture beyond Pillow's default limit is read when ours allows it."""
    assert 13_600 == read(huge_jpeg(13_600), max_pixels=13_600**2, min_side=64).metadata.width


def test_a_progressive_jpeg_cannot_repeat_itself_without_end():
    """Scans are counted: a file of a few kilobytes must not keep a decoder busy for minutes."""
    assert rejection(BOMBS["jpeg 20,000 scans"](0)).reason == Reason.TOO_MUCH_WORK


def test_rare_kinds_of_a_format_are_unsupported_rather_than_corrupt():
    """A file that is sound but of a kind the decoder lacks is to be converted, not searched for damage."""
    data = tiff({256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 7), 262: (3, 1, 1), 273: (4, 1, 8), 279: (4, 1, 64)})
    assert rejection(data + bytes(64)).reason == Reason.UNSUPPORTED_FORMAT


def test_a_decoder_out_of_memory_is_a_size_problem(monkeypatch):
    """A picture that asks for impossible memory is refused for its size, with both ways out."""

    def exhausted(self):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", exhausted)
    error = rejection(CORPUS["png"].build())
    assert error.reason == Reason.TOO_MANY_PIXELS
    assert "ENRICH_MAX_PIXELS" in str(error)


@pytest.mark.parametrize("raised", [RecursionError("deep"), SyntaxError("bad"), KeyError("x"), ZeroDivisionError()])
def test_whatever_a_decoder_raises_is_a_corrupt_file(monkeypatch, raised):
    """No exception of a decoder gets past read_image, and its words are kept."""

    def broken(self):
        raise raised

    monkeypatch.setattr(ImageFile.ImageFile, "load", broken)
    error = rejection(CORPUS["png"].build())
    assert error.reason == Reason.CORRUPT
    assert (str(raised) or type(raised).__name__) in str(error)


def test_programs_are_never_started_for_a_file():
    """EPS, which Pillow renders by running Ghostscript, is not on the list of formats that are opened."""
    assert {"EPS", "PSD", "WMF", "ICO"}.isdisjoint(readable_formats())


def test_threads_do_not_disturb_each_other():
    """Eight threads reading everything at once get what one thread gets."""
    expected = {name: outcome_of(name) for name in CORPUS}
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(outcome_of, [*CORPUS] * 4))
    assert [*expected.values()] * 4 == actual


def outcome_of(name: str) -> object:
    try:
        decoded = read_image(CORPUS[name].build(), limits=LIMITS, min_side=8)
    except ImageRejectedError as error:
        return error.reason, str(error)
    return decoded.metadata, decoded.pixels.tobytes()


def test_pillows_switches_stay_as_they_were():
    """Half-decoded pictures stay errors for the whole process."""
    read(jpeg())
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_the_corpus_covers_every_reason_and_format():
    """Nothing that read_image can answer goes untested."""
    reasons = {sample.reason for sample in CORPUS.values()} - {None}
    about_bytes = {*list(Reason)[: list(Reason).index(Reason.TOO_MUCH_WORK) + 1]}
    assert about_bytes - {Reason.TOO_MANY_BYTES} == reasons  # a quarter of a gigabyte is too much for a corpus
    formats = {read(CORPUS[name].build(), min_side=8).metadata.format for name in PICTURES}
    assert readable_formats() | {"MPO"} == formats


@pytest.mark.parametrize("name", PICTURES)
def test_memory_is_reserved_before_decoding(name):
    """At least four bytes for each pixel that is decoded, once for each file."""
    data = CORPUS[name].build()
    decoded = read(data)
    assert reserved(data, min_side=None) >= 4 * decoded.pixels.width * decoded.pixels.height


@pytest.mark.parametrize(("name", "halved"), [("jpeg 2000", True), ("png", False)])
def test_a_jpeg_2000_that_would_take_too_long_is_halved_in_its_decoder(name, halved, monkeypatch):
    """Only such a one, while the shorter side stays twice the model's; its size and colours are those of the whole."""
    data = CORPUS[name].build()
    monkeypatch.setattr("worker.images.cost._SECONDS_OF_JPEG2000", 0.0)
    monkeypatch.setattr("worker.images.pixels.shrink", lambda image, **_: image)  # what else would make it smaller
    read_here = decode(data, limits=LIMITS, min_side=16)
    assert ((48, 32) if halved else (96, 64)) == read_here.pixels.size
    assert (WIDTH, HEIGHT) == (read_here.metadata.width, read_here.metadata.height)
    assert distance(QUADRANTS, colours(read_here.pixels)) <= 24


def test_an_ordinary_jpeg_2000_is_decoded_whole():
    """The same pixels as ever: halving would make other vectors."""
    assert 0 == jpeg2000_reduction(CORPUS["jpeg 2000"].build(), (4_000, 3_000), min_side=224)
    assert 0 == jpeg2000_reduction(bytes(60 << 20), (8_000, 6_000), min_side=None)


def test_a_jpeg_that_is_decoded_smaller_needs_less():
    """Its size decides, not that of the picture; a progressive one keeps all its coefficients."""
    picture = Image.new("RGB", (1600, 1200))
    plain, progressive = io.BytesIO(), io.BytesIO()
    picture.save(plain, "JPEG")
    picture.save(progressive, "JPEG", progressive=True)

    def besides_the_file(data: bytes, min_side: int | None) -> int:
        return reserved(data, min_side=min_side) - len(data)

    whole, pixels = besides_the_file(plain.getvalue(), None), 1600 * 1200
    assert whole == 64 * besides_the_file(plain.getvalue(), 75)
    coefficients = 3 * pixels  # two bytes for each sample, and half as many samples of colour as of light
    assert coefficients == pytest.approx(besides_the_file(progressive.getvalue(), 75) - whole // 64, rel=0.01)
