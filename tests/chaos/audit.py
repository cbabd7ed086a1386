"""What must be true at the end, each as a check that names the objects for which it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.chaos.contents import Fate, fate
from tests.chaos.follower import Change
from tests.chaos.uploader import Done
from tests.chaos.witness import Seen
from worker.db import Engine, transaction

#: Seconds in which an event that was accepted may not have been seen yet by a comparison that runs at the same time.
_RACE = 5.0

_STANDINGS = text("""
    SELECT i.key, i.done < i.wanted AS pending, i.outcome, m.etag, q.reason
    FROM inbox i LEFT JOIN images m ON m.bucket = i.bucket AND m.key = i.key LEFT JOIN quarantine q ON q.inbox_id = i.id
""")
_TABLES = {
    "images without exactly one vector": """
        SELECT i.key FROM images i LEFT JOIN embeddings e ON e.image_id = i.id GROUP BY i.id HAVING count(e.*) <> 1""",
    "images without tags": "SELECT key FROM images i WHERE NOT EXISTS (SELECT FROM tags t WHERE t.image_id = i.id)",
    "vectors of no image": """
        SELECT image_id::text FROM embeddings e WHERE NOT EXISTS (SELECT FROM images i WHERE i.id = e.image_id)""",
    "images that the ledger does not know as enriched": """
        SELECT key FROM images m WHERE NOT EXISTS (
            SELECT FROM inbox i WHERE i.bucket = m.bucket AND i.key = m.key AND i.outcome = 'enriched'
                                      AND i.etag = m.etag)""",
    "quarantine rows of objects that are not quarantined": """
        SELECT i.key FROM quarantine q JOIN inbox i ON i.id = q.inbox_id WHERE i.outcome <> 'quarantined'""",
    "objects still in somebody's hands": "SELECT key FROM inbox WHERE token IS NOT NULL",
    "notifications refused": "SELECT reason AS key FROM rejected_events",
}
_FEED = text("""
    SELECT concat_ws('-', lpad(to_hex(epoch), 16, '0'), xid, id, (extract(epoch FROM at) * 1000000)::bigint) AS id,
           kind, key, etag
    FROM changes ORDER BY xid, id
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the product has an object."""

    pending: bool
    outcome: str | None
    etag: str | None  # in the catalog
    reason: str | None  # in quarantine


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that must hold; it does when there are no differences."""

    claim: str
    differences: tuple[str, ...]


def check(claim: str, differences: Iterable[str]) -> Check:
    """Collect the differences."""
    return Check(claim=claim, differences=tuple(differences))


# -- where everything stands -------------------------------------------------------------------------------------------
def standings(engine: Engine) -> dict[str, Standing]:
    """Every object that the ledger knows."""
    with transaction(engine) as connection:
        return {
            row.key: Standing(pending=row.pending, outcome=row.outcome, etag=row.etag, reason=row.reason)
            for row in connection.execute(_STANDINGS)
        }


def differences(present: Mapping[str, Done], known: Mapping[str, Standing]) -> Iterator[str]:
    """Objects that are not as the store's content demands, by key. What was deleted unseen is not known."""
    nothing = Standing(pending=False, outcome=None, etag=None, reason=None)
    for key in sorted({*present, *known}):
        done, found = present.get(key), known.get(key, nothing)
        expected = _expected(done)
        if found != expected and not (found == nothing and expected.outcome == "gone"):
            content = "deleted" if done is None else done.step.content
            yield f"{key} ({content}): expected {_told(expected)}, found {_told(found)}"


def _expected(done: Done | None) -> Standing:
    planned = Fate(outcome="gone") if done is None or done.step.content is None else fate(done.step.content)
    return Standing(
        pending=False,
        outcome=planned.outcome,
        etag=done.etag if done is not None and planned.outcome == "enriched" else None,
        reason=planned.reason,
    )


def _told(standing: Standing) -> str:
    said = (
        standing.outcome or "nothing",
        standing.reason or standing.etag or "",
        "pending" if standing.pending else "",
    )
    return " ".join(word for word in said if word)


def tables(engine: Engine) -> Iterator[Check]:
    """What the tables must not hold."""
    with transaction(engine) as connection:
        for claim, query in _TABLES.items():
            yield check(f"no {claim}", connection.execute(text(query)).scalars().all())


# -- the feed ----------------------------------------------------------------------------------------------------------
def feed(engine: Engine, read: list[Change], known: Mapping[str, Standing]) -> Iterator[Check]:
    """What the follower read, compared with what was written and with what holds now."""
    with transaction(engine) as connection:
        written = [Change(id=r.id, kind=r.kind, key=r.key, etag=r.etag) for r in connection.execute(_FEED)]
    missed = {each.id for each in written} - {each.id for each in read}
    yield check("the feed's reader missed nothing", (f"{e.key}: {e.kind} ({e.id})" for e in written if e.id in missed))
    order = [tuple(map(int, each.id.split("-")[1:3])) for each in read]
    yield check("the feed only goes forward", (f"{b} after {a}" for a, b in pairwise(order) if b <= a))
    yield check("no change of an image is announced twice in a row", _repeats(read))
    yield check("replaying the feed gives the catalog", _unlike(read, known))


def _repeats(read: list[Change]) -> Iterator[str]:
    last: dict[str, tuple[str, str | None]] = {}
    for each in read:
        if last.get(each.key) == (each.kind, each.etag) or (each.kind == "removed" and each.key not in last):
            yield f"{each.key}: {each.kind} {each.etag or ''} ({each.id})"
        last[each.key] = (each.kind, each.etag)


def _unlike(read: list[Change], known: Mapping[str, Standing]) -> Iterator[str]:
    replayed = {each.key: each.etag for each in read}
    catalog = {key: each.etag for key, each in known.items() if each.etag is not None}
    for key in sorted({*replayed, *catalog}):
        if replayed.get(key) != catalog.get(key):
            yield f"{key}: the feed says {replayed.get(key)}, the catalog {catalog.get(key)}"


# -- on the way --------------------------------------------------------------------------------------------------------
def on_the_way(seen: Seen) -> Iterator[Check]:
    """What must never have happened, even if it was mended later."""
    yield check("image, vector, announcement and completion are one transaction", seen.apart)
    yield check("no effect happened twice", seen.doubled)
    yield check("the ledger's rules were kept", seen.violations)


def needless(seen: Seen, history: Mapping[str, list[Done]], accepted: Mapping[int, float]) -> Iterator[str]:
    """Changes that comparing had to find although their event had been accepted: the product lost them."""
    for each in seen.found:
        before = [done for done in history.get(each.key, ()) if done.began < each.at]
        heard = accepted.get(before[-1].step.number) if before else None
        if each.needed and heard is not None and heard < each.at - _RACE and each.etag == before[-1].etag:
            yield f"{each.key}: its event was accepted {each.at - heard:.1f} s before"


# -- the proof, as a user runs it --------------------------------------------------------------------------------------
def verified(environment: Mapping[str, str], bucket: str, *, objects: int, cwd: Path) -> Check:
    """``enrich verify BUCKET --json`` must exit with 0, with nothing pending, and count what the bucket holds."""
    program = Path(sys.executable).with_name("enrich")
    done = subprocess.run(
        [str(program), "verify", bucket, "--json"],
        env=dict(environment), cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found: dict[str, Any] = next((line["verification"] for line in lines if "verification" in line), {})
    wrong = [json.dumps(line) for line in lines if "difference" in line]
    if done.returncode or not found.get("holds") or found.get("pending") or found.get("listed") != objects:
        wrong.append(f"exit status {done.returncode}, expected {objects} listed: {found or done.stderr[-2000:]}")
    return check("`enrich verify` proves the equation", wrong)
