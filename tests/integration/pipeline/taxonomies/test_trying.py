"""Trials of taxonomies on a catalog: what they say comes true when the taxonomy is applied, and nothing is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.examples import examples_of
from tests.fakes import ColourEncoder
from tests.integration.pipeline.taxonomies.archive import COLOUR, TWO, WARM, Archive, colours
from worker.errors import ChoiceError, TaxonomyError, TextTooLongError
from worker.pipeline.common.estimates import Estimate
from worker.pipeline.reading import vector_samples
from worker.pipeline.reading.taxonomy_trials import TaxonomyTrial, TaxonomyTrials
from worker.pipeline.reading.text_search import NothingEmbeddedError, TextSearch
from worker.pipeline.reading.vector_samples import VectorSamples
from worker.pipeline.taxonomies import changes
from worker.tagging import Label, Taxonomy, TaxonomyFile
from worker.tagging.learned import Learned
from worker.tagging.yaml_lines import read


def file_of(taxonomy: Taxonomy) -> TaxonomyFile:
    return TaxonomyFile(path=Path("taxonomy"), document=read(b"when: {colour: red}"), taxonomy=taxonomy)


@pytest.fixture
def trials(archive: Archive) -> TaxonomyTrials:
    return TaxonomyTrials(
        archive.engine, examples_of(archive.engine, TextSearch(archive.engine, lambda: archive.encoder))
    )


def exact(seen: int) -> Estimate:
    return Estimate(seen=seen, about=seen, low=seen, high=seen)


def tagged(found: TaxonomyTrial) -> dict[str, int]:
    return {each.trial.label: each.tagged.about for each in found.labels}


@pytest.mark.parametrize("taxonomy", [TWO, WARM, colours("other"), colours(threshold=0.9)], ids=lambda each: each.name)
def test_a_trial_says_what_applying_does(archive, trials, taxonomy):
    """How many images get each label, how many none, and how many differ from what is stored."""
    found = trials(file_of(taxonomy))
    plan = archive.plan_change(changes.added([taxonomy]))
    archive.change(changes.added([taxonomy]))
    seen = [label for tags in archive.seen().values() for name, label in tags if name == taxonomy.name and label]
    assert {label: seen.count(label) for label in set(seen)} == {k: v for k, v in tagged(found).items() if v}
    [changed] = [each for each in plan.taxonomies if each.edit.name == taxonomy.name]
    assert changed.abstentions_after == found.abstentions.abstained
    assert (None if changed.edit.edit == "added" else plan.changed) == found.differs
    assert exact(0) == trials(file_of(taxonomy)).differs


def test_nothing_is_stored_and_new_texts_are_encoded_once(archive, trials, monkeypatch):
    """Typing on encodes only what was typed."""
    asked: list[str] = []
    encode = archive.encoder.encode_texts

    def noted(texts):
        asked.extend(texts)
        return encode(texts)

    monkeypatch.setattr(archive.encoder, "encode_texts", noted)
    before = archive.sql("SELECT count(*) FROM text_vectors"), archive.sql("SELECT count(*) FROM taxonomies")
    trials(file_of(Taxonomy(name="new", labels=(Label(name="a", prompts=("red paint", "red")),))))
    trials(file_of(Taxonomy(name="new", labels=(Label(name="a", prompts=("red paint", "red", "a red door")),))))
    assert ["red paint", "a red door"] == asked
    assert before == (archive.sql("SELECT count(*) FROM text_vectors"), archive.sql("SELECT count(*) FROM taxonomies"))


def test_what_a_person_decided_is_hidden(archive, trials):
    """As in a plan: such an image does not count as one that differs."""
    before = trials(file_of(TWO))
    blue = sorted(key for key, tags in archive.seen().items() if ("colour", "blue") in tags)[:10]
    archive.sql(
        "INSERT INTO tags (image_id, taxonomy, taxonomy_version, label, source) "
        "SELECT id, 'colour', '1', 'green', 'human' FROM images WHERE key = ANY(:keys)",
        keys=blue,
    )
    after = trials(file_of(TWO))
    assert before.differs is not None
    assert (exact(before.differs.about - 10), exact(10)) == (after.differs, after.hidden)


def test_a_sample_gives_estimates(archive, trials):
    """With an interval around the number for the whole catalog; the same images at every call."""
    first, second = trials(file_of(TWO), sample=100), trials(file_of(TWO), sample=100)
    assert (100, 300, True) == (first.sampling.images, first.sampling.total, first.sampling.exact)
    assert [each.strips for each in first.labels] == [each.strips for each in second.labels]
    assert [each.trial.histogram for each in first.labels] == [each.trial.histogram for each in second.labels]
    whole = trials(file_of(TWO)).tagged.about
    assert first.tagged.low <= whole <= first.tagged.high
    assert first.tagged.seen * 3 == first.tagged.about


def test_strips_name_images(archive, trials):
    """Those that are asked for, with their bytes; an image that is gone is left out."""
    found = trials(file_of(COLOUR), shown=["red"], strip=3)
    strips = {each.trial.label: each.strips for each in found.labels}
    assert (None, None) == (strips["green"], strips["blue"])
    red = strips["red"]
    assert red is not None
    assert [3, 3, 3, 3] == [len(each) for each in (red.best, red.above, red.below, red.worst)]
    assert red.best[0].probability >= red.above[0].probability >= 0.5 > red.below[0].probability
    gone = red.best[0].image
    assert (64, "photos") == (len(gone.sha256), gone.ref.bucket)
    archive.sql("DELETE FROM images WHERE key = :key", key=gone.ref.key)
    again = {each.trial.label: each.strips for each in trials(file_of(COLOUR), shown=["red"], strip=3).labels}["red"]
    assert again is not None
    assert red.best[1:] == again.best


def test_thresholds_from_reviews_count_as_they_would_when_applied(archive, trials):
    """As long as prompts are the same; a changed prompt starts anew."""
    taught = Learned(model="tiny", thresholds={"red": 0.999})
    archive.put_into_force(replace(COLOUR, learned={str(archive.space.id): taught}))
    thresholds = {each.trial.label: each.trial.threshold for each in trials(file_of(COLOUR)).labels}
    assert {"red": 0.999, "green": 0.5, "blue": 0.5} == thresholds
    changed = replace(COLOUR, labels=(*COLOUR.labels, Label(name="dark", prompts=("dark",))))
    assert {0.5} == {each.trial.threshold for each in trials(file_of(changed)).labels}


def test_what_would_be_refused_is_refused(archive, trials):
    """With the reason, and what there is instead."""
    unknown = replace(WARM, when=((replace(WARM.when[0][0], labels=("pink",)),),))
    with pytest.raises(TaxonomyError, match=r"taxonomy:1: when\.colour: .*pink"):
        trials(file_of(unknown))
    with pytest.raises(ChoiceError, match="has no label 'gren'; did you mean 'green'"):
        trials(file_of(COLOUR), shown=["gren"])
    with pytest.raises(ChoiceError, match="vocabulary"):
        trials(file_of(Taxonomy(name="words", mode="vocabulary", labels=(Label(name="a", prompts=("a",)),))))
    many = tuple(Label(name=f"l{number}", prompts=tuple(f"{number} {n}" for n in range(3))) for number in range(700))
    with pytest.raises(ChoiceError, match="more than 2,000 texts"):
        trials(file_of(Taxonomy(name="many", labels=many)))
    long = Taxonomy(name="long", labels=(Label(name="a", prompts=("red " * 100,)),))
    with pytest.raises(TextTooLongError):
        trials(file_of(long))


def test_an_empty_catalog_says_so(engine):
    """There is no model to try with."""
    empty = TaxonomyTrials(engine, examples_of(engine, TextSearch(engine, ColourEncoder)))
    with pytest.raises(NothingEmbeddedError):
        empty(file_of(COLOUR))


def test_samples_are_kept_a_minute_and_within_their_memory(archive, monkeypatch):
    """A sample is drawn again when it is old, or after others took its memory."""
    now = [0.0]
    samples = VectorSamples(archive.engine, clock=lambda: now[0])
    first = samples(archive.space, 50)
    assert first is samples(archive.space, 50)
    now[0] = 61.0
    again = samples(archive.space, 50)
    assert (False, first.images.tolist()) == (first is again, again.images.tolist())
    monkeypatch.setattr(vector_samples, "_MOST_BYTES", again.vectors.nbytes)
    samples(archive.space, 20)
    assert again is not samples(archive.space, 50)
