"""Names of buckets, before a store is asked to create one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import ConfigurationError
from worker.local import bucket_name


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("Bad_Bucket", "bad-bucket"),
        ("a", "photos-a"),
        ("", "photos"),
        ("my..photos", "my.photos"),
        ("photos-", "photos"),
        ("192.168.0.1", "192-168-0-1"),
        ("x" * 64, "x" * 63),
        ("xn--photos", "xn-photos"),
        ("a.-b", "a.b"),
    ],
)
def test_a_name_that_no_bucket_can_have_is_refused_with_the_nearest(name: str, suggested: str) -> None:
    """The message has the rule and a name that is allowed."""
    with pytest.raises(ConfigurationError, match="lower-case letters") as refused:
        bucket_name.require(name)
    assert str(refused.value).endswith(f"Try --bucket {suggested}")


@pytest.mark.parametrize("name", ["photos", "my-photos.2026", "0ab", "x" * 63])
def test_what_the_store_takes_is_allowed(name: str) -> None:
    """Nothing that works is refused."""
    bucket_name.require(name)


@given(st.text(max_size=80))
@example("xn--xn--a")
@example("1.2.3.4-")
def test_what_is_suggested_is_always_allowed(name: str) -> None:
    """Whatever was asked for."""
    assert bucket_name.is_allowed(bucket_name.nearest(name))
