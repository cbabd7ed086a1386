"""Images that people have decided about in one taxonomy: what holds, and whether the image was drawn at random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import text

from worker.db import Connection
from worker.types import ObjectRef

# What people decided about the bytes that the images have now. A random draw stays one when somebody corrects its
# answer later: what counts then is the answer that stands. But nobody looks at an image that is decided about in bulk:
# what the person said who was shown the draw goes on counting. Otherwise a bulk answer would turn all that a review
# found wrong in a folder into right.
# Images are found again by the index on their names: right after an import, PostgreSQL takes the list of images for one
# row, and would compare all with all.
_REVIEWED = text("""
    WITH decided AS (
        SELECT t.image_id, max(t.decided_at) AS newest FROM tags t
        WHERE t.taxonomy = :taxonomy AND t.space_id IS NULL GROUP BY t.image_id
        ORDER BY newest DESC, t.image_id LIMIT :most
    ), image AS MATERIALIZED (
        SELECT i.id, i.bucket, i.key, i.sha256, i.etag, i.phash FROM images i JOIN decided ON decided.image_id = i.id
    )
    SELECT i.id AS image, i.bucket, i.key, encode(i.sha256, 'hex') AS sha256, i.etag, i.phash, d.label,
           d.source = 'rejected' AS rejected, d.source = 'human' AS whole, d.decision, d.reviewer, d.decided_at AS at,
           m.chosen, m.batch::text AS batch, r.id AS drawn, r.plan, r.inclusion_probability,
           r.batch::text AS drawn_batch, o.place, coalesce(o.label, r.shown_label) AS asked, o.given, o.alike,
           m.chosen = 'bulk' AND r.id IS NOT NULL AS in_bulk, r.verdict AS seen_verdict, r.adds AS seen_adds,
           r.removes AS seen_removes, r.answers AS seen_answers, r.reviewer AS seen_by, r.at AS seen_at,
           coalesce(p.taxonomy_version, r.shown_version) AS version, coalesce(p.space_id, r.shown_space) AS space,
           p.label IS NULL AND p.id IS NOT NULL AS everything, p.frame_size AS frame, p.scoring
    FROM decided_tags(array(SELECT bucket FROM image ORDER BY id), array(SELECT key FROM image ORDER BY id)) d
    JOIN images i ON i.bucket = d.bucket AND i.key = d.key AND i.sha256 = d.sha256
    JOIN decisions m ON m.id = d.decision
    LEFT JOIN LATERAL (
        SELECT r.* FROM decisions r
        WHERE r.bucket = i.bucket AND r.key = i.key AND r.sha256 = i.sha256 AND r.taxonomy = :taxonomy
          AND r.chosen = 'random' AND r.verdict <> 'undo' AND NOT EXISTS (SELECT FROM decisions u WHERE u.undoes = r.id)
          AND (r.answers OR m.answers OR d.label IS NULL OR d.label = ANY(r.adds || r.removes))
        ORDER BY r.id DESC LIMIT 1) AS r ON true
    LEFT JOIN review_items o ON o.plan = r.plan AND o.bucket = i.bucket AND o.key = i.key AND o.sha256 = i.sha256
    LEFT JOIN review_plans p ON p.id = o.plan
    WHERE d.taxonomy = :taxonomy ORDER BY i.id, d.decision, d.label
""")
# Verdicts that say nothing about labels.
_NO_ANSWER = ("unsure", "withdraw")
_LATER = text("""
    SELECT EXISTS (SELECT FROM decisions WHERE taxonomy = :taxonomy AND chosen = 'random' AND id > :decision)
""")
_ASKED = text("""
    SELECT DISTINCT image_id FROM tags
    WHERE image_id = ANY(CAST(:ids AS bigint[])) AND space_id = :space AND taxonomy = :taxonomy
""")
_COUNT = text("SELECT count(DISTINCT image_id) FROM tags WHERE taxonomy = :taxonomy AND space_id IS NULL")
_TAXONOMIES = text("SELECT taxonomy FROM tags WHERE space_id IS NULL GROUP BY taxonomy ORDER BY taxonomy")
_MOMENT = text("SELECT now() AS at, (SELECT max(id) FROM decisions) AS last")


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """A random draw that an answer came from."""

    decision: int
    batch: str
    plan: int | None
    place: int | None  # in the plan
    asked: str | None  # the label that the plan asked about
    given: bool | None  # whether the model gave that label when the plan was made
    probability: float | None  # with which the image was drawn; None: it is not known, and equal for all
    alike: int  # near-duplicates among the drawn images, itself included
    everything: bool = False  # whether the plan was about every label of the taxonomy
    frame: int | None = None  # images of the plan
    scoring: str | None = None  # of the taxonomy when the plan was made
    version: str | None = None  # of the taxonomy, of the plan or else as the person was shown it; None: not noted
    space: int | None = None  # in which that tagged

    @property
    def of_scene(self) -> float | None:
        """With what probability one of its near-duplicates was drawn."""
        return None if self.probability is None else min(self.probability * self.alike, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonAnswer:
    """What stands about one label."""

    label: str | None  # None: none of these
    holds: bool
    whole: bool  # it is, or belongs to, the answer to the whole taxonomy
    decision: int
    reviewer: str
    at: datetime
    chosen: str  # how the image came to be decided about
    batch: str
    draw: Draw | None  # None: it was never drawn at random


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewedImage:
    """An image, and what people decided about the bytes that it has now."""

    id: int
    ref: ObjectRef
    sha256: str  # hex
    etag: str
    phash: int
    answers: tuple[PersonAnswer, ...]

    @property
    def whole(self) -> bool:
        """Whether the whole taxonomy is answered."""
        return any(each.whole for each in self.answers)

    @property
    def labels(self) -> frozenset[str]:
        """The labels that hold."""
        return frozenset(each.label for each in self.answers if each.holds and each.label is not None)

    def about(self, label: str) -> PersonAnswer | None:
        """The answer that says whether the label holds; None: nobody has said."""
        own = next((each for each in self.answers if each.label == label), None)
        return own or next((each for each in self.answers if each.whole), None)

    def truth(self, label: str) -> bool | None:
        """Whether the label holds; None: nobody has said."""
        found = self.about(label)
        return None if found is None else found.label == label and found.holds


def count(connection: Connection, taxonomy: str) -> int:
    """How many images people have decided about."""
    return int(connection.execute(_COUNT, {"taxonomy": taxonomy}).scalar_one())


def asked(connection: Connection, space: int, taxonomy: str, images: Sequence[int]) -> set[int]:
    """Those of the images about which the model has an answer in a taxonomy, be it none of these."""
    given = {"space": space, "taxonomy": taxonomy, "ids": list(images)}
    return set(connection.execute(_ASKED, given).scalars())


def taxonomies(connection: Connection) -> list[str]:
    """Those in which people have decided about images."""
    return list(connection.execute(_TAXONOMIES).scalars())


def moment(connection: Connection) -> tuple[datetime, int | None]:
    """The database's time, and the number of the newest decision."""
    row = connection.execute(_MOMENT).one()
    return row.at, row.last


def has_later(connection: Connection, taxonomy: str, decision: int) -> bool:
    """Whether people decided about images drawn at random after this decision."""
    return bool(connection.execute(_LATER, {"taxonomy": taxonomy, "decision": decision}).scalar_one())


def reviewed(connection: Connection, taxonomy: str, *, most: int) -> list[ReviewedImage]:
    """The images with the newest decisions, by id."""
    rows = connection.execute(_REVIEWED, {"taxonomy": taxonomy, "most": most})
    return list(_images(rows))


def _images(rows: Any) -> Iterator[ReviewedImage]:
    for image, group in groupby(rows, key=lambda row: row.image):
        found = list(group)
        first = found[0]
        standing = [_answer(row) for row in found if not row.in_bulk or row.seen_verdict in _NO_ANSWER]
        drawn = (each for row in found if row.in_bulk for each in _seen(row))
        yield ReviewedImage(
            id=image,
            ref=ObjectRef(bucket=first.bucket, key=first.key),
            sha256=first.sha256,
            etag=first.etag,
            phash=first.phash,
            answers=tuple({each.label: each for each in (*standing, *drawn)}.values()),
        )


def _seen(row: Any) -> Iterator[PersonAnswer]:
    """What the person said who was shown the draw, where the answer that stands was given in bulk."""
    if row.seen_verdict in _NO_ANSWER:
        return
    labels = [*((each, False) for each in row.seen_removes), *((each, True) for each in row.seen_adds)]
    for label, holds in labels if row.seen_verdict != "none" else [(None, False)]:
        yield PersonAnswer(
            label=label,
            holds=holds,
            whole=row.seen_answers,
            decision=row.drawn,
            reviewer=row.seen_by,
            at=row.seen_at,
            chosen="random",
            batch=row.drawn_batch,
            draw=_draw(row),
        )


def _answer(row: Any) -> PersonAnswer:
    return PersonAnswer(
        label=row.label,
        holds=not row.rejected and row.label is not None,
        whole=row.whole,
        decision=row.decision,
        reviewer=row.reviewer,
        at=row.at,
        chosen=row.chosen,
        batch=row.batch,
        draw=_draw(row) if row.drawn is not None and not row.in_bulk else None,
    )


def _draw(row: Any) -> Draw:
    return Draw(
        decision=row.drawn,
        batch=row.drawn_batch,
        plan=row.plan,
        place=row.place,
        asked=row.asked,
        given=row.given,
        probability=row.inclusion_probability,
        alike=row.alike or 1,
        everything=bool(row.everything),
        frame=row.frame,
        scoring=row.scoring,
        version=row.version,
        space=row.space,
    )
