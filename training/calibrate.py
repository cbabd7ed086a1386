"""Choose temperature, threshold and margin of the shipped taxonomies for a set of heads, on development data.

    python -m training.calibrate HEADS.safetensors --photos DIRECTORY --data DIRECTORY

A wrong tag costs as much as three right ones are worth; "none of these" costs nothing. Besides the labelled halves of
the photos, pictures a taxonomy has no answer for take part: pages have no setting, rooms and pages no time of day, and
photos are not pages. What captions mention counts as a photo's subject.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors.torch import load_file

from training import corpus, evaluate, features, sources, vocabulary
from training.evaluate import Labelled, Model, Photos
from worker.encoder.starter.heads import Heads
from worker.encoder.starter.model import filled, load_parts
from worker.tagging import Calibration, LabelMatrix, Taxonomy, build_label_matrix, load_taxonomies, score
from worker.types import Floats

_COST = 3.0
_TEMPERATURES = (0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
_THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_MARGINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
#: What captions call the subjects of the shipped taxonomy, where they differ.
_SUBJECTS = {
    "animal": "animal",
    "landscape": "landscape",
    "mountain": "landscape",
    "forest": "landscape",
    "beach": "water",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cases:
    """Pictures and the labels each may be given; an empty set means none of them."""

    vectors: Floats  # (n, 896)
    accepted: Sequence[frozenset[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a calibration does to the cases."""

    right: int
    wrong: int
    answerable: int

    @property
    def utility(self) -> float:
        return self.right - _COST * self.wrong

    def __str__(self) -> str:
        given = self.right + self.wrong
        return (
            f"right {self.right} of {self.answerable}, wrong {self.wrong}, precision {self.right / max(given, 1):.3f}"
        )


def judge(cases: Cases, matrix: LabelMatrix, calibration: Calibration, logit_scale: float) -> Outcome:
    """Tag the cases with this calibration."""
    taxonomy = replace(matrix.taxonomy, models={"starter": calibration})
    tags = score(cases.vectors, replace(matrix, taxonomy=taxonomy), logit_scale=logit_scale, model="starter")
    given = [(tag.label, accepted) for tag, accepted in zip(tags, cases.accepted, strict=True) if tag.label]
    right = sum(label in accepted for label, accepted in given)
    return Outcome(right=right, wrong=len(given) - right, answerable=sum(map(bool, cases.accepted)))


def best(cases: Cases, matrix: LabelMatrix, logit_scale: float) -> Calibration:
    """The middle of the best calibrations: where several are equally good, the one least at the edge."""
    grid = [
        Calibration(temperature=temperature, threshold=threshold, margin=margin)
        for temperature, threshold, margin in itertools.product(_TEMPERATURES, _THRESHOLDS, _MARGINS)
    ]
    utilities = np.array([judge(cases, matrix, calibration, logit_scale).utility for calibration in grid])
    tied = [calibration for calibration, utility in zip(grid, utilities, strict=True) if utility == utilities.max()]
    middle = np.median([(c.temperature, c.threshold, c.margin) for c in tied], axis=0)
    return min(tied, key=lambda c: float(np.abs(np.array((c.temperature, c.threshold, c.margin)) - middle).sum()))


def photo_cases(model: Model, known: Photos, taxonomy: str, *, reporting: bool) -> Cases:
    """Half of the labelled photos, with those the taxonomy has no answer for."""
    own = {"time-of-day": known.time, "setting": known.setting, "document-page": known.pages}[taxonomy]
    other = {"time-of-day": _joined(known.pages, _only(known.setting, "indoor")), "setting": known.pages}
    files = known.stored.files
    asked = evaluate.half(own, files, reporting=reporting)
    idle = evaluate.half(other.get(taxonomy, known.setting), files, reporting=reporting)
    names = {"drawing": "illustration"}
    accepted = [frozenset((names.get(str(label), str(label)),)) for label in asked.labels]
    vectors = model.images(known.stored)
    return Cases(
        vectors=np.concatenate([vectors[asked.rows], vectors[idle.rows]]),
        accepted=[*accepted, *(frozenset[str]() for _ in idle.rows)],
    )


def _only(data: Labelled, label: str) -> Labelled:
    return replace(data, rows=data.rows[data.labels == label], labels=data.labels[data.labels == label])


def _joined(one: Labelled, other: Labelled) -> Labelled:
    return replace(one, rows=np.append(one.rows, other.rows), labels=np.append(one.labels, other.labels))


def subject_cases(model: Model, data: Path, split: str) -> Cases:
    """Flickr8k's photos with what at least two captions mention."""
    flickr, stored = corpus.flickr(data), features.read(data / "features" / "lite0_flickr.npz")
    names = [Path(file).name for file in stored.files]
    rows = [row for row, name in enumerate(names) if name in flickr.splits[split] and name in flickr.captions]
    accepted = [frozenset(_subjects(flickr.captions[names[row]])) for row in rows]
    return Cases(vectors=model.images(evaluate.take(stored, rows)), accepted=accepted)


def _subjects(captions: Sequence[str]) -> Iterator[str]:
    for tag, rule in vocabulary.RULES.items():
        if sum(rule.search(caption) is not None for caption in captions) > 1:
            yield _SUBJECTS.get(tag, tag)


def _report(name: str, taxonomy: Taxonomy, model: Model, dev: Cases, test: Cases) -> None:
    matrix = build_label_matrix(taxonomy, model.texts)
    now, chosen = taxonomy.calibration_for("starter"), best(dev, matrix, model.logit_scale)
    for title, calibration in (("as shipped", now), ("best on dev", chosen)):
        outcomes = [judge(cases, matrix, calibration, model.logit_scale) for cases in (dev, test)]
        print(f"{name}, {title}: {calibration}\n  dev: {outcomes[0]}\n  held out: {outcomes[1]}")  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.calibrate", description=__doc__.split("\n")[0])
    parser.add_argument("heads", type=Path)
    parser.add_argument("--photos", type=sources.photos, required=True, help="labelled photos")
    parser.add_argument("--data", type=sources.data, required=True, help="features, captions, class names")
    arguments = parser.parse_args()
    model = Model(load_parts(), filled(Heads, load_file(arguments.heads)))
    known = evaluate.photos(arguments.photos)
    for taxonomy in load_taxonomies():
        if taxonomy.name == "subject":
            cases = [subject_cases(model, arguments.data, split) for split in ("dev", "test")]
        else:
            cases = [photo_cases(model, known, taxonomy.name, reporting=reporting) for reporting in (False, True)]
        _report(taxonomy.name, taxonomy, model, cases[0], cases[1])


if __name__ == "__main__":
    main()
