"""Error messages as CUDA, ROCm, Metal and torch really write them, and what each means."""

from __future__ import annotations

import pytest
import torch

from worker.encoder.failures import FailureKind, classify


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: misaligned address",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA driver error: an illegal instruction was encountered",
        "HIP error: an illegal memory access was encountered",
        "Triton Error [CUDA]: an illegal memory access was encountered",
        "cuda runtime error (719) : unspecified launch failure at THCGeneral.cpp:313",
    ],
)
def test_a_poisoned_device_is_fatal(message):
    """Errors after which the context answers nothing else end the process."""
    assert FailureKind.FATAL is classify(RuntimeError(message))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes"
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
        RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_a_full_device_is_survivable(error):
    """Shortage of memory is told apart from a broken device, whoever reports it."""
    assert FailureKind.OUT_OF_MEMORY is classify(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Input image size (63*64) doesn't match model (64*64)."),
        RuntimeError("stack expects each tensor to be equal size"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
        IndexError("index out of range in self"),
        RuntimeError(""),
    ],
)
def test_anything_else_is_about_the_input(error):
    """What neither memory nor device explains is looked for in the batch."""
    assert FailureKind.ITEM is classify(error)
