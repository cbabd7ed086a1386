"""A group of worker processes that one command starts, restarts and stops: for a device that outruns one interpreter.

Each member is a complete worker with its own model, leases, heartbeat and metrics. They share only the cores, so every
guarantee of one worker holds for each. docs/decisions says why not threads, or processes that only decode.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from worker import logs
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.supervision.child import ChildSpec
from worker.supervision.restart_policy import RestartPolicy
from worker.supervision.supervisor import Supervisor

_log = logs.get("worker-group")

#: Starts one member. (-P: a folder named `worker` in the working directory is not ours.)
MEMBER: tuple[str, ...] = (sys.executable, "-P", "-m", "worker", "worker", "--member")

#: On top of ENRICH_DRAIN_SECONDS, to give claims back and sign off; then SIGKILL. Less than `enrich up` waits for us:
#: members have process groups of their own, and one that hangs would outlive us.
_SIGN_OFF_SECONDS = 8.0
_EXIT_MISCONFIGURED = 1  # reported at start-up
_EXIT_TOO_OLD = 78  # EX_CONFIG: a restart does not help
_LAST_PORT = 65_535
#: Loading a model takes a while, and a member may die during it.
_POLICY = RestartPolicy(first_delay=1.0, longest_delay=30.0, quick=60.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One member's share, which replaces the group's settings."""

    decode_threads: int
    torch_threads: int
    metrics_port: int  # 0: none

    def environment(self) -> dict[str, str]:
        return {
            "ENRICH_PROCESSES": "1",
            "ENRICH_DECODE_THREADS": str(self.decode_threads),
            "ENRICH_TORCH_THREADS": str(self.torch_threads),
            "ENRICH_METRICS_PORT": str(self.metrics_port),
        }


def shares(settings: Settings, *, cores: int) -> list[Share]:
    """Divide the cores, or the configured threads, among the members; each gets at least one.

    Raises:
        ConfigurationError: there are not enough ports for metrics.
    """
    last_port = settings.metrics_port and settings.metrics_port + settings.processes - 1
    if last_port > _LAST_PORT:
        raise ConfigurationError(
            f"the metrics of {settings.processes} worker processes need as many ports: set ENRICH_METRICS_PORT to "
            f"at most {_LAST_PORT - settings.processes + 1}, or to 0 for none"
        )
    decoders = _divided(settings.decode_threads or cores, settings.processes)
    torch = _divided(settings.torch_threads or cores, settings.processes)
    return [
        Share(
            decode_threads=decoders[number],
            torch_threads=torch[number],
            metrics_port=settings.metrics_port and settings.metrics_port + number,
        )
        for number in range(settings.processes)
    ]


def _divided(threads: int, among: int) -> list[int]:
    return [max(1, threads // among + (number < threads % among)) for number in range(among)]


def run(settings: Settings, *, cores: int) -> int:
    """Keep ``settings.processes`` workers running until SIGTERM, which drains all of them.

    A member that ends is restarted while the others keep running. All stop when one exits with a status that
    rules out a restart, or dies five times in a row within a minute of its start.

    Returns:
        The exit status: 0 after SIGTERM, else that of the member that stopped the group.

    Raises:
        ConfigurationError: the settings do not allow so many members.
    """
    shared = shares(settings, cores=cores)
    supervisor = Supervisor(
        None, announce=lambda what: _log.warning(what, action="worker-group"), policy=_POLICY, patient=True
    )
    supervisor.add(*(_member(number, share, settings) for number, share in enumerate(shared, 1)))
    _log.info(f"{len(shared)} worker processes", action="worker-group", decoders=settings.decode_threads or cores)
    status = supervisor.run()
    if status:
        _log.error(f"stopped all, because a worker process ended with {status}", action="worker-group", status=status)
    return status


def longest_end(settings: Settings) -> float:
    """Seconds after which members have ended or are killed. Killing the group earlier leaves hanging members behind."""
    return settings.drain_seconds + _SIGN_OFF_SECONDS


def _member(number: int, share: Share, settings: Settings) -> ChildSpec:
    return ChildSpec(
        name=f"worker-{number}",
        argv=MEMBER,
        env={**os.environ, **share.environment()},
        stop_seconds=longest_end(settings),
        orphan_seconds=longest_end(settings),  # so that a batch is finished also where we were killed
        final=frozenset({_EXIT_TOO_OLD}),
        final_at_first=frozenset({_EXIT_MISCONFIGURED}),
        ends_all=True,
    )
