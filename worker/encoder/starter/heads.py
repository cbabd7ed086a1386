"""The trained part: two small heads that map the backbones' outputs into one space.

A vector has two halves. The first is ConSE (Norouzi et al., 2014): the classifier's softmax times the sentence vectors
of the class names; it names things. The second is learned by contrast between photos and captions; it knows scenes,
light and pages. Both halves are compared at once by the dot product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.encoder.starter.efficientnet import CLASSES, POOLED, STATISTICS, Features
from worker.encoder.starter.minilm import WIDTH

#: Components of the learned half.
LEARNED = 512
#: Components of a starter vector.
DIMENSION = WIDTH + LEARNED
_HIDDEN = 512
_IMAGE_INPUTS = POOLED + STATISTICS + WIDTH


class Head(nn.Module):
    """Standardise, then a linear map plus a small perceptron: (n, inputs) to unit rows (n, 512)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.linear = nn.Linear(inputs, LEARNED)
        self.hidden = nn.Linear(inputs, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, LEARNED)
        self._dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = self._dropped((x - self.mean) * self.scale)
        hidden = self._dropped(functional.gelu(self.hidden(x)))
        return functional.normalize(self.linear(x) + self.output(hidden), dim=1)

    def _dropped(self, x: Tensor) -> Tensor:
        """Dropout in training; torch's own takes ten times as long on a CPU."""
        if not (self.training and self._dropout):
            return x
        return x * (torch.rand_like(x) >= self._dropout) / (1 - self._dropout)


class Heads(nn.Module):
    """Both heads and the constants they need; the whole of ``heads.safetensors``."""

    class_texts: Tensor
    text_mean: Tensor
    logit_scale: Tensor

    def __init__(self, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.image = Head(_IMAGE_INPUTS, dropout=dropout)
        self.text = Head(WIDTH, dropout=dropout / 2)
        self.register_buffer("class_texts", torch.zeros(CLASSES, WIDTH))  # centred unit vectors of the class names
        self.register_buffer("text_mean", torch.zeros(WIDTH))  # what the class names have in common
        self.register_buffer("logit_scale", torch.tensor(1.0))  # similarities times this go into a softmax

    def embed_images(self, features: Features) -> Tensor:
        """(n, 896), of unit length once normalised."""
        named = features.probabilities @ self.class_texts
        return join_halves(named, self.image(torch.cat([features.pooled, features.statistics, named], 1)))

    def embed_texts(self, sentences: Tensor) -> Tensor:
        """Unit sentence vectors, (n, 384), to (n, 896) of unit length."""
        return join_halves(functional.normalize(sentences - self.text_mean, dim=1), self.text(sentences))


def join_halves(named: Tensor, learned: Tensor) -> Tensor:
    # Equal shares. An image nobody can name has a short first half, so that the learned half speaks the louder.
    joined: Tensor = 0.5**0.5 * torch.cat([named, learned], 1)
    return joined
