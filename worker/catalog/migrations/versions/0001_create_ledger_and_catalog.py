"""The ledger and the catalog."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LEDGER = """
CREATE SEQUENCE inbox_token_seq;
COMMENT ON SEQUENCE inbox_token_seq IS 'Fencing tokens: one per claimed batch, ever increasing.';

-- Keys sort by bytes, as object stores list them.
CREATE TABLE inbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket      text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    wanted      bigint NOT NULL DEFAULT 1,
    done        bigint NOT NULL DEFAULT 0,
    claimed     bigint,
    token       bigint,
    lane        smallint NOT NULL DEFAULT 0,
    visible_at  timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    deaths      integer NOT NULL DEFAULT 0,
    source      text NOT NULL,
    event_at    timestamptz,
    hinted_at   timestamptz NOT NULL DEFAULT now(),
    worker      text,
    outcome     text CHECK (outcome IN ('enriched', 'gone', 'excluded', 'quarantined')),
    etag        text,
    finished_at timestamptz,
    last_error  text,
    UNIQUE (bucket, key),
    CHECK (done <= wanted),
    CHECK ((token IS NULL) = (claimed IS NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX inbox_fresh ON inbox (lane, visible_at) WHERE done < wanted AND token IS NULL;
CREATE INDEX inbox_leased ON inbox (visible_at) WHERE done < wanted AND token IS NOT NULL;
COMMENT ON TABLE inbox IS 'One row per object. Work is pending exactly while done < wanted.';
COMMENT ON COLUMN inbox.wanted IS 'Raised by every hint.';
COMMENT ON COLUMN inbox.claimed IS 'The value of wanted that the claim in flight saw; completing sets done to it.';
COMMENT ON COLUMN inbox.token IS 'Fencing token of the claim in flight; a completion with another token changes nothing.';
COMMENT ON COLUMN inbox.visible_at IS 'When the row may be claimed: the retry time, or the end of the lease.';
COMMENT ON COLUMN inbox.deaths IS 'Attempts at the pending work that ended with the death of the worker.';
COMMENT ON COLUMN inbox.worker IS 'Who holds or last held the row; null after a batch was abandoned in order.';
COMMENT ON COLUMN inbox.lane IS '0 live, 1 retry, 2 backfill; lower first.';

CREATE TABLE quarantine (
    inbox_id    bigint PRIMARY KEY REFERENCES inbox ON DELETE CASCADE,
    reason      text NOT NULL,
    message     text NOT NULL,
    etag        text,
    size        bigint,
    first_bytes bytea,
    attempts    integer NOT NULL,
    since       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX quarantine_reason ON quarantine (reason, since);
COMMENT ON TABLE quarantine IS 'Objects that cannot be enriched, each with the reason; reasons are listed in docs/images.md.';

CREATE TABLE rejected_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source   text NOT NULL,
    reason   text NOT NULL,
    body     bytea NOT NULL,
    received timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rejected_events IS 'Notifications that could not be parsed, kept for inspection (the newest 1,000).';

CREATE TABLE processes (
    name        text PRIMARY KEY,
    kind        text NOT NULL CHECK (kind IN ('api', 'worker', 'scheduler')),
    host        text NOT NULL,
    model       text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now(),
    progress_at timestamptz NOT NULL DEFAULT now(),
    in_flight   integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE processes IS 'Heartbeats: who runs, and when each last made progress.';
"""

CATALOG = """
CREATE TABLE spaces (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint   text NOT NULL UNIQUE,
    model         text NOT NULL,
    revision      text NOT NULL,
    preprocessing text NOT NULL,
    dimension     integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    state         text NOT NULL CHECK (state IN ('filling', 'active', 'retired')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    activated_at  timestamptz
);
CREATE UNIQUE INDEX spaces_one_active ON spaces (state) WHERE state = 'active';
COMMENT ON TABLE spaces IS 'Embedding spaces. Vectors of two spaces are never compared.';

CREATE TABLE images (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket        text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    etag          text NOT NULL,
    version_id    text,
    size          bigint NOT NULL,
    last_modified timestamptz,
    content_type  text,
    width         integer NOT NULL,
    height        integer NOT NULL,
    format        text NOT NULL,
    mode          text NOT NULL,
    frames        integer NOT NULL,
    orientation   smallint NOT NULL,
    taken_at      timestamp,
    taken_offset  interval,
    camera_make   text,
    camera_model  text,
    latitude      double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude     double precision CHECK (longitude BETWEEN -180 AND 180),
    altitude      double precision,
    sha256        bytea NOT NULL,
    phash         bigint NOT NULL,
    event_at      timestamptz,
    hinted_at     timestamptz NOT NULL,
    enriched_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (bucket, key)
);
CREATE INDEX images_sha256 ON images (sha256);
CREATE INDEX images_taken_at ON images (taken_at) WHERE taken_at IS NOT NULL;
COMMENT ON TABLE images IS 'One row per enriched image: what was read (etag, version, time) and what the file says.';
COMMENT ON COLUMN images.width IS 'Pixels, as displayed: after EXIF orientation.';
COMMENT ON COLUMN images.taken_at IS 'EXIF DateTimeOriginal: the camera''s wall clock.';
COMMENT ON COLUMN images.taken_offset IS 'EXIF OffsetTimeOriginal: the camera''s offset from UTC, where it says.';
COMMENT ON COLUMN images.phash IS '64-bit perceptual hash; bit_count((phash # other)::bit(64)) is the Hamming distance.';

-- Vectors live apart from tags, so that writing tags never touches them.
CREATE TABLE embeddings (
    space_id   integer NOT NULL REFERENCES spaces,
    image_id   bigint NOT NULL REFERENCES images ON DELETE CASCADE,
    vector     halfvec NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (space_id, image_id)
) PARTITION BY LIST (space_id);
CREATE INDEX embeddings_image ON embeddings (image_id);
COMMENT ON TABLE embeddings IS 'Unit vectors, one partition per space.';

CREATE TABLE taxonomies (
    name       text NOT NULL,
    version    text NOT NULL,
    definition jsonb NOT NULL,
    first_used timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE taxonomies IS 'Every taxonomy version that ever decided a tag, as it was.';

CREATE TABLE tags (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    image_id         bigint NOT NULL REFERENCES images ON DELETE CASCADE,
    space_id         integer REFERENCES spaces,
    taxonomy         text NOT NULL,
    taxonomy_version text NOT NULL,
    label            text,
    score            real,
    probability      real,
    source           text NOT NULL CHECK (source IN ('zero-shot', 'few-shot', 'text-fusion', 'human')),
    decided_at       timestamptz NOT NULL DEFAULT now(),
    CHECK ((source = 'human') = (space_id IS NULL)),
    UNIQUE NULLS NOT DISTINCT (image_id, space_id, taxonomy, label)
);
CREATE INDEX tags_by_label ON tags (taxonomy, label, image_id) WHERE label IS NOT NULL;
-- The views ask of each tag whether a person decided otherwise: few rows, never a scan of all tags.
CREATE INDEX tags_by_people ON tags (image_id, taxonomy) WHERE source = 'human';
COMMENT ON TABLE tags IS 'Decisions with provenance. A null label is an abstention: none of these.';

CREATE TABLE changes (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind   text NOT NULL CHECK (kind IN ('enriched', 'removed')),
    bucket text NOT NULL,
    key    text NOT NULL,
    etag   text,
    at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX changes_in_commit_order ON changes (xid, id);
COMMENT ON TABLE changes IS 'Change feed. Read rows below the oldest running transaction, ordered by (xid, id): nothing is skipped.';
"""

VIEWS = """
CREATE VIEW image_tags AS
SELECT i.bucket, i.key, t.taxonomy, t.label, t.probability, t.score, t.source, s.model, t.taxonomy_version, t.decided_at, t.image_id
FROM tags t
JOIN images i ON i.id = t.image_id
LEFT JOIN spaces s ON s.id = t.space_id
WHERE t.label IS NOT NULL AND (t.source = 'human' OR (s.state = 'active' AND NOT EXISTS (
    SELECT FROM tags h WHERE h.image_id = t.image_id AND h.taxonomy = t.taxonomy AND h.source = 'human')));
COMMENT ON VIEW image_tags IS 'For other services: the tags that hold now, one row each. A human decision replaces the model''s.';

CREATE VIEW enriched_images AS
SELECT i.bucket, i.key, i.etag, i.version_id, i.size, i.last_modified, i.content_type, i.width, i.height, i.format, i.mode,
       i.frames, i.orientation, i.taken_at, i.taken_offset, i.camera_make, i.camera_model, i.latitude, i.longitude,
       i.altitude, encode(i.sha256, 'hex') AS sha256, i.phash, i.enriched_at,
       coalesce((SELECT jsonb_object_agg(t.taxonomy, t.label) FROM image_tags t WHERE t.image_id = i.id), '{}') AS tags,
       i.id AS image_id
FROM images i;
COMMENT ON VIEW enriched_images IS 'For other services: one row per image, tags as {"taxonomy": "label"}.';

CREATE VIEW image_vectors AS
SELECT i.bucket, i.key, e.vector, s.model, s.revision, s.dimension, e.image_id
FROM embeddings e
JOIN spaces s ON s.id = e.space_id AND s.state = 'active'
JOIN images i ON i.id = e.image_id;
COMMENT ON VIEW image_vectors IS 'For other services: unit vectors of the active embedding space.';
"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for part in (LEDGER, CATALOG, VIEWS):
        op.execute(part)


def downgrade() -> None:
    op.execute("DROP VIEW image_vectors, enriched_images, image_tags")
    op.execute("DROP TABLE changes, tags, taxonomies, embeddings, images, spaces")
    op.execute("DROP TABLE processes, rejected_events, quarantine, inbox")
    op.execute("DROP SEQUENCE inbox_token_seq")
