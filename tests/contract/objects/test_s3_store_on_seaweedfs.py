"""What only a real server can show of the S3 store."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator

import pytest

from tests.contract.objects.conftest import KEY_ID, SECRET, STRANGER_ID, STRANGER_SECRET, free_ports
from worker.errors import AccessDeniedError, ConfigurationError, ObjectUnreadableError, StoreUnavailableError
from worker.objects import Fetched, NotModified, S3Store, codings, decode
from worker.types import ObjectRef


@pytest.fixture
def ref(s3_store: S3Store) -> ObjectRef:
    made = ObjectRef(bucket=f"real-{uuid.uuid4().hex[:12]}", key="a b+c/é.jpg")
    s3_store.create_bucket(made.bucket)
    s3_store.put(made, b"bytes", "image/jpeg")
    return made


@pytest.fixture
def stranger(seaweedfs: str) -> Iterator[S3Store]:
    store = S3Store(endpoint_url=seaweedfs, access_key_id=STRANGER_ID, secret_access_key=STRANGER_SECRET)
    yield store
    store.close()


def test_credentials_without_permission_are_denied_the_object(stranger: S3Store, ref: ObjectRef) -> None:
    """The object is named, for GET and HEAD."""
    with pytest.raises(AccessDeniedError) as denied:
        stranger.get(ref, etag=None, max_bytes=100)
    assert denied.value.ref == ref
    with pytest.raises(AccessDeniedError):
        stranger.head(ref)


def test_credentials_without_permission_are_denied_the_listing(stranger: S3Store, ref: ObjectRef) -> None:
    """A listing is about the bucket: the settings are wrong, no object is."""
    with pytest.raises(ConfigurationError, match=f"{ref.bucket}: .*s3:ListBucket"):
        next(stranger.list(ref.bucket))


def test_a_wrong_secret_is_a_wrong_setting(seaweedfs: str, ref: ObjectRef) -> None:
    """Else every object of the bucket would be taken for denied."""
    store = S3Store(endpoint_url=seaweedfs, access_key_id=KEY_ID, secret_access_key="wrong")
    with pytest.raises(ConfigurationError, match="SignatureDoesNotMatch"):
        store.get(ref, etag=None, max_bytes=100)
    store.close()


def test_a_key_that_the_server_refuses_is_no_deleted_object(s3_store: S3Store, ref: ObjectRef) -> None:
    """SeaweedFS refuses dot segments. It is the key that cannot be read, not the store that is away."""
    with pytest.raises(ObjectUnreadableError, match="400 InvalidRequest"):
        s3_store.get(ObjectRef(bucket=ref.bucket, key="a/../b.jpg"), etag=None, max_bytes=100)


def test_a_large_object_that_is_refused_costs_its_connection_and_nothing_else(
    s3_store: S3Store, ref: ObjectRef
) -> None:
    """The next request is answered as if nothing had happened."""
    large = ObjectRef(bucket=ref.bucket, key="large.bin")
    s3_store.put(large, b"x" * 20_000_000)
    for _ in range(3):
        s3_store.get(large, etag=None, max_bytes=100)
        answer = s3_store.get(ref, etag=None, max_bytes=100)
        assert isinstance(answer, Fetched)
        assert b"bytes" == answer.data


def test_listed_and_read_etags_are_the_same_however_an_object_was_written(s3_store: S3Store, ref: ObjectRef) -> None:
    """In parts (whose etag is no MD5) and in one piece larger than the server's chunks: else all of them were stale."""
    parts = ObjectRef(bucket=ref.bucket, key="parts.bin")
    upload = s3_store._client.create_multipart_upload(Bucket=parts.bucket, Key=parts.key)["UploadId"]
    where = {"Bucket": parts.bucket, "Key": parts.key, "UploadId": upload}
    tags = [
        s3_store._client.upload_part(**where, PartNumber=number, Body=b"x" * (5 << 20))["ETag"] for number in (1, 2)
    ]
    done = {"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)]}
    s3_store._client.complete_multipart_upload(**where, MultipartUpload=done)
    s3_store.put(ObjectRef(bucket=ref.bucket, key="large.bin"), b"x" * 20_000_000)
    listed = {each.key: each.etag for each in s3_store.list(ref.bucket)}
    assert "-" in listed["parts.bin"]
    for key, etag in listed.items():
        answer = s3_store.get(ObjectRef(bucket=ref.bucket, key=key), etag=None, max_bytes=30_000_000)
        assert isinstance(answer, Fetched)
        assert (etag, etag) == (answer.info.etag, getattr(s3_store.head(answer.info.ref), "etag", None))
        assert s3_store.get(answer.info.ref, etag=etag, max_bytes=1) == NotModified()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    """Nothing is known about the object."""
    store = S3Store(endpoint_url=f"http://127.0.0.1:{free_ports(1)[0]}", access_key_id="a", secret_access_key="b")
    with pytest.raises(StoreUnavailableError):
        store.get(ObjectRef(bucket="bucket", key="key"), etag=None, max_bytes=100)
    with pytest.raises(StoreUnavailableError):
        next(store.list("bucket"))
    store.close()


def test_an_object_with_a_content_encoding_comes_as_it_is_stored_or_says_that_it_does_not(
    s3_store: S3Store, ref: ObjectRef
) -> None:
    """The header and the bytes belong together, and so do their length and etag: what is told as packed is packed."""
    plain = b"\xff\xd8\xff plain " * 100
    for encoding in ("gzip", "aws-chunked,gzip", "x-gzip"):
        data = gzip.compress(plain)
        s3_store._client.put_object(
            Bucket=ref.bucket, Key=ref.key, Body=data, ContentType="image/jpeg", ContentEncoding=encoding
        )
        answer = s3_store.get(ref, etag=None, max_bytes=100_000)
        assert isinstance(answer, Fetched)
        applied = codings(answer.info.content_encoding)
        assert plain == (decode(answer.data, applied, most=100_000) if applied else answer.data)
        assert (len(answer.data), s3_store.head(ref)) == (answer.info.size, answer.info)


def test_a_server_accepts_our_signature_where_we_pay(seaweedfs: str, ref: ObjectRef) -> None:
    """The header is part of it, in every kind of request; a wrong one is refused as SignatureDoesNotMatch."""
    store = S3Store(endpoint_url=seaweedfs, access_key_id=KEY_ID, secret_access_key=SECRET, requester_pays=[ref.bucket])
    answer = store.get(ref, etag=None, max_bytes=100)
    assert isinstance(answer, Fetched)
    assert (answer.data, store.head(ref)) == (b"bytes", answer.info)
    assert store.get(ref, etag=answer.info.etag, max_bytes=100) == NotModified()
    assert [each.key for each in store.list(ref.bucket)] == [ref.key]
    store.put(ObjectRef(bucket=ref.bucket, key="b"), b"b")
    store.delete(ref)
    assert store.head(ref) is None
    assert ["b"] == [each.key for each in store.list(ref.bucket)]
    store.close()
