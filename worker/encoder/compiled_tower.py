"""The image tower, compiled by torch for a few batch sizes; on a GPU, each is recorded as one CUDA graph.

A graph is launched in one call, where a model that runs layer by layer takes hundreds: for small models and batches
the launching takes longer than the computation. Each of those calls gives up the interpreter lock, too, and gets it
back from a thread that runs Python only after ``sys.getswitchinterval()``: at Python's own 5 ms one such thread makes a
launch last a second, at a worker's 0.5 ms still half of one. A graph needs shapes and addresses that never change, so
batches are filled up to the next of the sizes. It is also available without compiling (``cuda-graphs``): with no
compiler, and torch's own kernels.

Graphs are recorded here and not by torch.compile (its ``reduce-overhead``), whose graphs belong to the thread that
recorded them and to one caller at a time; these may be replayed by any thread.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import torch

from worker import logs
from worker.encoder.device import Placement
from worker.encoder.failures import FailureKind, classify
from worker.encoder.fixed_shape import NormalisedTower, require_one_size
from worker.encoder.interface import Collect, Pixels, Runtime
from worker.encoder.preprocessing import Preprocessor
from worker.encoder.staging import Staging, fetch, link, working_on
from worker.errors import ConfigurationError, FatalDeviceError

_log = logs.get("encoder")

_Compute: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

#: Passes before a graph is recorded: the first compiles and loads kernels, the second finds everything in its place.
_WARM_UPS = 2
#: Torch compiles a function for no more than eight shapes unless told otherwise: it takes more for a mistake. Ours are
#: known, and all models of a process have one function in common.
_MOST_SHAPES = 1024
#: CUDA allows one recording at a time per process, and several models may be loaded at once.
_recording = threading.Lock()


def sizes(batch: int) -> list[int]:
    """The powers of two below ``batch``, and ``batch``: less than half of what is computed is there to fill up."""
    return [*(1 << bit for bit in range((batch - 1).bit_length())), batch]


def check(preprocessor: Preprocessor, placement: Placement, runtime: Runtime) -> None:
    """Whether a model can be compiled or recorded, before it is loaded.

    Raises:
        ConfigurationError: why not, and what to set.
    """
    compiling = runtime == "torch-compile"
    if not placement.device.startswith("cuda") and not (compiling and placement.device == "cpu"):
        supported = "CPUs and CUDA" if compiling else "CUDA"
        raise ConfigurationError(
            f"ENRICH_ENCODER_RUNTIME={runtime} is for {supported}, but the model runs on {placement.device}: set "
            "ENRICH_ENCODER_RUNTIME=torch"
        )
    require_one_size(preprocessor, runtime)


def compiled(
    model: Any, preprocessor: Preprocessor, placement: Placement, *, batch: int, runtime: Runtime = "torch-compile"
) -> CompiledTower:
    """Compile for every size up to ``batch``, which takes seconds to minutes for each; less where torch's cache has it.

    Args:
        model: in its place and number format.
        preprocessor: of a model that passed ``check``.
        placement: where the model is.
        batch: most images in one forward pass.
        runtime: ``cuda-graphs`` records without compiling.

    Raises:
        ConfigurationError: there is no compiler, the model cannot be compiled or recorded, or memory does not suffice.
        FatalDeviceError: the device broke meanwhile.
    """
    try:
        return CompiledTower(model, preprocessor, placement, batch=batch, compiling=runtime == "torch-compile")
    except Exception as error:  # noqa: BLE001 - compilers raise anything
        failure, reason = classify(error), _reason(error)
        _log.debug(str(error), action="compiling-failed")
    # Outside the handler: while it is open, the traceback keeps what was recorded so far in memory.
    if placement.device != "cpu" and failure is not FailureKind.FATAL:
        torch.cuda.empty_cache()
    raise _explained(failure, reason, batch)


class CompiledTower:
    """uint8 pixels in, vectors out; launched by one thread at a time."""

    def __init__(
        self, model: Any, preprocessor: Preprocessor, placement: Placement, *, batch: int, compiling: bool
    ) -> None:
        """See ``compiled``."""
        tower = NormalisedTower(model, preprocessor, getattr(torch, placement.dtype))
        self._device = placement.device
        self._sizes = sizes(batch)
        self._staging = Staging(link(placement.device))
        with working_on(self._device), torch.inference_mode():
            self._input = torch.zeros((batch, 3, tower.height, tower.width), dtype=torch.uint8, device=self._device)
            self._passes = self._made(torch.compile(tower, fullgraph=True, dynamic=False) if compiling else tower)

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        count = len(pixels)
        size = self._sizes[bisect_left(self._sizes, count)]
        with working_on(self._device), torch.inference_mode():
            # What is behind these rows, of earlier batches, is computed too and then left out.
            self._input[:count].copy_(self._staging(pixels))
            return fetch(self._passes[size](self._input[:size])[:count])

    def _made(self, compute: _Compute) -> dict[int, _Compute]:
        """A ready runner for each batch size. The largest comes first: the others fit into its memory."""
        with torch._dynamo.config.patch(recompile_limit=_MOST_SHAPES, accumulated_recompile_limit=_MOST_SHAPES):  # noqa: SLF001
            if self._device == "cpu":
                for size in reversed(self._sizes):
                    compute(self._input[:size])
                return dict.fromkeys(self._sizes, compute)
            with _recording:
                return _recorded(compute, self._input, self._sizes)


def _recorded(compute: _Compute, pixels: torch.Tensor, counts: Sequence[int]) -> dict[int, _Compute]:
    """A CUDA graph for each number of rows. They share memory, which is safe as long as they run one after another."""
    pool = torch.cuda.graph_pool_handle()
    stream = torch.cuda.Stream(pixels.device)  # type: ignore[no-untyped-call]
    return {count: _Graph(compute, pixels[:count], pool, stream) for count in sorted(counts, reverse=True)}


class _Graph:
    """One forward pass on rows that always lie in one place, with vectors that always come to lie in one place."""

    def __init__(self, compute: _Compute, pixels: torch.Tensor, pool: Any, stream: torch.cuda.Stream) -> None:
        stream.wait_stream(torch.cuda.current_stream(pixels.device))
        self._graph = torch.cuda.CUDAGraph()
        # All of it on the stream that is recorded: cuBLAS has a workspace for each. And a recording that fails leaves
        # its stream behind as the current one; this takes it away.
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                compute(pixels)
            stream.synchronize()
            # thread_local: what other threads ask of the device meanwhile, such as texts to encode, is no part of this.
            with torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                self._vectors = compute(pixels)

    def __call__(self, _: torch.Tensor) -> torch.Tensor:
        """The vectors, until the next call of any graph of this tower: ``fetch`` them before."""
        self._graph.replay()
        return self._vectors


def _explained(failure: FailureKind, reason: str, batch: int) -> Exception:
    if "captur" in reason:  # by its message an error of the device, which it does no harm
        return ConfigurationError(
            f"this model cannot be recorded as a CUDA graph ({reason}): set ENRICH_ENCODER_RUNTIME=torch"
        )
    if failure is FailureKind.FATAL:
        return FatalDeviceError(f"the device broke while the model was being compiled: {reason}")
    if failure is FailureKind.OUT_OF_MEMORY:
        return ConfigurationError(
            f"no memory to compile the model for batches of {batch} ({reason}): set ENRICH_ENCODER_BATCH lower, or "
            "ENRICH_ENCODER_RUNTIME=torch"
        )
    remedy = "install a C++ compiler, such as g++, and Python's headers; or " if _lacks_compiler(reason) else ""
    return ConfigurationError(f"torch cannot compile this model ({reason}): {remedy}set ENRICH_ENCODER_RUNTIME=torch")


def _lacks_compiler(reason: str) -> bool:
    return re.search(r"C(\+\+)? compiler|Python\.h", reason) is not None


def _reason(error: BaseException) -> str:
    """The line of a compiler's report that names the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line, following in pairwise(lines):
        if line.startswith("backend=") and line.endswith("raised:"):
            return following
    return lines[0] if lines else type(error).__name__
