"""``enrich decisions`` on a real catalog: out of it and into it, through files, as a user runs it."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.commands import ENRICH, enrich, environment, until
from tests.integration.pipeline.review.files import KEYS, count, decided, fill
from worker.db import Engine

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(engine: Engine, tmp_path: Path) -> Run:
    """Runs `enrich` on this test's database, which has four images."""
    fill(engine, KEYS)
    url = engine.url.render_as_string(hide_password=False)
    servers = {"ENRICH_DATABASE_URL": url, "ENRICH_BUCKETS": "photos", "ENRICH_REVIEWER": "ada"}
    return lambda *arguments: enrich(*arguments, cwd=tmp_path, **servers)


def test_import_undo_and_import_again(run, engine, tmp_path):
    """The batch that is printed undoes all of it; a file is not recorded twice, until it was undone."""
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,night\nb.jpg,nacht\n")
    arguments: tuple[str, ...] = (
        "decisions",
        "import",
        "labels.csv",
        "--bucket",
        "photos",
        "--taxonomy",
        "time-of-day",
    )
    refused = run(*arguments)
    assert (1, "1 row is valid, 1 row is not: nothing was recorded; --skip-invalid leaves out what is wrong\n") == (
        refused.returncode,
        refused.stdout,
    )
    assert "labels.csv, line 3: taxonomy time-of-day has no label 'nacht'; did you mean 'night'?\n" == refused.stderr
    arguments += ("--map", "nacht=night")
    assert "2 rows are valid; nothing was recorded, because of --dry-run\n" == run(*arguments, "--dry-run").stdout
    done = run(*arguments)
    assert (0, "") == (done.returncode, done.stderr)
    said = re.fullmatch(r"2 saved\nbatch (\S+); undo with: enrich decide --undo (\S+)\n", done.stdout)
    assert said is not None, done.stdout
    assert said[1] == said[2]
    assert f"already imported: batch {said[1]}\n" == run(*arguments).stdout
    assert (["night"], 2) == (decided(engine, "b.jpg"), count(engine))
    assert "2 undone\n" == run("decide", "--undo", said[1]).stdout
    assert [] == decided(engine, "b.jpg")
    assert run(*arguments).stdout.startswith("2 saved\n")


def test_a_killed_import_goes_on(run, engine, tmp_path):
    """Killed without warning between two transactions or in one: the next run records the rest, in the file's order."""
    rows = [(KEYS[n % 4], ("day", "night")[n // 4 % 2]) for n in range(3_000)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{key},{label}\n" for key, label in rows))
    arguments = ("decisions", "import", "labels.csv", "--bucket", "photos", "--taxonomy", "time-of-day")
    env = environment(ENRICH_DATABASE_URL=engine.url.render_as_string(hide_password=False), ENRICH_REVIEWER="ada")
    with subprocess.Popen([ENRICH, *arguments], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as process:
        until(lambda: count(engine) > 0)
        process.kill()
    before = count(engine)
    done = run(*arguments)
    assert (0, True, 3_000) == (done.returncode, 0 < before < 3_000, count(engine)), done.stdout
    assert f"{3_000 - before:,} saved, {before:,} rows imported before\n" in done.stdout
    assert (["night"], ["night"]) == (decided(engine, "a.jpg"), decided(engine, "2026/quay.jpg"))
    assert run(*arguments).stdout.startswith("already imported")


def test_refused_rows_are_written(run, tmp_path):
    """All of them, however many are shown; the others may be imported."""
    rows = "".join(f"none-{n}.jpg,day\n" for n in range(30))
    (tmp_path / "labels.csv").write_text(f"path,label\n{rows}a.jpg,day\n")
    (tmp_path / "map.csv").write_text("day,night\n")
    done = run("decisions", "import", "labels.csv", "--bucket", "photos", "--taxonomy", "time-of-day", "--skip-invalid",
               "--refused", "refused.csv", "--map", "map.csv")  # fmt: skip
    assert (0, True) == (done.returncode, done.stdout.startswith("1 saved\n"))
    assert "… and 10 more; see refused.csv\n" == done.stderr.splitlines(keepends=True)[20]
    with (tmp_path / "refused.csv").open(newline="") as lines:
        refused = list(csv.DictReader(lines))
    assert (30, "32", "photos/none-29.jpg") == (len(refused), str(int(refused[-1]["line"]) + 1), refused[-1]["image"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "cvs"], "unknown format 'cvs'; did you mean 'csv'?"),
        (
            ["--taxonomy", "a", "--taxonomy", "b"],
            "give one --taxonomy NAME for all labels, or one --taxonomy FIELD=NAME",
        ),
        (["--map", "a=b", "--map", "a=c"], "--map: 'a' is renamed to both 'b' and 'c'; leave one out"),
        (["--map", "nothing"], "--map 'nothing': write OLD=NEW, or the name of an existing file"),
        (["--map", "bad.csv"], "--map bad.csv: line 2 has 3 cells; write old,new"),
        (["--refused", "missing/x.csv"], "create the directory missing first"),
        (["--refused", "labels.csv"], "--refused labels.csv is the file to import"),
    ],
)
def test_bad_options(run, tmp_path, arguments, message):
    """Each says what to write."""
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,day\n")
    (tmp_path / "bad.csv").write_text("a,b\na,b,c\n")
    done = run("decisions", "import", "labels.csv", *arguments)
    assert (True, True) == (done.returncode != 0, message in " ".join(done.stderr.replace("│", " ").split())), (
        done.stderr
    )


def test_export(run, engine, tmp_path):
    """To stdout and into a file; both formats can be imported again, which changes nothing."""
    run("decide", "photos/a.jpg", "time-of-day=night", "things=lamp")
    run("decide", "photos/b.jpg", "--reject", "time-of-day=day", "--reason", 'odd, "very"')
    lines = run("decisions", "export").stdout.splitlines()
    assert ["accept", "accept", "reject"] == [json.loads(line)["verdict"] for line in lines]
    done = run("decisions", "export", "--csv", "--output", "all.csv")
    assert ("", "3 rows written to all.csv\n") == (done.stdout, done.stderr)
    (tmp_path / "all.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("all.csv", "all.jsonl"):
        again = run("decisions", "import", name)
        assert (0, "") == (again.returncode, again.stderr)
    assert ["night"] == decided(engine, "a.jpg")
    training = run("decisions", "export", "--in-force", "--csv", "--taxonomy", "time-of-day").stdout.splitlines()
    columns = csv.DictReader(training)
    assert [("a.jpg", "accept", "night", ""), ("b.jpg", "reject", "", "day")] == [
        (row["key"], row["verdict"], row["labels"], row["label"]) for row in columns
    ]


def test_list(run):
    """Newest first, with what was undone, by whom and when."""
    assert (
        "there are no decisions yet: `enrich review` and `enrich decide` make some\n" == run("decisions", "list").stdout
    )
    run("decide", "photos/a.jpg", "time-of-day=night")
    batch = run("decide", "photos/b.jpg", "time-of-day=", "--reviewer", "bo").stderr.split()[-1]
    run("decide", "--undo", batch)
    found = json.loads(run("decisions", "list", "--limit", "2", "--json").stdout)
    assert ["undo", "none"] == [each["verdict"] for each in found["decisions"]]
    rest = json.loads(run("decisions", "list", "--after", str(found["next"]), "--json").stdout)
    assert [("accept", "night")] == [(each["verdict"], each["label"]) for each in rest["decisions"]]
    shown = run("decisions", "list", "--reviewer", "bo").stdout
    assert (True, True) == ("undone" in shown, "time-of-day: none" in shown)
    assert "no decision matches\n" == run("decisions", "list", "photos/c.jpg").stdout
    for arguments in (("list",), ("export",), ("export", "--in-force", "--output", "rows.jsonl")):
        for wanted, says in (
            ("--taxonomy=time-of-dya", "did you mean 'time-of-day'?"),
            ("--in=photo", "unknown bucket"),
        ):
            refused = run("decisions", *arguments, wanted)
            assert (1, "", True) == (refused.returncode, refused.stdout, says in refused.stderr), refused
    assert "no decision matches\n" == run("decisions", "list", "--since", "2999-01-01T00:00:00Z").stdout
    assert 2 == run("decisions", "list", "--batch", "x").returncode
