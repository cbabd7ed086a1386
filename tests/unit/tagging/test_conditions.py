"""``when``: what may be named, in which order taxonomies are decided, and what follows for an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.tagging.fake_texts import FakeTexts
from worker.errors import TaxonomyError
from worker.tagging import Label, Requirement, Tagger, Taxonomy, load_taxonomies
from worker.tagging.conditions import holds, in_order

LABELS = (Label(name="yes", prompts=("yes",)), Label(name="no", prompts=("no",)))


def _taxonomy(name: str, *requires: str, label: str | None = "yes") -> Taxonomy:
    parts = tuple(Requirement(taxonomy=each, labels=(label,)) for each in requires)
    return Taxonomy(name=name, labels=LABELS, when=(parts,) if parts else ())


def _refusal(tmp_path: Path, **files: str) -> str:
    for name, when in files.items():
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\nlabels: {{good: [x], bad: [y]}}\n{when}", "utf-8")
    with pytest.raises(TaxonomyError) as caught:
        load_taxonomies([str(tmp_path)])
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_taxonomies_are_decided_behind_those_they_ask_for() -> None:
    """Whatever the order of files; those that ask for nothing stay where they are."""
    given = (_taxonomy("c", "b"), _taxonomy("free"), _taxonomy("b", "a"), _taxonomy("a"))

    assert ["a", "b", "c", "free"] == [each.name for each in in_order(given)]


def test_a_taxonomy_that_is_not_loaded_is_named_with_file_and_line(tmp_path: Path) -> None:
    """With the nearest that is, and what to do."""
    expected = (
        "quality.yaml:4: when.qualty: no taxonomy of that name is loaded; did you mean 'quality'?; "
        "load it too (ENRICH_TAXONOMIES), or remove the condition"
    )

    assert expected == _refusal(tmp_path, quality="when:\n  qualty: good\n")


def test_a_label_that_is_not_there_is_named_with_the_choices(tmp_path: Path) -> None:
    """In a list of alternatives as well."""
    expected = "a.yaml:5: when.b: 'b' has no label 'god'; did you mean 'good'?; it has good, bad, 'none of these'"

    assert expected == _refusal(tmp_path, a="when:\n  - {b: good}\n  - {b: [bad, god]}\n", b="").replace(
        "a.yaml:4", "a.yaml:5"
    )


def test_a_circle_is_refused_once_with_its_way(tmp_path: Path) -> None:
    """Each would wait for the other."""
    expected = "c.yaml:3: when.a: a cycle: a → b → c → a; each would wait for the other, remove one of these conditions"

    assert expected == _refusal(tmp_path, a="when: {b: good}\n", b="when: {c: good}\n", c="when: {a: good}\n")


def test_a_taxonomy_cannot_wait_for_itself(tmp_path: Path) -> None:
    """The smallest circle."""
    assert _refusal(tmp_path, a="when: {a: good}\n").startswith("a.yaml:3: when.a: a cycle: a → a;")


def test_a_tagger_refuses_what_the_loader_would() -> None:
    """Taxonomies made in code are no way around."""
    with pytest.raises(TaxonomyError, match=r"^a: when\.b: no taxonomy of that name is loaded"):
        Tagger((_taxonomy("a", "b"),), FakeTexts(), logit_scale=1.0, model="any")


def test_one_alternative_must_hold_with_all_its_parts() -> None:
    """A list is "or", a map is "and", a list of labels is "any of"."""
    when = (
        (
            Requirement(taxonomy="a", labels=("yes", "maybe")),
            Requirement(taxonomy="b", labels=("yes",)),
        ),
        (Requirement(taxonomy="c", labels=(None,)),),
    )
    taxonomy = Taxonomy(name="x", labels=LABELS, when=when)
    answers: list[dict[str, set[str | None]]] = [
        {"a": {"yes"}, "b": {"yes"}},
        {"a": {"maybe"}, "b": {"no", "yes"}},
        {"a": {"yes"}, "b": {"no"}},
        {"c": {None}},
        {"c": {"yes"}},
        {},  # c itself did not apply: that is no abstention
    ]

    assert [True, True, False, True, False, False] == [holds(taxonomy, each) for each in answers]
