"""What taxonomies written from the docs alone give at once, with the starter, on labelled development photos.

    python -m tests.own_taxonomies PHOTOS [tune|hold]

``tests/fixtures/own_taxonomies`` has the taxonomies and the answers. The neutral prompts were chosen on ``tune``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from worker.encoder import starter
from worker.encoder.interface import Encoder
from worker.tagging import LabelReason, Tagger, load_taxonomies
from worker.types import Floats

FIXTURES = Path(__file__).parent / "fixtures" / "own_taxonomies"
HALVES = ("tune", "hold")
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one taxonomy did to one half of the photos."""

    taxonomy: str
    half: str
    answerable: int  # photos to which a person gives a label
    answered: int  # of these, with a tag
    right: int  # with the right one
    elsewhere: int  # tags on photos to which a person gives none: wrong, too
    others: int  # such photos
    reasons: dict[LabelReason, int]  # of photos without a tag

    @property
    def coverage(self) -> float:
        """Photos with a tag, of those to which a person gives a label."""
        return self.answered / max(self.answerable, 1)

    @property
    def precision(self) -> float:
        """Right tags, of all."""
        return self.right / max(self.answered + self.elsewhere, 1)

    @property
    def precision_where_answerable(self) -> float:
        """Right tags, of those on photos to which a person gives a label."""
        return self.right / max(self.answered, 1)


def half_of(file: str) -> str:
    """As the README of the fixtures says."""
    return HALVES[hashlib.sha256(file.rsplit("/", 1)[-1].encode()).digest()[0] % 2]


@lru_cache(maxsize=1)
def load() -> Encoder:
    """The starter, in the number format that is the same on every machine."""
    return starter.load(device="cpu", dtype="float32")


@lru_cache(maxsize=1)
def embedded(photos: Path) -> dict[str, Floats]:
    """File → its vector."""
    files, model = sorted(_answers()), load()
    found: dict[str, Floats] = {}
    for start in range(0, len(files), _AT_ONCE):
        some = files[start : start + _AT_ONCE]
        pixels = []
        for file in some:
            with Image.open(photos / file) as image:
                pixels.append(model.preprocess(image))
        found |= dict(zip(some, model.encode_images(pixels), strict=True))
    return found


def measure(photos: Path, half: str, files: Sequence[Path] | None = None) -> list[Outcome]:
    """Tag one half by each taxonomy; photos whose answer is "unsure" are left out."""
    chosen = sorted(FIXTURES.glob("*.yaml")) if files is None else files
    return [_measured(photos, half, file) for file in chosen]


def _measured(photos: Path, half: str, file: Path) -> Outcome:
    answers = {
        name: own[file.stem.removesuffix("-with-background")]
        for name, own in _answers().items()
        if half_of(name) == half
    }
    names = [name for name, answer in answers.items() if answer != "unsure"]
    vectors = embedded(photos)
    tagger = Tagger(load_taxonomies([str(file)]), load().encode_texts, logit_scale=load().logit_scale, model="starter")
    (decisions,) = tagger.decide(np.stack([vectors[name] for name in names]))
    pairs = [
        (answers[name], tag.label) for name, tags in zip(names, decisions.tags(len(names)), strict=True) for tag in tags
    ]
    return Outcome(
        taxonomy=file.stem,
        half=half,
        answerable=sum(answer is not None for answer, _ in pairs),
        answered=sum(answer is not None and given is not None for answer, given in pairs),
        right=sum(answer is not None and answer == given for answer, given in pairs),
        elsewhere=sum(answer is None and given is not None for answer, given in pairs),
        others=sum(answer is None for answer, _ in pairs),
        reasons={reason: len(images) for reason, images in decisions.abstentions().items()},
    )


@lru_cache(maxsize=1)
def _answers() -> dict[str, dict[str, str | None]]:
    answers: dict[str, dict[str, str | None]] = json.loads((FIXTURES / "labels.json").read_text("utf-8"))
    return answers


def _row(each: Outcome) -> str:
    return (
        f"| `{each.taxonomy}` | {each.answered}/{each.answerable} = {each.coverage:.2f} | {each.right} right, "
        f"{each.answered - each.right} wrong, {each.elsewhere} on {each.others} others | {each.precision:.2f} | "
        f"{each.precision_where_answerable:.2f} |"
    )


def main() -> None:
    photos, *halves = sys.argv[1:]
    for half in halves or HALVES:
        print(f"{half}:\n| taxonomy | coverage | tags | precision | where answerable |\n|---|---|---|---|---|")  # noqa: T201
        for each in measure(Path(photos), half):
            print(_row(each))  # noqa: T201
            print(f"  {dict(sorted(each.reasons.items()))}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
