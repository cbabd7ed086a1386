"""What must hold for any taxonomies, whatever of the language they use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.tagging.fake_texts import FakeTexts, images
from tests.unit.tagging.languages import documents, labels_of, sets_of_taxonomies
from worker.tagging import Calibration, Label, Tagger, Taxonomy, load_taxonomy
from worker.tagging.validation import schema

_files = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_quick = settings(max_examples=25, deadline=None)


def _tagger(taxonomies: tuple[Taxonomy, ...]) -> Tagger:
    return Tagger(taxonomies, FakeTexts(), logit_scale=15.0, model="any")


def _held(taxonomies: tuple[Taxonomy, ...], seed: int = 0) -> list[dict[str, set[str | None]]]:
    """Of each of six images: taxonomy → labels."""
    held = []
    for tags in _tagger(taxonomies).tag(images(6, seed=seed)):
        answers: dict[str, set[str | None]] = defaultdict(set)
        for tag in tags:
            answers[tag.taxonomy].add(tag.label)
        held.append(dict(answers))
    return held


@given(documents())
@_files
def test_any_valid_document_loads_with_all_its_labels(tmp_path: Path, document: dict[str, Any]) -> None:
    """Ours and an ordinary validator agree, and nothing is lost on the way."""
    file = tmp_path / "any.yaml"
    file.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")
    taxonomy = load_taxonomy(file)

    assert [] == [error.message for error in Draft202012Validator(schema()).iter_errors(document)]
    assert [label.name for label, _ in taxonomy.walk()] == labels_of(document)


@given(documents(), st.randoms(use_true_random=False))
@_files
def test_the_arrangement_of_a_file_changes_neither_version_nor_tags(
    tmp_path: Path, document: dict[str, Any], random: Random
) -> None:
    """Keys, labels, prompts and templates in any order."""
    file, shuffled = tmp_path / "any.yaml", tmp_path / "shuffled.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    shuffled.write_text(yaml.safe_dump(_shuffled(document, random), sort_keys=False), "utf-8")
    one, other = load_taxonomy(file), load_taxonomy(shuffled)

    assert one.version == other.version
    assert _tagger((one,)).tag(images(4)) == _tagger((other,)).tag(images(4))


def _shuffled(value: Any, random: Random) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(value[key], random) for key in random.sample(sorted(value), len(value))}
    return random.sample(value, len(value)) if isinstance(value, list) else value


@given(sets_of_taxonomies(), st.integers(0, 5))
@_quick
def test_a_child_implies_its_parent(taxonomies: tuple[Taxonomy, ...], seed: int) -> None:
    """On every level, in every mode."""
    for taxonomy in taxonomies:
        parents = {label.name: parent.name for label, parent in taxonomy.walk() if parent is not None}
        for answers in _held(taxonomies, seed):
            held = answers.get(taxonomy.name, set())

            assert {parents[label] for label in held if label in parents} <= held


@given(sets_of_taxonomies(), st.integers(0, 5))
@_quick
def test_at_most_one_of_those_that_compete_holds(taxonomies: tuple[Taxonomy, ...], seed: int) -> None:
    """Children always compete; labels at the top unless each is decided by itself. None of these stands alone."""
    for taxonomy in taxonomies:
        for answers in _held(taxonomies, seed):
            held = answers.get(taxonomy.name, set())

            assert all(len(held & rivals) <= 1 for rivals in _rivals(taxonomy))
            assert held in ({None}, held - {None})


def _rivals(taxonomy: Taxonomy) -> Iterator[set[str]]:
    if taxonomy.mode == "exclusive":
        yield {label.name for label in taxonomy.labels}
    for label, _ in taxonomy.walk():
        yield {child.name for child in label.children}


@given(sets_of_taxonomies(), st.integers(0, 5))
@_quick
def test_a_taxonomy_answers_exactly_where_its_condition_holds(taxonomies: tuple[Taxonomy, ...], seed: int) -> None:
    """There it says something, if only none of these; elsewhere nothing."""
    for answers in _held(taxonomies, seed):
        for taxonomy in taxonomies:
            applies = not taxonomy.when or any(
                all(answers.get(part.taxonomy, set()) & set(part.labels) for part in alternative)
                for alternative in taxonomy.when
            )

            assert applies == (taxonomy.name in answers)


@given(sets_of_taxonomies(), st.randoms(use_true_random=False))
@_quick
def test_the_order_of_taxonomies_changes_nothing(taxonomies: tuple[Taxonomy, ...], random: Random) -> None:
    """Conditions are followed, whatever the order of files."""
    other = tuple(random.sample(taxonomies, len(taxonomies)))

    assert _held(taxonomies) == _held(other)


@given(sets_of_taxonomies(), st.data())
@_quick
def test_a_higher_threshold_never_adds_a_label(taxonomies: tuple[Taxonomy, ...], data: st.DataObject) -> None:
    """Of any label of a taxonomy without a condition; its labels below go with it."""
    taxonomy = replace(taxonomies[0], when=(), models={})
    raised = data.draw(st.sampled_from([label.name for label, _ in taxonomy.walk()]))
    before = taxonomy.calibration
    higher = min(1.0, before.threshold_of(raised) + data.draw(st.sampled_from([0.1, 0.3, 1.0])))
    strict = replace(taxonomy, calibration=replace(before, thresholds={**before.thresholds, raised: higher}))
    for then, now in zip(_held((taxonomy,)), _held((strict,)), strict=True):
        assert now[taxonomy.name] - {None} <= then[taxonomy.name]


@given(sets_of_taxonomies())
@_quick
def test_what_a_tagger_writes_is_current_to_it(taxonomies: tuple[Taxonomy, ...]) -> None:
    """And to no tagger of another version."""
    tagger = _tagger(taxonomies)
    edited = _tagger(tuple(replace(each, models={"any": Calibration(threshold=0.123)}) for each in taxonomies))
    for tags in tagger.tag(images(3)):
        written = {(tag.taxonomy, tag.version, tag.label) for tag in tags}

        assert tagger.is_current(written)
        assert not edited.is_current(written)


@given(sets_of_taxonomies(), st.integers(0, 8))
@_quick
def test_batches_may_be_cut_anywhere(taxonomies: tuple[Taxonomy, ...], cut: int) -> None:
    """To the last bit."""
    tagger, vectors = _tagger(taxonomies), images(8)

    assert tagger.tag(vectors) == tagger.tag(vectors[:cut]) + tagger.tag(vectors[cut:])


@given(st.integers(2, 6))
@settings(max_examples=5, deadline=None)
def test_levels_may_have_any_depth_a_file_may_have(depth: int) -> None:
    """The deepest label brings all of those above it along."""
    label = Label(name=f"level {depth}", prompts=("the thing",))
    for level in range(depth - 1, 0, -1):
        label = Label(name=f"level {level}", children=(label,), background=(f"other {level}",))
    taxonomy = Taxonomy(name="deep", labels=(label,), background=("nothing",))
    tags = _tagger((taxonomy,)).tag(FakeTexts()(["the thing"]))[0]

    assert [tag.label for tag in tags] == [f"level {level}" for level in range(1, depth + 1)]
