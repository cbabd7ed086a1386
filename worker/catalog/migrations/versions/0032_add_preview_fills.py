"""Fills from previews that run, instead of a flag of the space that an interrupted one left on."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE preview_fills (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id   integer NOT NULL REFERENCES spaces,
    began_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE preview_fills IS 'Fills that want missing vectors to be made from previews. Each removes its row when it ends.';
COMMENT ON COLUMN preview_fills.began_at IS 'Images that are enriched later are embedded from their originals.';
COMMENT ON COLUMN preview_fills.expires_at IS 'Renewed while the fill runs; in the past: it was killed.';
ALTER TABLE spaces DROP COLUMN fills_from_previews;
"""
FLAG = """
ALTER TABLE spaces ADD COLUMN fills_from_previews boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN spaces.fills_from_previews IS 'Missing vectors are made from previews, where there are, as long as a fill that wants that runs.';
DROP TABLE preview_fills;
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute(FLAG)
