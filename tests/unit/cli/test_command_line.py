"""The command line without servers: its reference, its manners, and what it keeps its hands off."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

import worker
from tests.acceptance.commands import ENRICH, enrich, environment
from worker import settings
from worker.cli import app, context, local_system, main, reference
from worker.cli.demo import settings_of_a_demo
from worker.errors import ServerError
from worker.local import connection
from worker.local.connection import ConnectionInfo
from worker.local.stack import Replacements

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "command-line.md"


@cache
def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= {f"{name} {sub}": each for sub, each in getattr(command, "commands", {}).items()} or {name: command}
    return found


class TestReference:
    """docs/reference/generated/cli.md says what the commands do."""

    def test_it_is_current(self) -> None:
        """Nobody edits a command without its documentation."""
        assert reference.reference() == (DOCUMENT.parent / "generated" / "cli.md").read_text(), "run `make docs`"

    @pytest.mark.parametrize("name", commands())
    def test_every_option_is_explained(self, name: str) -> None:
        """What it takes, and what for."""
        for each in commands()[name].params:
            assert each.help or "argument" == each.param_type_name, each.name
            assert each.metavar or each.hidden or getattr(each, "is_flag", False), each.name

    @pytest.mark.parametrize("name", commands())
    def test_every_option_has_its_own_name(self, name: str) -> None:
        """Some releases of typer call an option by its metavar where that is its name in capitals."""
        options = [each for each in commands()[name].params if each.param_type_name == "option"]
        assert [] == [opt for each in options for opt in each.opts if opt.isupper() and len(opt) > 2]

    def test_every_json_is_documented(self) -> None:
        """Each command that has --json is in the table of shapes, and no other."""
        with_json = {name for name, each in commands().items() if any("--json" in p.opts for p in each.params)}
        table = DOCUMENT.read_text().partition("## JSON")[2]
        assert with_json == {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}

    def test_the_shape_of_env_is_documented_in_full(self) -> None:
        """Field by field: scripts depend on it."""
        documented = next(line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `env`"))
        fields = ConnectionInfo.__dataclass_fields__
        assert list(fields) == [part for part in documented.split('"') if part in fields]

    def test_the_shapes_of_the_api_exist(self) -> None:
        """What the table refers to."""
        known = json.loads((DOCUMENT.parents[2] / "schemas" / "openapi.json").read_text())["components"]["schemas"]
        assert {"Image", "SearchResponse"} <= known.keys()


class TestManners:
    """Quick, quiet, and on one line."""

    def test_it_says_which_version_it_is(self) -> None:
        """As every command does."""
        assert f"{worker.__version__}\n" == CliRunner().invoke(app, ["--version"]).stdout

    @pytest.mark.parametrize(
        "arguments",
        [("show", "photos/\udcff"), ("search", "\udcff"), ("search", "cat", "--tag", "a=\udcff"), ("verify", "\udcff")],
    )
    def test_what_is_no_text_is_refused(
        self, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Bytes that are not UTF-8 name nothing, and no database takes them."""
        monkeypatch.setattr(sys, "argv", ["enrich", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (2, True) == (ended.value.code, "is not UTF-8" in capsys.readouterr().err)

    def test_names_of_files_may_be_any_bytes(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The file is looked for."""
        monkeypatch.setattr(sys, "argv", ["enrich", "tag", "nowhere-\udcff.jpg"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (2, False) == (ended.value.code, "is not UTF-8" in capsys.readouterr().err)

    def test_nobody_is_asked_where_nobody_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be undone is not done."""
        monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
        with pytest.raises(typer.Exit) as ended:
            context.confirm("really?", declined="Nothing was deleted.")
        assert 1 == ended.value.exit_code

    def test_help_answers_at_once(self) -> None:
        """Nothing heavy is imported to say what there is."""
        code = "import sys, worker.cli; print(*sorted(sys.modules))"
        loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        assert not {"torch", "transformers", "boto3", "celery", "sqlalchemy", "fastapi", "numpy"} & set(loaded)
        started = time.process_time()
        subprocess.run([ENRICH, "--help"], capture_output=True, check=True)
        assert time.process_time() - started < 1

    def test_a_worker_bounds_the_threads_of_numpy_before_numpy_asks(self) -> None:
        """Later would be too late; and who sets it knows better."""
        code = (
            "import os, sys, types, worker.cli.run as run; early = 'numpy' in sys.modules; "
            "tasks = types.ModuleType('worker.tasks'); sys.modules['worker.tasks'] = tasks; "
            "tasks.run_worker = lambda _: print(early, os.environ['OPENBLAS_NUM_THREADS']); run.worker()"
        )
        free = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
        answers = [
            subprocess.run([sys.executable, "-c", code], env=free | own, capture_output=True, text=True, check=True)
            for own in ({}, {"OPENBLAS_NUM_THREADS": "3"})
        ]
        assert ["False 1", "False 3"] == [answer.stdout.strip() for answer in answers]

    def test_a_bad_setting_is_one_sentence(self, tmp_path: Path) -> None:
        """Named by its variable, status 1, no traceback."""
        done = enrich("status", cwd=tmp_path, ENRICH_API_PORT="many")
        assert 1 == done.returncode
        assert done.stderr.startswith("enrich: invalid settings:\n  ENRICH_API_PORT: ")

    @pytest.mark.slow
    @pytest.mark.parametrize(("command", "marked"), [("env", "warning: "), ("listen", "[warning  ] ")])
    def test_a_misspelt_setting_is_told_at_the_start(self, tmp_path: Path, command: str, marked: str) -> None:
        """By commands in a line of their own, by processes in their log; before anything that may go wrong."""
        done = enrich(command, cwd=tmp_path, ENRICH_BUKETS="photos")
        assert f"{marked}unknown setting ENRICH_BUKETS (ignored); did you mean ENRICH_BUCKETS?" in done.stderr
        assert "" == done.stdout

    def test_a_database_that_is_away_is_one_sentence(self, tmp_path: Path) -> None:
        """With its address, without its password, and with the variable to look at."""
        url = "postgresql://enrich:hush@127.0.0.1:1/enrich"
        done = enrich("status", cwd=tmp_path, ENRICH_DATABASE_URL=url)
        assert 1 == done.returncode
        assert done.stderr.startswith(
            "enrich: the database cannot be reached at postgresql://enrich:***@127.0.0.1:1/enrich (ENRICH_DATABASE_URL)"
        )

    @pytest.mark.parametrize(
        "arguments",
        [
            ("show", "no-slash"),
            ("search", " "),
            ("search", "x", "--tag", "y"),
            ("search", "x", "--limit", "0"),
            ("health", "nothing"),
            ("quarantine", "retry"),
            ("quarantine", "list", "--reason", "none"),
            ("quarantine", "list", "--since", "lately"),
            ("quarantine", "list", "--older-than", "30"),
            ("quarantine", "list", "--in", "/prefix"),
            ("quarantine", "retry", "photos/a.jpg", "--in", "photos"),
            ("quarantine", "show", "photos"),
            ("up", "--port-base", "x"),
            ("nonsense",),
        ],
    )
    def test_what_was_typed_wrong_ends_with_two(
        self,
        tmp_path: Path,
        arguments: tuple[str, ...],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Without looking for a database first."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(os, "environ", environment())
        monkeypatch.setattr(sys, "argv", ["enrich", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert 2 == ended.value.code
        shown = capsys.readouterr()
        assert ("", False) == (shown.out, "Traceback" in shown.err)

    @pytest.mark.parametrize(
        ("raw", "shown"),
        [
            ("plain é 🌈.jpg", "plain é 🌈.jpg"),
            ("two\nlines", r"two\nlines"),
            ("bad\udcff", r"bad\udcff"),
            ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
            ("[red]not markup[/]", "[red]not markup[/]"),
        ],
    )
    def test_a_name_stays_on_its_line(self, raw: str, shown: str) -> None:
        """Whatever bytes an uploader chose."""
        assert context.name(raw) == shown

    def test_tables_have_no_edge_to_break_lines_at(self) -> None:
        """Where nobody's terminal has a width."""
        stream = io.StringIO()
        console = context._console(stream)
        table = Table("key")
        table.add_row("x" * 200)
        Console(file=stream, width=console.width).print(table)
        assert "x" * 200 in stream.getvalue()


class TestHandsOff:
    """Whose servers are whose."""

    def test_a_demo_takes_the_model_but_no_server(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Neither from the environment nor from a .env; and no bucket of theirs."""
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_text("ENRICH_BROKER_URL=redis://production/0\nENRICH_BUCKETS=theirs\n")
        for name, value in {
            "ENRICH_DATABASE_URL": "postgresql://production/x",
            "ENRICH_S3_ENDPOINT_URL": "https://production",
            "ENRICH_API_TOKEN": "theirs",
            "ENRICH_MODEL": "some/model",
        }.items():
            monkeypatch.setenv(name, value)
        chosen = settings_of_a_demo(settings.load())
        assert "some/model" == chosen.model
        assert ("demo",) == chosen.buckets
        assert local_system._replacements(chosen) == Replacements()
        assert chosen.api_token is None

    def test_children_get_every_setting_by_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """What is exported reads back as the same settings."""
        monkeypatch.chdir(tmp_path)
        first = settings.load(taxonomies="a,b", api_token="secret", log_json=True, lease_seconds=2.5)
        for name, value in local_system.exported(first).items():
            monkeypatch.setenv(name, value)
        assert settings.load() == first

    def test_commands_find_a_running_demo(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """`enrich up` comes first; where it does not run, the demo's home is looked at."""
        asked = []

        def read(home: Path) -> ConnectionInfo:
            asked.append(home)
            raise ServerError(f"nothing in {home}")

        monkeypatch.setattr(connection, "read_connection_info", read)
        with pytest.raises(ServerError, match=f"nothing in {tmp_path}$"):
            context.running_system(settings.load(home=tmp_path))
        assert asked == [tmp_path, tmp_path / "demo"]

    @pytest.mark.parametrize(
        ("named", "is_borrowed"),
        [
            ({}, True),
            ({"S3_ENDPOINT_URL": "https://theirs"}, True),
            ({"S3_ENDPOINT_URL": "https://another"}, False),
            ({"S3_ENDPOINT_URL": ""}, True),
            ({"DATABASE_URL": "postgresql://running/x"}, True),
            ({"DATABASE_URL": "postgresql://another/x"}, False),
            ({"DATABASE_URL": "postgresql://running/x", "S3_ENDPOINT_URL": "https://another"}, False),
        ],
    )
    @pytest.mark.parametrize("place", ["environment", "file"])
    def test_a_running_system_is_meant_unless_another_is_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, named: dict[str, str], is_borrowed: bool, place: str
    ) -> None:
        """In the environment or in .env: the store that `enrich up` was given names no other system."""
        running = ConnectionInfo(
            pid=1, home=str(tmp_path), api_url="http://x", api_port=1, api_token="t", api_events_token="e",
            database_url="postgresql://running/x", broker_url="redis://running/0", s3_endpoint_url="https://theirs",
            s3_region="here", s3_access_key_id=None, s3_secret_access_key=None, s3_addressing_style="path", bucket="b",
            buckets=("b",),
        )  # fmt: skip
        monkeypatch.setattr(connection, "read_connection_info", lambda _: running)
        monkeypatch.setattr(os, "environ", {name: each for name, each in os.environ.items() if "ENRICH" not in name})
        monkeypatch.chdir(tmp_path)
        if place == "file":
            (tmp_path / ".env").write_text("".join(f"ENRICH_{name}={value}\n" for name, value in named.items()))
        else:
            os.environ |= {f"ENRICH_{name}": value for name, value in named.items()}
        loaded = context.load_settings()
        assert is_borrowed == (loaded.broker_url == "redis://running/0")
        assert (named.get("S3_ENDPOINT_URL") or ("https://theirs" if is_borrowed else None)) == loaded.s3_endpoint_url

    def test_a_folder_named_worker_is_not_ours(self, tmp_path: Path) -> None:
        """Processes are started where the user stands; what stands there is not imported."""
        (tmp_path / "worker").mkdir()
        (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('the wrong one')")
        done = subprocess.run(
            [*local_system._command("--help")],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
