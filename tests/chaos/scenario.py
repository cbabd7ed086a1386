"""One run: start everything, let everything happen at once, heal, wait for quiet, and look."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import audit, witness
from tests.chaos.audit import Check, check
from tests.chaos.faults import Saboteur, timetable
from tests.chaos.follower import Follower
from tests.chaos.group import API, SCHEDULER, WORKER, Crew
from tests.chaos.relay import Relay
from tests.chaos.report import Report, spread
from tests.chaos.script import Script, make_script
from tests.chaos.servers import BUCKET, Servers, running_servers
from tests.chaos.uploader import Uploader
from worker import ledger
from worker.db import transaction

_WORKERS = 2
_LEASE_SECONDS = 3.0
_START_SECONDS = 60.0
_STORIES = 3
#: Faults without which a run proves little.
_NEEDED = ("database", "broker", "refuse", "stall")

_SETTINGS = {
    "ENRICH_LEASE_SECONDS": str(_LEASE_SECONDS),
    "ENRICH_SWEEP_SECONDS": "0.5",
    "ENRICH_CLAIM_BATCH": "8",
    "ENRICH_FETCH_THREADS": "8",
    "ENRICH_STORE_TIMEOUT": "3",
    "ENRICH_MAX_ATTEMPTS": "2",  # an outage that counts as an attempt is found out at once
    "ENRICH_RETRY_BASE_SECONDS": "0.5",
    "ENRICH_RETRY_MAX_SECONDS": "5",
    "ENRICH_RECONCILE_SECONDS": "6",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a run is made of."""

    seed: int
    objects: int
    seconds: float  # for which things happen
    patience: float  # seconds until quiet, once all is healed
    home: Path  # a fresh directory: data, logs


@dataclass(frozen=True, kw_only=True)
class _Cast:
    """Who takes part."""

    script: Script
    servers: Servers
    group: Crew
    relay: Relay
    uploader: Uploader
    follower: Follower
    saboteur: Saboteur
    environment: dict[str, str]


def run(options: Options) -> Report:
    """The whole of it."""
    with running_servers(options.home) as servers:
        witness.install(servers.engine)
        with _cast(options, servers) as cast:
            _happen(cast)
            healed = time.monotonic()
            quiet = _until_quiet(cast, options.patience)
            took = time.monotonic() - healed
            cast.follower.finish()
            checks = [*_checks(cast, options)]
        ended = cast.group.stop()
        checks += [check("every process ends when it is told to", _unwilling(ended))]
        figures = _figures(cast, quiet=took if quiet else None)
        return Report(
            seed=options.seed,
            figures=figures,
            checks=checks,
            stories={key: witness.story(servers.engine, key) for key in _suspicious(checks, cast)},
            logs=options.home,
        )


@contextmanager
def _cast(options: Options, servers: Servers) -> Iterator[_Cast]:
    script = make_script(seed=options.seed, objects=options.objects, seconds=options.seconds)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "AWS_"))}
    environment = {**plain, **servers.environment(), **_SETTINGS}
    api_url, token = servers.info.api_url, servers.info.api_token
    logs = options.home / "processes"
    logs.mkdir()
    group = Crew(environment, logs)
    relay = Relay(api_url=api_url, token=token, bucket=BUCKET)
    faults = timetable(seed=options.seed, seconds=options.seconds, workers=_WORKERS)
    try:
        group.start("api", API)
        group.start("scheduler", SCHEDULER)
        for number in range(_WORKERS):
            group.start(f"worker-{number}", WORKER)
        yield _Cast(
            script=script,
            servers=servers,
            group=group,
            relay=relay,
            uploader=Uploader(script, servers.store, BUCKET, relay.announce),
            follower=Follower(api_url=api_url, token=token),
            saboteur=Saboteur(faults, servers, group),
            environment=environment,
        )
    finally:
        relay.stop()
        group.stop()


def _happen(cast: _Cast) -> None:
    if not _until(lambda: _is_manned(cast), _START_SECONDS):
        raise RuntimeError(f"the processes did not start within {_START_SECONDS:.0f} s; see their logs")
    for part in (cast.relay, cast.follower, cast.uploader, cast.saboteur):
        part.start()
    cast.uploader.wait()
    cast.saboteur.wait()


def _is_manned(cast: _Cast) -> bool:
    with transaction(cast.servers.engine) as connection:
        kinds = Counter(each.kind for each in ledger.heartbeats.processes(connection))
    return kinds["worker"] == _WORKERS and kinds["scheduler"] == 1 and cast.follower.is_answered()


def _until_quiet(cast: _Cast, patience: float) -> bool:
    """Whether everything came to be as planned within ``patience`` seconds."""

    def is_quiet() -> bool:
        known = audit.standings(cast.servers.engine)
        return cast.relay.is_idle and next(audit.differences(cast.uploader.present, known), None) is None

    return _until(is_quiet, patience)


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)
    return True


def _checks(cast: _Cast, options: Options) -> Iterator[Check]:
    engine, present = cast.servers.engine, cast.uploader.present
    known = audit.standings(engine)
    seen = witness.look(engine, source="s3")
    yield check("every object is where its content belongs: nothing is lost", audit.differences(present, known))
    yield audit.verified(cast.environment, BUCKET, objects=len(present), cwd=options.home)
    yield from audit.tables(engine)
    yield from audit.on_the_way(seen)
    yield from audit.feed(engine, cast.follower.changes, known)
    yield check(
        "comparing found only what no event had announced",
        audit.needless(seen, cast.uploader.history, cast.relay.accepted),
    )
    yield check("no notification was refused", cast.relay.refused)
    yield check("what was to go wrong went wrong", _missing(cast, seen))


def _missing(cast: _Cast, seen: witness.Seen) -> Iterator[str]:
    """A run in which nothing happened proves nothing."""
    yield from (f"no fault of the kind {what!r}" for what in _NEEDED if not cast.saboteur.done[what])
    if not any(cast.group.killed[f"worker-{number}"] for number in range(_WORKERS)):
        yield "no worker was killed"
    if not seen.late:
        yield "no worker died with work in hand"
    if not cast.relay.dropped or not cast.relay.doubled or not seen.found:
        yield "no event was lost, none doubled, or comparing found nothing"


def _unwilling(ended: Mapping[str, int | None]) -> Iterator[str]:
    """Uvicorn shuts down in order and then ends by the signal that asked for it."""
    willing = {"api": (0, -signal.SIGTERM)}
    yield from (
        f"{name}: exit status {status}" for name, status in ended.items() if status not in willing.get(name, (0,))
    )


def _suspicious(checks: list[Check], cast: _Cast) -> list[str]:
    named = [difference.split(" (")[0].split(": ")[0] for each in checks for difference in each.differences]
    keys = [name for name in dict.fromkeys(named) if name in cast.uploader.history]
    return keys[:_STORIES]


def _figures(cast: _Cast, *, quiet: float | None) -> dict[str, Any]:
    engine, relay, saboteur = cast.servers.engine, cast.relay, cast.saboteur
    seen = witness.look(engine, source="s3")
    known = audit.standings(engine).values()
    steps, keys = cast.script.steps, len(cast.script.final)
    deletes = sum(step.content is None for step in steps)
    return {
        "seed": cast.script.seed,
        "objects": keys,
        "writes": len(steps) - deletes,
        "overwrites": len(steps) - deletes - keys,
        "deletes": deletes,
        "events": {"sent": relay.sent, "dropped": relay.dropped, "doubled": relay.doubled},
        "requests repeated": relay.repeated,
        "workers killed": sum(count for name, count in cast.group.killed.items() if name.startswith("worker")),
        "workers that came back late": saboteur.late,
        "processes ended": dict(sorted(cast.group.ended.items())),
        "faults": dict(sorted(saboteur.done.items())),
        "seconds away": {
            what: round(each, 1) for what, each in sorted(saboteur.seconds.items()) if what not in _INSTANT
        },
        "claims after a lost lease": len(seen.late),
        "recovery after the lease's end": spread(seen.late),
        "retries": seen.counts["retry"],
        "attempts taken back": seen.counts["returned"],
        "found by comparing": len(seen.found),
        "… of which needed": sum(each.needed for each in seen.found),
        "changes in the feed": len(cast.follower.changes),
        "outcomes": dict(sorted(Counter(str(each.outcome) for each in known).items())),
        "quarantine": dict(sorted(Counter(each.reason for each in known if each.reason).items())),
        "seconds until quiet": "never" if quiet is None else round(quiet, 1),
    }


_INSTANT = ("worker", "scheduler", "api")
