"""URLs that we have botocore sign without boto3's client are those of boto3, to the letter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore import auth
from botocore.config import Config
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from worker.objects.requester_pays import HEADER
from worker.objects.signing import Signer
from worker.types import ObjectRef

NOW = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
PLACES: dict[str, dict[str, Any]] = {
    "store of one's own": {"endpoint_url": "http://127.0.0.1:8333", "style": "path"},
    "port that goes without saying": {"endpoint_url": "https://Store.example:443", "style": "path"},
    "address of six groups": {"endpoint_url": "http://[::1]:8333", "style": "path"},
    "path before the bucket": {"endpoint_url": "https://gateway.example/s3", "style": "path"},
    "AWS": {"endpoint_url": None, "style": "virtual"},
    "elsewhere at AWS": {"endpoint_url": None, "style": "virtual", "region": "eu-central-1"},
    "temporary keys": {"endpoint_url": None, "style": "virtual", "token": "a/b+c=="},
    "requester pays": {"endpoint_url": None, "style": "virtual", "token": "a/b+c==", "pays": True},
}


class Boto:
    """boto3's own URLs, and what our signer needs of it."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        style: str,
        region: str = "us-east-1",
        token: str | None = None,
        pays: bool = False,
    ) -> None:
        self._session = boto3.session.Session(
            aws_access_key_id="AKIA/+", aws_secret_access_key="secret", aws_session_token=token
        )
        self.client: Any = self._session.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": style},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self.asked = 0
        self._payer = {"RequestPayer": "requester"} if pays else {}
        self.headers = {HEADER: "requester"} if pays else {}

    def url(self, ref: ObjectRef) -> str:
        self.asked += 1
        parameters = {"Bucket": ref.bucket, "Key": ref.key, **self._payer}
        url: str = self.client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=900)
        return url

    def keys(self) -> Any:
        return self._session.get_credentials().get_frozen_credentials()


@pytest.fixture(scope="module", params=list(PLACES.values()), ids=list(PLACES))
def somewhere(request: pytest.FixtureRequest) -> Boto:
    """boto3 in one of the places; making it takes a moment."""
    return Boto(**request.param)


@pytest.fixture
def boto(somewhere: Boto, monkeypatch: pytest.MonkeyPatch) -> Boto:
    """It, at a time that stands still."""
    monkeypatch.setattr(auth, "get_current_datetime", lambda: NOW)
    somewhere.asked = 0
    return somewhere


def signer(boto: Boto) -> Signer:
    return Signer(boto.url, boto.keys, seconds=900)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_every_key_is_signed_as_boto3_signs_it(boto: Boto, key: str) -> None:
    """Dots, slashes, blanks, percent signs and other scripts included."""
    ref = ObjectRef(bucket="photos", key=key)
    assert boto.url(ref) == signer(boto).url(ref, boto.headers)


@pytest.mark.parametrize("bucket", ["photos", "with.dots", "another-one"])
def test_buckets_are_where_boto3_says(boto: Boto, bucket: str) -> None:
    """In the path or in the host's name, as it decides for each."""
    ref = ObjectRef(bucket=bucket, key="a b/c.jpg")
    assert boto.url(ref) == signer(boto).url(ref, boto.headers)


def test_boto3_is_asked_once_for_a_bucket(boto: Boto) -> None:
    """And again when it may have learnt better."""
    ours = signer(boto)
    for number in range(10):
        ours.url(ObjectRef(bucket="photos", key=f"{number}.jpg"), boto.headers)
    assert 1 == boto.asked
    ours.forget()
    ours.url(ObjectRef(bucket="photos", key="a.jpg"), boto.headers)
    assert 2 == boto.asked


def test_what_is_signed_in_another_way_is_left_to_boto3() -> None:
    """A URL that does not look as expected is taken as it is: directory buckets have sessions of their own."""
    asked: list[str] = []

    def by_boto(ref: ObjectRef) -> str:
        asked.append(ref.key)
        return f"https://photos--x-s3.example/{ref.key}?X-Amz-Algorithm=other"

    ours = Signer(by_boto, lambda: pytest.fail("not needed"), seconds=900)
    urls = [ours.url(ObjectRef(bucket="photos--x-s3", key=key), {}) for key in ("a", "b")]
    assert ["key", "a", "b"] == asked
    assert "https://photos--x-s3.example/b?X-Amz-Algorithm=other" == urls[1]
