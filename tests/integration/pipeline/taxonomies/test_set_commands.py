"""``enrich taxonomy add`` and ``remove``, and what the other commands say about who owns what."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.integration.pipeline.taxonomies.example import DOCUMENT, FILES, write
from worker import bootstrap, settings
from worker.errors import ConfigurationError, NotFoundError, TaxonomyError
from worker.pipeline.taxonomies.catalog_state import in_catalog

MOOD = "name: mood\nlabels: {glad: [a red car]}\nbackground: [a blue car]\n"
WHEN = "name: shade\nwhen: {mood: glad}\nlabels: {dark: [a red car]}\nbackground: [a green field]\n"
SEASON = "name: season\nlabels: {summer: [a red car]}\nbackground: [a blue car]\n"
BLOCK = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text().partition("## Who owns a taxonomy\n")[2], re.DOTALL)[0]


@pytest.fixture
def mood(enrich) -> str:
    """A file that ENRICH_TAXONOMIES does not name."""
    Path("mood.yaml").write_text(MOOD)
    return "mood.yaml"


def in_force(enrich) -> dict[str, str]:
    return dict(in_catalog(enrich.archive.engine).sets)


def said(text: str) -> list[str]:
    """Lines without what is different each time: versions, dates and who did it."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "VERSION", text)
    return re.sub(r"applied by \S+ on \d{4}-\d\d-\d\d", "applied by WHO on WHEN", text).splitlines()


def test_a_taxonomy_is_added_and_removed_by_name(enrich, mood):
    """Each shows its plan and asks; nobody is there to answer, so nothing happens without --yes."""
    asked = enrich("add", mood)
    assert (1, True, True) == (asked.exit_code, "+ mood" in asked.output, "pass --yes" in asked.output)
    assert {"car-colour": "default"} == in_force(enrich)
    assert 0 == enrich("add", mood, "--yes").exit_code
    assert {"car-colour": "default", "mood": "by-hand"} == in_force(enrich)
    asked = enrich("remove", "mood")
    assert (1, True) == (asked.exit_code, "- mood" in asked.output)
    assert 0 == enrich("remove", "mood", "--yes").exit_code
    assert {"car-colour": "default"} == in_force(enrich)
    assert "mood" in enrich("rollback", "--yes").output or "mood" in in_force(enrich)


def test_the_document_shows_what_is_kept(enrich, mood):
    """Its lines are those of the command, but for versions, dates and names of people."""
    Path("season.yaml").write_text(SEASON)
    enrich("apply", "--yes")
    assert 0 == enrich("add", mood, "--yes").exit_code
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ENRICH_TAXONOMIES", "./car-colour.yaml,./season.yaml")
        assert 0 == enrich("apply", "--yes").exit_code
    assert said(BLOCK.partition("\n")[2]) == said(enrich("plan").output)


def test_a_shell_without_files_removes_nothing(enrich, mood, monkeypatch):
    """It says what it compares, keeps everything, and refuses to remove."""
    enrich("add", mood, "--yes")
    monkeypatch.delenv("ENRICH_TAXONOMIES")
    planned = enrich("plan")
    assert (3, True) == (planned.exit_code, "the shipped taxonomies are compared" in planned.output)
    assert not re.search(r"^- ", planned.output, re.MULTILINE)
    assert all(f"kept: {name} " in planned.output for name in ("car-colour", "mood"))
    refused = enrich("apply", "--remove", "--yes")
    assert isinstance(refused.exception, ConfigurationError)
    assert "--remove compares with the files of ENRICH_TAXONOMIES" in str(refused.exception)
    assert 0 == enrich("apply", "--yes").exit_code
    assert {"car-colour", "mood"} < set(in_force(enrich))


def test_files_that_are_gone_are_removed_when_told_to(enrich, mood, monkeypatch):
    """`plan --remove` shows it, and only it."""
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./car-colour.yaml,./mood.yaml")
    enrich("apply", "--yes")
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./car-colour.yaml")
    assert 0 == enrich("plan").exit_code
    planned = enrich("plan", "--remove")
    assert (3, True, True) == (
        planned.exit_code, "- mood" in planned.output, "`enrich taxonomy apply --remove` does this" in planned.output,
    )  # fmt: skip
    assert 0 == enrich("apply", "--remove", "--yes").exit_code
    assert {"car-colour": "default"} == in_force(enrich)


def test_another_set_is_named_wherever_it_shows(enrich, mood, monkeypatch):
    """In plans, in the list and in the history."""
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./mood.yaml")
    monkeypatch.setenv("ENRICH_TAXONOMY_SET", "art")
    assert "(added, art)" in enrich("plan").output
    assert 0 == enrich("apply", "--yes").exit_code
    rows = {each["name"]: each for each in json.loads(enrich("list", "--json").stdout)}
    assert ("art", "default") == (rows["mood"]["set"], rows["car-colour"]["set"])
    assert all(each["made_by"] and each["since"] for each in rows.values())
    assert "(added, art)" in enrich("history").output
    assert "art" in enrich("list").output


def test_a_condition_on_what_is_in_force_needs_no_file(enrich, mood):
    """Of what is not, the file and its line are named."""
    Path("shade.yaml").write_text(WHEN)
    with_line = r"shade\.yaml:2: when\.mood: no taxonomy of that name is loaded"
    assert re.search(with_line, str(enrich("add", "shade.yaml", "--yes").exception))
    enrich("add", mood, "--yes")
    assert 0 == enrich("add", "shade.yaml", "--yes").exit_code
    refused = enrich("remove", "mood", "--yes").exception
    assert (TaxonomyError, True) == (type(refused), "`when` of shade names it" in str(refused))
    assert {"car-colour", "mood", "shade"} == set(in_force(enrich))


@pytest.mark.parametrize(
    ("content", "error"), [(None, TaxonomyError), ("", TaxonomyError), ("name: mood\n", TaxonomyError)]
)
def test_a_file_that_cannot_be_read_changes_nothing(enrich, content, error):
    """Missing, empty, incomplete."""
    if content is not None:
        Path("bad.yaml").write_text(content)
    assert error is type(enrich("add", "bad.yaml", "--yes").exception)
    assert {"car-colour": "default"} == in_force(enrich)


def test_an_unknown_name_is_not_removed(enrich):
    """The nearest is named."""
    refused = enrich("remove", "car-color", "--yes").exception
    assert (NotFoundError, True) == (type(refused), "did you mean 'car-colour'?" in str(refused))


def test_a_page_of_a_plan_says_what_is_kept(enrich, mood):
    """As the terminal does."""
    enrich("add", mood, "--yes")
    write(FILES[1])
    enrich("plan", "--html", "plan.html")
    assert "<li>kept: mood " in Path("plan.html").read_text()


def test_a_worker_warns_of_its_own_set_only(enrich, mood, monkeypatch):
    """What was added by hand is no difference; a file that nobody applied is one."""

    def warned() -> bool:
        archive = enrich.archive
        with capture_logs() as logged:
            bootstrap.labels(settings.load(), archive.engine, archive.space, lambda: archive.encoder)
        return "taxonomies" in [line["action"] for line in logged]

    assert not warned()
    enrich("add", mood, "--yes")
    assert not warned()
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./mood.yaml")
    assert warned()
    monkeypatch.setenv("ENRICH_TAXONOMIES", "./car-colour.yaml,setting")
    assert warned()


@pytest.mark.parametrize("name", ["by-hand", "Art", "a_b", "", "x" * 65])
def test_names_of_sets_are_checked(monkeypatch, name):
    """An empty one is as if it were not set."""
    monkeypatch.setenv("ENRICH_TAXONOMY_SET", name)
    if not name:
        assert "default" == settings.load().taxonomy_set
        return
    with pytest.raises(ConfigurationError, match="ENRICH_TAXONOMY_SET"):
        settings.load()
