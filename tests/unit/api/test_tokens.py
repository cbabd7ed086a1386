"""Which tokens an API is started with."""

from __future__ import annotations

import pytest

from worker.api import Tokens
from worker.errors import ConfigurationError

ANYWHERE = ["0.0.0.0", "::", "192.168.1.2", "api.example", ""]
LOOPBACK = ["127.0.0.1", "127.9.9.9", "::1", "localhost"]
VARIABLES = {
    "admin": "ENRICH_API_TOKEN",
    "events": "ENRICH_API_EVENTS_TOKEN",
    "read": "ENRICH_API_READ_TOKEN",
    "review": "ENRICH_API_REVIEW_TOKEN",
}


@pytest.mark.parametrize("token", ["", " ", "\n"])
@pytest.mark.parametrize("name", VARIABLES)
def test_an_empty_token_is_refused(name, token):
    """It would let everybody in while looking as if it did not."""
    with pytest.raises(ConfigurationError, match=f"{VARIABLES[name]} is empty"):
        Tokens(**{name: token})


def test_two_scopes_have_two_tokens():
    """Whoever has the lesser token would have the greater one."""
    with pytest.raises(ConfigurationError, match="ENRICH_API_EVENTS_TOKEN is the same as ENRICH_API_TOKEN"):
        Tokens(admin="0123456789abcdef", events="0123456789abcdef")


@pytest.mark.parametrize("host", ANYWHERE)
def test_beyond_loopback_a_token_is_needed(host):
    """The message says how to make one."""
    with pytest.raises(ConfigurationError, match=r"without a token: set ENRICH_API_TOKEN .*openssl rand -hex 32"):
        Tokens().require_for(host)


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("host", ANYWHERE)
def test_beyond_loopback_a_token_cannot_be_guessed(host, name):
    """Each has at least 16 characters, and the message says which has not, and how to make one."""
    sentence = f"{VARIABLES[name]} has 15 characters.* at least 16: .*openssl rand -hex 32"
    with pytest.raises(ConfigurationError, match=sentence):
        Tokens(**{name: "0123456789abcde"}).require_for(host)
    Tokens(**{name: "0123456789abcdef"}).require_for(host)


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_any_token_will_do_and_none_as_well(host):
    """It is for developing."""
    Tokens().require_for(host)
    Tokens(admin="x").require_for(host)
