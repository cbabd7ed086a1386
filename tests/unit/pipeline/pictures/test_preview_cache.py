"""The folder of previews: bounded, shared by processes, and harmless where it cannot be used."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.memory_store import MemoryStore
from worker.images.previews import PREVIEW
from worker.pipeline.pictures.preview_store import BucketPreviews, CachedPreviews, PreviewStore, PreviewStoreError
from worker.pipeline.pictures.previews import KeptPreviews

_SHARE = 1_000  # bytes of each subfolder


def webp(length: int = 300, fill: bytes = b"x") -> bytes:
    """What passes for one."""
    return b"RIFF" + (length - 8).to_bytes(4, "little") + b"WEBP" + fill * (length - 12)


def sha(number: int) -> str:
    """Hashes of one subfolder."""
    return f"aa{number:062x}"


@pytest.fixture
def cache(tmp_path: Path) -> CachedPreviews:
    return CachedPreviews(folder=tmp_path / "previews", most_bytes=256 * _SHARE)


def test_what_was_put_is_there(cache: CachedPreviews) -> None:
    """By hash and size."""
    cache.put(sha(1), 512, webp())
    assert (webp(), True) == (cache.get(sha(1), 512), cache.has(sha(1), 512))
    assert [None, None] == [cache.get(sha(1), 256), cache.get(sha(2), 512)]


def test_what_was_not_used_for_longest_goes(cache: CachedPreviews) -> None:
    """Three of 300 bytes fit; reading one keeps it."""
    for number in range(3):
        cache.put(sha(number), 512, webp())
        os.utime(cache.folder / "v1/aa" / f"{sha(number)}-512.webp", (number, number))
    assert cache.get(sha(0), 512) is not None
    cache.put(sha(3), 512, webp())
    assert [True, False, True, True] == [cache.has(sha(number), 512) for number in range(4)]


def test_one_that_is_larger_than_its_share_is_kept_alone(cache: CachedPreviews) -> None:
    """Or it would be made anew for each request."""
    cache.put(sha(1), 512, webp())
    cache.put(sha(2), 512, webp(2_000))
    assert [False, True] == [cache.has(sha(number), 512) for number in (1, 2)]


def test_many_writers_stay_within_the_bound(cache: CachedPreviews) -> None:
    """Threads that write, read and remove at once raise nothing, and what is read is whole."""

    def work(number: int) -> None:
        for each in range(40):
            cache.put(sha(100 * number + each), 512, webp(fill=bytes([number])))
            found = cache.get(sha(100 * number + each // 2), 512)
            assert found is None or found == webp(fill=bytes([number]))

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(8)]:
            done.result()
    cache.put(sha(9_999), 512, webp())
    left = list((cache.folder / "v1/aa").iterdir())
    assert sum(each.stat().st_size for each in left) <= _SHARE
    assert all(each.suffix == ".webp" for each in left)


def test_what_a_dead_writer_left_is_removed(cache: CachedPreviews) -> None:
    """Once it is old; a file that is being written now stays."""
    cache.put(sha(1), 512, webp())
    old, new = (cache.folder / "v1/aa" / name for name in (".new-old", ".new-new"))
    for each in (old, new):
        each.write_bytes(b"half")
    os.utime(old, (1, 1))
    cache.put(sha(2), 512, webp())
    assert [False, True] == [old.exists(), new.exists()]


def test_a_file_that_a_crash_cut_short_is_not_a_preview(cache: CachedPreviews) -> None:
    """It is made anew."""
    cache.put(sha(1), 512, webp())
    (cache.folder / "v1/aa" / f"{sha(1)}-512.webp").write_bytes(webp()[:100])
    assert cache.get(sha(1), 512) is None


@pytest.mark.parametrize("place", ["file", "inside"])
def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path, place: str) -> None:
    """The error names the folder and the settings; `KeptPreviews` turns it into False."""
    (tmp_path / "file").write_text("not a folder")
    folder = tmp_path / "file" if place == "file" else tmp_path / "file" / "inside"
    cache = CachedPreviews(folder=folder, most_bytes=256 * _SHARE)
    with pytest.raises(PreviewStoreError, match=f"{folder}.*ENRICH_HOME"):
        cache.put(sha(1), 512, webp())
    assert (None, False) == (
        KeptPreviews(store=cache).get(sha(1), 512),
        KeptPreviews(store=cache).put(sha(1), {512: webp()}),
    )


def test_trouble_is_logged_once_a_minute_and_counted_each_time(tmp_path: Path, capsys) -> None:
    """A bucket that is missing would else fill the log with a line for every image."""
    from worker import metrics

    before = metrics.PREVIEWS.labels(result="write-failed")._value.get()
    kept = KeptPreviews(store=BucketPreviews(store=MemoryStore(), bucket="none", prefix=""))
    assert [False, False, False] == [kept.put(sha(1), {512: webp()}) for _ in range(3)]
    assert before + 3 == metrics.PREVIEWS.labels(result="write-failed")._value.get()
    shown = capsys.readouterr()
    assert 1 == (shown.out + shown.err).count("previews fail")  # wherever logs go


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_every_place_keeps_the_same_promises(tmp_path: Path, kind: str) -> None:
    """Replacing, missing and damaged ones."""
    place: PreviewStore = (
        CachedPreviews(folder=tmp_path, most_bytes=1 << 20)
        if kind == "folder"
        else BucketPreviews(store=MemoryStore("b"), bucket="b", prefix="p/")
    )
    assert (None, False) == (place.get(sha(1), PREVIEW), place.has(sha(1), PREVIEW))
    place.put(sha(1), PREVIEW, webp())
    place.put(sha(1), PREVIEW, webp(fill=b"y"))
    assert (webp(fill=b"y"), True) == (place.get(sha(1), PREVIEW), place.has(sha(1), PREVIEW))
    place.put(sha(1), PREVIEW, webp()[:50])
    assert place.get(sha(1), PREVIEW) is None
