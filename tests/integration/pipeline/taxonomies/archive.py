"""A catalog with vectors and tags but no pictures, and taxonomies of colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import text

from tests.active_taxonomies import following, put_into_force
from tests.factories import DIMENSION, enriched_image
from tests.fakes import ColourEncoder
from worker import catalog, outbox
from worker.catalog.spaces import Space
from worker.catalog.write import EnrichedImage
from worker.db import Engine, transaction
from worker.pipeline.spaces.model_loading import space_spec
from worker.pipeline.taxonomies import changes, lifecycle, plan
from worker.pipeline.taxonomies.active_taxonomies import ActiveTaxonomies
from worker.pipeline.taxonomies.changes import Change
from worker.pipeline.taxonomies.lifecycle import ApplyResult
from worker.pipeline.taxonomies.plan import Plan
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.tagging import Calibration, Label, Requirement, Tagger, Taxonomy
from worker.types import DEFAULT_SET, Floats, Tag


def colours(
    name: str = "colour", *, threshold: float = 0.5, labels: Sequence[str] = ("red", "green", "blue")
) -> Taxonomy:
    """Which of these."""
    return Taxonomy(
        name=name,
        labels=tuple(Label(name=label, prompts=(label,)) for label in labels),
        calibration=Calibration(threshold=threshold),
    )


COLOUR = colours()
STRICT = colours(threshold=0.9)
TWO = colours(labels=("red", "green"))
WARM = Taxonomy(
    name="warmth",
    labels=(Label(name="warm", prompts=("red",)), Label(name="cold", prompts=("blue",))),
    calibration=Calibration(threshold=0.6),
    when=((Requirement(taxonomy="colour", labels=("red", "blue")),),),
)


def exactly(*taxonomies: Taxonomy) -> Change:
    """These, and no others of their set."""
    return changes.declared(taxonomies, own=DEFAULT_SET, remove=True)


def vectors(count: int, seed: int = 0) -> Floats:
    """``[count, DIMENSION]`` unit vectors that lean to one of three colours, more or less."""
    made = np.abs(np.random.default_rng(seed).standard_normal((count, DIMENSION))).astype(np.float32) * 0.05
    made[:, :3] = np.random.default_rng(seed + 1).dirichlet((0.4, 0.4, 0.4), count)
    unit: Floats = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


@dataclass
class Archive:
    """What ``archive`` makes."""

    engine: Engine
    space: Space
    encoder: ColourEncoder
    labels: ActiveTaxonomies
    written: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine, *first: Taxonomy) -> Archive:
        """Empty, with these in force."""
        encoder = ColourEncoder()
        with transaction(engine) as connection:
            space = catalog.spaces.ensure(connection, space_spec(encoder), source="tiny")
        return cls(engine, space, encoder, following(engine, space, encoder, *first))

    def add(self, count: int, *, seed: int = 0) -> list[str]:
        """Write images as a worker does; their keys."""
        made = vectors(count, seed)
        keys = [f"{seed:02}-{number:05}.jpg" for number in range(count)]
        for start in range(0, count, 500):
            self.write(dict(zip(keys[start : start + 500], made[start : start + 500], strict=True)))
        return keys

    def write(self, images: dict[str, Floats]) -> None:
        by = self.labels.now
        tags = by.tagger.tag(np.stack(list(images.values())))
        with transaction(self.engine) as connection:
            catalog.taxonomy_revisions.hold(connection, by.revision)
            rows = [image_of(key, vector, its) for (key, vector), its in zip(images.items(), tags, strict=True)]
            catalog.write.save_images(connection, space_id=self.space.id, images=rows)
        self.written |= images

    def build(self, space: Space, desired: Sequence[Taxonomy]) -> Tagger:
        prompts = PromptVectorCache(self.engine, space, lambda: self.encoder)
        return Tagger(desired, prompts, logit_scale=prompts.logit_scale, model=space.model, space=space.id)

    def plan_change(self, change: Change, *, sample: int | None = plan.SAMPLE) -> Plan:
        return plan.plan(self.engine, change, self.build, sample=sample)

    def plan(self, *desired: Taxonomy, sample: int | None = plan.SAMPLE) -> Plan:
        return self.plan_change(exactly(*desired), sample=sample)

    def apply(self, *desired: Taxonomy, **options: Any) -> ApplyResult:
        return self.change(exactly(*desired), **options)

    def change(self, change: Change, **options: Any) -> ApplyResult:
        return lifecycle.apply(self.engine, change, self.build, **{"made_by": "test@here"} | options)

    def put_into_force(self, *desired: Taxonomy) -> None:
        put_into_force(self.engine, *desired)

    # -- looking -----------------------------------------------------------------------------------------------------
    def tags(self) -> dict[str, set[tuple[Any, ...]]]:
        """key → (taxonomy, version, label, score, probability) of the model."""
        return self._grouped(
            "SELECT i.key, t.taxonomy, t.taxonomy_version, t.label, t.score, t.probability FROM tags t "
            "JOIN images i ON i.id = t.image_id WHERE t.space_id = :space",
        )

    def expected(self, *desired: Taxonomy) -> dict[str, set[tuple[Any, ...]]]:
        """What tagging every image anew gives."""
        tagger = self.build(self.space, desired)
        found = tagger.tag(np.stack(list(self.written.values())))
        return {
            key: {(t.taxonomy, t.version, t.label, np.float32(t.score), np.float32(t.probability)) for t in its}
            for key, its in zip(self.written, found, strict=True)
            if its
        }

    def seen(self) -> dict[str, set[tuple[Any, ...]]]:
        """What other services read: key → (taxonomy, label)."""
        return self._grouped("SELECT key, taxonomy, label FROM image_tags")

    def _grouped(self, statement: str) -> dict[str, set[tuple[Any, ...]]]:
        found: dict[str, set[tuple[Any, ...]]] = {}
        with transaction(self.engine) as connection:
            for key, *rest in connection.execute(text(statement), {"space": self.space.id}):
                values = (np.float32(each) if isinstance(each, float) else each for each in rest)
                found.setdefault(key, set()).add(tuple(values))
        return found

    def feed(self) -> list[str]:
        """Keys that were announced."""
        with transaction(self.engine) as connection:
            return [each.key for each in outbox.read(connection, after=None, limit=1_000_000)]

    def sql(self, statement: str, **values: Any) -> Any:
        with transaction(self.engine) as connection:
            result = connection.execute(text(statement), values)
            return result.all() if result.returns_rows else result.rowcount


def image_of(key: str, vector: Floats, tags: tuple[Tag, ...]) -> EnrichedImage:
    return replace(enriched_image(key, vector=vector), tags=tags)
