"""Notification envelopes → hints. Pure functions over parsed JSON, which return a result or raise.

An event is a hint and never believed: these functions take the object's name from it and nothing else that matters.
"""

from __future__ import annotations

from worker.events.aws import MAX_ENVELOPES, parse_aws
from worker.events.decoding import SOURCES, parse
from worker.events.jsontext import MAX_DEPTH
from worker.events.names import MAX_KEY_BYTES
from worker.events.seaweedfs import parse_seaweedfs
from worker.events.sns import may_be_opened
from worker.events.values import Envelope, Ignored, IgnoredReason, Refused, Source, Subscription

__all__ = [
    "MAX_DEPTH",
    "MAX_ENVELOPES",
    "MAX_KEY_BYTES",
    "SOURCES",
    "Envelope",
    "Ignored",
    "IgnoredReason",
    "Refused",
    "Source",
    "Subscription",
    "may_be_opened",
    "parse",
    "parse_aws",
    "parse_seaweedfs",
]
