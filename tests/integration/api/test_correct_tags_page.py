"""docs/how-to/correct-tags.md, each command as it is written, by the command line and through the API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import text

from tests.acceptance.commands import environment
from tests.integration.api.live import TOKEN
from tests.integration.pipeline.review.files import count, fill
from worker import catalog
from worker.catalog.taxonomies import TaxonomyVersion
from worker.db import Engine, transaction

DOCUMENT = Path(__file__).parents[3] / "docs/how-to/correct-tags.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = TaxonomyVersion(
    name="document-page", version="v1", many=False, definition={"labels": [{"name": "blank"}, {"name": "text"}]}
)


def test_every_command_of_the_page(engine: Engine, api, tmp_path):
    """In the order of the page: what is decided holds, and what is undone does not."""
    fill(engine, ["2026/a.jpg", "2026/b.jpg", "night-shift/c.jpg"])
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, [PAGES])
    (tmp_path / "labels.csv").write_text("path,label\n2026/a.jpg,day\n2026/b.jpg,night\n")
    blocks = [block.rstrip("\n") for block in BLOCK.findall(DOCUMENT.read_text())]
    shell = Shell(engine, api.port, tmp_path)
    one, put, many, file, undo, export = blocks
    night = [("night", "human")]
    for command, expected in zip(one.splitlines(), (night, night, [], [("day", "zero-shot")]), strict=True):
        said = shell.run(command)
        assert ("saved" in said, expected) == (True, of(engine, "2026/a.jpg"))
    assert '"saved"' in shell.run(put)
    assert [("night", "human")] == of(engine, "2026/a.jpg")
    for command in many.splitlines():
        shell.run(f"{command} --yes")
    assert [("night", "human")] == of(engine, "night-shift/c.jpg")
    batch = shell.run(file).split()[-1]
    assert [("day", "human")] == of(engine, "2026/a.jpg")
    first, *lists = undo.splitlines()
    assert "2 undone\n" == shell.run(re.sub(r"[0-9a-f-]{36}", batch, first))
    assert [("night", "human")] == of(engine, "2026/a.jpg")
    assert all("night" in shell.run(command) for command in lists)
    for command in export.splitlines():
        shell.run(command)
    assert count(engine) == len((tmp_path / "decisions.jsonl").read_text().splitlines())
    assert "night-shift/c.jpg" in (tmp_path / "training.csv").read_text()


def of(engine: Engine, key: str) -> list[tuple[str, str]]:
    query = text("SELECT label, source FROM image_tags WHERE key = :key AND taxonomy = 'time-of-day'")
    with transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(query, {"key": key})]


class Shell:
    """Runs commands of the page."""

    def __init__(self, engine: Engine, port: int, folder: Path) -> None:
        self._folder = folder
        self._environment = environment(
            ENRICH_DATABASE_URL=engine.url.render_as_string(hide_password=False),
            ENRICH_API_TOKEN=TOKEN,
            ENRICH_REVIEWER="ada",
            API=f"http://127.0.0.1:{port}",
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            no_proxy="*",
        )

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-eu", "-c", command],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout
