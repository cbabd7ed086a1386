"""The broker: Valkey, without persistence.

Its messages are wake-ups that carry no data: what is to do is in PostgreSQL, and the scheduler sends another wake-up
for what was missed. A snapshot or append-only file would bring back messages about work that is done.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.local import binaries
from worker.local.home import Credentials, Home, write_private
from worker.local.ports import LOOPBACK, PortPlan
from worker.local.probes import set_key
from worker.supervision.child import ChildSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Valkey:
    """How to run the broker under a home."""

    home: Home
    ports: PortPlan
    credentials: Credentials

    @property
    def url(self) -> str:
        return f"redis://:{self.credentials.broker_password}@{LOOPBACK}:{self.ports.valkey}/0"

    def prepare(self) -> None:
        """Write the configuration: a password on the command line could be read by every local user."""
        run = self.home.run / "valkey"
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(run / "valkey.conf", self._configuration())

    def child(self) -> ChildSpec:
        run = self.home.run / "valkey"
        return ChildSpec(
            name="valkey",
            argv=[str(binaries.valkey()), str(run / "valkey.conf")],
            env=binaries.server_environment(home=run),
            cwd=run,
            probe=self._writes,
            stage=0,
            stop_seconds=3.0,
        )

    def _configuration(self) -> str:
        lines = (
            f"bind {LOOPBACK}",
            f"port {self.ports.valkey}",
            f"requirepass {self.credentials.broker_password}",
            "daemonize no",
            'save ""',
            "appendonly no",
            "tcp-backlog 128",
            "maxmemory-policy noeviction",
        )
        return "\n".join(lines) + "\n"

    def _writes(self) -> None:
        set_key(self.url)
