"""Where the model runs: decided from facts about a machine, none of which this machine needs to have."""

from __future__ import annotations

import pytest

from worker.encoder.device import Machine, Placement, choose, cpu_has_bf16, this_machine
from worker.errors import ConfigurationError

BARE = Machine()
ZEN4 = Machine(cpu_bf16=True)
A100 = Machine(cuda=2, cuda_bf16=True, cpu_bf16=True)
T4 = Machine(cuda=1)
MAC = Machine(mps=True)


@pytest.mark.parametrize(
    ("machine", "device", "dtype", "expected"),
    [
        (BARE, "auto", "auto", "cpu in float32"),
        (ZEN4, "auto", "auto", "cpu in bfloat16"),
        (A100, "auto", "auto", "cuda:0 in bfloat16"),
        (T4, "auto", "auto", "cuda:0 in float16"),
        (MAC, "auto", "auto", "mps in float32"),
        (A100, "cuda", "auto", "cuda:0 in bfloat16"),
        (A100, "cuda:1", "float32", "cuda:1 in float32"),
        (A100, "cpu", "auto", "cpu in bfloat16"),
        (T4, "cpu", "auto", "cpu in float32"),
        (BARE, " CPU ", "BFloat16", "cpu in bfloat16"),
        (MAC, "mps", "float16", "mps in float16"),
    ],
)
def test_the_fast_and_faithful_choice(machine, device, dtype, expected):
    """A GPU when there is one, a short format where hardware multiplies in it, and the user's word above both."""
    assert expected == str(choose(device, dtype, machine))


@pytest.mark.parametrize(
    ("machine", "device", "dtype", "message"),
    [
        (BARE, "cuda", "auto", r"torch sees no CUDA device.*nvidia-smi.*set ENRICH_DEVICE to auto or cpu"),
        (A100, "cuda:2", "auto", r"there are 2: cuda:0 to cuda:1"),
        (BARE, "mps", "auto", r"no Apple GPU"),
        (BARE, "tpu", "auto", r"must be auto, cpu, cuda, cuda:N or mps"),
        (A100, "cuda:-1", "auto", r"must be auto, cpu, cuda, cuda:N or mps"),
        (BARE, "cpu", "int8", r"must be auto, float32, bfloat16, float16"),
    ],
)
def test_what_cannot_be_had_is_refused(machine, device, dtype, message):
    """The error says what is wrong and what may be set instead."""
    with pytest.raises(ConfigurationError, match=message):
        choose(device, dtype, machine)


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu sse2 avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu sse2 amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f\n", False),
        ("model name\t: avx512_bf16 in its name only\nflags\t\t: fpu\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_read_off_the_processors_flags(cpuinfo, expected):
    """x86 calls them flags, Arm Features; anything unknown means float32."""
    assert expected == cpu_has_bf16(cpuinfo)


def test_this_machine_can_be_asked():
    """Whatever this machine is, auto finds a place on it."""
    placement = choose("auto", "auto", this_machine())
    assert isinstance(placement, Placement)
    assert placement.dtype in {"float32", "bfloat16", "float16"}
