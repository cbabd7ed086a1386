"""The use case: a URL under which a client reads an original from the store itself, for a short time."""

from __future__ import annotations

from dataclasses import dataclass

from worker.errors import ContentChangedError, NotFoundError
from worker.objects import ObjectStore
from worker.types import ObjectRef


@dataclass(frozen=True, kw_only=True, slots=True)
class OriginalUrl:
    """A presigned URL."""

    url: str
    seconds: int  # for which it is valid


@dataclass(frozen=True, kw_only=True, slots=True)
class Originals:
    """Signs URLs of watched objects."""

    store: ObjectStore  # as this process reaches it
    public: ObjectStore  # as clients reach it; only signs
    seconds: int  # for which a URL is valid

    def of(self, ref: ObjectRef, etag: str) -> OriginalUrl:
        """A URL for the bytes that the catalog describes.

        Args:
            ref: the object.
            etag: of the bytes that the catalog describes.

        Raises:
            NotFoundError: the object is gone from the store.
            ContentChangedError: it has other bytes by now.
            NotWatchedError: it is not in ENRICH_BUCKETS any more.
            StoreUnavailableError, ObjectRefusedError: the store does not say whether it has the object.
        """
        found = self.store.head(ref)
        if found is None:
            raise NotFoundError(f"{ref} is no longer in the store; it leaves the catalog when that is noticed")
        if found.etag != etag:
            raise ContentChangedError(
                f"{ref} has other bytes by now than those that the catalog describes; ask again once it has been "
                "enriched again"
            )
        return OriginalUrl(url=self.public.presigned(ref, seconds=self.seconds), seconds=self.seconds)
