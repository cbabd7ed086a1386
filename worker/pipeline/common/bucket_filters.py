"""Bucket filters: an unknown bucket is refused instead of giving an empty answer."""

from __future__ import annotations

from worker import catalog, ledger
from worker.db import Connection
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.suggestions import shown, suggested

_SHOWN = 10


def require_bucket(connection: Connection, name: str | None) -> None:
    """Check that a bucket, if given, is known: an object in it was announced, or a scheduler watches it.

    Raises:
        UnknownNameError: nothing is known of it. The message names the nearest that is.
    """
    if name is None or ledger.buckets.knows_bucket(connection, name) or catalog.read.has_images_of(connection, name):
        return
    known = {each.name for each in ledger.buckets.buckets(connection)}
    known |= {each.bucket for each in ledger.reconciliations.states(connection)}
    if name in known:
        return
    some = sorted(known)[:_SHOWN]
    more = f" and {len(known) - len(some):,} more" if len(known) > len(some) else ""
    otherwise = f"known are {', '.join(some)}{more}" if known else "no object has been announced yet"
    raise UnknownNameError(f"unknown bucket {shown(name)}; {suggested(name, known, otherwise=otherwise)}")
