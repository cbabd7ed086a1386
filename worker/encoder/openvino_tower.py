"""The image tower, compiled by OpenVINO: on CPUs it fuses what torch runs layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worker.encoder.device import Placement
from worker.encoder.fixed_shape import NormalisedTower, require_one_size
from worker.encoder.interface import Collect, Pixels
from worker.encoder.preprocessing import Preprocessor
from worker.encoder.thread_shards import ThreadShards
from worker.errors import ConfigurationError
from worker.types import Floats

#: OpenVINO's names. What it computes in differs from what torch does by roundings of the same kind.
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoTower:
    """uint8 pixels in, vectors out; launched by one thread at a time."""

    def __init__(self, model: Any, preprocessor: Preprocessor, placement: Placement, *, batch: int) -> None:
        """Convert and compile, which takes seconds and, briefly, the memory of a second image tower.

        Args:
            model: with weights in float32, on the CPU.
            preprocessor: of a model whose pixels are normalised on the device.
            placement: the CPU, and the number format to compute in.
            batch: most images in one pass.

        Raises:
            ConfigurationError: OpenVINO is not installed, or cannot run this model.
        """
        openvino = _openvino()
        tower = NormalisedTower(model, preprocessor)
        height, width = tower.height, tower.width
        example = torch.zeros((2, 3, height, width), dtype=torch.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing warns of every shape that becomes a constant
            try:
                graph = openvino.convert_model(tower, example_input=example, input=[(-1, 3, height, width)])
            except Exception as error:  # the converter raises anything
                raise ConfigurationError(
                    f"OpenVINO cannot convert this model ({str(error).strip().splitlines()[0]}); "
                    "set ENRICH_ENCODER_RUNTIME=torch"
                ) from error
        self._lanes = ThreadShards(batch=batch, least=1)
        options = {
            "INFERENCE_PRECISION_HINT": _PRECISIONS[placement.dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": self._lanes.count,
        }
        compiled = openvino.Core().compile_model(graph, "CPU", options)
        self._requests = [compiled.create_infer_request() for _ in range(self._lanes.count)]

    def launch(self, pixels: Sequence[Pixels]) -> Collect:
        vectors = self._lanes(self._inferred, pixels)
        return lambda: vectors

    def _inferred(self, lane: int, pixels: Sequence[Pixels]) -> Floats:
        return np.array(self._requests[lane].infer([np.stack(pixels)])[0], dtype=np.float32)


def check(preprocessor: Preprocessor, placement: Placement) -> None:
    """Whether a model can be compiled, before it is loaded.

    Raises:
        ConfigurationError: why not, and what to set.
    """
    if placement.device != "cpu":
        raise ConfigurationError(
            f"ENRICH_ENCODER_RUNTIME=openvino is for CPUs, but the model runs on {placement.device}: set "
            "ENRICH_DEVICE=cpu, or ENRICH_ENCODER_RUNTIME=torch"
        )
    require_one_size(preprocessor, "openvino")
    _openvino()


def _openvino() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise ConfigurationError(
            "ENRICH_ENCODER_RUNTIME=openvino needs OpenVINO: `pip install 'image-enricher[openvino]'`; else set torch"
        ) from error
    return openvino
