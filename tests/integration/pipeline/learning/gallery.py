"""A catalog of a thousand real photos by CLIP: vectors, tags and no pictures. Commands run on it as on any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import text
from typer.testing import CliRunner, Result

from tests.active_taxonomies import following
from tests.factories import enriched_image, spec
from tests.unsplash import LABELS, LOGIT_SCALE, MODEL, Photos, photos
from worker import catalog, cli
from worker.db import Engine, transaction
from worker.encoder import Encoder, EncoderTraits, Pixels
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging import load_taxonomies
from worker.types import Floats

BUCKET = "photos"


class ClipTexts(Encoder):
    """CLIP's text half, as far as its published answers tell it."""

    def __init__(self, known: Photos) -> None:
        space = replace(spec(MODEL), dimension=known.vectors.shape[1])
        traits = EncoderTraits(space=space, logit_scale=LOGIT_SCALE, context=77, input_side=224, purpose="CLIP's texts")
        super().__init__(traits, batch=32)
        self._known = known

    def preprocess(self, image: Image.Image) -> Pixels:
        pytest.fail("the photos are embedded already")

    def _image_features(self, pixels: Sequence[Pixels]) -> Floats:
        pytest.fail("the photos are embedded already")

    def _count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        return [3 for _ in texts]

    def _text_features(self, texts: Sequence[str]) -> Floats:
        return np.stack([self._known.texts.get(each, _unknown(each)) for each in texts])


def _unknown(words: str) -> Floats:
    """Any direction, always the same for the same words."""
    seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
    drawn = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    unit: Floats = drawn / np.linalg.norm(drawn)
    return unit


class Gallery:
    """The catalog, beside the files of two taxonomies."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """Write ``time.yaml`` and ``setting.yaml``, put them into force, and tag all photos by them."""
        self.engine, self.folder, self.photos = engine, folder, photos()
        for question in LABELS:
            (folder / f"{question}.yaml").write_text(taxonomy(question))
        self.encoder = ClipTexts(self.photos)
        with transaction(engine) as connection:
            self.space = catalog.spaces.ensure(connection, space_spec(self.encoder), source=MODEL)
        self.labels = following(
            engine, self.space, self.encoder, *load_taxonomies([str(folder / f"{each}.yaml") for each in LABELS])
        )
        by, vectors = self.labels.now, self.photos.vectors
        tags = by.tagger.tag(vectors)
        for start in range(0, len(vectors), 250):
            with transaction(engine) as connection:
                catalog.taxonomy_revisions.hold(connection, by.revision)
                rows = [
                    _image(name, vector, its)
                    for name, vector, its in zip(
                        self.photos.ids[start : start + 250], vectors[start:], tags[start:], strict=False
                    )
                ]
                catalog.write.save_images(connection, space_id=self.space.id, images=rows)

    def run(self, *arguments: str) -> Result:
        """Run ``enrich``."""
        return CliRunner().invoke(cli.app, list(arguments))

    def json(self, *arguments: str) -> Any:
        """Run ``enrich … --json``."""
        done = self.run(*arguments, "--json")
        return json.loads(done.stdout)

    def review(self, question: str, count: int, seed: int = 0) -> list[str]:
        """Import what people said about some photos, which are drawn at random; which ones."""
        labelled = self.photos.labelled(question)
        drawn = np.random.default_rng(seed).permutation(len(labelled))[:count]
        names = [labelled[place] for place in drawn]
        file = self.folder / f"{question}-{seed}.jsonl"
        rows = [
            {"bucket": BUCKET, "key": f"{name}.jpg", "taxonomy": question,
             "label": self.photos.people[question][name], "chosen": "random"}
            for name in names
        ]  # fmt: skip
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = self.run("decisions", "import", str(file), "--reviewer", "eye")
        assert 0 == done.exit_code, done.output
        return names

    def shown(self, question: str) -> dict[str, str]:
        """Photo → its label, for readers of the view."""
        with transaction(self.engine) as connection:
            rows = connection.execute(
                text("SELECT key, label FROM image_tags WHERE taxonomy = :taxonomy"), {"taxonomy": question}
            )
            return {row.key.removesuffix(".jpg"): row.label for row in rows}


def taxonomy(question: str, *, target: float | None = None) -> str:
    """Its file."""
    labels = "".join(f"  {label}: [{', '.join(words)}]\n" for label, words in LABELS[question].items())
    wanted = "" if target is None else f"target_precision: {target}\n"
    head = f"name: {question}\ntitle: {question.title()}\naggregate: max\n{wanted}"
    return f"{head}labels:\n{labels}models:\n  {MODEL}: {{threshold: 0.4}}\n"


def _image(name: str, vector: Floats, tags: Any) -> Any:
    image = enriched_image(f"{name}.jpg", vector=vector)
    digest = hashlib.sha256(name.encode()).digest()
    metadata = replace(image.metadata, sha256=digest.hex(), phash=int.from_bytes(digest[:8], "big", signed=True))
    return replace(
        image, metadata=metadata, tags=tags, info=replace(image.info, ref=replace(image.info.ref, bucket=BUCKET))
    )
