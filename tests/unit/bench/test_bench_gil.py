"""For how long the interpreter's lock is held, as the benchmark measures it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import pytest

from bench import gil

pytestmark = pytest.mark.slow


def held(action: Callable[[], object]) -> float:
    """The share of its processor time for which ``action``, again and again, held the lock."""
    with gil.sampling() as lock:
        spent = time.process_time()
        while time.process_time() - spent < 0.3:
            action()
        spent = time.process_time() - spent
    if lock.seconds is None:
        pytest.skip("this interpreter's lock cannot be read here")
    return lock.seconds / spent


def test_python_holds_the_lock():
    """All of the time that it computes."""
    assert held(lambda: sum(range(1_000))) > 0.8


def test_hashing_megabytes_does_not():
    """hashlib lets others in meanwhile."""
    data = bytes(1 << 24)
    assert held(lambda: hashlib.sha256(data)) < 0.2
