"""Which port is whose, and what happens when one is taken."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import pytest

from worker.errors import ServerError
from worker.local.ports import PortPlan, free_port_base, listen, require_free
from worker.settings import Settings


def _all(plan: PortPlan) -> list[int]:
    return [plan.api, plan.valkey, plan.postgres, *plan.store().values()]


def test_a_plan_gives_every_listener_its_own_port():
    """Eleven listeners, eleven consecutive ports."""
    assert list(range(9000, 9011)) == sorted(_all(PortPlan(base=9000)))


def test_the_default_plan_is_what_the_settings_default_to():
    """Without any variable set, the product looks where `enrich up` listens."""
    settings, plan = Settings(_env_file=None), PortPlan()

    assert (plan.api, plan.valkey, plan.postgres) == (
        settings.api_port,
        urlsplit(settings.broker_url).port,
        urlsplit(settings.database_url).port,
    )


@pytest.mark.parametrize("base", [0, 1023, 65530, -5])
def test_a_base_that_leaves_no_room_is_refused(base: int):
    """The message names the option to change."""
    with pytest.raises(ServerError, match="--port-base"):
        PortPlan(base=base)


def test_a_taken_port_is_reported_with_purpose_and_holder():
    """Someone who sees the message knows what to stop, and how to avoid having to."""
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as refusal:
            require_free({"PostgreSQL": port})

    message = str(refusal.value)
    assert f"port {port} (PostgreSQL): in use by " in message
    assert f"(pid {os.getpid()})" in message
    assert "--port-base" in message


def test_every_taken_port_is_reported_at_once():
    """Nobody has to fix one port to hear about the next."""
    with listen(0) as first, listen(0) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
        with pytest.raises(ServerError) as refusal:
            require_free({"API": ports[0], "S3": ports[1]})

    assert [True, True] == [f"port {port} " in str(refusal.value) for port in ports]


def test_a_port_taken_on_all_addresses_is_taken():
    """A server of the user's that listens on 0.0.0.0 would get our clients, or the other way round."""
    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(ServerError):
        require_free({"API": taken.getsockname()[1]})


def test_a_free_base_is_free():
    """All of its ports can be listened on, and none is one the kernel hands out to clients."""
    plan = PortPlan(base=free_port_base())

    require_free({str(port): port for port in _all(plan)})
    assert max(_all(plan)) < 32768


def test_a_free_base_avoids_what_is_taken():
    """A base is not offered when any port of its plan is in use."""
    base = free_port_base()
    with listen(base + 10):
        other = free_port_base()

    assert not base <= other <= base + 10
