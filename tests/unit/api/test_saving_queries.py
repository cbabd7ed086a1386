"""Saving searches, while spaces are switched."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from worker.api import saved_queries
from worker.api.saved_queries import CompletedRequest
from worker.api.search_models import SearchRequest
from worker.catalog.saved_queries import SavedQuery
from worker.catalog.spaces import Space
from worker.pipeline.reading.examples import EmbeddedExamples


class SwitchingExamples:
    """Another space is active whenever it is looked for; vectors say of which space they are."""

    def __init__(self, space: Space) -> None:
        self._space, self._looked = space, 0

    def space(self, number: int | None = None) -> Space:
        self._looked += 1
        return replace(self._space, id=number or self._looked)

    def embed(self, examples, space: Space | None = None) -> EmbeddedExamples:
        where = space or self.space()
        vectors = np.full((len(examples), 2), where.id, np.float32)
        return EmbeddedExamples(space=where, vectors=vectors, pictures=(None,) * len(examples))


class KeptQueries:
    """Takes what is saved."""

    def save(self, name, query, *, space):
        return SavedQuery(name=name, query=query, space=space, created_at=NOW, updated_at=NOW)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = Space(id=1, state="active", dimension=2, model="m", revision="r", preprocessing="p", source=None)
REQUEST = SearchRequest.model_validate(
    {"like": [{"vector": [1.0, 0.0]}, {"vector": [0.0, 1.0]}], "unlike": [{"vector": [1.0, 1.0]}]}
)


@pytest.fixture
def examples():
    return SwitchingExamples(SPACE)


@pytest.fixture
def queries():
    return KeptQueries()


def spaces_of(query) -> set[float]:
    given = [base64.b64decode(each["vector"]) for side in ("like", "unlike") for each in query[side]]
    return {float(number) for each in given for number in np.frombuffer(each, "<f4")}


def test_all_vectors_of_a_saved_query_are_of_the_space_that_it_names(queries, examples):
    """Even if another one becomes active between two files."""
    saved = saved_queries.save(queries, examples, "x", CompletedRequest(request=REQUEST))
    assert ({1.0}, 1) == (spaces_of(saved.query), saved.space)


def test_vectors_of_a_saved_query_keep_their_space_when_it_is_saved_again(queries, examples):
    """They were made in that space, whichever is active now."""
    saved = saved_queries.save(queries, examples, "x", CompletedRequest(request=REQUEST, space=7))
    assert ({7.0}, 7) == (spaces_of(saved.query), saved.space)
