"""Matches the words of a query with images' keys and labels, for searches by meaning and words together.

Recognised text is not matched yet: a third source of words, beside keys and labels, belongs into :meth:`_Matching.all`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from worker import catalog, label_names
from worker.catalog.image_filter import EVERY_IMAGE, ImageFilter
from worker.catalog.key_words import key_words, may_have, ordered_key_words, query_words
from worker.catalog.word_search import WordSearch, matches
from worker.db import Connection

#: Words of a query that are looked for; further ones are for the model alone.
MOST_WORDS = 16
#: Labels of a query that are looked for.
_MOST_LABELS = 16
#: Words of the longest label that is found in a query.
_LONGEST_LABEL = 6
#: Taxonomy versions whose names are kept.
_VERSIONS_KEPT = 64

#: Words that say nothing about a picture; those of other languages are rare in keys.
_STOP_WORDS = """
    a an the of in on at by to with and or from for is are as it its this that some any no not
    photo photos picture pictures image images photograph photographs pic pics img
"""

_STOPPED = frozenset(_STOP_WORDS.split())

#: Folded name → the labels that are called so, as pairs of taxonomy and label.
_Names = Mapping[tuple[str, ...], frozenset[tuple[str, str]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchedWord:
    """Why an image matches: a word of its key, or a label in force."""

    word: str  # of the query, folded; several for a label whose name has several
    key: bool = False
    tag: tuple[str, str] | None = None  # taxonomy and label


@dataclass(frozen=True, kw_only=True, slots=True)
class WordMatch:
    """An image that has words of the query."""

    image_id: int
    share: float  # of the query's words that it has, 0..1; 1: all
    words: tuple[MatchedWord, ...]
    exact: bool  # the file is called exactly so, apart from case, accents and what stands between words


@dataclass(frozen=True, kw_only=True, slots=True)
class WordMatches:
    """What words find."""

    matches: Mapping[int, WordMatch]  # by image
    complete: bool  # False: there are more images that have a word or label than were looked for


class WordMatcher:
    """Matches words. It keeps labels' names between calls; threads may share one."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._names: dict[tuple[str, str], _Names] = {}  # by taxonomy and version
        self._mutex = threading.Lock()

    def __call__(
        self,
        connection: Connection,
        text: str,
        *,
        filter_: ImageFilter = EVERY_IMAGE,
        among: Collection[int] = (),
    ) -> WordMatches:
        """The images that have words of ``text``.

        Args:
            connection: a snapshot.
            text: the query.
            filter_: only its images are found; with resolved names.
            among: images of the filter found by other means, which are checked as well.
        """
        asked = query_words(text)
        words = tuple(each for each in asked if each not in _STOPPED)[:MOST_WORDS]
        labels = self._labels(connection, asked)
        if not words and not labels:
            return WordMatches(matches={}, complete=True)
        search = WordSearch(connection, filter_)
        wanted = frozenset(words or (each for part in labels.values() for each in part))
        matching = _Matching(
            search=search, asked=asked, has_folder="/" in text, words=words, labels=labels, wanted=wanted
        )
        return matching.all(among)

    def _labels(self, connection: Connection, words: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
        """Labels that the query names → the words that name them; of a longer name, not also its parts."""
        in_use = catalog.taxonomies.versions_in_use(connection)
        names = [self._names_of(connection, taxonomy, version) for taxonomy, version in in_use.items()]
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        taken: set[int] = set()
        for length in range(min(_LONGEST_LABEL, len(words)), 0, -1):
            for first in range(len(words) - length + 1):
                places = set(range(first, first + length))
                part = tuple(words[first : first + length])
                named = [label for each in names for label in sorted(each.get(part, ()))]
                if named and not places & taken and not _STOPPED.issuperset(part):
                    taken |= places
                    found.update((label, part) for label in named)
        return dict(list(found.items())[:_MOST_LABELS])

    def _names_of(self, connection: Connection, taxonomy: str, version: str) -> _Names:
        with self._mutex:
            known = self._names.pop((taxonomy, version), None)
        if known is None:
            definition = catalog.taxonomies.definition(connection, taxonomy, version) or {}
            known = _by_name(taxonomy, definition)
        with self._mutex:
            self._names[taxonomy, version] = known  # the last one used is the last to go
            for unused in list(self._names)[:-_VERSIONS_KEPT]:
                del self._names[unused]
        return known


@dataclass(frozen=True, kw_only=True, slots=True)
class _Matching:
    search: WordSearch
    asked: tuple[str, ...]  # all words of the query
    has_folder: bool  # it may be a whole key
    words: tuple[str, ...]  # without those that say nothing
    labels: Mapping[tuple[str, str], tuple[str, ...]]
    wanted: frozenset[str]  # what the share is of

    def all(self, among: Collection[int]) -> WordMatches:
        """Images found by keys or labels, and those ``among`` which some have words: each checked for everything."""
        found = self.search.find(self.words, self.labels)
        images = found.ids.union(among)
        keys, tags = self.search.keys(images), self.search.labels(images, self.labels)
        made = (
            self._match(image, key, tags.get(image, frozenset()))
            for image, key in keys.items()
            if image in tags or may_have(key, self.words)
        )
        return WordMatches(matches={each.image_id: each for each in made if each.words}, complete=found.complete)

    def _match(self, image: int, key: str, tags: Collection[tuple[str, str]]) -> WordMatch:
        there = key_words(key)
        by_key = [MatchedWord(word=each, key=True) for each in self.words if matches(each, there)]
        by_tag = [MatchedWord(word=" ".join(part), tag=tag) for tag, part in self.labels.items() if tag in tags]
        found = {each for match in (*by_key, *by_tag) for each in match.word.split(" ")}
        return WordMatch(
            image_id=image,
            share=len(found & self.wanted) / len(self.wanted),
            words=(*by_tag, *by_key),
            exact=len(by_key) == len(self.words) and self._is_called(key),
        )

    def _is_called(self, key: str) -> bool:
        whole = ordered_key_words(key) if self.has_folder else ()
        return self.asked in (ordered_key_words(key.rpartition("/")[2]), whole)


def _by_name(taxonomy: str, definition: Mapping[str, object]) -> _Names:
    found: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for label, name in label_names.names(definition):
        found.setdefault(query_words(name), set()).add((taxonomy, label))
    found.pop((), None)
    return {words: frozenset(labels) for words, labels in found.items()}
