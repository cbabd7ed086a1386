"""Chooses the model's device and number format from plain facts, so that the choice can be tested anywhere."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

from worker.errors import ConfigurationError

DTYPES = ("float32", "bfloat16", "float16")

#: Flags in /proc/cpuinfo of processors that multiply bfloat16 matrices in hardware: Intel AMX, AVX-512 BF16
#: (Intel since Cooper Lake, AMD since Zen 4) and Arm's BF16 extension. Elsewhere bfloat16 is emulated and slower.
_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What this machine can compute on."""

    cuda: int = 0  # number of visible CUDA (or ROCm) devices
    cuda_bf16: bool = False  # all of them have native bfloat16 (Ampere and later)
    mps: bool = False  # Apple's GPU
    cpu_bf16: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where and how the model runs."""

    device: str  # torch's name: "cpu", "cuda:0", "mps"
    dtype: str  # one of DTYPES

    def __str__(self) -> str:
        return f"{self.device} in {self.dtype}"


def choose(device: str, dtype: str, machine: Machine) -> Placement:
    """Decide where to run.

    ``auto`` takes a GPU when there is one, and the format the device is fast at as long as vectors stay the same for
    all practical purposes (CLIP: cosine with float32 of at least 0.999, tested; the starter:
    docs/reference/starter-model.md).

    Raises:
        ConfigurationError: the device asked for is not here, or the names are unknown.
    """
    place = _device(device.strip().lower(), machine)
    return Placement(device=place, dtype=_dtype(dtype.strip().lower(), place, machine))


def _device(device: str, machine: Machine) -> str:
    if device == "auto":
        return "cuda:0" if machine.cuda else "mps" if machine.mps else "cpu"
    if device == "cpu" or (device == "mps" and machine.mps):
        return device
    if device == "mps":
        raise ConfigurationError("ENRICH_DEVICE is mps, but torch sees no Apple GPU here; use auto or cpu")
    if match := re.fullmatch(r"cuda(?::(\d+))?", device):
        return _cuda(int(match[1] or 0), machine)
    raise ConfigurationError(f"ENRICH_DEVICE is {device!r}; it must be auto, cpu, cuda, cuda:N or mps")


def _cuda(index: int, machine: Machine) -> str:
    if not machine.cuda:
        raise ConfigurationError(
            f"ENRICH_DEVICE asks for cuda:{index}, but torch sees no CUDA device. Check `nvidia-smi`, that the "
            "container was given the GPU and that torch was installed with CUDA; or set ENRICH_DEVICE to auto or cpu"
        )
    if index >= machine.cuda:
        raise ConfigurationError(
            f"ENRICH_DEVICE asks for cuda:{index}, but there are {machine.cuda}: cuda:0 to cuda:{machine.cuda - 1}"
        )
    return f"cuda:{index}"


def _dtype(dtype: str, device: str, machine: Machine) -> str:
    if dtype in DTYPES:
        return dtype
    if dtype != "auto":
        raise ConfigurationError(f"ENRICH_DTYPE is {dtype!r}; it must be auto, {', '.join(DTYPES)}")
    if device.startswith("cuda"):
        return "bfloat16" if machine.cuda_bf16 else "float16"
    if device == "cpu" and machine.cpu_bf16:
        return "bfloat16"
    return "float32"


def this_machine() -> Machine:
    """Ask torch and the kernel. Initialises CUDA, so never call it before a process has been forked."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Machine(
        cuda=count,
        cuda_bf16=count > 0 and all(_has_bf16(index) for index in range(count)),
        mps=torch.backends.mps.is_available(),
        cpu_bf16=cpu_has_bf16(_cpuinfo()),
    )


def _has_bf16(index: int) -> bool:
    """Native bfloat16: compute capability 8.0 for NVIDIA; every ROCm device that torch still supports has it."""
    import torch

    return torch.version.hip is not None or torch.cuda.get_device_capability(index) >= (8, 0)


def cpu_has_bf16(cpuinfo: str) -> bool:
    """Whether the text of /proc/cpuinfo describes a processor with bfloat16 arithmetic."""
    flags = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, flags=re.MULTILINE)
    return bool(flags) and not _BF16_FLAGS.isdisjoint(flags[0].split())


def _cpuinfo() -> str:
    return Path("/proc/cpuinfo").read_text(errors="replace") if platform.system() == "Linux" else ""
