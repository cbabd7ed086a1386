"""Which taxonomies ``load_taxonomies`` finds: shipped ones, files, directories."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from worker import resources
from worker.errors import TaxonomyError
from worker.tagging import load_taxonomies, load_taxonomy, shipped_names
from worker.tagging.taxonomy import Calibration
from worker.tagging.validation import _WORDINGS, schema

SHIPPED = ("document-page", "setting", "subject", "time-of-day")


def _write(file: Path, name: str) -> Path:
    file.write_text(f"name: {name}\nlabels: {{a: [one], b: [two]}}\n", "utf-8")
    return file


def _message(*entries: object) -> str:
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomies([str(entry) for entry in entries])
    return str(caught.value)


def test_nothing_asked_for_means_all_that_ship() -> None:
    """The default of ENRICH_TAXONOMIES is every shipped taxonomy."""
    assert shipped_names() == SHIPPED
    assert tuple(taxonomy.name for taxonomy in load_taxonomies()) == SHIPPED


def test_the_issue_s_labels_ship() -> None:
    """The labels other services were promised are there, under these names."""
    shipped = load_taxonomies()
    labels = {taxonomy.name: {label.name for label, _ in taxonomy.walk()} for taxonomy in shipped}
    parents = {label.name: parent.name for taxonomy in shipped for label, parent in taxonomy.walk() if parent}

    assert {"day", "night", "dawn", "dusk"} == labels["time-of-day"]
    assert {"indoor", "outdoor"} == labels["setting"]
    assert {"illustration", "text", "blank-page", "cover", "photograph"} == labels["document-page"]
    assert labels["subject"] >= {"person", "animal", "dog", "cat", "bird", "food", "vehicle", "building", "document"}
    assert {
        "dog": "animal",
        "cat": "animal",
        "bird": "animal",
        "car": "vehicle",
    } == {name: parents[name] for name in ("dog", "cat", "bird", "car")}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_satisfies_the_schema_in_any_language(name: str) -> None:
    """An ordinary YAML reader and an ordinary JSON Schema validator agree that it is valid."""
    content = yaml.safe_load((resources.schemas_dir() / "taxonomies" / f"{name}.yaml").read_text("utf-8"))

    assert [] == [error.message for error in Draft202012Validator(schema()).iter_errors(content)]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_complete(name: str) -> None:
    """Each label has several prompts and a title; each taxonomy can abstain in every way."""
    (taxonomy,) = load_taxonomies([name])

    labels = [label for label, _ in taxonomy.walk()]
    assert min(len(set(label.prompts)) for label in labels if not label.children) >= 3
    assert all(label.title != label.name for label in labels)
    assert taxonomy.title
    assert taxonomy.description
    assert taxonomy.background
    assert taxonomy.calibration.threshold > 1 / len(taxonomy.labels) or "setting" == name
    assert taxonomy.calibration.margin > 0


def test_the_schema_is_a_valid_schema_with_a_description_of_every_field() -> None:
    """Editors show the descriptions; nothing may be without one."""
    Draft202012Validator.check_schema(schema())
    fields = [
        (name, field)
        for part in (schema(), *schema()["$defs"].values())
        for name, field in part.get("properties", {}).items()
    ]

    assert [] == [name for name, field in fields if "description" not in field]
    assert [] == [name for name, part in schema()["$defs"].items() if "description" not in part]


def test_no_map_of_the_schema_is_open() -> None:
    """Every object names its fields, or what its keys and values must be."""
    parts = [schema(), *schema()["$defs"].values(), *schema()["properties"].values()]
    maps = [part for part in parts if "object" in part.get("type", ())]

    assert 10 == len(maps)
    assert [] == [part for part in maps if part["additionalProperties"] is True]


def test_the_defaults_of_the_schema_are_those_of_the_code() -> None:
    """What the schema tells a reader is what happens."""
    documented = {name: schema()["properties"][name]["default"] for name in ("threshold", "margin", "temperature")}

    assert Calibration(**documented) == Calibration()


def test_names_files_and_directories_mix_and_keep_their_order(tmp_path: Path) -> None:
    """Taxonomies come in the order asked for; a directory's by file name, .yml included, hidden and other files not."""
    _write(tmp_path / "2.yml", "second")
    _write(tmp_path / "1.yaml", "first")
    _write(tmp_path / ".hidden.yaml", "hidden")
    (tmp_path / "notes.txt").write_text("not a taxonomy")
    (tmp_path / "sub.yaml").mkdir()
    single = _write(tmp_path / "single.conf", "single")

    loaded = load_taxonomies(["time-of-day", str(tmp_path), str(single), "setting"])

    assert ["time-of-day", "first", "second", "single", "setting"] == [taxonomy.name for taxonomy in loaded]


def test_a_shipped_name_wins_over_a_directory_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the working directory cannot change what a name means; ./ makes it a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setting").mkdir()
    _write(tmp_path / "setting" / "mine.yaml", "mine")

    assert ["setting", "mine"] == [taxonomy.name for taxonomy in load_taxonomies(["setting", "./setting"])]


def test_an_unknown_name_is_answered_with_the_choices() -> None:
    """Including the nearest."""
    expected = (
        "Seting: no such file or directory, and no shipped taxonomy has that name; did you mean 'setting'? "
        "shipped: document-page, setting, subject, time-of-day"
    )

    assert expected == _message("Seting")


@pytest.mark.parametrize("entry", ["", "no/such/file.yaml", "nul\0byte"])
def test_what_does_not_exist_is_said_not_to(entry: str) -> None:
    """No entry means the working directory by accident, and none ends in a traceback."""
    assert "no such file or directory" in _message(entry)


def test_a_name_too_long_for_the_file_system_is_refused() -> None:
    """The system's own error becomes ours."""
    assert _message("x" * 5000).endswith(": cannot be read: File name too long")


def test_a_directory_without_taxonomies_is_refused(tmp_path: Path) -> None:
    """A mount that failed must not turn tagging off in silence."""
    assert f"{tmp_path}: the directory holds no *.yaml or *.yml file" == _message(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Reading it would block forever."""
    os.mkfifo(tmp_path / "pipe.yaml")

    assert f"{tmp_path / 'pipe.yaml'}: not a file" == _message(tmp_path / "pipe.yaml")


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    """``load_taxonomy`` takes a path that exists."""
    with pytest.raises(TaxonomyError, match=r"gone\.yaml: no such file$"):
        load_taxonomy(tmp_path / "gone.yaml")


def test_two_taxonomies_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their tags could not be told apart; both files are named."""
    first, second = _write(tmp_path / "1.yaml", "mood"), _write(tmp_path / "2.yaml", "mood")
    expected = f"{second}: the name 'mood' is already that of {first}; rename one of them, or leave one out"

    assert expected == _message(tmp_path)


def test_the_same_taxonomy_twice_is_refused() -> None:
    """A list that names one twice is a mistake in the list."""
    assert "the name 'setting' is already that of" in _message("setting", "setting")


def test_the_problems_of_all_files_are_reported_together(tmp_path: Path) -> None:
    """One round of repairs is enough, however many files are wrong."""
    (tmp_path / "1.yaml").write_text("name: one\n")
    _write(tmp_path / "2.yaml", "two")
    (tmp_path / "3.yaml").write_text("name: three\n")

    assert ["1.yaml", "3.yaml"] == [Path(line.split(":")[0]).name for line in _message(tmp_path).splitlines()]


def test_a_wheel_finds_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside an installed package the files are in ``_schemas``, and are the ones used, schema included."""
    packaged = tmp_path / "worker" / "_schemas" / "taxonomies"
    packaged.mkdir(parents=True)
    definition = json.loads((resources.schemas_dir() / "taxonomies" / "taxonomy.schema.json").read_text("utf-8"))
    definition["properties"]["name"]["maxLength"] = 3
    (packaged / "taxonomy.schema.json").write_text(json.dumps(definition), "utf-8")
    shutil.copy(resources.schemas_dir() / "taxonomies" / "setting.yaml", packaged)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "worker")

    assert ("setting",) == shipped_names()
    assert _message("setting").endswith("setting.yaml:2: name: must have at most 3 characters")


def test_a_checkout_finds_the_top_level_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``_schemas``, the files beside the package are used."""
    shutil.copytree(resources.schemas_dir() / "taxonomies", tmp_path / "schemas" / "taxonomies")
    (tmp_path / "schemas" / "taxonomies" / "subject.yaml").unlink()
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "worker")

    assert ["document-page", "setting", "time-of-day"] == [taxonomy.name for taxonomy in load_taxonomies()]


def _keywords(part: object) -> set[str]:
    """Those that can be reported; what stands in an ``anyOf`` or an example is not."""
    if isinstance(part, list):
        return set().union(*map(_keywords, part))
    if not isinstance(part, dict):
        return set()
    nested = {"properties", "$defs"}
    inside = [value for key, part_of in part.items() if key in nested for value in part_of.values()]
    rest = [value for key, value in part.items() if key not in {*nested, "anyOf", "examples"}]
    return (set(part) - nested).union(*map(_keywords, [*inside, *rest]))


def test_every_rule_of_the_schema_has_its_sentence() -> None:
    """A keyword added to the schema needs words for the reader, or a mistake would end in a KeyError."""
    silent = {
        "$comment",
        "$id",
        "$ref",
        "$schema",
        "default",
        "description",
        "else",
        "examples",
        "if",
        "items",
        "propertyNames",
        "title",
    }

    assert _keywords(schema()) - silent <= set(_WORDINGS)
