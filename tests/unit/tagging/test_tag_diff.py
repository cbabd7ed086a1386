"""The differ and the tally against the simplest program that does the same with sets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worker.tagging import EXAMPLES, Answers, HumanDecisions, Move, MoveCounts, StoredAnswers, Vocabulary, tag_diff
from worker.types import MODEL_SOURCES, SUGGESTION, ZERO_SHOT

LABELS = {"one": ("a", "b", "c"), "two": ("x", "y")}
ANSWERS = [(taxonomy, label) for taxonomy, labels in LABELS.items() for label in (None, *labels)]
IMAGES = 6
SUGGESTED, ZERO = MODEL_SOURCES.index(SUGGESTION), MODEL_SOURCES.index(ZERO_SHOT)

Fact = tuple[int, tuple[str, str | None]]

#: For each image and taxonomy: not asked, none of these, or some labels.
_answer = st.one_of(st.none(), st.just(frozenset({None})), st.frozensets(st.sampled_from("abc"), min_size=1))
_asked = st.tuples(st.integers(0, IMAGES - 1), st.sampled_from(sorted(LABELS)))
facts = st.dictionaries(_asked, _answer)
#: Answers that are only suggested, of any image.
suggestions = st.frozensets(st.sampled_from([answer for answer in ANSWERS if answer[1] is not None]), max_size=3)


def flat(drawn: dict[tuple[int, str], frozenset[str | None] | None]) -> set[Fact]:
    return {
        (image, (taxonomy, label))
        for (image, taxonomy), labels in drawn.items()
        for label in labels or ()
        if label is None or label in LABELS[taxonomy]
    }


def arrays(
    of: Iterable[Fact], vocabulary: Vocabulary, score: float, suggested: Collection[Fact] = ()
) -> dict[str, np.ndarray]:
    rows = sorted(of, key=str)
    return {
        "images": np.array([image for image, _ in rows], dtype=np.intp),
        "answers": np.array([vocabulary.number(*answer) for _, answer in rows], dtype=np.intp),
        "score": np.full(len(rows), score, dtype=np.float32),
        "probability": np.full(len(rows), 0.5, dtype=np.float32),
        "sources": np.array([SUGGESTED if row in suggested else ZERO for row in rows], dtype=np.int8),
    }


def decided(of: Iterable[tuple[int, str]], vocabulary: Vocabulary) -> HumanDecisions:
    rows = sorted(of)
    return HumanDecisions(
        images=np.array([image for image, _ in rows], dtype=np.intp),
        answers=np.array([vocabulary.number(taxonomy, None) for _, taxonomy in rows], dtype=np.intp),
        whole=np.ones(len(rows), dtype=np.bool_),
    )


def suggested(of: set[Fact], answers: Collection[tuple[str, str | None]]) -> set[Fact]:
    return {fact for fact in of if fact[1] in answers}


@given(facts, facts, st.tuples(suggestions, suggestions), st.booleans(), st.booleans())
def test_applying_a_difference_gives_what_is_wanted_and_touches_nothing_else(before, after, answers, current, rescored):
    """Rows that go, come and are renewed are exactly those that have to; so is what readers see of it."""
    was, wanted = flat(before), flat(after)
    hid, hides = suggested(was, answers[0]), suggested(wanted, answers[1])
    vocabulary = Vocabulary()
    old = arrays(was, vocabulary, 0.25, hid)
    count = len(old["images"])
    stored = StoredAnswers(**old, ids=np.arange(count), current=np.full(count, current))
    found = tag_diff(stored, Answers(**arrays(wanted, vocabulary, 0.3 if rescored else 0.25, hides)))
    name = vocabulary.answers

    def facts_of(part, rows) -> set[Fact]:
        return {(int(part.images[row]), name[part.answers[row]]) for row in rows}

    assert was - wanted == facts_of(found.stored, found.gone)
    assert wanted - was == facts_of(found.new, found.come)
    assert was & wanted == facts_of(found.stored, found.kept_stored) == facts_of(found.new, found.kept_new)
    must = was & wanted if rescored or not current else was & wanted & (hid ^ hides)
    assert must == facts_of(found.stored, found.kept_stored[found.renewed])
    assert sorted({image for image, _ in (was ^ wanted) | must}) == found.images.tolist()
    assert (was - hid) - (wanted - hides) == facts_of(found.stored, found.disappearing)
    assert (wanted - hides) - (was - hid) == facts_of(found.new, found.appearing)


def moves(was: set[Fact], wanted: set[Fact]) -> Counter[tuple[str, str, str | None, str | None]]:
    """(taxonomy, kind, before, after), by the words of the documentation."""
    counted: Counter[tuple[str, str, str | None, str | None]] = Counter()
    old: dict[tuple[int, str], set[str | None]] = defaultdict(set)
    new: dict[tuple[int, str], set[str | None]] = defaultdict(set)
    for into, of in ((old, was), (new, wanted)):
        for image, (taxonomy, label) in of:
            into[image, taxonomy].add(label)
    for key in old.keys() | new.keys():
        _, taxonomy = key
        left, came = old[key] - new[key] - {None}, new[key] - old[key] - {None}
        if len(left) == len(came) == 1:
            counted[taxonomy, "flipped", left.pop(), came.pop()] += 1
            continue
        for label in left:
            counted[taxonomy, "abstained" if None in new[key] else "removed", label, None] += 1
        for label in came:
            counted[taxonomy, "added", None, label] += 1
    return counted


def told(tally: MoveCounts) -> Counter[tuple[str, str, str | None, str | None]]:
    answers = tally.vocabulary.answers

    def name(number: int | None) -> str | None:
        return None if number is None else answers[number][1]

    def taxonomy(move: Move) -> str:
        number = move.before if move.before is not None else move.after
        assert number is not None
        return answers[number][0]

    return Counter({(taxonomy(m), m.kind, name(m.before), name(m.after)): count for m, count in tally.moves.items()})


@given(st.lists(st.tuples(facts, facts, suggestions, suggestions, st.sets(_asked)), min_size=1, max_size=3))
def test_every_change_of_a_label_is_counted_once_and_as_what_it_is(batches):
    """Over several batches: flips, abstentions, losses, gains, each label before and after; apart, what is hidden.

    A suggestion is not a label.
    """
    expected: Counter[tuple[str, str, str | None, str | None]] = Counter()
    vocabulary = Vocabulary()
    tally = MoveCounts(vocabulary)
    changed, hidden, unseen, suggestions = 0, Counter[str](), 0, 0
    for number, (before, after, old_suggestions, new_suggestions, people) in enumerate(batches):
        all_before, all_after = flat(before), flat(after)
        hid, hides = suggested(all_before, old_suggestions), suggested(all_after, new_suggestions)
        was, wanted = all_before - hid, all_after - hides
        suggestions += len({fact for fact in hides if (fact[0], fact[1][0]) not in people})
        differs = {(image, taxonomy) for image, (taxonomy, label) in was ^ wanted if label is not None}
        expected += moves(*({fact for fact in each if (fact[0], fact[1][0]) not in people} for each in (was, wanted)))
        shown = {image for image, _ in differs - people}
        changed += len(shown)
        hidden += Counter(taxonomy for _, taxonomy in differs & people)
        unseen += len({image for image, _ in differs & people} - shown)
        old = arrays(all_before, vocabulary, 0.25, hid)
        stored = StoredAnswers(
            **old, ids=np.arange(len(old["images"])), current=np.ones(len(old["images"]), dtype=bool)
        )
        found = tag_diff(stored, Answers(**arrays(all_after, vocabulary, 0.25, hides)))
        tally.add(found, np.arange(IMAGES) + number * IMAGES, decided(people, vocabulary))
    assert expected == told(tally)
    assert (hidden, unseen, suggestions) == (tally.hidden, tally.unseen, tally.suggested.total())
    assert (changed, IMAGES * len(batches)) == (tally.changed, tally.images)
    for number, (_, label) in enumerate(vocabulary.answers):
        if label is not None:
            away = sum(count for move, count in tally.moves.items() if move.before == number)
            here = sum(count for move, count in tally.moves.items() if move.after == number)
            assert tally.before[number] - away == tally.after[number] - here


def test_examples_do_not_depend_on_the_order_of_batches():
    """The same few images stand for a move however it was met."""
    kept = []
    for order in (range(8), reversed(range(8))):
        tally = MoveCounts(Vocabulary())
        for batch in order:
            old = arrays({(image, ("one", "a")) for image in range(50)}, tally.vocabulary, 0.25)
            stored = StoredAnswers(**old, ids=np.arange(50), current=np.ones(50, dtype=bool))
            new = Answers(**arrays({(image, ("one", "b")) for image in range(50)}, tally.vocabulary, 0.25))
            tally.add(tag_diff(stored, new), np.arange(50) + 50 * batch, decided((), tally.vocabulary))
        [(move, examples)] = tally.examples.items()
        kept.append([each.image for each in examples])
        assert ("flipped", 400) == (move.kind, tally.moves[move])
    assert EXAMPLES == len(kept[0])
    assert kept[0] == kept[1]
