"""Previews that workers make: of everything they enrich, and never at an image's expense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.pipeline.spaces.world import World, world
from tests.ledger import ref
from tests.memory_store import MemoryStore
from tests.pictures import picture
from worker import metrics
from worker.db import Engine
from worker.errors import AccessDeniedError, StoreUnavailableError
from worker.images import previews
from worker.pipeline.pictures.preview_store import BucketPreviews, CachedPreviews, PreviewStore
from worker.pipeline.pictures.previews import KeptPreviews, PreviewMaker


@pytest.fixture
def made(engine: Engine) -> Iterator[World]:
    with world(engine) as each:
        yield each


def keeping(made: World, place: PreviewStore) -> None:
    """From now on, its worker makes previews."""
    serving = made.serving.enricher
    reader = replace(serving.preparer.reader, previews=PreviewMaker(kept=KeptPreviews(store=place)))
    made.serving.enricher = replace(serving, preparer=replace(serving.preparer, reader=reader))


def counted(result: str) -> float:
    return float(metrics.PREVIEWS.labels(result=result)._value.get())


def test_copies_share_a_preview(made: World) -> None:
    """Two objects with the same bytes have two sizes, not four."""
    store = MemoryStore("small")
    keeping(made, BucketPreviews(store=store, bucket="small", prefix=""))
    made.enriched(**{"a.jpg": "red", "copy.jpg": "red", "b.jpg": "blue"})
    assert 4 == len(list(store.list("small")))
    assert 3 == len(made.sql("SELECT id FROM images"))


@pytest.mark.parametrize("kind", ["no bucket", "no folder", "away", "denied"])
def test_a_place_that_fails_costs_no_image(made: World, tmp_path: Path, kind: str) -> None:
    """All images are enriched, none is retried, and each failure is counted."""
    store = MemoryStore("small")
    (tmp_path / "file").write_text("")
    place: PreviewStore = BucketPreviews(store=store, bucket="none" if kind == "no bucket" else "small", prefix="")
    if kind == "no folder":
        place = CachedPreviews(folder=tmp_path / "file", most_bytes=1 << 20)
    if kind in ("away", "denied"):
        store.put = lambda *_: _fail(kind)  # type: ignore[method-assign]
    before = counted("write-failed")
    keeping(made, place)
    made.enriched(**{"a.jpg": "red", "b.jpg": "blue"})
    assert {"a.jpg": "red", "b.jpg": "blue"} == made.tags_in(made.serving.enricher.space)
    assert before + 2 == counted("write-failed")
    assert [0] == made.sql("SELECT count(*) FROM inbox WHERE attempts > 1")


def _fail(kind: str) -> str:
    raise StoreUnavailableError("503") if kind == "away" else AccessDeniedError(ref("a.jpg"))


def test_a_picture_that_becomes_no_preview_is_enriched(
    made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the encoder of previews raises."""

    def broken(*_: object) -> None:
        raise ValueError("cannot be encoded")

    before = counted("make-failed")
    monkeypatch.setattr(previews, "encode", broken)
    keeping(made, CachedPreviews(folder=tmp_path, most_bytes=1 << 20))
    made.enriched(**{"a.jpg": "red"})
    assert ({"a.jpg": "red"}, before + 1) == (made.tags_in(made.serving.enricher.space), counted("make-failed"))


def test_a_truncated_file_is_quarantined_as_without_previews(made: World, tmp_path: Path) -> None:
    """It has none, and its reason is its own."""
    keeping(made, CachedPreviews(folder=tmp_path / "kept", most_bytes=1 << 20))
    made.upload("cut.jpg")
    made.store.put(ref("cut.jpg"), picture("red", (640, 480))[:700], "image/jpeg")
    made.work()
    assert ["truncated"] == made.sql("SELECT reason FROM quarantine")
    assert not (tmp_path / "kept").exists()
