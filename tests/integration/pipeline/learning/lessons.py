"""A catalog where prompts are wrong in a way that people can teach: what is wet is blue, whatever its colour is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tests.factories import DIMENSION
from tests.fakes import ColourEncoder
from tests.integration.pipeline.review.gallery import Gallery, picture
from tests.integration.pipeline.taxonomies.archive import colours
from tests.ledger import ref
from worker import catalog
from worker.catalog.decisions import Chosen, Verdict
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.learning import learn
from worker.pipeline.learning.learn import Learning, LearningRequest
from worker.pipeline.review import decide
from worker.pipeline.review.decide import DecisionRequest
from worker.pipeline.spaces.model_loading import space_spec
from worker.tagging import Calibration, Label, Taxonomy
from worker.types import Floats

COLOURS = ("red", "green", "blue")
#: Prompts see the first three axes only.
WET = 4
COLOUR = replace(colours(), calibration=Calibration(threshold=0.4, temperature=2))
#: ``wet`` has no prompts: only decisions teach it.
WITH_WET = replace(COLOUR, labels=(*COLOUR.labels, Label(name="wet")))
SEVERAL = replace(COLOUR, mode="multi-label", background=("gray",))


class Lessons(Gallery):
    """Pictures, and people who know better."""

    def fill(self, count: int, *, seed: int = 0) -> dict[str, Floats]:
        """Write pictures of any colour, a third of them wet; by key."""
        vectors = scenes(count, seed=seed)
        made = {f"{seed:02}-{number:04}.jpg": vector for number, vector in enumerate(vectors)}
        self.write(made)
        return made

    def teach(
        self, answers: Mapping[str, str], *, chosen: Chosen = Chosen.RANDOM, verdict: Verdict = Verdict.REPLACE
    ) -> None:
        """Decide about pictures as one batch."""
        requests = [
            DecisionRequest(ref=ref(key), taxonomy="colour", verdict=verdict, label=label, chosen=chosen)
            for key, label in answers.items()
        ]
        done = decide.decide(self.engine, requests, reviewer="eve")
        assert {"saved"} == {each.outcome for each in done.results}, [each.message for each in done.results][:3]

    def learn(self, **options: object) -> Learning:
        """As ``enrich learn`` does, without putting it into force."""
        request = LearningRequest(**{"taxonomy": "colour"} | options)  # type: ignore[arg-type]
        found = learn.examine(self.engine, self.build, request)
        return learn.store(self.engine, found, made_by="eve@here")

    def promote(self, learning: Learning) -> None:
        """Put it into force."""
        self.change(learn.change(learning), planned=learning.revision)

    def sources(self) -> set[str]:
        """Of the model's tags."""
        return {row.source for row in self.sql("SELECT DISTINCT source FROM tags WHERE space_id IS NOT NULL")}

    def another_space(self) -> Space:
        """By a model that sees the same; all pictures have a vector in it."""
        with transaction(self.engine) as connection:
            space = catalog.spaces.ensure(connection, space_spec(ColourEncoder("other")), source="other")
            for key, vector in self.written.items():
                catalog.write.save_images(connection, space_id=space.id, images=[picture(key, vector, ())])
        return space

    def in_force(self) -> Taxonomy:
        """The taxonomy as it is now."""
        return self.labels.follow().tagger.taxonomies[0]


def lessons(engine: Engine, *taxonomies: Taxonomy) -> Lessons:
    """Empty, with these in force."""
    made = Lessons.of(engine, *(taxonomies or (COLOUR,)))
    assert isinstance(made, Lessons)
    return made


def scenes(count: int, *, seed: int = 0) -> Floats:
    """``[count, DIMENSION]`` of unit length, no two alike."""
    random = np.random.default_rng(seed)
    made = random.standard_normal((count, DIMENSION)).astype(np.float32) * 0.4
    made[:, :3] = np.abs(made[:, :3]) * 0.5
    made[np.arange(count), random.integers(0, 3, count)] += 1
    made[:, WET] = np.where(random.random(count) < 1 / 3, 1.5, 0)
    unit: Floats = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def truth(vector: Floats, *, wet: str = "blue") -> str:
    """What people say."""
    return wet if vector[WET] > 0 else COLOURS[int(vector[:3].argmax())]


def truths(pictures: Mapping[str, Floats], *, wet: str = "blue", keys: Sequence[str] | None = None) -> dict[str, str]:
    """Of all pictures, or of these."""
    return {key: truth(pictures[key], wet=wet) for key in (pictures if keys is None else keys)}
