"""Values that cross rooms: plain, frozen, without behaviour beyond their own consistency."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # numpy takes longer to import than most commands to answer
    import numpy as np
    import numpy.typing as npt

#: float32 array, for annotations only; docstrings of functions that return one give its shape.
Floats: TypeAlias = "npt.NDArray[np.float32]"

#: The set of taxonomies that files belong to where ENRICH_TAXONOMY_SET says nothing, and that of what `enrich taxonomy
#: add` put into force, which no files own.
DEFAULT_SET, BY_HAND = "default", "by-hand"


#: How a model came to a tag: by its label's texts, or by what people's decisions taught. A suggestion is not in force.
ZERO_SHOT, FEW_SHOT, SUGGESTION = "zero-shot", "few-shot", "suggestion"
#: All of them, in an order that arrays of codes rely on within one process.
MODEL_SOURCES = (ZERO_SHOT, FEW_SHOT, "text-fusion", SUGGESTION)


class Lane(enum.IntEnum):
    """Order of work in the ledger: a lower lane is claimed first."""

    LIVE = 0
    RETRY = 1
    BACKFILL = 2


class FillSource(enum.StrEnum):
    """What missing vectors of a space are made from."""

    ORIGINALS = "originals"  # and vectors that were made from previews are replaced
    PREVIEWS = "previews"  # where there are; the others from originals


class Outcome(enum.StrEnum):
    """How a claim ends. Every image ends as exactly one of these."""

    ENRICHED = "enriched"  # vector and tags are in the catalog
    UNCHANGED = "unchanged"  # the store answered 304: what the catalog holds is current
    GONE = "gone"  # the store answered 404: the object was deleted
    EXCLUDED = "excluded"  # not an image and does not claim to be one
    QUARANTINED = "quarantined"  # cannot be enriched; the reason is kept
    RETRY = "retry"  # try again at a time


class Reason(enum.StrEnum):
    """Why an object is in quarantine. The codes are an interface: users filter and retry by them."""

    EMPTY = "empty"  # zero bytes
    NOT_AN_IMAGE = "not-an-image"  # named or typed as an image, but its bytes are something else
    UNSUPPORTED_FORMAT = "unsupported-format"  # an image format that is not on the allow-list
    TRUNCATED = "truncated"  # the file ends before the picture does
    CORRUPT = "corrupt"  # the decoder refuses the bytes
    TOO_MANY_BYTES = "too-many-bytes"  # larger than ENRICH_MAX_BYTES
    TOO_MANY_PIXELS = "too-many-pixels"  # more pixels than ENRICH_MAX_PIXELS, read off the header
    SIDE_TOO_LONG = "side-too-long"  # a side longer than ENRICH_MAX_SIDE, read off the header
    TOO_MUCH_WORK = "too-much-work"  # decoding takes more CPU time than ENRICH_MAX_DECODE_SECONDS
    ACCESS_DENIED = "access-denied"  # the store refuses this object to our credentials
    NOT_READABLE = "not-readable"  # the store answers that this object cannot be read this way
    NOT_WATCHED = "not-watched"  # no longer in ENRICH_BUCKETS: it was not read
    ARCHIVED = "archived"  # in a storage class that must be restored before it can be read
    ENCODER_REFUSED = "encoder-refused"  # the model fails on this image, alone
    KILLED_WORKER = "killed-worker"  # it ends the process that works on it
    ATTEMPTS_EXHAUSTED = "attempts-exhausted"  # transient errors, every time


class RetryReason(enum.StrEnum):
    """Why an object is retried. The codes are an interface: `enrich status` and metrics show them."""

    STORE_AWAY = "store-away"  # no answer from the store, or one that says nothing about the object
    NO_SUCH_BUCKET = "no-such-bucket"  # the store answers that there is no such bucket
    WRONG_REGION = "wrong-region"  # the store sends us elsewhere for this bucket
    MISCONFIGURED = "misconfigured"  # the store refuses our credentials or clock
    ACCESS_DENIED = "access-denied"  # the store refuses this object to our credentials
    NOT_READABLE = "not-readable"  # the store answers that this object cannot be read this way
    NOT_WATCHED = "not-watched"  # not in this worker's ENRICH_BUCKETS: it was not read
    DEVICE_MEMORY = "device-memory"  # the device has no memory left for even this image alone
    UNEXPECTED = "unexpected"  # an unexpected error: the log has its traceback
    HELD_BACK = "held-back"  # refused like nearly everything: not quarantined until the canary check has passed


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class ObjectRef:
    """An object in the store. ``key`` is the decoded key, exactly as the uploader wrote it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """A notification's claim that something happened to an object. Never trusted, only checked with the store."""

    ref: ObjectRef
    source: str  # which envelope it came in: "seaweedfs", "s3", "upload"
    event: str  # the store's own name for what happened, for people reading logs
    event_time: datetime | None = None  # aware; when the store says it happened, if it says
    lane: Lane = Lane.LIVE
    guess: bool = False  # an alternative reading of an ambiguous name: most likely there is no such object


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectInfo:
    """What the store said about the object it returned, from the response itself."""

    ref: ObjectRef
    etag: str  # without quotes; weak prefix removed
    size: int  # bytes of the whole object
    last_modified: datetime | None  # aware
    version_id: str | None  # None on unversioned buckets
    content_type: str | None
    content_encoding: str | None = None  # as the store sends it: how the bytes were encoded before they were stored
    user_metadata: Mapping[str, str] = field(default_factory=dict)  # what is asked for, by name in lower case


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageMetadata:
    """What a file says about its picture."""

    width: int  # pixels, as displayed: after EXIF orientation
    height: int
    format: str  # Pillow's name: "JPEG", "PNG", "WEBP", "HEIF" …
    mode: str  # Pillow's mode of the stored image: "RGB", "CMYK", "P", "I;16" …
    frames: int  # 1 for a still; the first frame is what is embedded
    orientation: int  # EXIF 1..8; 1 when absent or invalid
    sha256: str  # hex digest of the file's bytes
    phash: int  # 64-bit perceptual hash (DCT), as a signed integer for Postgres bigint
    taken_at: datetime | None  # EXIF: taken, else digitized, else changed; aware only if EXIF gives an offset
    camera_make: str | None
    camera_model: str | None
    latitude: float | None  # degrees, WGS 84, south and west negative
    longitude: float | None
    altitude: float | None  # metres above sea level
    iso: int | None
    exposure_time: float | None  # seconds
    f_number: float | None
    focal_length: float | None  # millimetres
    focal_length_35mm: int | None  # millimetres that give the same angle on 35 mm film
    lens_make: str | None
    lens_model: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SpaceSpec:
    """An embedding space. Vectors of two spaces are never compared."""

    model: str  # hub id, or the name a local directory was given
    revision: str  # hub commit, or a digest of the weights of a local directory
    preprocessing: str  # digest of everything between file and tensor
    dimension: int

    @property
    def fingerprint(self) -> str:
        """Hex digest that differs whenever vectors could."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """One taxonomy's decision about one image; it may make several. ``label is None`` means "none of these"."""

    taxonomy: str
    version: str  # content hash of the taxonomy that decided
    label: str | None
    score: float  # cosine similarity of the image and the label; with no label, the best one
    probability: float  # of that label among its candidates, given that its parent holds
    source: str = ZERO_SHOT  # one of ``MODEL_SOURCES``
