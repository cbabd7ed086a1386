"""Who owns a taxonomy: adding and removing single ones, and files that leave alone what they do not own."""

from __future__ import annotations

import pytest

from tests.integration.pipeline.taxonomies.archive import COLOUR, STRICT, TWO, WARM, Archive, colours, exactly
from worker.errors import ApplyingError, NotFoundError, TaxonomyError
from worker.pipeline.taxonomies import active_taxonomies, changes, lifecycle, retag
from worker.pipeline.taxonomies.catalog_state import in_catalog
from worker.tagging import Label, Taxonomy

OTHER = colours("other")


def sets(archive: Archive) -> dict[str, str]:
    """Name → owner of what is in force."""
    return dict(in_catalog(archive.engine).sets)


def plain(archive: Archive) -> changes.Change:
    """What a shell declares that knows of ``colour`` only."""
    return changes.declared([COLOUR], own="default")


def test_files_keep_what_others_added(archive):
    """A shell whose files do not name a taxonomy neither plans to remove it nor does so."""
    archive.change(changes.added([OTHER]))
    plan = archive.plan_change(plain(archive))
    assert (True, [("other", "by-hand", False, "test@here")]) == (
        plan.is_empty,
        [(each.name, each.set, each.is_own, each.made_by) for each in plan.kept],
    )
    assert not archive.change(plain(archive)).is_new
    assert archive.expected(COLOUR, OTHER) == archive.tags()
    assert {"colour": "default", "other": "by-hand"} == sets(archive)


def test_not_even_a_removal_removes_what_was_added_by_hand(archive):
    """Of its own set alone: here nothing."""
    archive.change(changes.added([OTHER]))
    assert not archive.change(exactly(COLOUR)).is_new
    assert {"colour", "other"} == set(sets(archive))


def test_a_set_removes_its_own_only_when_told_to(archive):
    """Without that, the plan names what is kept, and that it could be removed."""
    archive.change(changes.declared([COLOUR, OTHER], own="default"))
    plan = archive.plan_change(plain(archive))
    assert (True, [("other", "default", True)]) == (plan.is_empty, [(e.name, e.set, e.is_own) for e in plan.kept])
    assert not archive.change(plain(archive)).is_new
    done = archive.change(exactly(COLOUR))
    assert (3, True, archive.expected(COLOUR)) == (done.revision, done.is_new, archive.tags())


def test_two_sets_do_not_touch_each_other(archive):
    """Each changes and removes its own; a change of the other's is refused, and the same version is left alone."""
    archive.change(changes.declared([OTHER], own="art", remove=True))
    assert {"colour": "default", "other": "art"} == sets(archive)
    archive.change(changes.declared([TWO], own="default", remove=True))
    assert archive.expected(TWO, OTHER) == archive.tags()
    assert archive.plan_change(changes.declared([TWO, OTHER], own="default")).is_empty
    with pytest.raises(TaxonomyError, match=r"other belongs to set art, and these files are of set default: .*=art"):
        archive.plan_change(changes.declared([TWO, colours("other", threshold=0.9)], own="default"))
    archive.change(changes.declared([], own="art", remove=True))
    assert archive.expected(TWO) == archive.tags()


def test_words_of_another_sets_taxonomy_are_refused_too(archive):
    """Its version is the same, and people would read others."""
    titled = Taxonomy(
        name="colour",
        labels=(Label(name="red", prompts=("red",), title="Rot"), *COLOUR.labels[1:]),
        calibration=COLOUR.calibration,
    )
    with pytest.raises(TaxonomyError, match="colour belongs to set default"):
        archive.change(changes.declared([titled], own="art"))


def test_adding_twice_does_nothing_the_second_time(archive):
    """Neither a revision nor a tag."""
    assert archive.change(changes.added([OTHER])).is_new
    before = archive.sql("SELECT * FROM taxonomy_revisions"), archive.sql("SELECT id, xmin FROM tags ORDER BY id")
    assert archive.plan_change(changes.added([OTHER])).is_empty
    assert not archive.change(changes.added([OTHER])).is_new
    assert before == (
        archive.sql("SELECT * FROM taxonomy_revisions"), archive.sql("SELECT id, xmin FROM tags ORDER BY id"),
    )  # fmt: skip


def test_adding_one_of_the_same_name_replaces_it(archive):
    """The plan says what is different, and that no set owns it from then on."""
    plan = archive.plan_change(changes.added([STRICT]))
    [edit] = [each.edit for each in plan.taxonomies]
    assert ("changed", ("calibration.threshold: 0.5 → 0.9",)) == (edit.edit, edit.edits)
    assert ("default", "by-hand") == (edit.set_before, edit.set_after)
    archive.change(changes.added([STRICT]))
    assert archive.expected(STRICT) == archive.tags()


def test_files_take_over_what_was_added_by_hand(archive):
    """No tag is looked at for that, and no revision is made; then the set may remove it."""
    archive.change(changes.added([OTHER]))
    both = changes.declared([COLOUR, OTHER], own="default")
    plan = archive.plan_change(both)
    assert (False, ["same", "moved"], 0) == (
        plan.is_empty,
        [each.edit.edit for each in plan.taxonomies],
        plan.sampling.images,
    )
    done = archive.change(both)
    assert (2, False, 0) == (done.revision, done.is_new, done.images)
    assert {"colour": "default", "other": "default"} == sets(archive)
    assert archive.change(exactly(COLOUR)).is_new


def test_what_is_added_may_depend_on_what_is_in_force(archive):
    """It need not be among the files; what a condition names must be somewhere."""
    archive.change(changes.added([WARM]))
    assert archive.expected(COLOUR, WARM) == archive.tags()
    with pytest.raises(TaxonomyError, match=r"warmth: when\.colour: 'colour' has no label 'blue'"):
        archive.change(changes.added([TWO]))


def test_what_a_condition_names_is_not_removed(archive):
    """Unless what depends on it goes, too."""
    archive.change(changes.added([WARM]))
    with pytest.raises(TaxonomyError, match="colour cannot be removed, because `when` of warmth names it"):
        archive.change(changes.removed(["colour"]))
    archive.change(changes.removed(["warmth", "colour"]))
    assert {} == archive.tags()


def test_what_is_not_in_force_cannot_be_removed(archive):
    """The nearest name is suggested."""
    for name, hint in (("color", "did you mean 'colour'"), ("size", "in force are colour")):
        with pytest.raises(NotFoundError, match=f"no taxonomy '{name}' is in force; {hint}"):
            archive.change(changes.removed([name]))


def test_nothing_is_added_before_there_is_a_beginning(engine):
    """The first worker would find something in force, and leave its own files out."""
    empty = Archive.of(engine, COLOUR)
    empty.sql("DELETE FROM retaggings")
    empty.sql("DELETE FROM taxonomy_revisions")
    for change in (changes.added([OTHER]), changes.removed(["colour"])):
        with pytest.raises(NotFoundError, match="no taxonomies are in force yet; start a worker"):
            empty.change(change)
    assert not in_catalog(engine).versions


def test_the_first_worker_owns_its_files(engine):
    """By the set that it was given."""
    active_taxonomies.begin(engine, lambda: [COLOUR], own="art")
    assert {"colour": "art"} == in_catalog(engine).sets


def test_a_catalog_from_before_there_were_sets(archive):
    """All that is in force belongs to the default set."""
    archive.sql("UPDATE taxonomy_revisions SET sets = '{}'")
    assert {"colour": "default"} == sets(archive)
    assert archive.change(exactly(OTHER)).is_new


def test_going_back_brings_owners_back(archive):
    """Tags, too."""
    archive.change(changes.added([OTHER]))
    before = archive.tags(), sets(archive)
    archive.change(changes.removed(["other"]))
    archive.change(changes.declared([COLOUR, OTHER], own="default"))
    assert "default" == sets(archive)["other"]
    number, change = lifecycle.content(archive.engine, "2")
    archive.change(change, action="rollback", back_to=number)
    assert before == (archive.tags(), sets(archive))


def test_the_history_knows_whose_they_were(archive):
    """Added by hand, and taken out."""
    archive.change(changes.added([OTHER]))
    archive.change(changes.removed(["other"]))
    assert [("by-hand", None), (None, "by-hand"), (None, "default")] == [
        (edit.set_before, edit.set_after)
        for entry in lifecycle.history(archive.engine, limit=10).entries
        for edit in entry.edits
    ]


def test_each_is_in_force_since_its_version_is(archive):
    """Whatever came into force beside it; one that came back counts from then on."""
    archive.change(changes.added([OTHER]))
    archive.change(changes.removed(["other"]), made_by="ann@desk")
    archive.change(changes.added([OTHER]), made_by="bob@desk")
    archive.change(changes.added([colours("third")]))
    origins = in_catalog(archive.engine).origins
    assert {"colour": 1, "other": 4, "third": 5} == {name: each.revision for name, each in origins.items()}
    assert "bob@desk" == origins["other"].made_by


def test_the_second_of_two_shells_adds_to_what_the_first_added(archive):
    """Its change is made from what is in force by then, although it was prepared before."""
    first, second = changes.added([OTHER]), changes.added([colours("third")])
    archive.plan_change(second)
    archive.change(first)
    archive.change(second)
    assert archive.expected(COLOUR, OTHER, colours("third")) == archive.tags()


def test_what_was_confirmed_is_what_happens(archive):
    """A plan that somebody saw is not applied to something else."""
    planned = archive.plan_change(changes.removed(["colour"])).revision
    archive.change(changes.added([STRICT]), made_by="ann@desk")
    with pytest.raises(ApplyingError, match=r"revision 2 was put into force since the plan was made, by ann@desk"):
        archive.change(changes.removed(["colour"]), planned=planned)
    assert archive.expected(STRICT) == archive.tags()


@pytest.mark.parametrize("first", [changes.added([OTHER]), changes.removed(["colour"])], ids=["add", "remove"])
def test_the_same_command_goes_on_where_it_was_interrupted(archive, monkeypatch, first):
    """Also where the taxonomy is gone already."""
    monkeypatch.setattr(retag, "BLOCK", 100)

    def interrupt(step: retag.RetagProgress) -> None:
        if step.done >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive.change(first, progress=interrupt)
    assert archive.plan_change(first).unfinished
    done = archive.change(first)
    assert (2, False, 200) == (done.revision, done.is_new, done.images)
    left = in_catalog(archive.engine).in_force()
    assert archive.expected(*left) == archive.tags()


def test_a_finished_removal_is_not_repeated(archive):
    """The name is unknown by then."""
    archive.change(changes.removed(["colour"]))
    with pytest.raises(NotFoundError, match="no taxonomy 'colour' is in force; in force are none"):
        archive.change(changes.removed(["colour"]))
