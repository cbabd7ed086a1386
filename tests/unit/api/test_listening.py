"""Which addresses the API listens on."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from worker.api import server
from worker.errors import ConfigurationError


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have any name stand for these; 192.0.2.0/24 is nobody's."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def test_an_address_that_this_machine_does_not_have_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPv6 is switched off, localhost stands for ::1 all the same: the API listens on 127.0.0.1."""
    resolve_to(monkeypatch, "192.0.2.1", "127.0.0.1")
    [listener] = server.listen("localhost", 0)
    with closing(listener):
        assert "127.0.0.1" == listener.getsockname()[0]


def test_a_name_of_other_machines_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would be listened on: a sentence says so."""
    resolve_to(monkeypatch, "192.0.2.1")
    with pytest.raises(ConfigurationError, match="cannot listen on elsewhere"):
        server.listen("elsewhere", 0)
