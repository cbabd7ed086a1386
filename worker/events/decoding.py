"""Bytes → envelope, by source. Holds the only table of sources."""

from __future__ import annotations

from collections.abc import Mapping

from worker.errors import MalformedEventError
from worker.events import aws, seaweedfs
from worker.events.jsontext import decode
from worker.events.values import Envelope, Source

#: Every source by name. A source added here gets a route, an entry in the API's documents, and tests from its fixture
#: folder: see docs/how-to/add-a-source.md.
SOURCES: Mapping[str, Source] = {source.name: source for source in (aws.S3, seaweedfs.SEAWEEDFS)}


def parse(source: str, body: bytes) -> Envelope:
    """Parse a request's body.

    Args:
        source: one of `SOURCES`.
        body: JSON in UTF-8, with or without a byte order mark.

    Raises:
        MalformedEventError: the source is unknown, the body is no JSON, or it is no notification of that source.
    """
    if source not in SOURCES:
        raise MalformedEventError(f"unknown event source {source[:40]!r}; choose one of {', '.join(SOURCES)}")
    return SOURCES[source].parse(decode(body))
