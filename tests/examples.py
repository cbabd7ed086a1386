"""Vectors of examples, with the encoder of a search."""

from __future__ import annotations

from worker.db import Engine
from worker.images import ImageLimits
from worker.pipeline.reading.examples import ExampleVectors
from worker.pipeline.reading.image_towers import ImageTowers
from worker.pipeline.reading.relevance import Relevance
from worker.pipeline.reading.search import Search
from worker.pipeline.reading.text_search import TextSearch
from worker.pipeline.resilience.memory_budget import ByteBudget, DecodeSlots

#: Small, so that tests reach them.
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=4_000_000, max_side=4_000)


def examples_of(engine: Engine, search: TextSearch, *, limits: ImageLimits = LIMITS) -> ExampleVectors:
    """As ``bootstrap.reading`` makes them, but with the search's own encoder for images as well."""
    decoders = DecodeSlots(count=2, memory=ByteBudget(1 << 28))
    return ExampleVectors(engine, search.model_of, ImageTowers(search.model_of, limits=limits, decoders=decoders))


def search_of(engine: Engine, texts: TextSearch) -> Search:
    """Search by examples, as ``bootstrap.reading`` makes it."""
    relevance = Relevance(engine, lambda space, some: texts.model_of(space).encode_texts(some))
    return Search(engine, examples_of(engine, texts), configured=texts.encoder, relevance=relevance)
