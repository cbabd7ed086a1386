"""``enrich taxonomy``: the example of docs/how-to/change-taxonomies.md, word for word, and how its commands behave."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.integration.pipeline.taxonomies.example import DOCUMENT, FILES, SESSIONS, write
from worker import bootstrap
from worker.cli import plan_page
from worker.errors import ApplyingError, ConfigurationError
from worker.pipeline.taxonomies import lifecycle
from worker.tagging import load_taxonomy


def plain(line: str) -> str:
    """Without what is different each time: spaces, dates and who did it."""
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\+00:00)?  \S+@\S+", "WHEN WHO", line)
    return " ".join(line.split())


def test_the_example_is_what_happens(enrich):
    """Every command with every line that it prints."""
    write(FILES[1])
    run = 0
    for session in SESSIONS:
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            name, group, *arguments = shlex.split(command.partition(">")[0])
            assert ("enrich", "taxonomy") == (name, group)
            done = enrich(*arguments)
            told = [plain(line) for line in done.output.splitlines() if line.strip()]
            if ">" in command:
                assert (3, True) == (done.exit_code, "exit status 3" in command)
            else:
                assert [plain(line) for line in shown.splitlines() if line.strip()] == told, done.output
            run += 1
    assert 6 == run


def test_exit_statuses_tell_whether_anything_would_change(enrich):
    """A pipeline can tell a change from an error (1) and from a command line that is wrong (2)."""
    assert [0, 2] == [enrich("plan").exit_code, enrich("plan", "--smaple", "3").exit_code]
    write(FILES[1])
    assert [3, 3] == [enrich("plan").exit_code, enrich("plan", "--json").exit_code]
    assert isinstance(enrich("plan", "--full", "--sample", "3").exception, ConfigurationError)
    assert 0 == enrich("apply", "--yes").exit_code
    assert [0, 0] == [enrich("plan").exit_code, enrich("plan", "--full").exit_code]


def test_nothing_is_applied_where_nobody_can_be_asked(enrich):
    """A script says --yes."""
    write(FILES[1])
    before = enrich.archive.tags()
    for command in ("apply", "rollback"):
        if command == "rollback":
            enrich("apply", "--yes")
            before = enrich.archive.tags()
        done = enrich(command)
        assert (1, True) == (done.exit_code, "pass --yes" in done.output)
        assert before == enrich.archive.tags()


def test_going_back_to_what_is_in_force_says_nothing_of_files(enrich):
    """They may be others."""
    write(FILES[1])
    done = enrich("rollback", "1")
    assert (0, "nothing to change: these taxonomies are revision 1, and all tags follow it") == (
        done.exit_code, done.output.strip(),
    )  # fmt: skip


def test_a_plan_for_programs(enrich):
    """What docs/reference/command-line.md says that it has."""
    write(FILES[1])
    found = json.loads(enrich("plan", "--json").stdout)
    [taxonomy] = found["taxonomies"]
    assert (False, 300, 1) == (found["is_empty"], found["sampling"]["total"], found["revision"])
    assert "added" == next(each["kind"] for each in taxonomy["changes"] if each["after"] == "green")
    table = (
        (DOCUMENT.parents[1] / "reference" / "command-line.md")
        .read_text()
        .partition("| `taxonomy plan` |")[2]
        .partition("\n")[0]
    )
    assert all(f'"{name}"' in table for name in (*found, *taxonomy))


def test_a_history_for_programs(enrich):
    """Who, when and what."""
    [entry] = json.loads(enrich("history", "--json").stdout)["entries"]
    assert ("begin", True) == (entry["revision"]["action"], entry["is_current"])


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_beside_it_and_runs_nothing(enrich):
    """Names of labels and keys are shown as they are, whatever is in them."""
    evil = "<script>alert('x')</script>&"
    enrich.archive.write({f"{evil}.jpg": enrich.archive.written["00-00001.jpg"]})
    enrich.archive.sql("UPDATE images SET key = :key || id WHERE key LIKE '00-%'", key=evil)
    write(FILES[1].replace("green:", json.dumps(f"green {evil}") + ":"))
    assert 3 == enrich("plan", "--html", "plan.html").exit_code
    page = _Page()
    page.feed(Path("plan.html").read_text())
    assert not page.tags & {"script", "img", "link", "iframe"}
    assert [] == page.links
    assert f"green {evil}" in page.text
    assert evil in page.text.partition("Changes")[2]


def test_the_page_shows_pictures_of_changed_images(enrich):
    """In the file itself; of an image without one, its name, and once why."""
    write(FILES[1])
    taxonomy = load_taxonomy("car-colour.yaml")
    plan = enrich.archive.plan(taxonomy)
    names = list(plan_page.wanted(plan))
    assert {sample.ref for own in plan.taxonomies for each in own.changes for sample in each.samples} == set(names)
    shown = plan_page.page(plan, {names[0]: b"webp"} | dict.fromkeys(names[1:], "the <store> is away"))
    assert 1 == shown.count('<img src="data:image/webp;base64,d2VicA==" alt="">')
    assert f"{len(names) - 1} of {len(names)} pictures are missing: the &lt;store&gt; is away" in shown
    assert [] == [name for name in names if name not in shown]


def test_two_do_not_apply_at_once(enrich):
    """The second one is told so."""
    write(FILES[1])
    with lifecycle._alone(enrich.archive.engine):
        done = enrich("apply", "--yes")
    assert isinstance(done.exception, ApplyingError)


def test_an_interruption_says_how_to_go_on(enrich, monkeypatch):
    """With the status that shells give to Ctrl-C."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "apply", interrupted)
    write(FILES[1])
    done = enrich("apply", "--yes")
    assert (130, True) == (done.exit_code, "continues from there" in done.output)


@pytest.mark.parametrize(
    ("file", "message"), [("nowhere/plan.html", "create the directory nowhere"), (".", "is a directory")]
)
def test_a_page_that_cannot_be_written_is_refused_before_anything_is_compared(enrich, monkeypatch, file, message):
    """Comparing all images may take minutes."""
    monkeypatch.setattr(bootstrap, "builder", lambda *_: pytest.fail("it was compared"))
    write(FILES[1])
    refused = enrich("plan", "--html", file).exception
    assert (ConfigurationError, True) == (type(refused), message in str(refused))


def test_a_page_on_a_full_disk_is_one_sentence(enrich):
    """And no traceback."""
    write(FILES[1])
    refused = enrich("plan", "--html", "/dev/full").exception
    assert (ConfigurationError, "/dev/full cannot be written: No space left on device") == (type(refused), str(refused))


def test_a_plan_says_what_is_unproven_and_what_the_model_does_not_know(enrich):
    """As the file has it for the model of the active space, for people and for programs."""
    write(FILES[1] + "models: {tiny: {unknown: [green]}}\n")
    shown = enrich("plan").output
    [found] = json.loads(enrich("plan", "--json").stdout)["taxonomies"]

    assert "unproven: it has no numbers for the active model" in shown
    assert "practically never recognised by the active model: green" in shown
    assert (False, ["green"]) == (found["edit"]["calibrated"], found["edit"]["unknown"])
