"""What a file of decisions consists of, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from worker.catalog.decisions import Chosen, Verdict
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in a file something is."""

    line: int
    item: str = ""  # "task 12": where lines say little

    def __str__(self) -> str:
        return f"line {self.line}, {self.item}" if self.item else f"line {self.line}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedEffect:
    """What a decision said about labels when it was made, as our own exports have it."""

    adds: tuple[str, ...]
    removes: tuple[str, ...]
    answers: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """What one person decided about one image in one taxonomy."""

    place: Place
    ref: ObjectRef
    taxonomy: str
    verdict: Verdict
    labels: tuple[str, ...] = ()  # as the file has them
    whole: bool = False  # the labels are the whole answer: no other label of the taxonomy holds
    without_extension: bool = False  # the key lacks the extension of its file
    sha256: str | None = None  # hex; of the bytes that were seen
    reviewer: str | None = None
    reason: str | None = None
    chosen: Chosen = Chosen.IMPORT
    inclusion_probability: float | None = None
    plan: int | None = None
    shown_label: str | None = None
    shown_version: str | None = None
    shown_space: int | None = None
    shown_decision: int | None = None  # the newest decision when the image was shown; 0: there was none
    at: datetime | None = None  # aware
    effect: RecordedEffect | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A part of a file that cannot be imported."""

    place: Place
    message: str
    image: str = ""  # as far as the file says it
    taxonomy: str = ""
    label: str = ""
    damaged: bool = False  # the file cannot be read on from here


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something that is not a decision. Files have it rightly: it is counted and reported."""

    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """Two or more people gave labels to one image."""

    agree: bool


Part = FileRow | BadRow | Note | Compared
Parts = Iterator[Part]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """What the file leaves open."""

    bucket: str | None = None
    prefix: str = ""  # goes before every path
    strip: str = ""  # comes off the start of every path
    taxonomy: str | None = None  # of all labels
    label: str | None = None  # of all images
    taxonomies: Mapping[str, str] = field(default_factory=dict)  # field of the file → taxonomy; only these fields
    labels: Mapping[str, str] = field(default_factory=dict)  # label in the file → label; empty: left out


class BadValueError(ValueError):
    """A value that cannot be used. The message says why and what to do."""


def which_field(names: Iterable[str]) -> str:
    """The message where one taxonomy was given, and a file has labels in several fields."""
    return f"labels are in the fields {', '.join(sorted(names))}: say which are meant, --taxonomy FIELD=TAXONOMY"
