"""Thumbnails of stored images for pages that hold them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.settings import Settings


def thumbnails_of(settings: Settings, wanted: Mapping[str, str]) -> dict[str, bytes | str]:
    """The kept thumbnails of images, or new ones, of the originals in the store.

    Args:
        settings: of the store.
        wanted: BUCKET/KEY → SHA-256 of the bytes that are meant.

    Returns:
        BUCKET/KEY → a WebP file, or why there is none.
    """
    from concurrent.futures import ThreadPoolExecutor

    from worker.bootstrap import previews
    from worker.errors import StoreUnavailableError
    from worker.images.previews import THUMBNAIL
    from worker.types import ObjectRef

    source = previews.source_for_commands(settings)
    away: list[str] = []  # why the store does not answer: it is not asked for each of many pictures

    def load(name: str) -> bytes | str:
        bucket, _, key = name.partition("/")
        if away:
            return away[0]
        try:
            return source.of(ObjectRef(bucket=bucket, key=key), wanted[name], THUMBNAIL)
        except Exception as error:  # noqa: BLE001  # the others are shown
            why = " ".join(str(error).split())[:300]
            if isinstance(error, StoreUnavailableError):
                away.append(why)
            return why

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(wanted, pool.map(load, wanted), strict=True))


def image(picture: bytes | str) -> str:
    """The picture as an HTML element without a name, or why there is none."""
    if isinstance(picture, str):
        return f"<p>no picture: {text(picture)}</p>"
    return f'<img src="data:image/webp;base64,{base64.b64encode(picture).decode()}" alt="">'


def text(value: str) -> str:
    """Escaped for HTML."""
    return escape(value.encode(errors="replace").decode())
