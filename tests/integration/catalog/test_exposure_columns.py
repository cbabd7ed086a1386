"""The camera's settings in the catalog: new columns beside old rows, and the view that others read."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import text

from tests.factories import enriched_image, spec
from tests.integration.catalog.test_catalog import write
from worker import catalog
from worker.catalog.schema import _config
from worker.db import transaction
from worker.types import ImageMetadata

BEFORE = "0021"  # the revision that did not know them
NAMES = ("iso", "exposure_time", "f_number", "focal_length", "focal_length_35mm", "lens_make", "lens_model")
_SHOWN = text(f"SELECT {', '.join(NAMES)} FROM enriched_images WHERE key = :key")


@pytest.fixture
def space(engine):
    with transaction(engine) as connection:
        return catalog.spaces.ensure(connection, spec())


def settings(metadata: ImageMetadata) -> tuple[object, ...]:
    return tuple(getattr(metadata, name) for name in NAMES)


def shown(engine, key):
    with transaction(engine) as connection:
        return tuple(connection.execute(_SHOWN, {"key": key}).one())


def test_the_view_has_the_cameras_settings(engine, space):
    """As they were written, to the last digit."""
    given = enriched_image("a")
    write(engine, space, given)
    assert settings(given.metadata) == shown(engine, "a")
    assert None not in settings(given.metadata)


def test_a_row_from_before_is_read_without_them(engine, space):
    """It is there, and its settings are null, until it is written again."""
    write(engine, space, enriched_image("a"))
    with transaction(engine) as connection:
        command.downgrade(_config(connection), BEFORE)
        command.upgrade(_config(connection), "head")
        found = catalog.read.image(connection, enriched_image("a").info.ref)
    assert found is not None
    assert {None} == {getattr(found, name) for name in NAMES}
    write(engine, space, enriched_image("a"))
    assert settings(enriched_image("a").metadata) == shown(engine, "a")


def test_readers_keep_their_rights_up_and_down(engine):
    """The view is made again on the way down; who may read it may read it still."""
    granted = text("""
        SELECT a.grantee::regrole::text, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'enriched_images'::regclass AND a.grantee <> a.grantor ORDER BY 1, 2
    """)
    with transaction(engine) as connection:
        connection.execute(text('CREATE ROLE "a reader"'))
        connection.execute(text('GRANT SELECT ON enriched_images TO "a reader"'))
        before = connection.execute(granted).all()
        for where in (BEFORE, "head"):
            go = command.downgrade if where == BEFORE else command.upgrade
            go(_config(connection), where)
            assert before == connection.execute(granted).all()
        connection.execute(text('DROP OWNED BY "a reader"'))
        connection.execute(text('DROP ROLE "a reader"'))
    assert ('"a reader"', "SELECT") in [tuple(row) for row in before]
