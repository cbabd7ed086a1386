"""Notifications that were refused: the newest are kept for people, and no flood of them fills the disk."""

from __future__ import annotations

from worker import ledger
from worker.db import transaction
from worker.ledger import rejected_events


def refuse(engine, *bodies: bytes) -> None:
    for body in bodies:
        with transaction(engine) as connection:
            ledger.rejected_events.reject(connection, source="s3", reason="not JSON", body=body)


def kept(engine) -> list[bytes]:
    with transaction(engine) as connection:
        return [each.body for each in ledger.rejected_events.recent(connection, limit=5_000)]


def test_the_newest_are_kept_and_older_ones_go(engine, monkeypatch):
    """As many as the documents say: a thousand; here three."""
    assert 1_000 == rejected_events._KEPT
    monkeypatch.setattr(rejected_events, "_KEPT", 3)
    refuse(engine, *(b"%d" % number for number in range(5)))
    assert [b"4", b"3", b"2"] == kept(engine)


def test_what_was_never_committed_takes_no_place(engine, monkeypatch):
    """A refusal that is rolled back uses up a number, but drives nothing out."""
    monkeypatch.setattr(rejected_events, "_KEPT", 3)
    refuse(engine, b"a", b"b")
    for _ in range(5):
        with engine.connect() as connection:
            ledger.rejected_events.reject(connection, source="s3", reason="not JSON", body=b"rolled back")
    refuse(engine, b"c")
    assert [b"c", b"b", b"a"] == kept(engine)


def test_of_a_large_body_the_beginning_is_kept(engine):
    """Enough for a person to see what it was."""
    refuse(engine, b"x" * 200_000)
    assert [64 << 10] == [len(body) for body in kept(engine)]
