"""Classifies failed forward passes. torch raises RuntimeError for nearly everything, so the message has to decide."""

from __future__ import annotations

import enum
import re


class FailureKind(enum.Enum):
    """What to do about a failed forward pass."""

    FATAL = "fatal"  # the device's context is poisoned: end the process
    OUT_OF_MEMORY = "out-of-memory"  # try again with fewer images
    ITEM = "item"  # something about these inputs: find the culprit


#: Messages of CUDA, cuBLAS, cuDNN, the CPU allocator, ROCm and Metal when memory is short, which is survivable.
_OUT_OF_MEMORY = re.compile(
    r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|can't allocate memory|not enough memory|"
    r"cudaErrorMemoryAllocation",
    re.IGNORECASE,
)

#: After any of these the CUDA runtime answers every later call with the same error (CUDA C++ programming guide,
#: "sticky" errors). cuBLAS and cuDNN report the same faults under their own names.
_FATAL = re.compile(
    r"\b(CUDA|HIP) (driver )?error\b|cuda runtime error|device-side assert|illegal (memory access|instruction|address)|"
    r"misaligned address|unspecified launch failure|uncorrectable ECC|"
    r"(CUBLAS|HIPBLAS)_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED|MAPPING_ERROR)|"
    r"CUDNN_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED|MAPPING_ERROR)",
    re.IGNORECASE,
)


def classify(error: BaseException) -> FailureKind:
    """Distinguish a broken device, a full one and a bad input by the error's type and message."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return FailureKind.OUT_OF_MEMORY
    message = str(error)
    if _OUT_OF_MEMORY.search(message):
        return FailureKind.OUT_OF_MEMORY
    if type(error).__name__ == "AcceleratorError" or _FATAL.search(message):
        return FailureKind.FATAL
    return FailureKind.ITEM
