"""Review plans: frozen frames of images that people are to review, with the order in which they were drawn."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

PLANS = """
CREATE TABLE review_plans (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue            text NOT NULL,
    taxonomy         text NOT NULL,
    label            text,
    query            text,
    space_id         integer NOT NULL REFERENCES spaces,
    taxonomy_version text NOT NULL,
    target           real CHECK (target > 0 AND target < 1),
    delta            real CHECK (delta > 0 AND delta < 1),
    looks            integer[] NOT NULL,
    population       bigint NOT NULL,
    exact            boolean NOT NULL,
    drawn            integer NOT NULL,
    frame_size       integer NOT NULL,
    cluster_rule     text,
    seed             bigint NOT NULL,
    reviewer         text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    closed_at        timestamptz,
    closed_by        text,
    closed_because   text,
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE UNIQUE INDEX review_plans_open ON review_plans (space_id, taxonomy, taxonomy_version, label)
    NULLS NOT DISTINCT WHERE queue = 'random' AND closed_at IS NULL;
COMMENT ON TABLE review_plans IS 'What people review, fixed before the first look, so that drawing on cannot produce a proof.';
COMMENT ON COLUMN review_plans.population IS 'Images that the frame was drawn from; an estimate unless exact.';
COMMENT ON COLUMN review_plans.drawn IS 'Images drawn before near-duplicates were collapsed.';
COMMENT ON COLUMN review_plans.looks IS 'After how many items of the frame the decisions may be judged.';

CREATE TABLE review_items (
    plan                  bigint NOT NULL REFERENCES review_plans ON DELETE CASCADE,
    place                 integer NOT NULL,
    bucket                text COLLATE "C" NOT NULL,
    key                   text COLLATE "C" NOT NULL,
    sha256                bytea NOT NULL,
    label                 text NOT NULL,
    probability           real,
    given                 boolean NOT NULL,
    inclusion_probability real CHECK (inclusion_probability > 0 AND inclusion_probability <= 1),
    alike                 integer NOT NULL,
    why                   text NOT NULL,
    held_by               text,
    held_until            timestamptz,
    PRIMARY KEY (plan, place),
    UNIQUE (plan, bucket, key)
);
COMMENT ON TABLE review_items IS 'The frame of a review plan, in the order of review.';
COMMENT ON COLUMN review_items.given IS 'Whether the model gave the label; false: it was the nearest one and did not hold.';
COMMENT ON COLUMN review_items.alike IS 'Drawn images that are near-duplicates of this one, itself included.';
COMMENT ON COLUMN review_items.held_until IS 'Until then, only held_by is asked about it.';
CREATE INDEX decisions_by_plan ON decisions (plan) WHERE plan IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(PLANS)


def downgrade() -> None:
    op.execute("DROP INDEX decisions_by_plan; DROP TABLE review_items; DROP TABLE review_plans")
