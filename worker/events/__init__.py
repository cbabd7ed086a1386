"""Notification envelopes → hints. Pure functions over parsed JSON, which answer or refuse.

An event is a hint and never believed: these functions take the object's name from it and nothing else that matters.
"""

from __future__ import annotations

from worker.events.decoding import MAX_DEPTH, SOURCES, parse
from worker.events.names import MAX_KEY_BYTES
from worker.events.s3 import parse_s3
from worker.events.seaweedfs import parse_seaweedfs
from worker.events.values import Envelope, Ignored, IgnoredReason

__all__ = [
    "MAX_DEPTH",
    "MAX_KEY_BYTES",
    "SOURCES",
    "Envelope",
    "Ignored",
    "IgnoredReason",
    "parse",
    "parse_s3",
    "parse_seaweedfs",
]
