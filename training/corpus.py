"""The training data as tensors: features, what is known about each picture, and the texts it may be paired with."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from training import features, vocabulary
from training.features import FeatureSet
from worker.encoder.starter import minilm
from worker.encoder.starter.cache import cached
from worker.encoder.starter.model import ModelParts

_SETS = ("sun", "intel", "flowers", "synth", "night")
#: A photo counts as one of an ImageNet class when the frozen classifier is this sure.
_SURE = 0.6
#: Below the id of a template's concept lie the ImageNet classes.
_FIRST_FOLDER = 1000
NOTHING = -1
#: Fewer texts than these take less than a second to encode: not worth a file.
_MANY = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """n pictures. Text ids are rows of ``texts``."""

    views: Tensor  # float32 (n, 2, 1888): pooled and statistics of the picture, and of a crop of it where there is one
    named: Tensor  # float32 (n, 2, 384): the ConSE half of both
    tags: Tensor  # bool (n, tags)
    concept: Tensor  # int64 (n,): ImageNet class, or 1000 + folder, or NOTHING
    captioned: Tensor  # bool (n,): has captions of its own
    captions: list[list[int]]  # n lists of text ids; of a folder's pictures, the folder's
    class_texts: list[list[int]]  # 1000 lists of text ids
    tag_texts: list[list[int]]  # per tag
    texts: Tensor  # float32 (texts, 384): sentence vectors
    text_mean: Tensor  # (384,): mean of the class names' vectors
    class_vectors: Tensor  # (1000, 384): of the class names, centred, of unit length


@dataclass(kw_only=True, slots=True)
class _Texts:
    """Gives every distinct text a number."""

    ids: dict[str, int] = field(default_factory=dict)

    def __call__(self, texts: Iterable[str]) -> list[int]:
        return [self.ids.setdefault(text, len(self.ids)) for text in texts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Flickr:
    """Flickr8k: 8,091 photos, five captions each, and the usual split."""

    captions: dict[str, list[str]]  # by file name
    splits: dict[str, frozenset[str]]  # "train", "dev", "test": file names


def flickr(data: Path) -> Flickr:
    captions = defaultdict(list)
    for line in (data / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        key, caption = line.split("\t")[:2]
        captions[key.split("#")[0]].append(caption.strip())
    names = {split: (data / f"Flickr_8k.{split}Images.txt").read_text().split() for split in ("train", "dev", "test")}
    return Flickr(captions=dict(captions), splits={split: frozenset(files) for split, files in names.items()})


def class_names(data: Path) -> list[str]:
    """The thousand names, in the classifier's order."""
    return (data / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


def sentence_vectors(parts: ModelParts, texts: Sequence[str]) -> Tensor:
    """float32 (n, 384) of half the precision; where there are many, from the cache if these very texts were there."""
    if len(texts) < _MANY:
        return _encode(parts, texts).half().float()
    name = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]
    return cached(f"training-texts-{name}", lambda: {"vectors": _encode(parts, texts).half()})["vectors"].float()


@torch.inference_mode()
def _encode(parts: ModelParts, texts: Sequence[str]) -> Tensor:
    """Sorted by length, so that little is spent on padding."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    vectors = torch.empty(len(texts), minilm.WIDTH)
    for start in range(0, len(order), 128):
        rows = order[start : start + 128]
        vectors[rows] = parts.sentences(*minilm.tokenize(parts.tokenizer, [texts[row] for row in rows]))
    return vectors


def load(data: Path, pages: FeatureSet, parts: ModelParts) -> Corpus:
    """Flickr8k's training photos with a crop of each, the folders of ``data``, and synthetic pages."""
    numbered = _Texts()
    photos = flickr(data)
    stored = features.read(data / "features" / "lite0_flickr.npz")
    names = [Path(file).name for file in stored.files]
    rows = [row for row, name in enumerate(names) if name in photos.splits["train"] and name in photos.captions]
    own = [photos.captions[names[row]] for row in rows]
    folders = [features.read(data / "features" / f"lite0_{name}.npz") for name in _SETS] + [pages]
    kinds = [vocabulary.folder_of(file) for part in folders for file in part.files]

    crops = features.read(data / "features" / "lite0_flickr_aug.npz")
    first = torch.cat([_inputs(stored)[rows], *map(_inputs, folders)])
    second = torch.cat([_inputs(crops)[rows], *map(_inputs, folders)])
    tags = [vocabulary.caption_tags(captions) for captions in own] + [
        vocabulary.FOLDERS[kind]["tags"] for kind in kinds
    ]
    captions = [numbered(texts) for texts in own]
    written = len(numbered.ids)
    captions += [numbered(vocabulary.FOLDERS[kind]["captions"]) for kind in kinds]
    names_of_classes = class_names(data)
    class_texts = [numbered(vocabulary.class_prompts(name)) for name in names_of_classes]
    tag_texts = [numbered(vocabulary.PROMPTS[tag]) for tag in vocabulary.TAGS]

    anchors = sentence_vectors(parts, [f"a photo of {vocabulary.with_article(name)}" for name in names_of_classes])
    class_vectors = named_as_people_do(parts, anchors)
    chances = torch.stack([_chances(parts, view) for view in (first, second)], 1)
    sure, likeliest = chances[:, 0].max(1)
    known = torch.where(sure > _SURE, likeliest, NOTHING)[: len(rows)]
    order, texts = sorted(vocabulary.FOLDERS), list(numbered.ids)  # captions apart: the vocabulary changes more often
    return Corpus(
        views=torch.stack([first, second], 1),
        named=chances @ class_vectors,
        tags=tag_matrix(tags),
        concept=torch.cat([known, torch.tensor([_FIRST_FOLDER + order.index(kind) for kind in kinds])]),
        captioned=torch.arange(len(first)) < len(rows),
        captions=captions,
        class_texts=class_texts,
        tag_texts=tag_texts,
        texts=torch.cat([sentence_vectors(parts, texts[:written]), sentence_vectors(parts, texts[written:])]),
        text_mean=anchors.mean(0),
        class_vectors=class_vectors,
    )


def named_as_people_do(parts: ModelParts, anchors: Tensor) -> Tensor:
    """The classes' vectors, centred, drawn halfway to those of their everyday names where they have any."""
    mean, vectors = anchors.mean(0), functional.normalize(anchors - anchors.mean(0), dim=1)
    names = list(vocabulary.THINGS)
    everyday = sentence_vectors(parts, [f"a photo of {vocabulary.with_article(name)}" for name in names])
    everyday = functional.normalize(everyday - mean, dim=1)
    for number in range(len(vectors)):
        own = [row for row, name in enumerate(names) if name in vocabulary.class_tags(number)]
        if own:
            vectors[number] += functional.normalize(everyday[own].mean(0), dim=0)
    return functional.normalize(vectors, dim=1)


def tag_matrix(tags: Sequence[Iterable[str]]) -> Tensor:
    """bool (n, tags)."""
    matrix = torch.zeros(len(tags), len(vocabulary.TAGS), dtype=torch.bool)
    for row, names in enumerate(tags):
        matrix[row, [vocabulary.INDEX[name] for name in names]] = True
    return matrix


def _inputs(stored: FeatureSet) -> Tensor:
    return torch.cat([torch.from_numpy(stored.pooled), torch.from_numpy(stored.statistics)], 1)


@torch.inference_mode()
def _chances(parts: ModelParts, inputs: Tensor) -> Tensor:
    chances: Tensor = parts.backbone.classifier(inputs[:, : parts.backbone.classifier.in_features]).softmax(1)
    return chances
