"""The ports of the embedded servers, and which process uses one that is taken."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field, fields

from worker.errors import ServerError

LOOPBACK = "127.0.0.1"
DEFAULT_BASE = 8700
_SIZE = 11
_LOWEST = 1024  # below are the system's
_HIGHEST = 65535 - _SIZE + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class PortPlan:
    """Eleven consecutive ports, in this order. The defaults of ``worker.settings`` are those of base 8700."""

    base: int = DEFAULT_BASE
    api: int = field(init=False)
    s3: int = field(init=False)
    master: int = field(init=False)
    volume: int = field(init=False)
    filer: int = field(init=False)
    valkey: int = field(init=False)
    postgres: int = field(init=False)
    master_grpc: int = field(init=False)
    volume_grpc: int = field(init=False)
    filer_grpc: int = field(init=False)
    s3_grpc: int = field(init=False)

    def __post_init__(self) -> None:
        if not _LOWEST <= self.base <= _HIGHEST:
            raise ServerError(f"port base {self.base} is outside {_LOWEST}…{_HIGHEST}; choose another with --port-base")
        for offset, port in enumerate(fields(self)[1:]):
            object.__setattr__(self, port.name, self.base + offset)

    def store(self) -> dict[str, int]:
        """Purpose and port of everything that the object store listens on."""
        return {
            "S3": self.s3,
            "SeaweedFS master": self.master,
            "SeaweedFS volume server": self.volume,
            "SeaweedFS filer": self.filer,
            "SeaweedFS master, gRPC": self.master_grpc,
            "SeaweedFS volume server, gRPC": self.volume_grpc,
            "SeaweedFS filer, gRPC": self.filer_grpc,
            "S3, gRPC": self.s3_grpc,
        }


def listen(port: int) -> socket.socket:
    """Bind a loopback port and listen on it.

    Connections made before anybody accepts them wait in the kernel, so a process that inherits this socket can be
    restarted without one being refused.

    Raises:
        OSError: the port is taken or not allowed.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def require_free(wanted: dict[str, int]) -> None:
    """Check every port before anything starts.

    Raises:
        ServerError: names each taken port, what it is for and, where the system tells, who has it.
    """
    taken = [(purpose, port, reason) for purpose, port in wanted.items() if (reason := _why_not(port))]
    if taken:
        lines = "".join(f"\n  port {port} ({purpose}): {reason}" for purpose, port, reason in taken)
        raise ServerError(f"cannot listen on {LOOPBACK}:{lines}\nstop what uses them, or choose others: --port-base N")


def free_port_base(*, attempts: int = 200) -> int:
    """A base whose ports are all free now, away from the default and from the system's ephemeral range.

    Raises:
        ServerError: none was found.
    """
    start = 20_000 + os.getpid() * _SIZE % 10_000
    for attempt in range(attempts):
        base = 20_000 + (start - 20_000 + attempt * _SIZE * 7) % 12_000
        if not any(_why_not(port) for port in range(base, base + _SIZE)):
            return base
    raise ServerError(f"found no {_SIZE} consecutive free ports; choose some with --port-base N")


def _why_not(port: int) -> str | None:
    try:
        listen(port).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return error.strerror or str(error)
        return f"in use by {holder}" if (holder := _holder(port)) else "in use by another process"
    return None


def _holder(port: int) -> str | None:
    """The listening process, as "name (pid 123)"; None if psutil is missing or lacks permission."""
    try:
        import psutil
    except ImportError:
        return None
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})" if connection.pid else None
    return None
