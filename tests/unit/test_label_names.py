"""What people call a label leads to the label."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from worker.label_names import entitled, resolve
from worker.tagging import Label, LabelTranslation, Taxonomy, load_taxonomies

ANIMALS = Taxonomy(
    name="animals",
    labels=(
        Label(
            name="animal",
            title="Animals of all kinds",
            prompts=("animal",),
            children=(
                Label(name="dog", title="Dog", aliases=("hound", "house animal"), prompts=("dog",)),
                Label(
                    name="cat",
                    aliases=("house animal",),
                    prompts=("cat",),
                    translations={"de": LabelTranslation(title="Katze", aliases=("Kätzchen",))},
                ),
            ),
        ),
        Label(name="hot dog", title="Hound", prompts=("sausage",)),
    ),
)


def _kept(taxonomy: Taxonomy) -> dict[str, Any]:
    """As it comes back from the catalog."""
    definition: dict[str, Any] = json.loads(json.dumps(asdict(taxonomy)))
    return definition


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", "dog"),
        ("Dog", "dog"),
        ("Hot_Dog", "hot dog"),
        ("animals of all kinds", "animal"),
        ("KATZE", "cat"),
        ("kätzchen", "cat"),
        ("hound", "hound"),  # an alias of one and the title of another
        ("house animal", "house animal"),  # an alias of two
        ("unicorn", "unicorn"),
    ],
)
def test_a_word_leads_to_the_one_label_it_can_mean(word: str, expected: str) -> None:
    """Names, titles, aliases, any language, any level; what could mean two labels is not guessed."""
    assert expected == resolve([_kept(ANIMALS)], word)


def test_a_label_s_own_name_wins_over_any_alias() -> None:
    """Also one that only an older version had: tags with it may still be there."""
    older = Taxonomy(name="animals", labels=(Label(name="hound", prompts=("hound",)),))

    assert "hound" == resolve([_kept(ANIMALS), _kept(older)], "hound")


def test_the_preferred_version_s_words_come_first() -> None:
    """An alias that moved from one label to another leads to the new one."""
    older, newer = (
        Taxonomy(name="t", labels=(Label(name=name, aliases=("pet",), prompts=("x",)),)) for name in ("old", "new")
    )

    assert "new" == resolve([_kept(newer), _kept(older)], "pet")


def test_the_aliases_that_ship_work() -> None:
    """What docs/reference/taxonomies.md promises of them."""
    setting = next(each for each in load_taxonomies() if each.name == "setting")

    assert "indoor" == resolve([_kept(setting)], "inside")


def test_nothing_is_known_of_an_unknown_taxonomy() -> None:
    """The word stays what it is, and finds nothing."""
    assert "inside" == resolve([], "inside")


@pytest.mark.parametrize(
    ("label", "title", "shown"),
    [
        ("vessel", "Cup, bottle or vessel", "vessel (Cup, bottle or vessel)"),
        ("blank-page", "Blank page", "blank-page"),
        ("a red rose", "a red rose", "a red rose"),
        ("no", "Norge", "no (Norge)"),
        ("gone", "", "gone"),
    ],
)
def test_a_title_is_shown_where_it_says_more_than_the_name(label: str, title: str, shown: str) -> None:
    """The name stays: filters take it."""
    assert shown == entitled(label, title)
