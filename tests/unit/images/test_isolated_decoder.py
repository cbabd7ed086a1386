"""Costly files are decoded in processes that can be ended: the same answers, and an end to what takes too much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fuzz.bombs import BOMBS
from tests.unit.images.corpus import CORPUS, LIMITS
from worker.errors import DecoderLostError, ImageRejectedError
from worker.images import ImageLimits, isolated_decoder, read_image
from worker.images.isolated_decoder import DecoderProcess, decode_apart
from worker.images.reader import decode
from worker.types import Reason

pytestmark = pytest.mark.slow

#: One of every kind that is always decoded apart, and some that are not.
KINDS = ("heic", "avif", "jpeg 2000", "gps", "png turned", "float tiff", "zero bytes", "truncated heic", "bomb gif")
HURRIED = ImageLimits(max_bytes=1 << 28, max_pixels=250_000_000, max_side=65_500, max_seconds=0.5)


@contextmanager
def at_once(_: int) -> Iterator[None]:
    yield


def outcome(read, data: bytes) -> object:
    try:
        decoded = read(data, limits=LIMITS, min_side=8, reserve=at_once)
    except ImageRejectedError as rejected:
        return rejected.reason, str(rejected)
    return decoded.metadata, decoded.pixels.size, decoded.pixels.tobytes()


@pytest.mark.parametrize("name", KINDS)
def test_a_file_gives_the_same_there_as_here(name):
    """Pixels, every field of the metadata, and reasons with their words."""
    data = CORPUS[name].build()
    assert outcome(decode, data) == outcome(decode_apart, data)


def test_what_takes_too_long_is_ended_and_its_neighbours_are_read():
    """The setting is named, and the next file gets another process."""
    with pytest.raises(ImageRejectedError, match=r"more than 0\.5 s .* ENRICH_MAX_DECODE_SECONDS") as rejected:
        read_image(BOMBS["bmp ends of lines after a pixel"](0), limits=HURRIED, min_side=8)
    assert Reason.TOO_MUCH_WORK == rejected.value.reason
    assert "HEIF" == read_image(CORPUS["heic"].build(), limits=HURRIED, min_side=8).metadata.format


def test_a_larger_file_may_take_longer():
    """In proportion beyond 64 MiB: what bounds small files does not refuse large photos."""
    assert [LIMITS.max_seconds, LIMITS.max_seconds, 2 * LIMITS.max_seconds] == [
        LIMITS.seconds(size) for size in (1, 64 << 20, 128 << 20)
    ]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_the_files_doing(number):
    """A process does that to itself: the file is not tried for ever."""
    with pytest.raises(ImageRejectedError, match=f"ended with {number.name} on this file") as rejected:
        read_while_sending(number)
    assert Reason.KILLED_WORKER == rejected.value.reason


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_from_outside_is_not(number):
    """A machine without memory, or a person: tried again."""
    with pytest.raises(DecoderLostError, match=f"ended with {number.name}, .*retried"):
        read_while_sending(number)


def read_while_sending(number: int) -> None:
    child = DecoderProcess()

    @contextmanager
    def reserve(_: int) -> Iterator[None]:
        os.kill(child._process.pid, number)
        child._process.wait()
        yield

    try:
        child.decode(CORPUS["heic"].build(), limits=LIMITS, min_side=8, reserve=reserve)
    finally:
        child.end()


def test_a_process_is_used_again():
    """Starting one takes as long as decoding a large photo."""
    isolated_decoder.close()
    numbers = []
    for _ in range(3):
        outcome(decode_apart, CORPUS["avif"].build())
        numbers += [child._process.pid for child in isolated_decoder._pool._idle]
    assert 3 * numbers[:1] == numbers


def test_a_process_that_held_a_lot_is_not_kept(monkeypatch):
    """Allocators do not give everything back."""
    monkeypatch.setattr(isolated_decoder, "_KEPT_BYTES", 1)
    isolated_decoder.close()
    outcome(decode_apart, CORPUS["heic"].build())
    assert [] == isolated_decoder._pool._idle


def test_a_process_that_died_meanwhile_is_replaced():
    """Whoever ended it, the next file does not pay."""
    outcome(decode_apart, CORPUS["heic"].build())
    for child in isolated_decoder._pool._idle:
        child._process.kill()
        child._process.wait()
    assert outcome(decode, CORPUS["heic"].build()) == outcome(decode_apart, CORPUS["heic"].build())


def test_threads_have_processes_of_their_own():
    """As many as read at once, and each gets its own answer."""
    names = [name for name in KINDS for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda name: outcome(decode_apart, CORPUS[name].build()), names))
    assert [outcome(decode, CORPUS[name].build()) for name in names] == actual
    assert 1 <= len(isolated_decoder._pool._idle) <= 4


def test_a_decoder_does_not_get_our_credentials(monkeypatch):
    """What it may be made to do, it does without them."""
    monkeypatch.setenv("ENRICH_DATABASE_URL", "postgresql://with-a-password")
    child = DecoderProcess()
    try:
        child.decode(CORPUS["heic"].build(), limits=LIMITS, min_side=8, reserve=at_once)
        environment = Path(f"/proc/{child._process.pid}/environ").read_bytes()
    finally:
        child.end()
    assert b"with-a-password" not in environment
    assert b"PATH=" in environment


def test_a_decoder_ends_with_its_worker():
    """Also with one that is killed: nobody is left who asks."""
    script = (
        "import time; from tests.unit.images.corpus import CORPUS, LIMITS;"
        "from worker.images import isolated_decoder, read_image;"
        "read_image(CORPUS['heic'].build(), limits=LIMITS, min_side=8);"
        "print(isolated_decoder._pool._idle[0]._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        decoder = int(worker.stdout.readline())
        assert lives(decoder)
        worker.kill()
    until = time.monotonic() + 60
    while lives(decoder) and time.monotonic() < until:
        time.sleep(0.05)
    assert not lives(decoder)


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def test_memory_beyond_what_was_reserved_is_refused():
    """By the system, whatever a decoder asks for."""
    script = "from worker.images.decoder_process import _limit_memory; _limit_memory(64 << 20); bytearray(96 << 20)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
    allowed = subprocess.run([sys.executable, "-c", script.replace("96", "32")], capture_output=True, check=False)
    assert 0 == allowed.returncode
