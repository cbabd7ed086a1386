"""Pictures: previews of images, and presigned URLs of originals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from worker.api import access
from worker.api.authentication import ReadRoute
from worker.api.parameters import BucketInPath, KeyInPath
from worker.api.problems import described, unavailable
from worker.api.services import Parts, parts_of
from worker.catalog.read import Content
from worker.errors import (
    BucketNotFoundError,
    ConfigurationError,
    ContentChangedError,
    DecoderLostError,
    ImageRejectedError,
    NotWatchedError,
    ObjectRefusedError,
    StoreUnavailableError,
)
from worker.images import previews
from worker.images.previews import PreviewSize
from worker.pipeline.reading import image_lookup
from worker.types import ObjectRef

router = APIRouter(
    prefix="/v1",
    tags=["images"],
    route_class=ReadRoute,
    dependencies=access.described(ReadRoute.scope),
    responses=described(400, 401, 403, 404, 409, 422, 503),
)

#: Addresses with a hash name the bytes: what they return never changes.
_FOR_EVER = "private, max-age=31536000, immutable"
#: Others name a key, which may get other bytes: asked again after a minute, mostly answered with 304.
_FOR_A_MINUTE = "private, max-age=60, must-revalidate"
#: Nothing is wrong with the object, as far as we know: try again, perhaps once an operator has read the log.
_STORE_TROUBLE: Final = (
    BucketNotFoundError,
    ConfigurationError,
    DecoderLostError,
    ObjectRefusedError,
    StoreUnavailableError,
)
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')

_Parts = Annotated[Parts, Depends(parts_of)]
_Size = Annotated[PreviewSize, Path(description="Most pixels of the longer side.")]
_Sha256 = Annotated[
    str | None,
    Query(
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the bytes that are meant, as hex digits. The answer may then be cached for ever; it is "
        "409 if the image has other bytes.",
    ),
]
_Redirect = Annotated[bool, Query(description="Answer with a redirect to the URL, 307, instead of with JSON.")]


class Original(BaseModel):
    """Where the original can be read, without our token, until the URL expires."""

    url: str = Field(description="A presigned URL of the object store. Whoever has it can read the object.")
    expires_in: int = Field(description="Seconds for which it is valid.")


_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A WebP file: upright, in sRGB, without metadata.",
        "content": {previews.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "The preview is still the one with the ETag of `If-None-Match`."},
}


@router.get(
    "/previews/{size}/{bucket}/{key:object_key}",
    summary="Get a preview of an image",
    response_class=Response,
    responses=_IMAGE,
)
async def get_preview(  # noqa: PLR0917  # FastAPI passes them by name
    request: Request, size: _Size, bucket: BucketInPath, key: KeyInPath, parts: _Parts, sha256: _Sha256 = None
) -> Response:
    """A small picture of the image. One that is not there yet is made from the original, which takes up to seconds.

    The catalog decides which bytes are shown. A 404 says what is known about the object instead; a 409 means that the
    object has other bytes by now, and is about to be enriched again, or that they cannot be decoded within the limits.
    """
    ref = ObjectRef(bucket=bucket, key=key)
    content = await _content(parts, ref, sha256)
    headers = {
        "Cache-Control": _FOR_A_MINUTE if sha256 is None else _FOR_EVER,
        "ETag": etag(content.sha256, size),
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",  # or any site's page could show it, where no token is needed
    }
    given = ", ".join(request.headers.getlist("if-none-match"))
    not_modified = Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if headers["ETag"].strip('"') in _ETAG.findall(given):
        return not_modified
    with _translated():
        webp = await _preview(parts, ref, content.sha256, size)
    if given.strip() == "*":  # any preview will do, but there has to be one (RFC 9110, 13.1.2)
        return not_modified
    return Response(webp, headers=headers, media_type=previews.MEDIA_TYPE)


async def _preview(parts: Parts, ref: ObjectRef, sha256: str, size: int) -> bytes:
    """The kept preview, or one made now: both sizes are made at once, in one run for all who ask meanwhile.

    Copies of a file do not share a run: what is wrong with one of the objects is not wrong with the others.
    """
    source = parts.services.previews
    kept = await parts.picturing(lambda: source.kept.get(sha256, size))
    if kept is not None:
        return kept
    both = await parts.previews((ref, sha256), lambda: parts.making(lambda: source.both(ref, sha256)))
    return both[size]


@router.get(
    "/model-inputs/{bucket}/{key:object_key}",
    summary="Get an image as the model sees it",
    response_class=Response,
    responses={
        200: {
            "description": "A WebP file, as large as the model takes pictures.",
            "content": {previews.MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        **described(429),
    },
)
async def get_model_input(bucket: BucketInPath, key: KeyInPath, parts: _Parts, sha256: _Sha256 = None) -> Response:
    """What the active model gets of the image: cropped, scaled, and with the colours that it is given.

    It is made from the original, and not kept; the first request loads the model, which takes seconds. A 404 says what
    is known about the object instead; a 409 means that it has other bytes by now, or cannot be decoded within the
    limits.
    """
    ref = ObjectRef(bucket=bucket, key=key)
    content = await _content(parts, ref, sha256)
    parts.images.take(1)
    with _translated():
        made = await parts.encoding(lambda: parts.services.model_inputs.of(ref, content.sha256))
    headers = {"Cache-Control": _FOR_A_MINUTE, "X-Content-Type-Options": "nosniff"}
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return Response(made, headers=headers, media_type=previews.MEDIA_TYPE)


@router.get(
    "/originals/{bucket}/{key:object_key}",
    summary="Get a URL of an original",
    response_model=Original,
    responses={307: {"description": "With `redirect`: the URL is in `Location`."}},
)
async def get_original(
    bucket: BucketInPath, key: KeyInPath, parts: _Parts, sha256: _Sha256 = None, *, redirect: _Redirect = False
) -> Response:
    """A presigned URL under which the object store itself returns the file, for `ENRICH_ORIGINAL_URL_SECONDS`.

    Only images of watched buckets have one. A 404 says what is known about the object instead; a 409 means that it has
    other bytes by now. Send no token of ours to that URL: stores refuse a request with two kinds of credentials.
    """
    ref = ObjectRef(bucket=bucket, key=key)
    content = await _content(parts, ref, sha256)
    with _translated():
        found = await parts.picturing(lambda: parts.services.originals.of(ref, content.etag))
    headers = {"Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}
    if redirect:
        return RedirectResponse(found.url, HTTPStatus.TEMPORARY_REDIRECT, headers)
    return JSONResponse(Original(url=found.url, expires_in=found.seconds).model_dump(), headers=headers)


async def _content(parts: Parts, ref: ObjectRef, sha256: str | None) -> Content:
    found = await parts.reading(lambda: image_lookup.content(parts.services.engine, ref))
    if sha256 is not None and sha256 != found.sha256:
        message = f"{ref} has the bytes with sha256 {found.sha256} by now; ask for those, or without sha256"
        raise HTTPException(409, message)
    return found


@contextmanager
def _translated() -> Iterator[None]:
    """Say as a problem why an object cannot be read.

    Raises:
        HTTPException: 409, because of what the object is; 503, because of the store or its settings.
    """
    try:
        yield
    except (ContentChangedError, ImageRejectedError, NotWatchedError) as error:
        raise HTTPException(409, str(error)) from error
    except _STORE_TROUBLE as error:
        raise unavailable(str(error), after=10) from error


def etag(sha256: str, size: int) -> str:
    """The ETag of a preview: the same picture in the same size, made the same way, has the same bytes."""
    return f'"{sha256[:32]}-{size}-v{previews.VERSION}"'
