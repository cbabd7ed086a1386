"""What the commands say of labels that wait for a proof, and how people decide about suggestions."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.integration.pipeline.taxonomies.example import FILES, write
from worker import cli


def run(*arguments: str):
    done = CliRunner().invoke(cli.app, list(arguments))
    assert done.exit_code in (0, 3), done.output
    return done.output


@pytest.fixture
def asked(enrich):
    """Applied, with a precision to prove."""
    write(FILES[0] + "target_precision: 0.95\n")
    assert 0 == enrich("apply", "--yes").exit_code
    return enrich


def test_a_plan_says_what_waits_for_a_proof(enrich):
    """In words, as a page and as JSON."""
    write(FILES[0] + "target_precision: 0.95\n")
    told = enrich("plan").output
    assert "target_precision: + 0.95" in told
    assert "2 labels are suggested until they are proven: enrich calibrate car-colour (red, blue)" in told
    assert "suggested, not applied, on images: " in told
    enrich("plan", "--html", "plan.html")
    plan = json.loads(enrich("plan", "--json").output)["taxonomies"][0]
    assert ["red", "blue"] == plan["edit"]["unproven"]
    assert 0 < sum(each["suggested"]["seen"] for each in plan["labels"])


def test_a_plan_without_changes_says_it_too(asked):
    """Nobody has to look at the file."""
    assert (
        "car-colour: 2 labels are suggested until they are proven: enrich calibrate car-colour" in asked("plan").output
    )


def test_a_check_says_what_waits_for_people(enrich):
    """Without a server: what is asked, and which labels must be learned."""
    write(FILES[0].replace("labels:\n", "labels:\n  sooty: {learned: true}\n") + "target_precision: 0.95\n")
    told = enrich("check").output
    assert "car-colour: labels are suggested until they are proven to reach 0.95: enrich calibrate car-colour" in told
    assert "car-colour: not recognised until they are learned: sooty (enrich learn car-colour)" in told
    assert {"car-colour": 0.95} == json.loads(enrich("check", "--json").stdout)["target_precision"]
    assert "sooty" in enrich("plan").output
    assert 0 == enrich("apply", "--yes").exit_code
    assert 0 == enrich("check", "--with-model").exit_code


def test_a_list_says_how_many_labels_are_proven(asked):
    """Of the version in force."""
    [row] = [each for each in json.loads(asked("list", "--json").stdout) if each["in_force"]]
    assert (0, 0, 0.95, True) == (row["proven"], row["expired"], row["target_precision"], row["in_files"])
    assert "0 of 2; asked: 0.95" in asked("list").output


def test_suggestions_are_listed_shown_explained_and_decided_about(asked):
    """One by one, and all at once."""
    assert "no image matches" in run("list", "--tag", "car-colour=red")
    found = json.loads(run("list", "--suggested", "car-colour=red", "--limit", "1000", "--json"))["images"]
    assert {("car-colour", "red")} == {(s["taxonomy"], s["label"]) for each in found for s in each["suggestions"]}
    name = f"{found[0]['bucket']}/{found[0]['key']}"
    assert "car-colour=red?" in run("list", "--suggested", "car-colour=red")
    assert "suggested, but not applied" in run("show", name)
    assert "suggested, not applied: red; their precision is not proven: enrich calibrate car-colour" in run(
        "explain", name
    )
    run("decide", name, "car-colour=red", "--reviewer", "ada")
    assert "suggested, but not applied" not in run("show", name)
    assert 1 == len(json.loads(run("list", "--tag", "car-colour=red", "--json"))["images"])
    run("decide", "car-colour=red", "--suggested", "car-colour=red", "--yes", "--reviewer", "ada")
    assert len(found) == len(json.loads(run("list", "--tag", "car-colour=red", "--limit", "1000", "--json"))["images"])
    assert "no image matches" in run("list", "--suggested", "car-colour=red")
