"""What is given up after several attempts shows its bytes and its last error, if the bytes were ever had."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.conftest import World
from tests.ledger import make_due, ref, row
from tests.pictures import picture
from worker import catalog, images
from worker.errors import StoreUnavailableError
from worker.objects import Fetched

PICTURE = picture()


def exhaust(world: World):
    """All three attempts."""
    for _ in range(6):
        world.run()
        make_due(world.engine)


def given_up(world: World):
    [entry] = world.quarantined()
    return entry


def fail_to_decode(monkeypatch, _world):
    def read(*_args, **_options):
        raise ZeroDivisionError("a bug in a decoder")

    monkeypatch.setattr(images, "read_image", read)


def fail_to_preprocess(monkeypatch, world: World):
    def preprocess(_image):
        raise ZeroDivisionError("a bug in a decoder")

    monkeypatch.setattr(world.encoder, "preprocess", preprocess)


def fail_to_tag(monkeypatch, world: World):
    def tag(_vectors):
        raise ZeroDivisionError("a bug in a decoder")

    monkeypatch.setattr(world.enricher.labels.now.tagger, "tag", tag)


def fail_to_write(monkeypatch, _world):
    def write(_connection, *, images, **_options):
        if images:
            raise ZeroDivisionError("a bug in a decoder")

    monkeypatch.setattr(catalog.write, "save_images", write)


@pytest.mark.parametrize("fail", [fail_to_decode, fail_to_preprocess, fail_to_tag, fail_to_write])
def test_what_breaks_us_after_it_was_read_shows_its_bytes(world: World, monkeypatch, fail):
    """Wherever it happens: the hexdump, the size and the etag are there, and the last error."""
    world.upload("a.jpg", PICTURE)
    fail(monkeypatch, world)
    exhaust(world)
    entry = given_up(world)
    assert ("attempts-exhausted", PICTURE[:512], len(PICTURE)) == (entry.reason, entry.first_bytes, entry.size)
    assert "ZeroDivisionError: a bug in a decoder (after 3 attempts)" == entry.message
    assert world.store.head(ref("a.jpg")).etag == entry.etag == row(world.engine, "a.jpg").etag


def test_an_image_that_no_device_has_memory_for_shows_its_bytes(world: World, monkeypatch):
    """Also where the encoder is what gives up."""

    def features(_pixels):
        raise MemoryError("CUDA out of memory")

    world.upload("a.jpg", PICTURE)
    monkeypatch.setattr(world.encoder, "_image_features", features)
    exhaust(world)
    entry = given_up(world)
    assert ("attempts-exhausted", PICTURE[:512]) == (entry.reason, entry.first_bytes)
    assert "memory" in entry.message


def test_the_last_error_is_the_last_one(world: World, monkeypatch):
    """Two different ones before are in the log."""
    errors = iter([ValueError("first"), KeyError("second"), ZeroDivisionError("third")])

    def read(*_args, **_options):
        raise next(errors)

    monkeypatch.setattr(images, "read_image", read)
    world.upload("a.jpg", PICTURE)
    exhaust(world)
    assert "ZeroDivisionError: third (after 3 attempts)" == given_up(world).message
    assert "ZeroDivisionError: third (after 3 attempts)" == row(world.engine, "a.jpg").last_error


def test_an_entry_of_the_same_bytes_stays_true(world: World, monkeypatch):
    """An image that is enriched, looked at again, and given up for an error of ours: what is known of it holds."""
    world.upload("a.jpg", PICTURE)
    world.run()
    monkeypatch.setattr(world.enricher.labels.now.tagger, "is_current", lambda _tags: False)
    fail_to_decode(monkeypatch, world)
    world.hint("a.jpg")
    exhaust(world)
    assert {"a.jpg": "attempts-exhausted"} == world.quarantine()
    assert {"colour": "red"} == world.tags("a.jpg")


def test_an_entry_of_other_bytes_goes(world: World, monkeypatch):
    """Who overwrites an image must not go on reading what the old one showed."""
    world.upload("a.jpg", PICTURE)
    world.run()
    fail_to_decode(monkeypatch, world)
    world.upload("a.jpg", picture("blue"))
    exhaust(world)
    assert {"a.jpg": "attempts-exhausted"} == world.quarantine()
    assert world.image("a.jpg") is None
    assert [("enriched", "a.jpg"), ("removed", "a.jpg")] == world.feed()


def test_what_was_never_read_has_nothing_to_show(world: World, monkeypatch):
    """The store gives others, and never this one: the entry before stays, for nothing is known of what is there now."""
    get = world.store.get

    def lose(wanted, **options):
        if wanted.key == "a.jpg":
            raise StoreUnavailableError("connection reset")
        found = get(wanted, **options)
        assert isinstance(found, Fetched)
        return found

    world.upload("a.jpg", PICTURE)
    world.run()
    monkeypatch.setattr(world.store, "get", lose)
    world.hint("a.jpg")
    for number in range(3):
        world.upload(f"{number}.jpg", picture("green"))
        world.run()
        make_due(world.engine)
    entry = given_up(world)
    assert ("attempts-exhausted", None, None) == (entry.reason, entry.first_bytes, entry.etag)
    assert "connection reset (after 3 attempts)" == entry.message
    assert {"colour": "red"} == world.tags("a.jpg")
