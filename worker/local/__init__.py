"""The embedded servers: SeaweedFS, Valkey and PostgreSQL with pgvector, from wheels, and the supervisor that runs them.

They are the real servers, so that development is production: whatever works on a laptop works against a cluster, and
any of them is replaced by giving its URL. ``LocalStack`` starts them under a home directory; its ``supervisor`` also
runs the product's own processes. When the process that started them dies, by any signal, everything it started ends.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.local.child import ChildSpec, NotReadyError
    from worker.local.connection import ConnectionInfo, read_connection_info
    from worker.local.home import Home
    from worker.local.ports import DEFAULT_BASE, LOOPBACK, PortPlan, free_port_base
    from worker.local.probes import http_request
    from worker.local.stack import LocalStack, Part, Replacements
    from worker.local.supervisor import Supervisor

__all__ = [
    "DEFAULT_BASE",
    "LOOPBACK",
    "ChildSpec",
    "ConnectionInfo",
    "Home",
    "LocalStack",
    "NotReadyError",
    "Part",
    "PortPlan",
    "Replacements",
    "Supervisor",
    "free_port_base",
    "http_request",
    "read_connection_info",
]

#: Where each is; loaded at the first use of one: commands only ask what runs, and start nothing.
_HOMES = {
    "ChildSpec": "child",
    "NotReadyError": "child",
    "ConnectionInfo": "connection",
    "read_connection_info": "connection",
    "Home": "home",
    "DEFAULT_BASE": "ports",
    "LOOPBACK": "ports",
    "PortPlan": "ports",
    "free_port_base": "ports",
    "http_request": "probes",
    "LocalStack": "stack",
    "Part": "stack",
    "Replacements": "stack",
    "Supervisor": "supervisor",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
