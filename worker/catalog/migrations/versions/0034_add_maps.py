"""2-D maps of the images of a space, and their points in chunks."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE maps (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id         integer NOT NULL REFERENCES spaces,
    state            text NOT NULL CHECK (state IN ('requested', 'drawing', 'ready', 'failed')),
    method           text NOT NULL CHECK (method IN ('auto', 'pca', 'umap')),
    sample           integer NOT NULL CHECK (sample > 0),
    seed             integer NOT NULL,
    requested_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    began_at         timestamptz,
    renewed_at       timestamptz,
    finished_at      timestamptz,
    attempts         integer NOT NULL DEFAULT 0,
    stage            text,
    done             real,
    error            text,
    images           integer NOT NULL DEFAULT 0,
    fitted           integer NOT NULL DEFAULT 0,
    poor             integer NOT NULL DEFAULT 0,
    far              real,
    distance         real,
    centre_x         double precision,
    centre_y         double precision,
    half             double precision,
    previous         bigint,
    common           integer,
    explained        real,
    update_wanted_at timestamptz,
    updated_at       timestamptz,
    CHECK ((state = 'failed') = (error IS NOT NULL)),
    CHECK (state <> 'ready' OR (method <> 'auto' AND half > 0))
);
CREATE UNIQUE INDEX maps_under_way ON maps (space_id) WHERE state IN ('requested', 'drawing');
CREATE INDEX maps_by_space ON maps (space_id, id);
COMMENT ON TABLE maps IS '2-D maps of the images of a space, one row per version. Readers use the newest that is ready.';
COMMENT ON COLUMN maps.renewed_at IS 'When who draws it last said that it goes on.';
COMMENT ON COLUMN maps.images IS 'Points. They never change; more may be added behind them.';
COMMENT ON COLUMN maps.fitted IS 'The first points: the images that the map was fitted to.';
COMMENT ON COLUMN maps.far IS 'From this mean cosine distance of its fitted neighbours on, an image is poorly placed.';
COMMENT ON COLUMN maps.poor IS 'Poorly placed images among those that are not fitted.';
COMMENT ON COLUMN maps.distance IS 'Mean distance of the neighbours of the images that are not fitted.';
COMMENT ON COLUMN maps.half IS 'Half a side of the square around the centre that the grid of the points covers.';
COMMENT ON COLUMN maps.previous IS 'The map that this one was aligned to.';
COMMENT ON COLUMN maps.common IS 'Images on both, from which the alignment was computed.';
COMMENT ON COLUMN maps.explained IS 'Share of the variance of their old places that their new places follow; 1: the same shape.';

CREATE TABLE map_chunks (
    map_id    bigint NOT NULL REFERENCES maps ON DELETE CASCADE,
    first     integer NOT NULL,
    images    bytea STORAGE EXTERNAL NOT NULL,
    places    bytea STORAGE EXTERNAL NOT NULL,
    distances bytea STORAGE EXTERNAL NOT NULL,
    PRIMARY KEY (map_id, first)
);
COMMENT ON TABLE map_chunks IS 'Points of maps, many in a row. All numbers are little-endian.';
COMMENT ON COLUMN map_chunks.first IS 'Number of the first point.';
COMMENT ON COLUMN map_chunks.images IS 'The image of each point: int64.';
COMMENT ON COLUMN map_chunks.places IS 'x and y of each point on the grid: uint16.';
COMMENT ON COLUMN map_chunks.distances IS 'Mean cosine distance of the fitted neighbours of each point, from 0 to 1 in 255 steps: uint8.';
"""


def upgrade() -> None:
    op.execute(TABLES)


def downgrade() -> None:
    op.execute("DROP TABLE map_chunks; DROP TABLE maps")
