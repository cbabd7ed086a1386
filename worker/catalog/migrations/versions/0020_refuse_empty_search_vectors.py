"""``search_images`` refuses a vector that is null or has no direction: any image would be as near as any other."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# `search_images` as it was, and a check more. It keeps its owner, its rights and its search path.
_REPLACE = """
DO $do$ BEGIN
    EXECUTE replace(pg_get_functiondef('search_images(halfvec,integer)'::regprocedure), $old${before}$old$, $new${after}$new$);
END $do$;
"""
_LOOKUP = "    SELECT s.id, s.dimension, s.model INTO active"
_CHECKED_FIRST = f"""\
    IF query IS NULL THEN
        RAISE 'the vector is null, and nothing is near to that; give one of unit length, of the active model'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF l2_norm(query) = 0 THEN
        RAISE 'the vector has length 0, so every image is as near as any other; give one of unit length, of the active model'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
{_LOOKUP}"""


def upgrade() -> None:
    op.execute(_REPLACE.format(before=_LOOKUP, after=_CHECKED_FIRST))


def downgrade() -> None:
    op.execute(_REPLACE.format(before=_CHECKED_FIRST, after=_LOOKUP))
