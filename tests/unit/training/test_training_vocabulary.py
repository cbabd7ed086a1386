"""What captions, classes and folders say about a picture."""

from __future__ import annotations

import pytest

from training import vocabulary


@pytest.mark.parametrize(
    ("captions", "has", "lacks"),
    [
        (["a dog runs on grass"], {"dog", "animal", "outdoor", "day"}, {"night", "indoor", "closeup"}),
        (["a street at night"], {"night", "outdoor", "street"}, {"day", "timeless"}),
        (["a man in a kitchen"], {"indoor", "kitchen", "person", "timeless"}, {"day", "night", "outdoor"}),
        (["a boy in a kitchen", "a boy outside"], {"person"}, {"indoor", "outdoor", "day"}),
        (["a smiling woman"], {"person", "closeup"}, {"indoor", "outdoor", "day"}),
        (["people on a beach at sunset"], {"dawn", "dusk", "sunset", "outdoor"}, {"day"}),
    ],
)
def test_captions_reveal_tags(captions: list[str], has: set[str], lacks: set[str]):
    """What they say, and nothing where they contradict each other."""
    tags = vocabulary.caption_tags(captions)

    assert has <= tags
    assert not lacks & tags


def test_classes_have_tags():
    """Numbers of ImageNet classes, written as ranges."""
    assert {"animal", "cat"} == vocabulary.class_tags(281)
    assert vocabulary.class_tags(896) >= {"room", "bathroom", "indoor"}


def test_a_class_has_everyday_names():
    """People call a washbasin a sink, and so do captions; the plural counts, a part of another word does not."""
    assert "sink" in vocabulary.class_tags(896)
    assert "sink" in vocabulary.caption_tags(["two sinks in a kitchen"])
    assert "bus" not in vocabulary.caption_tags(["a man in business clothes"])
    assert "a photo of a sink" in vocabulary.PROMPTS["sink"]


def test_an_everyday_name_does_not_take_the_place_of_a_tag():
    """Each has its own prompts; every class number is one of the classifier's."""
    spoken_for = set(vocabulary.TAGS) - set(vocabulary.NAMES)

    assert len(vocabulary.TAGS) == len(spoken_for) + len(vocabulary.NAMES)
    assert set(vocabulary.THINGS) - set(vocabulary.NAMES) <= spoken_for
    assert {"table", "person"} <= spoken_for


def test_every_tag_that_is_used_can_be_said():
    """In questions, folders, classes and captions."""
    used = {tag for group in vocabulary.GROUPS.values() for tag in group}
    used |= {tag for folder in vocabulary.FOLDERS.values() for tag in folder["tags"]} | set(vocabulary.RULES)
    used |= {tag for number in range(1000) for tag in vocabulary.class_tags(number)}

    assert used <= set(vocabulary.TAGS)
    assert all(vocabulary.PROMPTS.values())


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("sun/kitchen/x.jpg", "kitchen"),
        ("synth_docs/hand_0001.png", "handwritten"),
        ("pages/table/0001.png", "table"),
    ],
)
def test_a_file_belongs_to_a_folder(file: str, folder: str):
    """Of the vocabulary; the first trial's pages carry their kind in the name."""
    assert folder == vocabulary.folder_of(file)
    assert folder in vocabulary.FOLDERS
