"""The configured S3 store, whatever is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.settings import Settings

if TYPE_CHECKING:
    from worker.objects import S3Store


def connect(settings: Settings, *, pool_size: int, endpoint_url: str | None = None) -> S3Store:
    """The store, with access to everything that the credentials allow.

    Args:
        settings: where it is, and the credentials.
        pool_size: connections kept open.
        endpoint_url: another address of the same store; None: ENRICH_S3_ENDPOINT_URL.
    """
    from worker.objects import S3Store

    secret = settings.s3_secret_access_key
    return S3Store(
        endpoint_url=endpoint_url or settings.s3_endpoint_url,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=secret.get_secret_value() if secret else None,
        addressing_style=settings.s3_addressing_style,
        timeout=settings.store_timeout,
        pool_size=pool_size,
        requester_pays=settings.s3_requester_pays,
        metadata=settings.user_metadata,
    )
