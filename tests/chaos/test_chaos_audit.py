"""The audit finds what it is there to find: each check fails for a run in which something was wrong."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from sqlalchemy import text

from tests.chaos import audit, witness
from tests.chaos.audit import Standing
from tests.chaos.follower import Change
from tests.chaos.script import Step
from tests.chaos.uploader import Done
from tests.chaos.witness import Finding, Seen
from tests.factories import enriched_image, spec
from tests.ledger import expire_leases, hints, ref
from worker import catalog, ledger, outbox
from worker.db import Engine, transaction
from worker.types import Outcome

FOUND = Finding(key="a.jpg", at=100.0, needed=True, etag="e1")
GOOD = Standing(pending=False, outcome="enriched", etag="e1", reason=None)


def done(
    key: str, content: str | None = "picture", etag: str | None = "e1", *, number: int = 0, began: float = 0
) -> Done:
    return Done(step=Step(number=number, at=0, key=key, content=content, delays=(0,)), began=began, etag=etag)


class TestDifferences:
    """The store's content against the product's."""

    @pytest.mark.parametrize(
        "found",
        [
            dataclasses.replace(GOOD, etag="e0"),
            dataclasses.replace(GOOD, pending=True),
            Standing(pending=False, outcome="quarantined", etag=None, reason="attempts-exhausted"),
            Standing(pending=False, outcome="gone", etag=None, reason=None),
        ],
    )
    def test_a_picture_must_be_enriched_as_the_store_has_it(self, found: Standing) -> None:
        """Stale, pending, quarantined or gone is a difference."""
        assert ["a.jpg"] == [
            line.split(" ")[0] for line in audit.differences({"a.jpg": done("a.jpg")}, {"a.jpg": found})
        ]

    def test_an_object_that_nobody_knows_is_lost(self) -> None:
        """The ledger has no row of it."""
        (line,) = audit.differences({"a.jpg": done("a.jpg")}, {})
        assert "a.jpg (picture): expected enriched e1, found nothing" == line

    def test_a_deleted_object_must_be_gone(self) -> None:
        """A ghost is a difference; one that was never heard of is none."""
        assert ["a.jpg (deleted): expected gone, found enriched e1"] == list(audit.differences({}, {"a.jpg": GOOD}))
        assert [] == list(audit.differences({}, {}))
        assert [] == list(audit.differences({"a.jpg": done("a.jpg", None, None)}, {}))

    def test_poison_must_be_quarantined_for_its_own_reason(self) -> None:
        """Another reason is a difference."""
        poison = {"a.jpg": done("a.jpg", "truncated jpeg")}
        quarantined = Standing(pending=False, outcome="quarantined", etag=None, reason="truncated")
        assert [] == list(audit.differences(poison, {"a.jpg": quarantined}))
        assert 1 == len([*audit.differences(poison, {"a.jpg": dataclasses.replace(quarantined, reason="corrupt")})])


class TestNeedless:
    """What comparing found."""

    @pytest.mark.parametrize(
        ("accepted", "found", "lines"),
        [
            ({}, FOUND, []),  # the event was lost
            ({7: 99.0}, FOUND, []),  # it came just now
            ({7: 20.0}, FOUND, ["a.jpg: its event was accepted 80.0 s before"]),
            ({6: 20.0}, FOUND, []),  # only that of the version before was accepted
            ({7: 20.0}, dataclasses.replace(FOUND, needed=False), []),  # nothing came of it
            ({7: 20.0}, dataclasses.replace(FOUND, etag="e2"), []),  # what came of it was a later change
        ],
    )
    def test_finding_what_an_event_had_announced_is_a_loss(
        self, accepted: dict[int, float], found: Finding, lines: list[str]
    ) -> None:
        """The event of the last change before the finding counts."""
        seen = Seen(counts=Counter(), late=[], apart=[], doubled=[], violations=[], found=[found])
        history = {
            "a.jpg": [done("a.jpg", number=6), done("a.jpg", number=7, began=10), done("a.jpg", number=8, began=200)]
        }
        assert lines == list(audit.needless(seen, history, accepted))


class TestFeed:
    """What the reader of the feed saw."""

    @pytest.fixture
    def written(self, engine: Engine) -> list[Change]:
        """Two changes of one image, and what a reader should have read."""
        for kind, etag in (("enriched", "e0"), ("enriched", "e1")):
            with transaction(engine) as connection:
                outbox.append(connection, [outbox.NewEntry(kind=kind, ref=ref("a.jpg"), etag=etag)])  # type: ignore[arg-type]
        with transaction(engine) as connection:
            return [
                Change(id=c.id, kind=c.kind, key=c.key, etag=c.etag)
                for c in outbox.read(connection, after=None, limit=9)
            ]

    def broken(self, engine: Engine, read: list[Change]) -> list[str]:
        return [each.claim for each in audit.feed(engine, read, {"a.jpg": GOOD}) if each.differences]

    def test_a_whole_story_holds(self, engine: Engine, written: list[Change]) -> None:
        """Read once, in order, and the catalog is what the last change says."""
        assert [] == self.broken(engine, written)

    def test_a_gap_is_found(self, engine: Engine, written: list[Change]) -> None:
        """The reader missed the first change."""
        assert ["the feed's reader missed nothing"] == self.broken(engine, written[1:])

    def test_a_stale_end_is_found(self, engine: Engine, written: list[Change]) -> None:
        """The reader missed the last change, so that its copy is not the catalog."""
        assert ["the feed's reader missed nothing", "replaying the feed gives the catalog"] == self.broken(
            engine, written[:1]
        )

    def test_a_repeat_is_found(self, engine: Engine, written: list[Change]) -> None:
        """The same change twice: in number, and in content."""
        assert ["the feed only goes forward", "no change of an image is announced twice in a row"] == self.broken(
            engine, [*written, written[-1]]
        )


class TestWitness:
    """What was seen on the way."""

    @pytest.fixture
    def space(self, engine: Engine) -> int:
        """A watched database with one claimed object, a.jpg."""
        witness.install(engine)
        with transaction(engine) as connection:
            ledger.hints.hint(connection, hints("a.jpg"))
            return catalog.spaces.ensure(connection, spec()).id

    def claim(self, engine: Engine) -> ledger.claims.Claim:
        with transaction(engine) as connection:
            claimed = ledger.claims.claim(connection, worker="w", size=1, lease=30)
        assert claimed is not None
        return claimed

    def seen(self, engine: Engine) -> Seen:
        return witness.look(engine, source="s3")

    def write(self, engine: Engine, space: int, claimed: ledger.claims.Claim) -> None:
        """A batch as the pipeline writes it."""
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space, images=[enriched_image("a.jpg")])
            outbox.append(connection, [outbox.NewEntry(kind="enriched", ref=ref("a.jpg"), etag="etag-a.jpg")])
            end = ledger.completion.Completion(id=claimed.objects[0].id, outcome=Outcome.ENRICHED, etag="etag-a.jpg")
            ledger.completion.complete(connection, claimed.token, [end])

    def test_work_in_order_is_not_objected_to(self, engine: Engine, space: int) -> None:
        """One claim, one transaction."""
        self.write(engine, space, self.claim(engine))
        seen = self.seen(engine)
        assert ([], [], [], []) == (seen.apart, seen.doubled, seen.violations, seen.late)
        assert 1 == seen.counts["image"] == seen.counts["vector"] == seen.counts["done"] == seen.counts["claim"]

    def test_parts_in_transactions_of_their_own_are_seen(self, engine: Engine, space: int) -> None:
        """An image that was written before its announcement and completion."""
        with transaction(engine) as connection:
            catalog.write.save_images(connection, space_id=space, images=[enriched_image("a.jpg")])
        assert 1 == len(self.seen(engine).apart)

    def test_an_effect_that_happens_twice_is_seen(self, engine: Engine, space: int) -> None:
        """Also when the tables look as if it had happened once."""
        self.write(engine, space, self.claim(engine))
        with transaction(engine) as connection:
            ledger.hints.hint(connection, hints("a.jpg"))
        self.write(engine, space, self.claim(engine))
        assert ["a.jpg: etag-a.jpg"] == self.seen(engine).doubled

    def test_a_claim_under_a_running_lease_is_seen(self, engine: Engine, space: int) -> None:
        """Whatever the product may think of it."""
        self.claim(engine)
        with transaction(engine) as connection:
            connection.execute(text("UPDATE inbox SET token = nextval('inbox_token_seq')"))
        assert ["a.jpg: claimed before it was visible"] == self.seen(engine).violations

    def test_a_completion_without_a_claim_is_seen(self, engine: Engine, space: int) -> None:
        """As an unguarded late worker would make it."""
        with transaction(engine) as connection:
            connection.execute(text("UPDATE inbox SET done = wanted"))
        assert ["a.jpg: completed without a claim"] == self.seen(engine).violations

    def test_how_long_a_lost_lease_waits_is_measured(self, engine: Engine, space: int) -> None:
        """From the end of the lease, by the database's clock."""
        self.claim(engine)
        expire_leases(engine)
        self.claim(engine)
        (late,) = self.seen(engine).late
        assert 0 < late < 5

    def test_hints_of_events_are_told_from_what_comparing_found(self, engine: Engine, space: int) -> None:
        """By the source that a hint names, where no work was pending."""
        self.write(engine, space, self.claim(engine))
        with transaction(engine) as connection:
            connection.execute(text("UPDATE inbox SET wanted = wanted + 1, source = 'verify'"))
        assert [("a.jpg", False)] == [(each.key, each.needed) for each in self.seen(engine).found]

    def test_what_came_of_a_finding_is_told(self, engine: Engine, space: int) -> None:
        """The work that it asked for wrote an image."""
        with transaction(engine) as connection:
            connection.execute(text("DELETE FROM inbox"))
            ledger.hints.hint(connection, [dataclasses.replace(*hints("a.jpg"), source="verify")])
        self.write(engine, space, self.claim(engine))
        assert [(True, "etag-a.jpg")] == [(each.needed, each.etag) for each in self.seen(engine).found]
