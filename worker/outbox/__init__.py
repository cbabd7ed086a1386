"""The change feed: what other services read to follow the catalog without polling it whole."""

from worker.outbox.extent import FeedExtent, extent
from worker.outbox.feed import END, Blocker, FeedEntry, NewEntry, append, blocker, end, read, since
from worker.outbox.pruning import prune

__all__ = [
    "END",
    "Blocker",
    "FeedEntry",
    "FeedExtent",
    "NewEntry",
    "append",
    "blocker",
    "end",
    "extent",
    "prune",
    "read",
    "since",
]
