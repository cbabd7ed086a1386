"""Previews and presigned originals over HTTP: a real store, a real database, a real server."""

from __future__ import annotations

import io
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from tests.factories import enriched_image
from tests.fakes import ColourEncoder
from tests.integration.api.live import LiveApi, serve
from tests.preview_services import LIMITS, originals_of, previews_of
from tests.servers import RunningServers
from tests.waiting import until
from worker.api import Services
from worker.images import read_image
from worker.objects import S3Store, WatchedStore
from worker.pipeline.pictures.preview_store import BucketPreviews, CachedPreviews
from worker.types import ObjectInfo, ObjectRef, Outcome
from worker.watched_buckets import Watched


def photo(size: tuple[int, int] = (900, 600), *, seed: int = 0, kind: str = "JPEG", **options: object) -> bytes:
    """Smooth noise, which compresses like a photo."""
    rough = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(out, kind, **options)
    return out.getvalue()


def opened(body: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


class CountingStore(WatchedStore):
    """Counts GETs of originals, and can be made slow."""

    def __init__(self, store: S3Store, watched: Watched) -> None:
        super().__init__(store, watched)
        self.gets: list[ObjectRef] = []
        self.gate = threading.Event()
        self.gate.set()

    def get(self, ref: ObjectRef, **options):
        self.gets.append(ref)
        assert self.gate.wait(20)
        return super().get(ref, **options)


@dataclass(frozen=True, kw_only=True)
class Site:
    """An API over a bucket of a real store."""

    api: LiveApi
    store: S3Store
    counted: CountingStore
    bucket: str
    add: object

    def put(self, key: str, data: bytes) -> str:
        """Upload and enrich; the SHA-256."""
        return str(self.add(key, data))  # type: ignore[operator]

    def path(self, key: str, size: int = 512, *, safe: str = "") -> str:
        return f"/v1/previews/{size}/{self.bucket}/{quote(key, safe=safe)}"


@pytest.fixture
def s3(servers: RunningServers) -> Iterator[S3Store]:
    credentials = servers.stack.home.credentials()
    store = S3Store(
        endpoint_url=servers.s3_endpoint_url,
        access_key_id=credentials.s3_access_key_id,
        secret_access_key=credentials.s3_secret_access_key,
    )
    yield store
    store.close()


@pytest.fixture
def site(services: Services, servers: RunningServers, s3: S3Store, enriched, tmp_path: Path) -> Iterator[Site]:
    bucket = servers.fresh_bucket()
    counted = CountingStore(s3, Watched((bucket,)))

    def add(key: str, data: bytes) -> str:
        ref = ObjectRef(bucket=bucket, key=key)
        etag = s3.put(ref, data, "image/jpeg")
        metadata = read_image(data, limits=LIMITS, min_side=224).metadata
        info = ObjectInfo(
            ref=ref, etag=etag, size=len(data), last_modified=None, version_id=None, content_type="image/jpeg"
        )
        vector = ColourEncoder().encode_texts(["red"])[0]
        enriched(replace(enriched_image(key, vector=vector), info=info, metadata=metadata))
        return metadata.sha256

    made = previews_of(counted, tmp_path / "kept")
    inputs = replace(services.model_inputs, pictures=made)
    both = replace(services, previews=made, model_inputs=inputs, originals=originals_of(counted))
    with serve(both) as api:
        yield Site(api=api, store=s3, counted=counted, bucket=bucket, add=add)


def test_a_preview_is_a_small_webp_and_is_made_once(site: Site) -> None:
    """Long side 512 or 256, no metadata; both sizes come from one read of the original."""
    site.put("a.jpg", photo(exif=Image.Exif()))
    large, small = site.api.get(site.path("a.jpg")), site.api.get(site.path("a.jpg", 256))
    assert (200, "image/webp", "nosniff") == (
        large.status, large.headers["content-type"], large.headers["x-content-type-options"],
    )  # fmt: skip
    assert "same-origin" == large.headers["cross-origin-resource-policy"]
    assert [("WEBP", (512, 341)), ("WEBP", (256, 170))] == [
        (opened(each.body).format, opened(each.body).size) for each in (large, small)
    ]
    assert {} == {name: value for name, value in opened(large.body).info.items() if name in ("exif", "icc_profile")}
    assert 1 == len(site.counted.gets)


def test_what_the_model_sees_is_as_large_as_it_takes_pictures(site: Site) -> None:
    """A lossless WebP of the model's size, made of the bytes that the catalog describes, or a 409."""
    sha256 = site.put("a.jpg", photo(seed=1))
    path = f"/v1/model-inputs/{site.bucket}/a.jpg"
    answer = site.api.get(f"{path}?sha256={sha256}")
    assert (200, "image/webp") == (answer.status, answer.headers["content-type"])
    assert ("WEBP", (16, 16)) == (opened(answer.body).format, opened(answer.body).size)
    site.store.put(ObjectRef(bucket=site.bucket, key="a.jpg"), photo(seed=2), "image/jpeg")
    changed = site.api.get(path)
    assert (409, True) == (changed.status, "other bytes by now" in changed.detail)
    site.store.delete(ObjectRef(bucket=site.bucket, key="a.jpg"))
    assert 404 == site.api.get(path).status


def test_an_address_with_the_hash_may_be_cached_for_ever(site: Site) -> None:
    """Without the hash it names a key, so it is asked again; in both cases an ETag saves the transfer."""
    sha256 = site.put("a.jpg", photo())
    named = site.api.get(f"{site.path('a.jpg')}?sha256={sha256}")
    assert "private, max-age=31536000, immutable" == named.headers["cache-control"]
    plain = site.api.get(site.path("a.jpg"))
    assert ("private, max-age=60, must-revalidate", named.headers["etag"]) == (
        plain.headers["cache-control"], plain.headers["etag"],
    )  # fmt: skip
    for given in (named.headers["etag"], f'"other", W/{named.headers["etag"]}', "*"):
        answer = site.api.get(site.path("a.jpg"), headers={"If-None-Match": given})
        assert (304, b"", named.headers["etag"]) == (answer.status, answer.body, answer.headers["etag"])
    assert 200 == site.api.get(site.path("a.jpg"), headers={"If-None-Match": '"other"'}).status


def test_head_says_what_get_would(site: Site) -> None:
    """The same headers, length included, and no body."""
    site.put("a.jpg", photo())
    head, got = site.api.send("HEAD", site.path("a.jpg")), site.api.get(site.path("a.jpg"))
    assert (200, b"", str(len(got.body))) == (head.status, head.body, head.headers["content-length"])
    assert head.headers["etag"] == got.headers["etag"]


def test_an_object_with_other_bytes_by_now_shows_neither(site: Site) -> None:
    """409 while the catalog describes the old bytes; once it describes the new ones, the old hash is refused."""
    old = site.put("a.jpg", photo(seed=1))
    site.store.put(ObjectRef(bucket=site.bucket, key="a.jpg"), photo(seed=2), "image/jpeg")
    answer = site.api.get(site.path("a.jpg"))
    assert (409, True) == (answer.status, "other bytes by now" in answer.detail)
    assert 409 == site.api.get(f"/v1/originals/{site.bucket}/a.jpg").status
    new = site.put("a.jpg", photo(seed=2))
    assert 200 == site.api.get(f"{site.path('a.jpg')}?sha256={new}").status
    refused = site.api.get(f"{site.path('a.jpg')}?sha256={old}")
    assert (409, True) == (refused.status, new in refused.detail)


def test_an_object_that_is_gone_says_so(site: Site) -> None:
    """404, whether it left the store, the catalog, or was never there."""
    site.put("a.jpg", photo())
    site.store.delete(ObjectRef(bucket=site.bucket, key="a.jpg"))
    answer = site.api.get(site.path("a.jpg"))
    assert (404, True) == (answer.status, "no longer in the store" in answer.detail)
    assert 404 == site.api.get(f"/v1/originals/{site.bucket}/a.jpg").status
    assert 404 == site.api.get(site.path("a.jpg"), headers={"If-None-Match": "*"}).status
    never = site.api.get(site.path("never.jpg"))
    assert (404, "unknown") == (never.status, never.json["state"])


@pytest.mark.parametrize("outcome", [Outcome.QUARANTINED, Outcome.EXCLUDED])
def test_an_object_without_a_picture_says_what_is_known_of_it(site: Site, ended, outcome: Outcome) -> None:
    """A 404 like that of the image's own address."""
    ended("b.jpg", outcome)
    answer = site.api.get("/v1/previews/512/photos/b.jpg")
    assert (404, outcome.value) == (answer.status, answer.json["state"])


@pytest.mark.parametrize(
    "key", ["a b/é?#%+&=;.jpg", "100%25.jpg", "%2F%20", "line\nbreak", "🌈", "2026/red flower.jpg", "a+b.jpg"]
)
def test_links_lead_to_previews_of_any_key(site: Site, key: str) -> None:
    """The links of the image's own record, followed as they are."""
    site.put(key, photo())
    links = site.api.get(f"/v1/images/{site.bucket}/{quote(key, safe='')}").json["links"]
    answers = [site.api.get(links[name]) for name in ("preview", "thumbnail")]
    assert [512, 256] == [max(opened(each.body).size) for each in answers]
    assert key == site.api.get(links["image"]).json["key"]
    url = site.api.get(f"/v1/originals/{site.bucket}/{quote(key, safe='')}").json["url"]
    with urllib.request.urlopen(url, timeout=10) as response:
        assert photo() == response.read()


def test_two_who_ask_at_once_cost_one_decode(site: Site) -> None:
    """However many ask for either size while the original is read, it is read once."""
    site.put("a.jpg", photo())
    site.counted.gate.clear()
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(site.api.get, site.path("a.jpg", (256, 512)[n % 2])) for n in range(12)]
        while not site.counted.gets:
            pass
        site.counted.gate.set()
        assert {200} == {each.result().status for each in asked}
    assert 1 == len(site.counted.gets)


def test_a_copy_that_is_gone_does_not_fail_the_other(site: Site) -> None:
    """Both are asked for at once, while neither preview is made: each answer is about its own object."""
    for key in ("gone.jpg", "there.jpg"):
        site.put(key, photo())
    site.store.delete(ObjectRef(bucket=site.bucket, key="gone.jpg"))
    site.counted.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        gone = pool.submit(site.api.get, site.path("gone.jpg"))
        until(lambda: site.counted.gets)
        there = pool.submit(site.api.get, site.path("there.jpg"))
        with suppress(AssertionError):  # where they share a run, there is no second read
            until(lambda: len(site.counted.gets) == 2, seconds=3)
        site.counted.gate.set()
        assert (404, 200) == (gone.result().status, there.result().status)


def test_previews_of_a_bucket_outlive_the_original(site: Site, services: Services, servers, tmp_path: Path) -> None:
    """They are objects below the prefix, named by hash, and are served from there."""
    kept = BucketPreviews(store=site.store, bucket=servers.fresh_bucket(), prefix="small/")
    with serve(replace(services, previews=previews_of(site.counted, kept))) as api:
        sha256 = site.put("a.jpg", photo())
        first = api.get(site.path("a.jpg"))
        names = sorted(each.key for each in site.store.list(kept.bucket))
        assert [f"small/v1/{sha256[:2]}/{sha256}-{size}.webp" for size in (256, 512)] == names
        site.store.delete(ObjectRef(bucket=site.bucket, key="a.jpg"))
        assert (200, first.body) == (api.get(site.path("a.jpg")).status, api.get(site.path("a.jpg")).body)


def test_a_place_that_cannot_be_written_costs_only_time(site: Site, services: Services, tmp_path: Path, caplog) -> None:
    """The preview is made and served all the same, and the log says what to do, once."""
    (tmp_path / "file").write_text("not a folder")
    folder = CachedPreviews(folder=tmp_path / "file", most_bytes=64 << 20)
    missing = BucketPreviews(store=site.store, bucket="no-such-bucket-of-ours", prefix="")
    site.put("a.jpg", photo())
    for place in (folder, missing):
        with serve(replace(services, previews=previews_of(site.counted, place))) as api:
            assert [200, 200] == [api.get(site.path("a.jpg")).status for _ in range(2)]


def test_a_picture_beyond_the_limits_is_a_conflict(site: Site, services: Services, tmp_path: Path) -> None:
    """ENRICH_MAX_PIXELS may have been lowered since it was enriched; the detail names it."""
    site.put("a.jpg", photo())
    strict = replace(LIMITS, max_pixels=1_000)
    with serve(replace(services, previews=previews_of(site.counted, tmp_path, limits=strict))) as api:
        answer = api.get(site.path("a.jpg"))
        assert (409, True) == (answer.status, "ENRICH_MAX_PIXELS" in answer.detail)


def test_what_is_not_watched_any_more_is_not_read(site: Site, services: Services, s3: S3Store, tmp_path: Path) -> None:
    """Neither for a preview nor to sign a URL."""
    site.put("a.jpg", photo())
    other = WatchedStore(s3, Watched(("elsewhere",)))
    with serve(replace(services, previews=previews_of(other, tmp_path), originals=originals_of(other))) as api:
        for path in (site.path("a.jpg"), f"/v1/originals/{site.bucket}/a.jpg"):
            answer = api.get(path)
            assert (409, True) == (answer.status, "ENRICH_BUCKETS" in answer.detail)


def test_a_store_that_is_away_is_asked_again_later(services: Services, gallery, tmp_path: Path) -> None:
    """503 with Retry-After, not an error of the image."""
    away = S3Store(endpoint_url="http://127.0.0.1:9", access_key_id="k", secret_access_key="s", timeout=1)
    with serve(replace(services, previews=previews_of(away, tmp_path), originals=originals_of(away))) as api:
        for path in ("/v1/previews/256/photos/red.jpg", "/v1/originals/photos/red.jpg"):
            answer = api.get(path)
            assert (503, True) == (answer.status, int(answer.headers["retry-after"]) > 0)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/previews/300/photos/a.jpg", "256 or 512"),
        ("/v1/previews/512/photos/a.jpg?sha256=AB", "sha256"),
        ("/v1/previews/512/photos/a.jpg?size=1", "unknown parameter 'size'"),
    ],
)
def test_bad_requests_say_what_is_wrong(site: Site, path: str, detail: str) -> None:
    """422 that names the parameter and what it takes."""
    answer = site.api.get(path)
    assert (422, True) == (answer.status, detail in answer.detail)


def test_an_original_is_reached_by_a_redirect_or_a_url(site: Site) -> None:
    """Neither may be cached, and the URL works without a token until it expires."""
    data = photo()
    site.put("a.jpg", data)
    answer = site.api.get(f"/v1/originals/{site.bucket}/a.jpg")
    assert (60, "private, no-store") == (answer.json["expires_in"], answer.headers["cache-control"])
    with urllib.request.urlopen(answer.json["url"], timeout=10) as response:
        assert data == response.read()
    redirect = site.api.get(f"/v1/originals/{site.bucket}/a.jpg?redirect=true")
    assert (307, True) == (redirect.status, "X-Amz-Signature" in redirect.headers["location"])
