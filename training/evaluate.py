"""Measure heads on labelled photos and on Flickr8k, and print the model card's table.

    python -m training.evaluate HEADS.safetensors … --photos DIRECTORY --data DIRECTORY [--against OTHER.safetensors …]

Several files are taken as seeds of one recipe: the table then gives their mean and a 95 % confidence interval. Each
labelled set is split in two by a hash of the file's name: "dev" is for choosing, "held out" is what the card reports.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from training import corpus, features, sources
from training.features import FeatureSet
from training.naming import mentioned, name_objects, report
from worker.encoder.starter.efficientnet import Features
from worker.encoder.starter.heads import Heads
from worker.encoder.starter.model import ModelParts, filled, load_parts
from worker.tagging import Taxonomy, build_label_matrix, load_taxonomies, score
from worker.types import Floats

#: Prompts of the trial, kept as they were so that figures compare.
PROMPTS: dict[str, tuple[str, ...]] = {
    "day": ("a photo taken during the day", "a street in daylight", "a bright daytime scene", "a sunny day"),
    "night": (
        "a photo taken at night",
        "a street at night",
        "a dark night scene with city lights",
        "the night sky",
    ),
    "indoor": ("a photo taken indoors", "an indoor scene", "inside a room", "the interior of a building"),
    "outdoor": ("a photo taken outdoors", "an outdoor scene", "outside in nature", "outside on a street"),
    "photograph": ("a photograph printed on a page", "an old photograph"),
    "drawing": ("a drawing", "a line drawing on paper", "a map or technical drawing"),
    "text": ("a page of text", "a scanned text document", "a table with text", "handwritten text"),
}
_CRITICAL = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # Student's t, 97.5 %, by number of seeds
Metrics = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Photos with a label each, one of ``answers``."""

    rows: npt.NDArray[np.intp]  # of the feature set
    labels: npt.NDArray[np.str_]
    answers: tuple[str, ...]


class Model:
    """Heads over stored features."""

    def __init__(self, parts: ModelParts, heads: Heads) -> None:
        self._parts, self._heads = parts, heads

    @property
    def logit_scale(self) -> float:
        return float(self._heads.logit_scale)

    @torch.inference_mode()
    def images(self, stored: FeatureSet) -> Floats:
        """Unit rows (n, 896)."""
        pooled = torch.from_numpy(stored.pooled)
        seen = Features(
            pooled=pooled,
            statistics=torch.from_numpy(stored.statistics),
            probabilities=self._parts.backbone.classifier(pooled).softmax(1),
        )
        return _unit(self._heads.embed_images(seen))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Floats:
        """Unit rows (n, 896)."""
        return _unit(self._heads.embed_texts(corpus.sentence_vectors(self._parts, texts)))

    def prototypes(self, prompts: Sequence[Sequence[str]]) -> Floats:
        """One unit row per label: the mean of its prompts."""
        rows = np.stack([self.texts(texts).mean(0) for texts in prompts])
        means: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return means


def _unit(rows: Tensor) -> Floats:
    return functional.normalize(rows, dim=1).numpy()


# -- labelled photos --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Photos:
    """The labelled photos and what is known about them."""

    stored: FeatureSet
    time: Labelled
    setting: Labelled
    pages: Labelled
    objects: dict[int, frozenset[str]]  # row: COCO names in the picture


def photos(folder: Path) -> Photos:
    stored = features.extract(folder)
    with (folder / "scenes" / "labels.csv").open(encoding="utf-8", newline="") as file:
        scenes = {f"scenes/{row['file']}": row for row in csv.DictReader(file)}
    kinds = {"table": "text"}

    def setting(file: str) -> str:
        return scenes[file]["setting"] if file in scenes else ""

    def kind(file: str) -> str:
        label = file.split("/")[1] if file.startswith("pages/") else ""
        return kinds.get(label, label)

    def time(file: str) -> str:
        return file.split("/")[1] if file.startswith("day-night/") else ""

    objects = {
        row: frozenset(scenes[file]["objects"].split(";")) for row, file in enumerate(stored.files) if file in scenes
    }
    return Photos(
        stored=stored,
        time=_labelled(stored, time, ("day", "night")),
        setting=_labelled(stored, setting, ("indoor", "outdoor")),
        pages=_labelled(stored, kind, ("photograph", "drawing", "text")),
        objects={row: names for row, names in objects.items() if names != {""}},
    )


def _labelled(stored: FeatureSet, label: Callable[[str], str], answers: tuple[str, ...]) -> Labelled:
    labels = np.array([label(file) for file in stored.files])
    rows = np.flatnonzero(np.isin(labels, answers))
    return Labelled(rows=rows, labels=labels[rows], answers=answers)


def held_out(file: str) -> bool:
    """Whether a photo is kept for reporting; about half are."""
    return hashlib.sha256(Path(file).name.encode()).digest()[0] % 2 == 0


def half(data: Labelled, files: Sequence[str], *, reporting: bool) -> Labelled:
    chosen = np.array([held_out(files[row]) == reporting for row in data.rows])
    return Labelled(rows=data.rows[chosen], labels=data.labels[chosen], answers=data.answers)


def accuracy(model: Model, vectors: Floats, data: Labelled) -> Metrics:
    """Plain accuracy, balanced accuracy, and the recall of each answer; the best answer always counts."""
    prototypes = model.prototypes([PROMPTS[answer] for answer in data.answers])
    given = np.array(data.answers)[(vectors[data.rows] @ prototypes.T).argmax(1)]
    recalls = {answer: float((given[data.labels == answer] == answer).mean()) for answer in data.answers}
    return {
        "accuracy": float((given == data.labels).mean()),
        "balanced": float(np.mean(list(recalls.values()))),
        **{f"recall of {answer}": recall for answer, recall in recalls.items()},
    }


def retrieval(model: Model, stored: FeatureSet, flickr: corpus.Flickr, split: str) -> Metrics:
    """Recall of the one right photo among the split's thousand, given a caption."""
    names = [Path(file).name for file in stored.files]
    rows = [row for row, name in enumerate(names) if name in flickr.splits[split] and name in flickr.captions]
    vectors = model.images(take(stored, rows))
    captions = [(number, text) for number, row in enumerate(rows) for text in flickr.captions[names[row]]]
    scores = model.texts([text for _, text in captions]) @ vectors.T
    own = scores[np.arange(len(captions)), [number for number, _ in captions]]
    rank = (scores > own[:, None]).sum(1)
    return {f"R@{k}": float((rank < k).mean()) for k in (1, 5, 10)}


def take(stored: FeatureSet, rows: Sequence[int]) -> FeatureSet:
    return FeatureSet(
        pooled=stored.pooled[rows],
        statistics=stored.statistics[rows],
        files=tuple(stored.files[row] for row in rows),
    )


# -- shipped taxonomies -----------------------------------------------------------------------------------------------

_SHIPPED = {"illustration": "drawing"}


def tagging(model: Model, vectors: Floats, data: Labelled, taxonomy: Taxonomy) -> Metrics:
    """Coverage, and precision of what is not left untagged, with a shipped taxonomy and its calibration."""
    matrix = build_label_matrix(taxonomy, model.texts)
    tags = score(vectors[data.rows], matrix, logit_scale=model.logit_scale, model="starter")
    given = np.array([_SHIPPED.get(tag.label, tag.label) if tag.label else "" for tag in tags])
    decided = given != ""
    right = float((given == data.labels)[decided].mean()) if decided.any() else math.nan
    return {"coverage": float(decided.mean()), "precision": right}


# -- the table --------------------------------------------------------------------------------------------------------


def measure(model: Model, known: Photos, data: Path, stored: FeatureSet) -> dict[str, Metrics]:
    """Everything the card reports, by row of its table."""
    vectors, files = model.images(known.stored), known.stored.files
    shipped = {taxonomy.name: taxonomy for taxonomy in load_taxonomies(())}
    sets = {"time-of-day": known.time, "setting": known.setting, "document-page": known.pages}
    names, flickr = coco_names(data), corpus.flickr(data)
    table: dict[str, Metrics] = {}
    for name, whole in sets.items():
        for part, reporting in (("dev", False), ("held out", True)):
            chosen = half(whole, files, reporting=reporting)
            title = f"{name}, {part} ({len(chosen.rows)})"
            table[title] = accuracy(model, vectors, chosen)
            table[f"{title}, as shipped"] = tagging(model, vectors, chosen, shipped[name])
    table[f"COCO object ({len(known.objects)})"] = name_objects(model, vectors, known.objects, names).means()
    said = mentioned(flickr, stored.files, names)
    table["objects mentioned, Flickr8k dev"] = name_objects(model, model.images(stored), said, names).means()
    table["Flickr8k dev"] = retrieval(model, stored, flickr, "dev")
    table["Flickr8k test"] = retrieval(model, stored, flickr, "test")
    return table


def coco_names(data: Path) -> list[str]:
    """The eighty, as people write them."""
    stored = features.arrays(data / "clip_vitb32_class_text_vectors.npz")["coco_names"]
    return [str(name).replace("_", " ") for name in stored]


def interval(values: Sequence[float]) -> str:
    """Mean and half the width of its 95 % confidence interval over seeds; the value alone where there is one seed."""
    mean = float(np.mean(values))
    if len(values) == 1:
        return f"{mean:.3f}"
    spread = _CRITICAL.get(len(values), 2.0) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{mean:.3f} ± {spread:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__.split("\n")[0])
    parser.add_argument("heads", type=Path, nargs="+", help="one file, or one per seed")
    parser.add_argument("--against", type=Path, nargs="+", default=[], help="another recipe's, to compare naming with")
    parser.add_argument("--photos", type=sources.photos, required=True, help="labelled photos")
    parser.add_argument("--data", type=sources.data, required=True, help="features, captions, class names")
    arguments = parser.parse_args()
    parts, known = load_parts(), photos(arguments.photos)
    stored = features.read(arguments.data / "features" / "lite0_flickr.npz")
    models, others = (
        [Model(parts, filled(Heads, load_file(path))) for path in paths]
        for paths in (arguments.heads, arguments.against)
    )
    runs = [measure(model, known, arguments.data, stored) for model in models]
    for row, metrics in runs[0].items():
        cells = [f"{name} {interval([run[row][name] for run in runs])}" for name in metrics]
        print(f"| {row} | {' · '.join(cells)} |")  # noqa: T201
    names = coco_names(arguments.data)
    named, others_named = (
        [name_objects(model, model.images(known.stored), known.objects, names) for model in each]
        for each in (models, others)
    )
    print("COCO object, mean over seeds with a 95 % interval over photos:")  # noqa: T201
    print("\n".join(report(named, others_named)))  # noqa: T201


if __name__ == "__main__":
    main()
