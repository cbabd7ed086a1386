"""The folders that training and measuring need. They do not ship, because terms differ: the commands ask for them.

Nothing here downloads anything. A folder that lacks something is refused with the name of what is missing, where the
public has it from, and on what terms; ``docs/how-to/train-the-starter-model.md`` says how each file is made.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

_DOCS = "docs/how-to/train-the-starter-model.md says how to make each"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Some files of a folder and the public data set they come from."""

    paths: tuple[str, ...]  # relative to the folder
    origin: str
    terms: str


#: What training reads.
DATA = (
    Source(
        paths=(
            "features/lite0_flickr.npz",
            "features/lite0_flickr_aug.npz",
            "Flickr8k.token.txt",
            "Flickr_8k.trainImages.txt",
            "Flickr_8k.devImages.txt",
            "Flickr_8k.testImages.txt",
        ),
        origin="Flickr8k (Hodosh, Young and Hockenmaier, 2013)",
        terms="commonly stated to be for non-commercial research and education",
    ),
    Source(
        paths=("features/lite0_sun.npz",),
        origin="eight scenes of the SUN database (Xiao et al., 2010)",
        terms="no licence came with the copies used",
    ),
    Source(
        paths=("features/lite0_intel.npz",),
        origin="Intel Image Classification, six scenes",
        terms="no licence came with the copies used",
    ),
    Source(
        paths=("features/lite0_flowers.npz",),
        origin="TensorFlow's flower photos",
        terms="Creative Commons, per photo",
    ),
    Source(
        paths=("features/lite0_night.npz", "features/lite0_synth.npz"),
        origin="synthetic: darkened photos of Flickr8k and Intel; drawn pages",
        terms="as their sources; own",
    ),
    Source(
        paths=("imagenet_classes.txt",),
        origin="the class names of ImageNet (ILSVRC 2012), a line each, in the classifier's order",
        terms="Apache-2.0, as the classifier's package",
    ),
    Source(
        paths=("clip_vitb32_class_text_vectors.npz",),
        origin="CLIP's text vectors of LVIS and COCO names, from facebookresearch/Detic",
        terms="Apache-2.0",
    ),
)
#: What measuring reads.
PHOTOS = (
    Source(
        paths=("day-night/day", "day-night/night"),
        origin="webcam frames of AMOS, from udacity/CVND_Exercises",
        terms="that repository is MIT; for the frames it states none",
    ),
    Source(
        paths=("pages/text", "pages/table", "pages/drawing", "pages/photograph"),
        origin="scanned pages, from ufal/atrium-page-classification",
        terms="MIT",
    ),
    Source(
        paths=("scenes", "scenes/labels.csv"),
        origin="COCO 2017 photos and what is in them (Lin et al., 2014)",
        terms="annotations CC BY 4.0; each photo its own licence on Flickr",
    ),
)


def data(value: str) -> Path:
    """An argument's type: the folder with training data.

    Raises:
        argparse.ArgumentTypeError: something is missing; the message says what, and where it comes from.
    """
    return _complete(Path(value), DATA, "training data")


def photos(value: str) -> Path:
    """An argument's type: the folder with labelled photos.

    Raises:
        argparse.ArgumentTypeError: something is missing; the message says what, and where it comes from.
    """
    return _complete(Path(value), PHOTOS, "labelled photos")


def pages(value: str) -> Path:
    """An argument's type: the features of synthetic pages.

    Raises:
        argparse.ArgumentTypeError: there is no such file; the message names the command that makes it.
    """
    if not Path(value).is_file():
        raise argparse.ArgumentTypeError(f"{value} is not there; make it with: python -m training.pages {value}")
    return Path(value)


def _complete(folder: Path, sources: tuple[Source, ...], what: str) -> Path:
    missing = [
        f"  {path}: {source.origin}; terms: {source.terms}"
        for source in sources
        for path in source.paths
        if not (folder / path).exists()
    ]
    if missing:
        raise argparse.ArgumentTypeError("\n".join((f"{folder} lacks {what} ({_DOCS}):", *missing)))
    return folder
