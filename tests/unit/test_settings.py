"""Settings: clear refusals, and a reference that cannot drift."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker import settings, unknown_settings
from worker.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No variables and no .env of the machine the tests run on."""
    import os

    for name in [name for name in os.environ if name.startswith("ENRICH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_reference_is_current():
    """docs/reference/generated/settings.md says what the code does."""
    assert settings.reference() == (ROOT / "docs/reference/generated/settings.md").read_text(), "run `make docs`"


def test_every_setting_is_described():
    """Nobody has to read code to configure."""
    assert [] == [name for name, field in settings.Settings.model_fields.items() if not field.description]


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(monkeypatch, tmp_path):
    """The usual order."""
    (tmp_path / ".env").write_text("ENRICH_API_PORT=1111\nENRICH_CLAIM_BATCH=7\n")
    monkeypatch.setenv("ENRICH_API_PORT", "2222")
    loaded = settings.load()
    assert (2222, 7, 32) == (loaded.api_port, loaded.claim_batch, loaded.encoder_batch)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENRICH_DATABASE_URL", "sqlite:///x.db"),
        ("ENRICH_API_PORT", "many"),
        ("ENRICH_CLAIM_BATCH", "0"),
        ("ENRICH_DTYPE", "int8"),
        ("ENRICH_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(monkeypatch, name, value):
    """The message names what to change."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        settings.load()


def test_an_empty_variable_is_no_variable(monkeypatch):
    """Compose files pass empty strings for what was not set."""
    monkeypatch.setenv("ENRICH_MODEL", "")
    assert "starter" == settings.load().model


def test_secrets_do_not_show_in_representations():
    """A settings object in a log line gives nothing away."""
    assert "hunter2" not in repr(settings.load(api_token="hunter2", s3_secret_access_key="hunter2"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ENRICH_BUKETS", "unknown setting ENRICH_BUKETS (ignored); did you mean ENRICH_BUCKETS?"),
        ("ENRICH_BUCKET", "did you mean ENRICH_BUCKETS?"),
        ("ENRICH_DATABSE_URL", "did you mean ENRICH_DATABASE_URL?"),
        ("ENRICH_S3_ENDPOINT", "did you mean ENRICH_S3_ENDPOINT_URL?"),
        ("ENRICH_S3_SECRET_KEY", "did you mean ENRICH_S3_SECRET_ACCESS_KEY?"),
        ("ENRICH_APITOKEN", "did you mean ENRICH_API_TOKEN?"),
        ("ENRICHMODEL", "did you mean ENRICH_MODEL?"),
        ("ENRICHER_API_TOKEN", "did you mean ENRICH_API_TOKEN?"),
        ("enrich_modle", "unknown setting enrich_modle (ignored); did you mean ENRICH_MODEL?"),
        (
            "ENRICH_FLUX_COMPENSATOR",
            "(ignored); docs/reference/generated/settings.md lists all settings",
        ),
    ],
)
@pytest.mark.parametrize("place", ["environment", "file"])
def test_a_misspelt_variable_is_told_with_the_setting_it_resembles(monkeypatch, tmp_path, name, says, place):
    """Silence would leave somebody with a default they had meant to change."""
    if place == "file":
        (tmp_path / ".env").write_text(f"{name}=secret\nOTHER=1\n")
        says = says.replace(f"{name} (ignored)", f"{name} in .env (ignored)")
    else:
        monkeypatch.setenv(name, "secret")
    [told] = unknown_settings.unknown()
    assert told.endswith(says)
    assert "secret" not in told


def test_what_is_spelt_right_or_not_ours_is_not_told(monkeypatch, tmp_path):
    """Also in small letters, which count; and what `enrich env`, Kubernetes and Compose put there."""
    for name in (
        *(f"ENRICH_{each.upper()}" for each in settings.Settings.model_fields),
        "enrich_api_port",
        "ENRICH_API_URL",
        "ENRICH_BAKE_MODEL",
        "ENRICH_API_SERVICE_HOST",
        "ENRICH_API_SERVICE_PORT_HTTP",
        "ENRICH_WORKER_PORT_8701_TCP_ADDR",
        "AWS_PROFILE",
        "COMPOSE_PROFILES",
    ):
        monkeypatch.setenv(name, "")
    (tmp_path / ".env").write_text("COMPOSE_FILE=x\nENRICH_BUCKETS=a\n")
    assert [] == unknown_settings.unknown()
