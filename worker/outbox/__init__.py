"""The change feed: what other services read to follow the catalog without polling it whole."""

from worker.outbox.feed import END, Change, Feed, append, end, read
from worker.outbox.pruning import prune

__all__ = ["END", "Change", "Feed", "append", "end", "prune", "read"]
