"""The image tower as one graph of fixed shapes, for compilers."""

from __future__ import annotations

from typing import Any

import torch

from worker.encoder.interface import Runtime
from worker.encoder.preprocessing import Preprocessor
from worker.encoder.tower import pooled
from worker.errors import ConfigurationError


class NormalisedTower(torch.nn.Module):
    """Normalisation and the image tower, as one graph for a compiler: uint8 ``[n, 3, H, W]`` → ``[n, dimension]``."""

    def __init__(self, model: Any, preprocessor: Preprocessor, dtype: torch.dtype = torch.float32) -> None:
        """Wrap a model; see ``require_one_size``. Goes where the model is."""
        super().__init__()
        norm, recipe = preprocessor.normalisation, preprocessor.recipe
        assert norm is not None  # noqa: S101 - see require_one_size
        assert recipe is not None  # noqa: S101
        self.height, self.width = recipe.height, recipe.width
        self.model = model
        self.dtype = dtype
        self.register_buffer("factor", torch.from_numpy(norm.factor).view(1, 3, 1, 1).to(model.device))
        self.register_buffer("offset", torch.from_numpy(norm.offset).view(1, 3, 1, 1).to(model.device))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        values = pixels.float() * self.factor + self.offset  # type: ignore[operator]
        return pooled(self.model.get_image_features(pixel_values=values.to(self.dtype)))


def require_one_size(preprocessor: Preprocessor, runtime: Runtime) -> None:
    """Refuse models without a fixed image size, which compilers need.

    Raises:
        ConfigurationError: the model takes pictures of any shape, or floats that its own processor makes.
    """
    if preprocessor.recipe is None:
        raise ConfigurationError(
            f"ENRICH_ENCODER_RUNTIME={runtime} needs a model with a fixed image size; set ENRICH_ENCODER_RUNTIME=torch"
        )
