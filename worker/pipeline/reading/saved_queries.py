"""The use case: save searches under a name, and find them again.

A saved query is kept in the format of the API's requests, so that it can be read, changed and sent like one. Files in
it are not kept: they may show what must not be stored, and are large. Their vectors are, with the number of their
space. Once another space is active, such a query is refused, and has to be saved again with the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker import catalog
from worker.catalog.saved_queries import SavedQuery
from worker.db import Engine, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.suggestions import shown, suggested

#: Queries that can be saved.
MOST_QUERIES = 1_000


class OutdatedQueryError(ChoiceError):
    """A saved query has vectors of a space that is not active any more."""


def outdated(what: str, space: int, active: int | None) -> OutdatedQueryError:
    """The error of a query whose vectors are of a space that is not active."""
    now = "none" if active is None else f"space {active}"
    return OutdatedQueryError(
        f"{what} has vectors of space {space}, and {now} is active: save it again, with the files or vectors that it "
        "was made of"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedQueries:
    """Saved searches. Threads may share one."""

    engine: Engine

    def save(self, name: str, query: Mapping[str, Any], *, space: int | None) -> SavedQuery:
        """Save a query, in place of one of this name.

        Args:
            name: what to find it by.
            query: a request that was checked.
            space: of the vectors in it; None: it has none.

        Raises:
            ChoiceError: there are too many.
        """
        with transaction(self.engine) as connection:
            if catalog.saved_queries.others(connection, name) >= MOST_QUERIES:
                raise ChoiceError(f"there are {MOST_QUERIES:,} saved queries, which is the most: delete some first")
            return catalog.saved_queries.save(connection, name, query, space=space)

    def find(self, name: str) -> SavedQuery:
        """The query of a name, whether it can be used or not.

        Raises:
            NotFoundError: there is none; names the nearest.
        """
        with transaction(self.engine) as connection:
            found = catalog.saved_queries.one(connection, name)
            if found is None:
                names = catalog.saved_queries.names(connection)
                there = f"there are {', '.join(names[:10])}" if names else "none is saved yet"
                raise NotFoundError(f"there is no saved query {shown(name)}; {suggested(name, names, otherwise=there)}")
        return found

    def usable(self, name: str) -> SavedQuery:
        """A saved query that can be used now, or until another space is active.

        Raises:
            NotFoundError: there is none.
            OutdatedQueryError: its vectors are of a space that is not active.
        """
        found = self.find(name)
        if found.space is not None:
            with transaction(self.engine) as connection:
                active = catalog.spaces.active(connection)
            if active is None or active.id != found.space:
                raise outdated(f"the saved query {shown(name)}", found.space, None if active is None else active.id)
        return found

    def every(self) -> Sequence[SavedQuery]:
        """All of them, by name."""
        with transaction(self.engine) as connection:
            return catalog.saved_queries.every(connection, limit=MOST_QUERIES)

    def delete(self, name: str) -> None:
        """Delete one.

        Raises:
            NotFoundError: there is none.
        """
        self.find(name)
        with transaction(self.engine) as connection:
            catalog.saved_queries.delete(connection, name)
