"""What an image is to prompts that ask nothing: the yardstick for models that a taxonomy has no numbers for.

Cosines of two models do not mean the same, and nor do those of two images of one model: a busy street is a little like
everything, a blank page like nothing. So a label is judged relative to a fixed set of neutral prompts, in the same
templates, for each image by itself:

    z(label) = (cos(label) - mean of cos(neutral prompts)) / standard deviation of cos(neutral prompts)

This is null-prompt standardisation; it is free of the model's scale, needs no collection, and depends on the image
alone. A label must be above the **neutral level**, which is the higher of

- ``LEVEL`` standard deviations above the mean (2.33: what one in a hundred of normally distributed prompts exceeds);
- the nearest neutral or background prompt, less ``SLACK`` of one standard deviation: neutral prompts name common
  things, so the right label often has one of them beside it, but hardly one far ahead of it.

Its probability is ``σ(SHARPNESS × (z(label) - z(strongest rival)))``, where the neutral level is one of the rivals.

The numbers are the same for every taxonomy and model. Docs/decisions 39 has the measurements that they rest on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.types import Floats

#: Standard deviations above the mean that a label must have at least.
LEVEL = 2.33
#: Standard deviations by which the nearest neutral or background prompt may be ahead of a label.
SLACK = 1.0
#: Turns a lead in standard deviations into a probability: what made the answers on development photos likeliest.
SHARPNESS = 2.0

#: Common things, places and kinds of pictures, as a caption would put them.
PROMPTS = (
    "a person",
    "a group of people",
    "a child",
    "a dog",
    "a cat",
    "a bird",
    "a horse",
    "a cow in a field",
    "a fish",
    "an insect",
    "a wild animal",
    "a tree",
    "a flower",
    "a plant with leaves",
    "a forest",
    "a mountain",
    "the sea",
    "a lake",
    "a river",
    "a beach",
    "the sky with clouds",
    "snow",
    "a road",
    "a street in a city",
    "a house",
    "a tall building",
    "a church",
    "a bridge",
    "a car",
    "a bicycle",
    "a train",
    "a boat",
    "an airplane",
    "a truck",
    "a room",
    "a kitchen",
    "a bathroom",
    "a bed",
    "a chair",
    "a table",
    "a shop",
    "an office",
    "a factory",
    "a plate of food",
    "fruit",
    "vegetables",
    "a cake",
    "a cup of coffee",
    "a bottle",
    "a glass",
    "a knife and a fork",
    "a computer",
    "a telephone",
    "a television",
    "a camera",
    "a clock",
    "a lamp",
    "a book",
    "a newspaper",
    "a page of text",
    "a handwritten letter",
    "a drawing",
    "a painting",
    "a map",
    "a diagram",
    "a poster",
    "a sign",
    "a logo",
    "a screenshot",
    "a toy",
    "a ball",
    "a musical instrument",
    "a guitar",
    "a tool",
    "a machine",
    "a screw",
    "a metal part",
    "a piece of wood",
    "a stone",
    "a brick wall",
    "sand",
    "water",
    "fire",
    "smoke",
    "a piece of cloth",
    "a shirt",
    "a pair of shoes",
    "a hat",
    "a bag",
    "a ring",
    "a coin",
    "a box",
    "a basket",
    "a bucket",
    "a rope",
    "a key",
    "a pen",
    "a pair of scissors",
    "a mirror",
    "a window",
    "a door",
    "a staircase",
    "a fence",
    "a garden",
    "a playground",
    "a football match",
    "a concert",
    "a wedding",
    "a market",
    "a hospital",
    "a microscope image",
    "an X-ray image",
    "the moon",
    "a statue",
    "a plain surface",
    "a regular pattern",
    "a dark picture",
    "a blurred picture",
    "a city at night",
    "a view over the roofs of a city",
    "a field",
    "a desert",
    "a sunset",
    "a party",
    "a person at work",
    "a person doing sport",
)

#: Names the prompts and numbers above; part of the version of every taxonomy that is decided by them.
EDITION = hashlib.sha256(json.dumps([LEVEL, SLACK, SHARPNESS, *PROMPTS]).encode()).hexdigest()[:16]

#: Cosines are summed as multiples of this, so that sums are exact whatever their order.
_STEP = 2.0**20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Yardstick:
    """The neutral prompts' cosines to n images, summed up."""

    mean: Floats  # [n]
    deviation: Floats  # [n], standard deviation
    nearest: Floats  # [n], of the nearest prompt

    def of(self, images: npt.NDArray[np.intp]) -> Yardstick:
        """The same for some of the images."""
        return Yardstick(mean=self.mean[images], deviation=self.deviation[images], nearest=self.nearest[images])

    def level(self, background: Floats | None) -> Floats:
        """``[n]``: the cosine that a label must exceed; ``background``: that of its nearest prompt, if any."""
        nearest = self.nearest if background is None else np.maximum(self.nearest, background)
        return np.maximum(self.mean + np.float32(LEVEL) * self.deviation, nearest - np.float32(SLACK) * self.deviation)

    def factor(self, temperature: float) -> Floats:
        """``[n]``: what differences of cosines are multiplied by; 0 where all prompts are equally near."""
        sharpness = np.float32(SHARPNESS / temperature)
        return np.divide(sharpness, self.deviation, out=np.zeros_like(self.deviation), where=self.deviation > 0)


def yardstick(cosines: Floats) -> Yardstick:
    """Sum up the cosines of the neutral prompts, ``[prompts, n]``, bit for bit the same for any n.

    Multiples of 2⁻²⁰ up to 1, and their squares, have sums that float64 holds exactly.
    """
    steps = np.rint(cosines.astype(np.float64) * _STEP)
    mean = steps.sum(axis=0) / len(steps)
    variance = np.square(steps).sum(axis=0) / len(steps) - np.square(mean)
    return Yardstick(
        mean=(mean / _STEP).astype(np.float32),
        deviation=(np.sqrt(np.maximum(variance, 0)) / _STEP).astype(np.float32),
        nearest=cosines.max(axis=0),
    )
