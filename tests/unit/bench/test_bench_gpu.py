"""What the benchmark says of a GPU, from made-up figures: there is none where this runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import gpu
from bench.crews import between
from bench.stages import Span, peak, shares
from bench.table import Found, Note, Row

STAGE = {"device": "NVIDIA H100 80GB HBM3", "rates": {"1": 900.0, "256": 8_000.0}, "best": 256, "gflop": 8.8,
         "peak": 989.0, "shares": None}  # fmt: skip


def described(**changed: object) -> list[Found]:
    return list(gpu._of_stage("ViT-L/14", "torch", {**STAGE, **changed}))


@pytest.mark.parametrize(
    ("device", "expected"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA A100-SXM4-80GB", 312), ("NVIDIA L40S", 362),
     ("NVIDIA L40", 181), ("NVIDIA L4", 121), ("NVIDIA A10", None), ("Tesla T4", None), ("cpu", None)],
)  # fmt: skip
def test_peaks_are_known_by_the_devices_name(device: str, expected: float | None) -> None:
    """The most particular name counts; what is not in the table is unknown, not guessed."""
    assert expected == peak(device)


def test_time_is_divided_among_what_the_device_did() -> None:
    """What overlaps counts for each; idle is only when nothing went on."""
    spans = [
        Span(name="Memcpy HtoD (Pinned -> Device)", start=0, end=20),
        Span(name="addcmul_kernel", start=20, end=30),
        Span(name="sm90_gemm", start=30, end=70),
        Span(name="Memcpy HtoD (Pinned -> Device)", start=40, end=60),
        Span(name="Memcpy DtoH (Device -> Pinned)", start=90, end=100),
    ]
    expected = {"copying to the device": 0.4, "copying back": 0.1, "normalising": 0.1, "encoding": 0.4, "idle": 0.2}
    assert expected == pytest.approx(shares(spans))


def test_the_share_of_the_peak_is_that_of_the_fastest_batch() -> None:
    """8,000 images of 8.8 GFLOP a second are 70 TFLOP/s, of 989."""
    [row] = [each for each in described() if isinstance(each, Row)]
    assert row.ours == pytest.approx(7.118, abs=1e-3)
    assert "≥ 1 ×: no" == row.aim


def test_an_unknown_peak_is_said_to_be_unknown() -> None:
    """The rate is worth having all the same."""
    [note] = [each for each in described(device="A card of tomorrow", peak=None) if isinstance(each, Note)]
    assert note.sentence.endswith("8,000 images/s, 70.4 TFLOP/s; the device's peak is unknown")


def test_a_rate_leaves_out_the_beginning_and_the_end() -> None:
    """While the workers wake up, and while they run dry, little is written."""
    times = {0: 0.0, 50: 10.0, 100: 11.0, 500: 15.0, 900: 19.0, 1000: 60.0}
    assert 100.0 == between(times, 1000)


def test_a_rate_of_few_objects_is_that_of_all() -> None:
    """Where nothing was seen in between."""
    assert 50.0 == between({0: 1.0, 100: 3.0}, 100)


def test_without_a_gpu_it_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a full run; one that only looks whether everything runs does what it can on a CPU."""
    monkeypatch.setattr(gpu, "_devices", lambda: 0)
    site: Any = None  # nothing is started
    found = gpu.rows(site, Path(), batches=(1,), processes=(1,), objects=1, seconds=1.0, without=False)
    assert [Note(sentence="gpu: no CUDA device: left out")] == list(found)
