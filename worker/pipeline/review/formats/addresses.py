"""Which image a path or URL in a file names."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import parse_qs, unquote, urlsplit

from worker.pipeline.review.formats.rows import BadValueError, ReadOptions
from worker.suggestions import shown
from worker.types import ObjectRef

#: Clouds write bucket and key in the same way.
_CLOUDS = ("s3", "s3a", "gs", "azure-blob")
# bucket.s3.amazonaws.com, bucket.s3.eu-west-1.amazonaws.com, bucket.s3-eu-west-1.amazonaws.com
_BUCKET_IN_HOST = re.compile(r"(?P<bucket>.+)\.s3([.-][a-z0-9-]+)?\.amazonaws\.com", re.IGNORECASE)
# Label Studio puts eight hex digits before the names of files that are uploaded to it.
_UPLOADED = re.compile(r"/data/upload/\d+/(?:[0-9a-f]{8}-)?(?P<name>[^/]+)")
_DRIVE = re.compile(r"[A-Za-z]:\\")


def image(address: str, options: ReadOptions) -> ObjectRef:
    """The image that an address names.

    Args:
        address: ``s3://bucket/key``, an HTTP URL, an address of Label Studio's, or a path.
        options: bucket, prefix and what to strip, for paths.

    Raises:
        BadValueError: it names none.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _local(address, options)
    if scheme.lower() in _CLOUDS:
        bucket, _, key = rest.partition("/")
        return _ref(bucket, key, address)
    if scheme.lower() in ("http", "https"):
        return _web(address, options)
    if scheme.lower() == "file":
        return _path(unquote(rest), address, options)
    raise BadValueError(f"{shown(address)} is not an image's address: s3://bucket/key, http(s)://…, or a path")


def _web(url: str, options: ReadOptions) -> ObjectRef:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadValueError(f"{shown(url)} is not an image's address: {error}") from error
    if "fileuri" in parts.query or parts.path.startswith("/data/"):
        return _local(f"{parts.path}?{parts.query}" if parts.query else parts.path, options)
    path = unquote(parts.path).removeprefix("/")
    in_host = _BUCKET_IN_HOST.fullmatch(parts.hostname or "")
    if in_host:
        return _ref(in_host["bucket"], path, url)
    bucket, _, key = path.partition("/")
    if options.bucket is not None and bucket != options.bucket:
        return _path(path, url, options)
    return _ref(bucket, key, url)


def _local(address: str, options: ReadOptions) -> ObjectRef:
    """A path, or one of the addresses under which Label Studio serves files."""
    path, _, query = address.partition("?")
    if path.startswith("/data/local-files") and query:
        return _path(parse_qs(query).get("d", [""])[0], address, options)
    if "fileuri=" in query:
        return image(_decoded(parse_qs(query)["fileuri"][0], address), options)
    uploaded = _UPLOADED.fullmatch(path)
    if uploaded:
        return _path(unquote(uploaded["name"]), address, options)
    return _path(address, address, options)


def _decoded(encoded: str, address: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadValueError(f"{shown(address)} does not name an image: its fileuri is not base64") from error


def _path(path: str, address: str, options: ReadOptions) -> ObjectRef:
    if options.bucket is None:
        raise BadValueError(f"{shown(address)} does not say in which bucket it is: give --bucket")
    plain = path.replace("\\", "/") if _DRIVE.match(path) else path
    plain = plain.removeprefix("./").removeprefix(options.strip).removeprefix("/")
    return _ref(options.bucket, options.prefix + plain if plain else "", address)


def _ref(bucket: str, key: str, address: str) -> ObjectRef:
    if not bucket or not key:
        raise BadValueError(f"{shown(address)} does not name an image: bucket or key is missing")
    return ObjectRef(bucket=bucket, key=key)
