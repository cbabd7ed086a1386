"""Searching by labels: the nearest of 10,000 words for an image, and images for a word, beside numpy over all.

Vectors lie in clusters, as those of real words and pictures do; random ones have no neighbours to speak of.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import text

from bench import retag
from bench.ledger import seconds
from bench.site import Site
from bench.table import Found, Note, Row
from worker import catalog, db
from worker.catalog.image_filter import TagFilter
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.pipeline.reading.label_search import LabelSearch
from worker.pipeline.spaces import fill
from worker.pipeline.taxonomies import active_taxonomies
from worker.pipeline.taxonomies.label_vectors import LabelVectorWriter
from worker.tagging import Label, Taxonomy
from worker.types import Floats, ObjectRef

_DIMENSION = 512
_WORDS = 10_000
_CLUSTERS = 300
_NEAREST = 10
_TIMES = 40
_SLOW_TIMES = 3  # of what fetches everything
_WORD_VECTORS = text("SELECT label, CAST(CAST(vector AS vector) AS real[]) FROM label_vectors WHERE ranks")
_IMAGE_VECTORS = text("SELECT image_id, CAST(CAST(vector AS vector) AS real[]) FROM embeddings WHERE space_id = :space")
_ONE = text("""
    SELECT CAST(CAST(e.vector AS vector) AS real[]) FROM embeddings e JOIN images i ON i.id = e.image_id
    WHERE e.space_id = :space AND i.bucket = 'bench' AND i.key = :key
""")


def _vector(word: str) -> Floats:
    own = zlib.crc32(word.encode())
    centre = np.random.default_rng(own % _CLUSTERS).standard_normal(_DIMENSION)
    made = centre + np.random.default_rng(own + _CLUSTERS).standard_normal(_DIMENSION)
    return np.asarray(made / np.linalg.norm(made), dtype=np.float32)


def encode(texts: Sequence[str]) -> Floats:
    """The texts of a word are near to each other."""
    return np.stack([_vector(each.rpartition("photo of ")[2]) for each in texts])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What is searched."""

    engine: Engine
    space: Space
    search: LabelSearch
    keys: Sequence[str]

    def ours(self, key: str) -> set[str]:
        found = self.search.labels_of(ObjectRef(bucket="bench", key=key), limit=_NEAREST)
        return {each.label for each in found.labels}

    def all_words(self) -> tuple[list[str], Floats]:
        with transaction(self.engine) as connection:
            rows = connection.execute(_WORD_VECTORS).all()
        return [row[0] for row in rows], np.array([row[1] for row in rows], dtype=np.float32)

    def theirs(self, key: str, words: Sequence[str], matrix: Floats) -> set[str]:
        with transaction(self.engine) as connection:
            vector = connection.execute(_ONE, {"space": self.space.id, "key": key}).scalar_one()
        near = np.argpartition(-(matrix @ np.array(vector, dtype=np.float32)), _NEAREST)[:_NEAREST]
        return {words[place] for place in near}

    def images_of(self, word: str) -> set[str]:
        label = TagFilter(taxonomy="words", label=word)
        return {hit.key for hit in self.search.images_of(label, limit=_NEAREST).hits}

    def images_by_numpy(self, word: str) -> list[int]:
        with transaction(self.engine) as connection:
            rows = connection.execute(_IMAGE_VECTORS, {"space": self.space.id}).all()
        matrix = np.array([row[1] for row in rows], dtype=np.float32)
        near = np.argpartition(-(matrix @ _vector(word)), _NEAREST)[:_NEAREST]
        return [rows[place][0] for place in near]


def rows(site: Site, *, images: int) -> Iterator[Found]:
    """Milliseconds of one search by one connection."""
    with site.database() as url:
        engine = db.connect(url, name="bench")
        try:
            yield from _rows(_prepared(engine, images))
        finally:
            engine.dispose()


def _prepared(engine: Engine, images: int) -> _Asked:
    words = tuple(Label(name=f"word {number}", prompts=(f"word {number}",)) for number in range(_WORDS))
    listed = Taxonomy(name="words", mode="vocabulary", labels=words, templates=("{}", "a photo of {}"))
    of = np.random.default_rng(0).integers(_WORDS, size=images)
    near = np.stack([_vector(f"word {number}") for number in of])
    space = retag.fill(engine, images, near + np.random.default_rng(1).standard_normal(near.shape) / _DIMENSION**0.5)
    fill.index(engine, space)
    active_taxonomies.keep(engine, [listed])
    LabelVectorWriter(engine=engine, space=space, encode_texts=encode).run()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE label_vectors, embeddings"))
    keys = [f"{number:09}.jpg" for number in range(1, images + 1, max(images // _TIMES, 1))]
    return _Asked(engine=engine, space=space, search=LabelSearch(engine=engine), keys=keys)


def _rows(asked: _Asked) -> Iterator[Found]:
    words, matrix = asked.all_words()
    turn = _turns(asked.keys)
    ours = _milliseconds(lambda: asked.ours(turn()))
    what = f"{_NEAREST} nearest of {_WORDS:,} labels for an image"
    for other, ask, times in (
        ("numpy over vectors fetched for it", lambda: asked.theirs(turn(), *asked.all_words()), _SLOW_TIMES),
        ("numpy over a matrix kept in memory", lambda: asked.theirs(turn(), words, matrix), _TIMES),
    ):
        theirs = _milliseconds(ask, times)
        yield Row(what=what, unit="ms", ours=ours, other=other, theirs=theirs, less_is_better=True)
    same = np.mean([len(asked.ours(key) & asked.theirs(key, words, matrix)) / _NEAREST for key in asked.keys])
    word = _turns([f"word {number}" for number in range(0, _WORDS, _WORDS // _TIMES)])
    with transaction(asked.engine) as connection:
        images = catalog.spaces.fill_levels(connection)[0].images
    yield Row(
        what=f"{_NEAREST} nearest of {images:,} images for a label",
        unit="ms",
        ours=_milliseconds(lambda: asked.images_of(word())),
        other="numpy over vectors fetched for it",
        theirs=_milliseconds(lambda: asked.images_by_numpy(word()), _SLOW_TIMES),
        less_is_better=True,
    )
    yield Note(sentence=f"the index finds {same:.1%} of the labels that comparing with all of them finds")


def _milliseconds(action: Callable[[], object], times: int = _TIMES) -> float:
    return 1_000 * seconds(action, times)


def _turns(values: Sequence[str]) -> Callable[[], str]:
    """One after the other, round and round."""
    place = iter(range(1 << 30))
    return lambda: values[next(place) % len(values)]
