"""``enrich tag``: files in, tags out, without any server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.commands import ENRICH, enrich, environment, on_a_terminal, running, terminal, until
from tests.pictures import picture

_TAXONOMY = """\
name: colour
templates: ["a picture that is {}"]
labels:
  red: {prompts: ["red"]}
  blue: {prompts: ["blue"]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tag")
    (folder / "photos" / ".hidden").mkdir(parents=True)
    for name in ("red.jpg", "new\nline [b].jpg", ".hidden/no.jpg"):
        (folder / "photos" / name).write_bytes(picture())
    Path(os.fsdecode(os.fsencode(folder) + b"/photos/bad\xff.jpg")).write_bytes(picture())
    (folder / "photos" / "text.jpg").write_bytes(b"no picture")
    (folder / "photos" / "notes.txt").write_bytes(b"not even named like one")
    (folder / "empty").mkdir()
    return folder


def test_a_pipe_gets_one_json_object_a_line(folder: Path) -> None:
    """In order, with refusals among them, whatever bytes the names have; nothing but JSON on stdout."""
    done = enrich("tag", "photos", "--taxonomy", "setting", cwd=folder)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    names = ["photos/bad\udcff.jpg", "photos/new\nline [b].jpg", "photos/red.jpg", "photos/text.jpg"]
    assert [line["file"] for line in lines] == names
    assert [list(line.get("tags", ())) for line in lines] == [["setting"]] * 3 + [[]]
    assert "not-an-image" == lines[3]["reason"]
    assert (0, "") == (done.returncode, done.stderr)


def test_a_page_has_thumbnails_and_names_bad_files(folder: Path) -> None:
    """One file that loads and runs nothing; the lines on stdout are the same as without it."""
    (folder / "photos" / "<b>.jpg").write_bytes(b"no picture")
    done = enrich("tag", "photos", "--taxonomy", "setting", "--html", "page.html", cwd=folder)
    (folder / "photos" / "<b>.jpg").unlink()
    page = (folder / "page.html").read_text()
    assert (5, 3) == (len(done.stdout.splitlines()), page.count('<img src="data:image/webp;base64,'))
    assert ["page.html shows 5 files"] == done.stderr.splitlines()
    assert "3 tagged files" in page
    assert "2 files were not tagged" in page
    assert "photos/&lt;b&gt;.jpg: not an image" in page
    assert page.count("setting: ") == 1 + 3
    assert [] == [each for each in ("<script", "<link", "http:", "https:", "<b>.jpg") if each in page]


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_tagged(folder: Path) -> None:
    """With what to do about it."""
    done = enrich("tag", "photos", "--html", "nowhere/page.html", cwd=folder)
    assert (1, True) == (done.returncode, "create the directory nowhere first" in done.stderr)
    assert "" == done.stdout


def test_a_terminal_gets_a_table(folder: Path) -> None:
    """Names on one line each, brackets as they are, refusals below."""
    shown = on_a_terminal("tag", "photos", "--taxonomy", "setting", cwd=folder)
    assert r"photos/new\nline [b].jpg" in shown
    assert r"photos/bad\udcff.jpg" in shown
    assert "photos/text.jpg: not an image" in shown
    assert "{" not in shown


def test_a_taxonomy_of_ones_own(folder: Path) -> None:
    """A file is enough."""
    path = folder / "colour.yaml"
    path.write_text(_TAXONOMY)
    done = enrich("tag", "photos/red.jpg", "--taxonomy", str(path), cwd=folder)
    assert 0 == done.returncode, done.stderr
    assert ["colour"] == list(json.loads(done.stdout)["tags"])


def test_each_file_without_a_label_has_its_reason(folder: Path) -> None:
    """In JSON; a person at a terminal is told how many there are, and what they are nearest to."""
    (folder / "sure.yaml").write_text(f"{_TAXONOMY}threshold: 1\nmargin: 1\n")
    done = enrich("tag", "photos/red.jpg", "--taxonomy", "sure.yaml", cwd=folder)
    found = json.loads(done.stdout)
    why = found["abstentions"]["colour"]
    assert found["tags"]["colour"]["probability"] == why["probability"]
    assert why["reason"] in {"below-threshold", "below-neutral-level"}
    shown = on_a_terminal("tag", "photos/red.jpg", "--taxonomy", "sure.yaml", cwd=folder)
    expected = f"colour: none of these: 1 of 1; 1 {why['reason']} (nearest: {why['nearest']} 1)"
    assert expected in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["missing.jpg"], 2, "does not exist"),
        (["empty"], 2, "no image files there"),
        (["photos/red.jpg", "--taxonomy", "nope"], 1, "shipped: document-page, setting"),
        ([], 2, "FILE_OR_DIR"),
    ],
)
def test_mistakes_are_named(folder: Path, arguments: list[str], status: int, says: str) -> None:
    """Status 2 for what was typed, 1 for what could not be done; never a traceback."""
    done = enrich("tag", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_only_refusals_are_a_failure(folder: Path) -> None:
    """Status 1 when nothing at all could be tagged."""
    assert 1 == enrich("tag", "photos/text.jpg", cwd=folder).returncode


def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    """`| head -n 1`: what it read is right, and nobody complains."""
    command = f"{ENRICH} tag {'photos/red.jpg ' * 500} | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment(), capture_output=True, text=True, check=True
    )
    assert ("photos/red.jpg", "") == (json.loads(done.stdout)["file"], done.stderr)


def test_ctrl_c_is_quiet(folder: Path, tmp_path: Path) -> None:
    """Status 130, no traceback."""
    with running("tag", *["photos/red.jpg"] * 3_000, cwd=folder, logs=tmp_path) as command:
        until(lambda: command.stdout.stat().st_size > 0)
        assert 130 == command.end(signal.SIGINT)
    assert "" == command.said()


def test_ctrl_c_on_a_terminal_keeps_what_was_tagged(folder: Path) -> None:
    """The table of the files so far, how far it came, and status 130."""
    with terminal("tag", *["photos/red.jpg"] * 3_000, "--taxonomy", "setting", cwd=folder) as (process, read):
        begun = read(lambda text: re.search(r"[1-9]\d*/3000", text) is not None)
        assert begun.startswith("loading the model starter …\n")
        process.send_signal(signal.SIGINT)
        shown = read(lambda text: False)
        assert 130 == process.wait(30)
    [count] = re.findall(r"interrupted: ([\d,]+) of 3,000 files were examined", " ".join(shown.split()))
    assert 0 < int(count.replace(",", "")) == len(re.findall(r"photos/red\.jpg", shown)) < 3_000
    assert "Traceback" not in shown


def test_a_dash_is_explained_where_there_is_one(folder: Path) -> None:
    """Below the table, once; and not where every file has a label."""
    for threshold, expected in (("0.99", 1), ("0", 0)):
        path = folder / f"colour-{expected}.yaml"
        path.write_text(f"{_TAXONOMY}models: {{starter: {{threshold: {threshold}}}}}\n")
        shown = on_a_terminal("tag", "photos/red.jpg", "--taxonomy", str(path), cwd=folder)
        assert expected == shown.count("– means that no label was certain enough"), shown


def test_a_warning_is_a_sentence(folder: Path) -> None:
    """Not a line of a log."""
    path = folder / "colour.yaml"
    path.write_text(_TAXONOMY)
    said = enrich("tag", "photos/red.jpg", "--taxonomy", str(path), cwd=folder).stderr
    assert said.startswith("warning: not calibrated for starter: colour;")
    assert "action=" not in said
