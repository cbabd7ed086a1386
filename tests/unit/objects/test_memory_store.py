"""The fake's own controls; what it shares with the real store is in the contract tests."""

from __future__ import annotations

import pytest

from tests.memory_store import MemoryStore
from worker.errors import StoreUnavailableError
from worker.objects import Fetched
from worker.types import ObjectRef

REF = ObjectRef(bucket="photos", key="a.jpg")


def test_an_object_can_be_made_to_fail_and_to_recover() -> None:
    """Tests of retries need both."""
    store = MemoryStore("photos")
    store.put(REF, b"1")
    store.fail(REF, StoreUnavailableError("down"))
    with pytest.raises(StoreUnavailableError, match="down"):
        store.get(REF, etag=None, max_bytes=10)
    store.fail(REF, None)
    assert isinstance(store.get(REF, etag=None, max_bytes=10), Fetched)


def test_what_was_asked_for_is_recorded() -> None:
    """Tests of economy count GETs."""
    store = MemoryStore("photos")
    store.get(REF, etag=None, max_bytes=10)
    store.head(REF)
    assert store.gets == [REF]
