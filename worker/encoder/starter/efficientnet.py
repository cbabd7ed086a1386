"""EfficientNet-Lite0 (Tan and Le, 2019; the Lite variants of 2020): no squeeze-excite, ReLU6, fixed stem and head.

Only the inference form is here: every batch norm is folded into the convolution before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 224  # of the square input, in pixels
POOLED = 1280  # channels of the pooled feature
CLASSES = 1000  # of ImageNet
_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int  # output channels


_STEM = 32
_STAGES = (
    _Stage(blocks=1, kernel=3, stride=1, expansion=1, width=16),
    _Stage(blocks=2, kernel=3, stride=2, expansion=6, width=24),
    _Stage(blocks=2, kernel=5, stride=2, expansion=6, width=40),
    _Stage(blocks=3, kernel=3, stride=2, expansion=6, width=80),
    _Stage(blocks=3, kernel=5, stride=1, expansion=6, width=112),
    _Stage(blocks=4, kernel=5, stride=2, expansion=6, width=192),
    _Stage(blocks=1, kernel=3, stride=1, expansion=6, width=320),
)
#: Mean and deviation of each channel after the stem and the first five stages: exposure, colour cast, texture, ink.
STATISTICS = 2 * (_STEM + sum(stage.width for stage in _STAGES[:5]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What the backbone says about a batch, float32."""

    pooled: Tensor  # (n, 1280) average over positions of the last layer
    statistics: Tensor  # (n, 608) per layer: channel means, then channel standard deviations
    probabilities: Tensor  # (n, 1000) softmax over the ImageNet classes


def join(parts: Sequence[Features]) -> Features:
    """The features of several batches as those of one."""
    return Features(
        pooled=torch.cat([part.pooled for part in parts]),
        statistics=torch.cat([part.statistics for part in parts]),
        probabilities=torch.cat([part.probabilities for part in parts]),
    )


class _Conv(nn.Conv2d):
    """Convolution padded as TensorFlow's "SAME" does: for stride 2 the odd pixel goes to the right and bottom."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups)
        before, total = (kernel - stride) // 2, kernel - stride
        self._pad = () if stride == 1 else (before, total - before) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self._pad) if self._pad else x)


class _Block(nn.Module):
    """Inverted bottleneck: expand, depthwise, project; the input is added where shapes allow."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        middle = inputs * stage.expansion
        self.expand = _Conv(inputs, middle) if stage.expansion > 1 else None
        self.depthwise = _Conv(middle, middle, stage.kernel, stride, groups=middle)
        self.project = _Conv(middle, stage.width)
        self._residual = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x), inplace=True)
        y = functional.relu6(self.depthwise(y), inplace=True)
        projected: Tensor = self.project(y)
        return x + projected if self._residual else projected


def _stage(inputs: int, stage: _Stage) -> nn.Sequential:
    first = _Block(inputs, stage, stage.stride)
    return nn.Sequential(first, *(_Block(stage.width, stage, 1) for _ in range(stage.blocks - 1)))


class EfficientNetLite0(nn.Module):
    """Pixels, (n, 3, 224, 224), (value − 127) / 128, to :class:`Features`."""

    def __init__(self) -> None:
        super().__init__()
        widths = (_STEM, *(stage.width for stage in _STAGES))
        self.stem = _Conv(3, _STEM, 3, 2)
        self.stages = nn.ModuleList(map(_stage, widths, _STAGES))
        self.head = _Conv(widths[-1], POOLED)
        self.classifier = nn.Linear(POOLED, CLASSES)

    def forward(self, pixels: Tensor) -> Features:
        x = functional.relu6(self.stem(pixels), inplace=True)
        statistics = [_statistics(x)]
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(_STAGES) - 2:
                statistics.append(_statistics(x))
        pooled = functional.relu6(self.head(x), inplace=True).float().mean((2, 3))
        logits = functional.linear(pooled, self.classifier.weight.float(), self.classifier.bias.float())
        return Features(pooled=pooled, statistics=torch.cat(statistics, 1), probabilities=logits.softmax(1))


def _statistics(x: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(x.float(), dim=(2, 3))
    return torch.cat([mean, deviation], 1)


def fold(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of :class:`EfficientNetLite0` from the published checkpoint's, batch norms folded in.

    Raises:
        KeyError: the checkpoint is not EfficientNet-Lite0's.
    """
    state = {"classifier.weight": published["_fc.weight"], "classifier.bias": published["_fc.bias"]}
    layers = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
    names = [f"stages.{number}.{block}" for number, s in enumerate(_STAGES) for block in range(s.blocks)]
    parts = (("expand", "_bn0"), ("depthwise", "_bn1"), ("project", "_bn2"))
    for number, name in enumerate(names):
        source = f"_blocks.{number}"
        own = parts if number else parts[1:]  # the first block does not expand
        layers += [(f"{name}.{part}", f"{source}._{part}_conv", f"{source}.{norm}") for part, norm in own]
    for target, conv, norm in layers:
        state |= _folded(published, target, conv, norm)
    return state


def _folded(published: Mapping[str, Tensor], target: str, conv: str, norm: str) -> dict[str, Tensor]:
    scale = published[f"{norm}.weight"] / torch.sqrt(published[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
    bias = published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale
    return {f"{target}.weight": published[f"{conv}.weight"] * scale[:, None, None, None], f"{target}.bias": bias}
