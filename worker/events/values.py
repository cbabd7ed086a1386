"""The result of parsing an envelope: hints, and ignored or refused parts with the reason."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from worker.errors import MalformedEventError
from worker.types import Hint

_T = TypeVar("_T")


class IgnoredReason(enum.StrEnum):
    """Why a notification, or part of one, is not a hint. The codes are an interface: logs and metrics use them."""

    DIRECTORY = "directory"  # a folder that is no object: filers have them, S3 does not list them
    MULTIPART_PART = "multipart-part"  # a part of an upload; the completed object has an event of its own
    SYSTEM_PATH = "system-path"  # the store's own book-keeping
    VERSION_FOLDER = "version-folder"  # where versions are kept; which version is current did not change
    OUTSIDE_BUCKETS = "outside-buckets"  # a file that S3 cannot see
    NOT_A_BUCKET = "not-a-bucket"  # beside the buckets, with a name that no bucket can have
    METADATA_ONLY = "metadata-only"  # tags, a storage class or a lifecycle mark: the bytes are the same
    READ = "read"  # the object was read; following it up would read it again, endlessly
    TEST_EVENT = "test-event"  # the store checks that the endpoint answers
    SUBSCRIPTION = "subscription"  # a topic asks to confirm a subscription, or says that one has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """A part of an envelope that needs no action."""

    what: str  # a path, key or bucket, as the envelope has it
    reason: IgnoredReason


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscription:
    """A topic asks to confirm a subscription. Opening the address confirms it."""

    kind: Literal["SubscriptionConfirmation", "UnsubscribeConfirmation"]  # the latter: one has ended; opening undoes it
    topic: str  # its ARN, as the message has it
    url: str  # as the message has it: not to be opened before it was checked


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A part of a notification that cannot be parsed, although others can."""

    reason: str  # the field and what was expected
    part: bytes  # JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """One parsed notification. Every event in it is a hint, ignored or refused; nothing is dropped silently."""

    hints: tuple[Hint, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    test: bool = False  # the store's "is anybody there?"
    subscriptions: tuple[Subscription, ...] = ()
    refused: tuple[Refused, ...] = ()

    @classmethod
    def each(
        cls, parts: Iterable[_T], understand: Callable[[_T], Envelope], *, shown: Callable[[_T], object]
    ) -> Envelope:
        """One envelope of independent parts: a part that cannot be parsed does not affect the others.

        Args:
            parts: of the notification.
            understand: one of them; raises MalformedEventError.
            shown: what is kept of one that is refused, as plain JSON values.

        Raises:
            MalformedEventError: none of them can be understood.
        """
        taken, errors, refused = [], [], []
        for part in parts:
            try:
                taken.append(understand(part))
            except MalformedEventError as error:
                errors.append(error)
                refused.append(Refused(reason=str(error), part=json.dumps(shown(part)).encode()))
        if errors and not taken:
            first, more = errors[0], len(errors) - 1
            raise MalformedEventError(f"{first} (and {more:,} more)") if more else first
        merged = cls.merged(taken)
        return replace(merged, refused=(*merged.refused, *refused))

    @classmethod
    def of(cls, parts: Iterable[Hint | Ignored]) -> Envelope:
        """An envelope of these events, in their order."""
        known = tuple(parts)
        return cls(
            hints=tuple(part for part in known if isinstance(part, Hint)),
            ignored=tuple(part for part in known if isinstance(part, Ignored)),
        )

    @classmethod
    def merged(cls, envelopes: Iterable[Envelope]) -> Envelope:
        """One envelope with the contents of these; a test if all of them are tests."""
        known = tuple(envelopes)
        return cls(
            hints=tuple(hint for each in known for hint in each.hints),
            ignored=tuple(ignored for each in known for ignored in each.ignored),
            test=bool(known) and all(each.test for each in known),
            subscriptions=tuple(asked for each in known for asked in each.subscriptions),
            refused=tuple(refused for each in known for refused in each.refused),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A kind of notification: its sender, its parser and its documentation."""

    name: str  # as in its address, POST /v1/events/{name}; also the label of its metrics
    sender: str  # who sends it, for people: "Take a notification of …"
    parse: Callable[[object], Envelope]  # parsed JSON in; raises MalformedEventError and nothing else
    schemas: tuple[str, ...]  # names in schemas/events; every accepted body has one of these shapes
    example: Mapping[str, Any]  # for the API's documents
