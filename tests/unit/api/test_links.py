"""Links survive what clients and proxies do to addresses."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlsplit

import hypothesis
import pytest
from hypothesis import strategies as st

from worker.api.links import links_of

_KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@hypothesis.given(key=_KEYS.filter(lambda key: key not in (".", "..")), bucket=st.sampled_from(["photos", "a.b-c"]))
def test_a_link_leads_to_its_key(key: str, bucket: str) -> None:
    """Resolved as a client does, its path is the one that the API decodes to the key."""
    made = links_of(bucket, key, "ab" * 32)
    for link, before in ((made.image, "/v1/images/"), (made.preview, "/v1/previews/512/")):
        resolved = urlsplit(urljoin("http://127.0.0.1:8700/", link))
        assert f"{before}{bucket}/{key}" == unquote(resolved.path)
        assert link.isascii()
        assert "" == resolved.fragment


@pytest.mark.parametrize("key", ["a/../b", "../b", "a/./b", "a//b", "/a", "a/"])
def test_segments_that_clients_rewrite_are_none(key: str) -> None:
    """Their slashes are encoded, too."""
    assert f"/v1/images/photos/{key.replace('/', '%2F')}" == links_of("photos", key, None).image


def test_without_a_hash_previews_are_asked_for_by_key() -> None:
    """Such an address may be cached for a minute only."""
    assert "/v1/previews/256/photos/a%3Fb%23c.jpg" == links_of("photos", "a?b#c.jpg", None).thumbnail
