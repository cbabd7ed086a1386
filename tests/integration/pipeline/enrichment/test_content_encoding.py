"""Objects with a Content-Encoding, from the store to the catalog or the quarantine."""

from __future__ import annotations

import gzip
import hashlib
import zlib

import numpy as np
import pytest

from tests.integration.pipeline.conftest import World
from tests.ledger import ref
from tests.pictures import picture
from worker.errors import ImageRejectedError
from worker.images import ImageLimits
from worker.pipeline.reading.model_input import model_input_of
from worker.types import Outcome


def packed(data: bytes) -> bytes:
    """The same bytes at any time, or names of tests would differ among processes."""
    return gzip.compress(data, mtime=0)


def upload(world: World, key, data, encoding, content_type="image/jpeg"):
    world.store.put(ref(key), data, content_type, content_encoding=encoding)
    world.hint(key)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (packed(picture("green")), "gzip"),
        (packed(picture("green")), " GZIP "),
        (packed(picture("green")), "x-gzip"),
        (packed(picture("green")), "aws-chunked,gzip"),
        (packed(picture("green")) + bytes(50), "gzip"),
        (zlib.compress(picture("green")), "deflate"),
        (picture("green"), "identity"),
        (picture("green"), "aws-chunked"),
        (picture("green"), "gzip"),  # and is none: some uploaders say so
        (picture("green"), "br"),
        (picture("green"), "utf-8"),
    ],
)
def test_the_picture_is_enriched_as_if_it_were_stored_plainly(world: World, data, encoding):
    """Its hash is the file's; etag and size are the object's, as the store lists them."""
    upload(world, "a.jpg", data, encoding)
    assert world.run() == {Outcome.ENRICHED: 1}
    found, stored = world.image("a.jpg"), world.store.head(ref("a.jpg"))
    assert {"colour": "green"} == world.tags("a.jpg")
    assert found.sha256 == hashlib.sha256(picture("green")).hexdigest()
    assert (found.etag, found.size) == (stored.etag, len(data))
    world.hint("a.jpg")
    assert world.run() == {Outcome.UNCHANGED: 1}


def test_a_packed_image_without_a_name_is_an_image(world: World):
    """The first bytes of the file decide, not those of the object; packed text is none."""
    upload(world, "blob", packed(picture("red")), "gzip", "application/octet-stream")
    upload(world, "log", packed(b"2026-01-01 started\n" * 100), "gzip", "text/plain")
    upload(world, "other", b"\x0b\x02\x80brotli\x03", "br", "text/plain")
    assert world.run() == {Outcome.ENRICHED: 1, Outcome.EXCLUDED: 2}
    assert {"colour": "red"} == world.tags("blob")


@pytest.mark.parametrize(
    ("data", "encoding", "reason", "words"),
    [
        (b"\x0b\x02\x80brotli\x03", "br", "unsupported-format", "Content-Encoding is 'br'"),
        (b"\x28\xb5\x2f\xfd zstd", "zstd", "unsupported-format", "store the picture as it is, without that header"),
        (b"plain text", "gzip", "not-an-image", "Content-Encoding is gzip, but its bytes are neither"),
        (packed(picture())[:-20], "gzip", "truncated", "Content-Encoding is gzip"),
        (packed(picture()[:200]), "gzip", "truncated", "JPEG"),
        (packed(b"text"), "gzip", "not-an-image", "not an image but text"),
        (packed(picture()), None, "not-an-image", "which is decompressed if its Content-Encoding is gzip"),
        (packed(bytes(1_000_001)), "gzip", "too-many-bytes", "more than 1,000,000 bytes without"),
        (b"", "gzip", "empty", "zero bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_says_why(world: World, data, encoding, reason, words):
    """At once, without retries: other bytes or another header are needed."""
    upload(world, "a.jpg", data, encoding)
    assert world.run() == {Outcome.QUARANTINED: 1}
    [entry] = world.quarantined()
    assert reason == entry.reason
    assert words in entry.message


def test_a_member_behind_the_first_is_not_left_out(world: World):
    """The last bytes tell the size of the last member only, which is no bound."""
    noise = np.random.default_rng(1).integers(0, 256, 200_000, np.uint8).tobytes()
    data = picture("blue", kind="PNG")
    whole = packed(data + noise) + packed(b"end")
    upload(world, "a.png", whole, "gzip", "image/png")
    assert world.run() == {Outcome.ENRICHED: 1}
    assert world.image("a.png").sha256 == hashlib.sha256(data + noise + b"end").hexdigest()


def test_what_the_model_saw_is_shown_of_packed_objects_too(world: World):
    """The page of one image reads the object once more."""
    world.store.put(ref("a.jpg"), packed(picture("red")), "image/jpeg", content_encoding="gzip")
    world.store.put(ref("b.jpg"), b"brotli", "image/jpeg", content_encoding="br")
    limits = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side=5_000)
    assert model_input_of(world.store, ref("a.jpg"), encoder=world.encoder, limits=limits).png.startswith(b"\x89PNG")
    with pytest.raises(ImageRejectedError, match="Content-Encoding is 'br'"):
        model_input_of(world.store, ref("b.jpg"), encoder=world.encoder, limits=limits)
