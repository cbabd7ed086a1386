"""deploy/make-env.sh: from nothing to an .env that Compose accepts."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

from tests.unit.deploy import compose

SCRIPT = compose.ROOT / "deploy/make-env.sh"


def run(target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(SCRIPT), str(target)], capture_output=True, text=True, check=False)


def settings(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_it_makes_a_secret_for_everything_that_is_required(tmp_path):
    """The base file interpolates with what was written; secrets are long, of letters and digits, and all different."""
    assert 0 == run(tmp_path / "env").returncode
    made = settings(tmp_path / "env")
    compose.interpolate(compose.parse(compose.BASE.read_text()), made)
    assert len(set(made.values())) == len(made) == 13
    assert {48} == {len(value) for value in made.values()}
    assert all(value.isalnum() for value in made.values())


def test_two_runs_make_different_secrets(tmp_path):
    """Nothing is derived from the machine or the template."""
    run(tmp_path / "one")
    run(tmp_path / "two")
    assert set(settings(tmp_path / "one").values()) & set(settings(tmp_path / "two").values()) == set()


def test_only_the_owner_can_read_it(tmp_path):
    """Others on the machine cannot."""
    run(tmp_path / "env")
    assert 0o600 == stat.S_IMODE((tmp_path / "env").stat().st_mode)


def test_it_never_overwrites(tmp_path):
    """A second run leaves the secrets in use alone, and says so."""
    run(tmp_path / "env")
    before = (tmp_path / "env").read_text()
    again = run(tmp_path / "env")
    assert "exists" in again.stderr
    assert (tmp_path / "env").read_text() == before


def test_it_adds_the_secrets_that_an_older_file_lacks(tmp_path):
    """After an upgrade: what is there stays to the byte, what is missing is added and named."""
    older = "POSTGRES_PASSWORD=kept\n# VALKEY_PASSWORD=not a setting\nIMAGE_TAG=mine"  # no end of line
    (tmp_path / "env").write_text(older)
    again = run(tmp_path / "env")
    assert 0 == again.returncode
    made = settings(tmp_path / "env")
    assert (tmp_path / "env").read_text().startswith(f"{older}\n")
    assert "kept" == made["POSTGRES_PASSWORD"]
    assert 48 == len(made["VALKEY_PASSWORD"])
    assert "VALKEY_PASSWORD" in again.stderr
    assert "POSTGRES_PASSWORD" not in again.stderr
    compose.interpolate(compose.parse(compose.BASE.read_text()), made)
