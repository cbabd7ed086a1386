"""Finds images by words in their keys and by labels, with bounded work however large the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from worker.catalog.filter_conditions import Conditions, conditions
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter
from worker.catalog.in_force import in_force
from worker.catalog.key_words import key_words_sql
from worker.db import Connection

#: Images found by one word or label at most. What more images have says little, and is only checked.
MOST_FOUND = 200
#: Words that more images have, by the planner's estimate, find none by themselves: only together with others.
_COMMON = 20_000
#: Words that more images have are not even looked for together with others.
_EVERYWHERE = 250_000
#: A word of at least so many letters also finds longer words that begin with it.
_LEAST_PREFIX = 4

_WORDS = key_words_sql("i.key")
# The planner would rather read the table from the start where it expects many matches.
_BY_INDEX = text("SELECT set_config('enable_seqscan', :allow, true)")
_KEYS = text("SELECT id, key FROM images WHERE id = ANY(CAST(:ids AS bigint[]))")
_LABELS_OF = text(f"""
    SELECT t.image_id, t.taxonomy, t.label FROM tags t
    JOIN unnest(CAST(:taxonomies AS text[]), CAST(:labels AS text[])) AS l (taxonomy, label) USING (taxonomy, label)
    WHERE t.image_id = ANY(CAST(:ids AS bigint[])) AND {in_force("t")}
""")  # noqa: S608  # made of this package's texts


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundImages:
    """Images that words or labels find."""

    ids: frozenset[int]
    complete: bool  # False: a word or label has more images than were looked for


class WordSearch:
    """One search for words, among the images of a filter whose names are resolved."""

    def __init__(self, connection: Connection, filter_: ImageFilter = EVERY_IMAGE) -> None:
        """Ask nothing yet.

        Args:
            connection: an open one; best a snapshot.
            filter_: only its images are found.
        """
        self._connection = connection
        self._filter: Conditions = conditions(filter_)

    def find(self, words: Sequence[str], labels: Iterable[tuple[str, str]]) -> FoundImages:
        """Images whose keys have any of these words, or to which any of these labels applies now.

        Of too many images, only some; a word that very many have finds none by itself.

        Args:
            words: of the query.
            labels: pairs of taxonomy and label.
        """
        self._connection.execute(_BY_INDEX, {"allow": "off"})
        found = _joined([self._in_keys(words), *map(self._with_label, labels)])
        self._connection.execute(_BY_INDEX, {"allow": "on"})
        return found

    def _in_keys(self, words: Sequence[str]) -> FoundImages:
        images = dict(zip(words, self._estimates([_query(each) for each in words]), strict=True))
        found = _joined(self._with_words(_query(each)) for each, count in images.items() if count <= _COMMON)
        if found.complete and any(count <= _COMMON for count in images.values()):
            return found  # those that have all words are among them
        # Whole words only: the index reads all that begin with a common word before it looks at the others.
        together = " & ".join(f"'{each}'" for each, count in images.items() if count <= _EVERYWHERE)
        if "&" in together and self._estimates([together])[0] <= _COMMON:
            found = _joined([found, self._with_words(together)])
        return FoundImages(ids=found.ids, complete=not words)

    def keys(self, images: Collection[int]) -> dict[int, str]:
        """The keys of images."""
        return {row.id: row.key for row in self._connection.execute(_KEYS, {"ids": list(images)})}

    def labels(
        self, images: Collection[int], labels: Collection[tuple[str, str]]
    ) -> Mapping[int, frozenset[tuple[str, str]]]:
        """Which of these labels apply now to which of the images."""
        found: dict[int, set[tuple[str, str]]] = defaultdict(set)
        if labels:
            columns = {"taxonomies": [taxonomy for taxonomy, _ in labels], "labels": [label for _, label in labels]}
            for row in self._connection.execute(_LABELS_OF, {"ids": list(images), **columns}):
                found[row.image_id].add((row.taxonomy, row.label))
        return {image: frozenset(each) for image, each in found.items()}

    def _with_label(self, label: tuple[str, str]) -> FoundImages:
        query = f"""
            SELECT i.id FROM tags t JOIN images i ON i.id = t.image_id
            WHERE t.taxonomy = :taxonomy AND t.label = :label AND {in_force("t")} AND {self._filter.check}
        """  # noqa: S608  # made of this package's texts
        return self._limited(query, {"taxonomy": label[0], "label": label[1]})

    def _with_words(self, query: str) -> FoundImages:
        return self._limited(f"{with_words(':query')} AND {self._filter.check}", {"query": query})

    def _limited(self, query: str, given: Mapping[str, object]) -> FoundImages:
        parameters = {**self._filter.parameters, **given, "most": MOST_FOUND}
        ids = self._connection.execute(text(f"{query} LIMIT :most"), parameters).scalars().all()
        return FoundImages(ids=frozenset(ids), complete=len(ids) < MOST_FOUND)

    def _estimates(self, queries: Sequence[str]) -> list[float]:
        """The planner's estimates of how many images each query finds, in one statement."""
        if not queries:
            return []
        each = ", ".join(f"ARRAY({with_words(f':query{n}')})" for n in range(len(queries)))
        given = {f"query{n}": query for n, query in enumerate(queries)}
        plan = self._connection.execute(text(f"EXPLAIN (FORMAT JSON) SELECT {each}"), given).scalar_one()
        parts = {part["Subplan Name"]: part["Plan Rows"] for part in plan[0]["Plan"]["Plans"]}
        return [float(parts[f"InitPlan {n}"]) for n in range(1, len(queries) + 1)]


def with_words(query: str) -> str:
    """SQL for the ids of images ``i`` whose keys match a ``tsquery``, which is SQL as well."""
    return f"SELECT i.id FROM images i WHERE {_WORDS} @@ CAST({query} AS tsquery)"  # noqa: S608


def matches(word: str, words: Collection[str]) -> bool:
    """Whether a word of a query is among a key's words, or begins one of them."""
    return word in words or (len(word) >= _LEAST_PREFIX and any(each.startswith(word) for each in words))


def _query(word: str) -> str:
    """A ``tsquery``; words consist of letters and digits."""
    return f"'{word}':*" if len(word) >= _LEAST_PREFIX else f"'{word}'"


def _joined(found: Iterable[FoundImages]) -> FoundImages:
    parts = list(found)
    return FoundImages(
        ids=frozenset().union(*(each.ids for each in parts)), complete=all(each.complete for each in parts)
    )
