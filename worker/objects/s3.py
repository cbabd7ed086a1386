"""S3 and compatible stores. boto3 signs and lists; object bytes bypass it.

boto3's ``get_object`` holds the interpreter's lock for 1.2–1.6 ms a call: about 570 objects a second in one process,
with any number of threads. A GET through urllib3 takes 0.3 ms (66 kB objects), and botocore's signer a fifth of that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)

from worker.errors import BucketNotFoundError, ConfigurationError, StoreUnavailableError
from worker.objects.failures import failure
from worker.objects.listing import ListingProgress
from worker.objects.requester_pays import RequesterPays
from worker.objects.signing import Signer
from worker.objects.transport import HttpTransport
from worker.objects.user_metadata import user_metadata
from worker.objects.values import (
    HEAD_BYTES,
    Answer,
    Fetched,
    Gone,
    ListedObject,
    NotModified,
    NotRead,
    WorthReading,
    normalize_etag,
)
from worker.types import ObjectInfo, ObjectRef

_SIGNATURE_SECONDS = 900  # requests are sent at once; clocks may differ
_ERROR_BYTES = 65_536  # of an error's body; real ones have hundreds
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,100})</Code>")
_REGION = re.compile(rb"<Region>([a-z0-9-]{1,50})</Region>")


class S3Store:
    """An object store over its S3 API. Thread-safe; close it when done."""

    def __init__(
        self,
        *,
        endpoint_url: str | None = None,
        region: str = "us-east-1",
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        addressing_style: Literal["auto", "path", "virtual"] = "auto",
        timeout: float = 30.0,
        pool_size: int = 16,
        requester_pays: Collection[str] = (),
        metadata: Collection[str] = (),
    ) -> None:
        """Open no connection yet.

        Args:
            endpoint_url: of the store; None is AWS.
            region: used to sign.
            access_key_id: None is boto3's chain: environment, profile, web identity, instance role; those that expire
                are refreshed.
            secret_access_key: goes with ``access_key_id``.
            session_token: goes with temporary keys.
            addressing_style: bucket in the path or in the host name. ``auto``: path where an endpoint is given.
            timeout: seconds to connect, and seconds without a byte before a request is given up.
            pool_size: connections kept open; as many as threads that fetch.
            requester_pays: buckets for whose requests we pay; ``*`` is every bucket.
            metadata: names of the user metadata that answers carry, in lower case; ``*`` is every name.

        Raises:
            ConfigurationError: the endpoint is no URL, or only half of the keys is given.
        """
        if (access_key_id is None) != (secret_access_key is None):
            raise ConfigurationError("set both ENRICH_S3_ACCESS_KEY_ID and ENRICH_S3_SECRET_ACCESS_KEY, or neither")
        self._endpoint_url = endpoint_url
        self._region = region
        session = _session(
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            aws_session_token=session_token,
        )
        self._client = client = _client(
            session,
            region_name=region,
            endpoint_url=endpoint_url,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": _style(addressing_style, endpoint_url)},
                connect_timeout=timeout,
                read_timeout=timeout,
                max_pool_connections=pool_size,
                retries={"total_max_attempts": 2, "mode": "standard"},
                # Not every store knows the checksums that AWS added in 2024.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self._metadata = frozenset(metadata)
        self._pays = RequesterPays(frozenset(requester_pays))
        self._pays.register(client)
        client.meta.events.register_first("needs-retry.s3.HeadBucket", _ask_for_the_region_once)
        if endpoint_url:
            _check_endpoint(endpoint_url)
        ca_bundle = session._session.get_config_variable("ca_bundle")  # noqa: SLF001  # not available elsewhere
        self._transport = HttpTransport(timeout=timeout, pool_size=pool_size, ca_bundle=ca_bundle)
        self._signer = Signer(
            lambda ref: self._sign("get_object", ref),
            lambda: session.get_credentials().get_frozen_credentials(),
            seconds=_SIGNATURE_SECONDS,
        )

    def get(
        self, ref: ObjectRef, *, etag: str | None, max_bytes: int, worth_reading: WorthReading | None = None
    ) -> Answer:
        """See `ObjectStore.get`."""
        headers = {**self._pays.headers(ref.bucket), **({"If-None-Match": f'"{etag}"'} if etag else {})}

        def attempt() -> Answer:
            with self._transport.request("GET", self._signed(ref), headers) as response:
                if response.status == HTTPStatus.OK:
                    return self._receive(response, ref, max_bytes, worth_reading)
                if response.status == HTTPStatus.NOT_MODIFIED:
                    return NotModified()
                return self._refused(response, ref)

        return self._transport.retrying(attempt)

    def head(self, ref: ObjectRef) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        headers = self._pays.headers(ref.bucket)

        def attempt() -> ObjectInfo | int:
            with self._transport.request("HEAD", self._sign("head_object", ref), headers) as response:
                if response.status == HTTPStatus.OK:
                    size = int(response.headers.get("content-length", 0))
                    return _info(ref, response.headers, size=size, metadata=self._metadata)
                if response.status == HTTPStatus.NOT_FOUND:
                    return response.status
                # The answer to a HEAD has no body for a code, so its status is all there is.
                raise failure(response.status, response.reason or "HEAD", bucket=ref.bucket, key=ref.key,
                              pays=self._pays.covers(ref.bucket), **_directions(response.headers))  # fmt: skip

        answer = self._transport.retrying(attempt)
        if isinstance(answer, ObjectInfo):
            return answer
        self._check_bucket(ref.bucket)  # the answer to a HEAD has no body that says what was not found
        return None

    def list(self, bucket: str, prefix: str = "", start_after: str = "") -> Iterator[ListedObject]:
        """See `ObjectStore.list`."""
        position = {"StartAfter": start_after} if start_after else {}
        progress = ListingProgress(bucket)
        while True:
            with self._errors(bucket):  # boto3 asks for URL-encoded keys and decodes them
                page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, **position)
            token = progress.next_token(page)
            yield from map(_listed, page.get("Contents", ()))
            if token is None:
                return
            position = {"ContinuationToken": token}

    def put(self, ref: ObjectRef, data: bytes, content_type: str = "application/octet-stream") -> str:
        """See `ObjectStore.put`."""
        with self._errors(ref.bucket, ref.key):
            answer = self._client.put_object(Bucket=ref.bucket, Key=ref.key, Body=data, ContentType=content_type)
        return normalize_etag(answer.get("ETag"))

    def presigned(self, ref: ObjectRef, *, seconds: int) -> str:
        """See `ObjectStore.presigned`."""
        return self._sign("get_object", ref, seconds=seconds)

    def delete(self, ref: ObjectRef) -> None:
        """See `ObjectStore.delete`."""
        with self._errors(ref.bucket, ref.key):
            self._client.delete_object(Bucket=ref.bucket, Key=ref.key)

    def create_bucket(self, bucket: str) -> None:
        """See `ObjectStore.create_bucket`."""
        at_aws = self._endpoint_url is None and self._region != "us-east-1"
        where = {"CreateBucketConfiguration": {"LocationConstraint": self._region}} if at_aws else {}
        with self._errors(bucket):
            try:
                self._client.create_bucket(Bucket=bucket, **where)
            except self._client.exceptions.BucketAlreadyOwnedByYou:
                return
            except self._client.exceptions.BucketAlreadyExists:  # some stores say so of our own buckets, too
                if bucket not in self.buckets():
                    message = f"{bucket}: the name belongs to someone else's bucket; choose another name"
                    raise ConfigurationError(message) from None

    def buckets(self) -> tuple[str, ...]:
        """See `ObjectStore.buckets`."""
        with self._errors(""):
            return tuple(sorted(bucket["Name"] for bucket in self._client.list_buckets().get("Buckets", ())))

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._transport.close()
        self._client.close()

    def _signed(self, ref: ObjectRef) -> str:
        with self._errors(ref.bucket, ref.key):
            return self._signer.url(ref, self._pays.headers(ref.bucket))

    def _sign(self, operation: str, ref: ObjectRef, *, seconds: int = _SIGNATURE_SECONDS) -> str:
        parameters = {"Bucket": ref.bucket, "Key": ref.key, **self._pays.parameters(ref.bucket)}
        with self._errors(ref.bucket, ref.key):
            url: str = self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)
        return url

    def _receive(
        self,
        response: urllib3.BaseHTTPResponse,
        ref: ObjectRef,
        max_bytes: int,
        worth_reading: WorthReading | None,
    ) -> Fetched | NotRead:
        body, size = self._transport.body(response), _announced_size(response)
        head = body.read(HEAD_BYTES)[:HEAD_BYTES]
        if size is None:
            body.read(max_bytes + 1)
            size = body.received
        info = _info(ref, response.headers, size=size, metadata=self._metadata)
        if worth_reading is not None and not worth_reading(info, head):
            return NotRead(info=info, head=head, why="refused")
        if size > max_bytes:
            return NotRead(info=info, head=head, why="too-large")
        return Fetched(info=info, data=body.read(size))

    def _refused(self, response: urllib3.BaseHTTPResponse, ref: ObjectRef) -> Gone:
        text = self._transport.body(response).read(_ERROR_BYTES)
        code = _first(_CODE, text)
        is_marker = response.headers.get("x-amz-delete-marker") == "true"
        if response.status == HTTPStatus.NOT_FOUND and (is_marker or code == "NoSuchKey"):
            return Gone()  # any other 404 may be a proxy's, and says nothing about the object
        self._signer.forget()
        directions = _directions(response.headers, _first(_REGION, text))
        pays = self._pays.covers(ref.bucket)
        raise failure(response.status, code, bucket=ref.bucket, key=ref.key, pays=pays, **directions)

    def _errors(self, bucket: str, key: str | None = None) -> AbstractContextManager[None]:
        return _client_errors(bucket, key, pays=self._pays.covers(bucket))

    def _check_bucket(self, bucket: str) -> None:
        with self._errors(bucket):
            try:
                self._client.head_bucket(Bucket=bucket)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
                    raise
                raise failure(HTTPStatus.NOT_FOUND, "NoSuchBucket", bucket=bucket, key=None) from error


def _check_endpoint(url: str) -> None:
    """Refuse settings that boto3 accepts here but rejects at every request, which would look like an outage."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and not parts.query and parts.port != 0
    except ValueError:  # the port is no number, or none that there is
        usable = False
    if not usable:
        raise ConfigurationError(
            "the object store's settings are wrong: ENRICH_S3_ENDPOINT_URL is not the address of a store; write "
            "http://HOST:PORT or https://HOST"
        )


def _session(**keys: str | None) -> Any:
    """A session of our own: boto3's default session is not thread-safe."""
    try:
        return boto3.session.Session(**keys)
    except (ValueError, BotoCoreError) as error:
        raise ConfigurationError(f"the object store's settings are wrong: {error}") from error


def _client(session: Any, **parameters: Any) -> Any:
    try:
        return session.client("s3", **parameters)
    except (ValueError, BotoCoreError) as error:
        raise ConfigurationError(f"the object store's settings are wrong: {error}") from error


def _ask_for_the_region_once(request_dict: dict[str, Any], response: Any, **_: Any) -> None:
    """Break a loop in boto3: if a HEAD of the bucket is redirected without a region, it repeats that HEAD."""
    headers = response[1].get("ResponseMetadata", {}).get("HTTPHeaders", {}) if response else {}
    if "x-amz-bucket-region" not in headers:
        request_dict.get("context", {}).setdefault("s3_redirect", {})["redirected"] = True


def _style(chosen: str, endpoint_url: str | None) -> str:
    """Path or virtual. boto3's own ``auto`` signs for AWS's global host name, which redirects to the region's."""
    if chosen != "auto":
        return chosen
    return "path" if endpoint_url else "virtual"


def _announced_size(response: urllib3.BaseHTTPResponse) -> int | None:
    """Content-Length; None if the body is chunked and so marks its own end.

    Raises:
        StoreUnavailableError: neither, so a complete body cannot be told from a truncated one.
    """
    size: int | None = getattr(response, "length_remaining", None)
    if size is None and "chunked" not in response.headers.get("transfer-encoding", "").lower():
        raise StoreUnavailableError("the store sent an object without its length")
    return size


def _info(ref: ObjectRef, headers: Mapping[str, str], *, size: int, metadata: Collection[str]) -> ObjectInfo:
    return ObjectInfo(
        ref=ref,
        etag=normalize_etag(headers.get("etag")),
        size=size,
        last_modified=_http_date(headers.get("last-modified")),
        version_id=headers.get("x-amz-version-id"),
        content_type=headers.get("content-type"),
        content_encoding=headers.get("content-encoding"),
        user_metadata=user_metadata(headers, metadata),
    )


def _http_date(header: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(header or "")
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)


def _listed(entry: Mapping[str, Any]) -> ListedObject:
    return ListedObject(
        key=entry["Key"],
        etag=normalize_etag(entry.get("ETag")),
        size=entry["Size"],
        last_modified=entry["LastModified"].astimezone(UTC),
    )


def _directions(headers: Mapping[str, str], region: str = "") -> dict[str, str]:
    """Where the store says that a bucket is, if it says so; ``region`` is from the answer's body."""
    return {"region": headers.get("x-amz-bucket-region") or region, "location": headers.get("location", "")}


def _first(pattern: re.Pattern[bytes], text: bytes) -> str:
    found = pattern.search(text)
    return found[1].decode() if found else ""


@contextmanager
def _client_errors(bucket: str, key: str | None, *, pays: bool) -> Iterator[None]:
    """Translate boto3's errors to ours."""
    try:
        yield
    except ClientError as error:
        answer, said = error.response.get("ResponseMetadata", {}), error.response.get("Error", {})
        status, code = answer.get("HTTPStatusCode", 0), said.get("Code", "")
        code = "" if code == str(status) else code  # which boto3 makes of an answer without one
        directions = _directions(answer.get("HTTPHeaders", {}), said.get("Region", ""))
        raise failure(status, code, bucket=bucket, key=key, pays=pays, **directions) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        message = f"no credentials for the object store ({error}); set ENRICH_S3_ACCESS_KEY_ID and its secret"
        raise ConfigurationError(message) from error
    except ParamValidationError as error:
        raise BucketNotFoundError(f"{bucket!r}: no store has a bucket of that name, or the key is empty") from error
    except BotoCoreError as error:
        raise StoreUnavailableError(f"the object store cannot be reached: {error}") from error
