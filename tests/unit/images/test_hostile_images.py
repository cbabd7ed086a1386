"""Files made to hurt: damaged at random, or built to take memory and time."""

from __future__ import annotations

import struct
import subprocess
import sys
import textwrap
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.images.corpus import CORPUS, LIMITS, jpeg, png, png_chunk, tiff
from worker.errors import ImageRejectedError
from worker.images import ImageLimits, read_image
from worker.types import Reason

FINDINGS = Path(__file__).parents[2] / "fixtures" / "images" / "findings"
#: Small, so that a header damaged into a giant is refused at once.
SMALL = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20, max_side=1 << 14)
SEEDS = (
    *("gps", "progressive jpeg", "cmyk jpeg", "png turned", "palette with alpha", "animated gif", "animated webp"),
    *("compressed tiff", "big tiff", "bmp", "jpeg 2000", "heic", "avif", "animated png", "16-bit tiff"),
)
ALLOWED = {*list(Reason)[: list(Reason).index(Reason.TOO_MUCH_WORK) + 1]}


def outcome(data: bytes, limits: ImageLimits = SMALL) -> Reason | None:
    try:
        decoded = read_image(data, limits=limits, min_side=8)
    except ImageRejectedError as error:
        return error.reason
    assert "RGB" == decoded.pixels.mode
    assert decoded.metadata.width * decoded.metadata.height <= limits.max_pixels
    return None


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_gives_a_picture_or_a_reason(name, data):
    """Random bytes changed anywhere, and nothing but a picture or a refusal comes out."""
    damaged = bytearray(CORPUS[name].build())
    places = st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255))
    for at, value in data.draw(st.lists(places, min_size=1, max_size=12)):
        damaged[at] = value
    assert outcome(bytes(damaged)) in {None, *ALLOWED}


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_file_that_was_cut_off_is_never_called_corrupt(name, data):
    """What is refused after its signature, because its end is missing, is truncated."""
    whole = CORPUS[name].build()
    cut = whole[: data.draw(st.integers(32, len(whole) - 1))]
    assert outcome(cut) in {None, Reason.TRUNCATED}


@pytest.mark.slow
def test_a_20000_pixel_square_needs_a_fraction_of_its_pixels():
    """Reduced decoding happens in the decoder: 1.6 GB of pixels never exist."""
    answer = child(
        """
        import resource
        from tests.unit.images.corpus import huge_jpeg
        data = huge_jpeg(20_000)
        limits = ImageLimits(max_bytes=1 << 28, max_pixels=400_000_000, max_side=20_000)
        read_image(CORPUS["jpeg"].build(), limits=limits, min_side=224)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decoded = read_image(data, limits=limits, min_side=224)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(decoded.metadata.width, min(decoded.pixels.size) >= 448, grown < 150_000)
        """
    )
    assert "20000 True True" == answer


def test_a_jpeg_whose_profile_is_left_out_takes_no_more_than_was_reserved():
    """The decoder gets a copy of the file, however large a film or a second picture behind the first one makes it."""
    answer = child(
        """
        import io, resource
        from contextlib import nullcontext
        from PIL import Image
        file = io.BytesIO()
        Image.new("RGB", (1200, 900), "teal").save(file, "JPEG", icc_profile=bytes(500))
        limits = ImageLimits(max_bytes=1 << 28, max_pixels=4_000_000, max_side=4_000)
        reserved = []
        reserve = lambda size: reserved.append(size) or nullcontext()
        read_image(file.getvalue(), limits=limits, min_side=224)
        data = file.getvalue() + b"film" * (16 << 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        read_image(data, limits=limits, min_side=224, reserve=reserve)
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        print(len(reserved), grown < reserved[0] + (16 << 20))
        """
    )
    assert "1 True" == answer


def test_bombs_are_refused_before_they_go_off():
    """All bombs together fit into less memory than any one of them would need."""
    answer = child(
        """
        import resource
        files = [s.build() for s in CORPUS.values() if s.reason in {"too-many-pixels", "side-too-long"}]
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for data in files:
            try:
                read_image(data, limits=LIMITS, min_side=224)
            except ImageRejectedError:
                continue
            print("not refused")
        print(len(files) > 3, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)
        """
    )
    assert "True True" == answer


@pytest.mark.parametrize(
    "first",
    [
        b"VP8X\x0a\0\0\0" + bytes(4) + (4095).to_bytes(3, "little") * 2,
        b"VP8 \x0a\0\0\0" + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 4096, 4096),
        b"VP8L\x06\0\0\0" + b"\x2f" + struct.pack("<I", 4095 | 4095 << 14) + b"\0",
    ],
)
def test_a_webp_canvas_is_refused_before_the_decoder_gets_memory_for_it(first, monkeypatch):
    """libwebp allocates the canvas when it opens a file: looking at the size afterwards is too late."""
    monkeypatch.setattr("PIL.Image.open", lambda *_args, **_options: pytest.fail("the decoder was asked first"))
    data = b"RIFF" + struct.pack("<I", len(first) + 4) + b"WEBP" + first
    with pytest.raises(ImageRejectedError, match=r"4,096 × 4,096 pixels") as rejected:
        read_image(data, limits=SMALL, min_side=8)
    assert Reason.TOO_MANY_PIXELS == rejected.value.reason


def test_a_heic_larger_than_its_header_counts_by_its_pixels():
    """libheif goes by the coded picture: what the catalog keeps, and what is limited, is what was decoded."""
    lying = (FINDINGS / "more-pixels-than-the-header.heic").read_bytes()
    found = read_image(lying, limits=LIMITS, min_side=None)
    assert (64, 64) == (found.metadata.width, found.metadata.height) == found.pixels.size
    few = ImageLimits(max_bytes=1 << 20, max_pixels=64 * 64 - 1, max_side=1 << 14)
    assert Reason.TOO_MANY_PIXELS == outcome(lying, few)


@pytest.mark.slow
def test_the_first_pictures_of_a_process_may_come_from_many_threads():
    """Decoders register themselves once, whoever comes first."""
    answer = child(
        """
        from concurrent.futures import ThreadPoolExecutor
        names = ["heic", "avif", "jpeg", "png", "tiff", "jpeg 2000", "webp", "bmp"]
        files = [CORPUS[name].build() for name in names for _ in range(4)]
        with ThreadPoolExecutor(16) as pool:
            read = list(pool.map(lambda data: read_image(data, limits=LIMITS, min_side=8), files))
        print(sorted({image.metadata.format for image in read}))
        """
    )
    assert "['AVIF', 'BMP', 'HEIF', 'JPEG', 'JPEG2000', 'PNG', 'TIFF', 'WEBP']" == answer


def child(body: str) -> str:
    """What a fresh interpreter prints, with every warning an error."""
    imports = """
        from tests.unit.images.corpus import CORPUS, LIMITS
        from worker.errors import ImageRejectedError
        from worker.images import ImageLimits, read_image
    """
    script = textwrap.dedent(imports) + textwrap.dedent(body)
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def _exif_bomb() -> bytes:
    segment = b"Exif\0\0" + b"MM\0*\0\0\0\x08" + bytes(65_000)
    return b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment) * 900 + jpeg()[2:]


def _directory_loop() -> bytes:
    whole = CORPUS["tiff"].build()
    (first,) = struct.unpack_from("<I", whole, 4)
    (count,) = struct.unpack_from("<H", whole, first)
    at = first + 2 + 12 * count
    return whole[:at] + struct.pack("<I", first) + whole[at + 4 :]


def _many_gif_frames() -> bytes:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 60_000 + b";"


def _gps_bomb() -> bytes:
    pixels = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, 8), 279: (4, 1, 64)}
    at = 8 + 2 + 12 * 7 + 4
    gps = struct.pack("<HHHIII", 1, 2, 5, 2 << 20, at + 18, 0)
    return tiff(pixels | {0x8825: (4, 1, at)}, rest=gps + bytes(16 << 20))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (_exif_bomb, Reason.CORRUPT),
        (_gps_bomb, Reason.CORRUPT),
        (_directory_loop, None),
        (_many_gif_frames, None),
        (lambda: png(64, 64, before=png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 << 20), 1))), None),
        (lambda: png(64, 64, after=png_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(64 << 20), 1))), None),
    ],
)
def test_metadata_cannot_be_used_as_a_bomb(build, expected):
    """Metadata of absurd size cost neither time nor, where it can be left out, the picture."""
    data = build()
    start = time.perf_counter()
    assert expected == outcome(data, LIMITS)
    assert time.perf_counter() - start < 3


def test_frames_are_counted_up_to_a_bound():
    """A GIF of 60,000 frames is "10,000 or more"."""
    assert 10_000 == read_image(_many_gif_frames(), limits=LIMITS, min_side=8).metadata.frames
