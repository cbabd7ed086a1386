"""One tree of errors. Messages tell the reader what to do next; a class's docstring says when it is raised."""

from __future__ import annotations

from worker.types import ObjectRef, Reason


class EnrichError(Exception):
    """Base of every error this product raises on purpose."""


class ConfigurationError(EnrichError):
    """A setting is missing, malformed or contradicts another."""


class SchemaVersionError(EnrichError):
    """The database's schema is not the one that this version of the code needs."""


class MalformedEventError(EnrichError):
    """A notification that cannot be parsed; the message names the field and what was expected."""


class ModelUnavailableError(EnrichError):
    """The model's files are not on disk and cannot be downloaded from the hub."""


class ModelUnsupportedError(EnrichError):
    """The model loads, but is not an image–text model this encoder can drive, or is not safe to load."""


class TextTooLongError(EnrichError):
    """A search text has more tokens than the model reads: the rest would be ignored."""


class SpaceMismatchError(EnrichError):
    """The encoder does not produce the vectors of the space that it was asked to fill."""


class TaxonomyError(EnrichError):
    """A taxonomy file is invalid; the message gives file, line and the valid choices."""


class ServerError(EnrichError):
    """An embedded server does not start, or a port it needs is taken."""


class QueueUnavailableError(EnrichError):
    """A message queue cannot be reached or answers with a temporary error. It keeps its messages."""


class StoreUnavailableError(EnrichError):
    """The object store cannot be reached or answers 5xx, 429 or a timeout: nothing is known about the object."""


class BucketNotFoundError(EnrichError):
    """The store answers, but has no such bucket: it was deleted, or a setting is wrong."""


class NotWatchedError(EnrichError):
    """An object or bucket is not in ENRICH_BUCKETS, so it is not read; the message says what to set."""


class BucketElsewhereError(ConfigurationError):
    """The store redirects requests for this bucket: its region or endpoint differs from the settings."""


class ObjectRefusedError(EnrichError):
    """The store answers but refuses this object; it may serve others."""


class AccessDeniedError(ObjectRefusedError):
    """The store refuses the object to our credentials (403)."""

    def __init__(self, ref: ObjectRef, hint: str = "") -> None:
        super().__init__(f"{ref}: the store denies access; check the credentials' policy for s3:GetObject{hint}")
        self.ref = ref


class ObjectArchivedError(ObjectRefusedError):
    """The object is in a storage class that must be restored before it can be read."""


class ObjectUnreadableError(ObjectRefusedError):
    """The store answers a definite 4xx for this object: it is encrypted with its owner's key, for example."""


class ImageRejectedError(EnrichError):
    """These bytes can never be decoded to a picture. Carries the quarantine reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DecoderLostError(EnrichError):
    """The process that was decoding a picture has ended, not necessarily because of the picture."""


class FatalDeviceError(EnrichError):
    """The accelerator's context is broken; only a new process helps."""


class LeaseLostError(EnrichError):
    """An object's lease ended before the work on it began: another worker may have it by now."""


class NotFoundError(EnrichError):
    """The catalog has no such image, space or taxonomy."""


class ContentChangedError(EnrichError):
    """The object in the store is not what the catalog describes; it is going to be enriched again."""


class DeviceMemoryError(EnrichError):
    """The device lacks memory for even one image. The image is not at fault: try it again later."""


class CursorError(EnrichError):
    """A cursor is invalid, or belongs to another list: pass it on exactly as it was given."""


class ChoiceError(EnrichError):
    """A request contradicts itself, or would select everything without saying so."""


class FeedGoneError(EnrichError):
    """The change feed no longer has everything after a cursor. Carries the cursor to start over from."""

    def __init__(self, why: str, *, start: str) -> None:
        super().__init__(
            f"{why}; start over: keep `start`, read GET /v1/images to its end, then follow the feed from `start`"
        )
        self.start = start


class OutdatedTaxonomiesError(EnrichError):
    """Tags were decided by taxonomies that are no longer in force: nothing was written, decide again."""

    def __init__(self, *, had: int, current: int) -> None:
        super().__init__(f"tags were decided by revision {had} of the taxonomies, but {current} is in force now")
        self.had = had
        self.current = current


class ApplyingError(EnrichError):
    """Another process is applying taxonomies."""
