"""The change feed: what other services read to follow the catalog without polling it whole."""

from worker.outbox.feed import Change, Feed, append, read

__all__ = ["Change", "Feed", "append", "read"]
