"""The use case: change which space answers."""

from __future__ import annotations

from worker import catalog
from worker.catalog import FilledSpace
from worker.db import Engine, transaction
from worker.errors import ConfigurationError, NotFoundError


def filled(engine: Engine) -> list[FilledSpace]:
    """All spaces, with how far each is filled."""
    with transaction(engine) as connection:
        return catalog.filled_spaces(connection)


def activate(engine: Engine, space_id: int, *, force: bool) -> int | None:
    """Make a space the active one, in one transaction: readers see either the old one or the new one.

    Returns:
        The space that was active before, if it was another one.

    Raises:
        NotFoundError: there is no such space.
        ConfigurationError: images that the active space has are missing in it, and ``force`` was not given.
    """
    with transaction(engine) as connection:
        known = {each.id: each for each in catalog.filled_spaces(connection)}
        if space_id not in known:
            raise NotFoundError(f"there is no space {space_id}; `enrich space list` shows those there are")
        active = next((each for each in known.values() if each.state == "active"), None)
        missing = catalog.missing_in(connection, space_id)
        if missing and not force:
            raise ConfigurationError(
                f"{missing:,} images have no vector in space {space_id} yet and would lose their tags until they do: "
                f"run workers with ENRICH_MODEL={known[space_id].model}, `enrich backfill` each bucket, and wait for "
                "`enrich status` to show nothing pending; or give --force"
            )
        catalog.activate(connection, space_id)
    return active.id if active is not None and active.id != space_id else None
