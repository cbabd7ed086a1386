"""Which certificates hold, and how later reviews refute one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.integration.pipeline.evaluation.reviews import (
    CAREFUL,
    RED,
    add_scenes,
    calibrated,
    draw,
    imported,
    red_scenes,
    review,
    threshold_of,
)
from worker.errors import ChoiceError
from worker.pipeline.evaluation.certificates import certificates, counts, windows


@pytest.fixture
def gallery(engine):
    """Many red scenes."""
    return red_scenes(engine)


@pytest.fixture
def proven(gallery):
    """A gallery with a proof in force, and later images to which the label is given."""
    review(gallery, draw(gallery), 120)
    calibrated(gallery)
    gallery.labels.follow()
    gallery.later = add_scenes(gallery, 100, seed=9)
    return gallery


def states(gallery):
    return [(each.certificate.label, each.state, each.in_force) for each in certificates(gallery.engine)]


def test_certificates_are_listed(proven):
    """Each label's newest one; by state, too."""
    calibrated(proven, replace(RED, target=0.99))
    assert [("red", "proven", True), ("red", "unproven", False)] == states(proven)
    assert {"proven": 1, "unproven": 0, "expired": 0} == counts(proven.engine)
    assert [0.99] == [each.certificate.target for each in certificates(proven.engine, state="unproven")]
    assert [] == certificates(proven.engine, taxonomies=["colour"], label="blue")
    with pytest.raises(ChoiceError, match="did you mean 'proven'"):
        certificates(proven.engine, state="provn")  # type: ignore[arg-type]


def test_nothing_in_force_has_no_certificates(engine):
    """As before the first worker ran."""
    assert ([], []) == (certificates(engine), windows(engine))


def test_later_reviews_that_agree_change_nothing(proven):
    """One error among them is no refutation."""
    imported(proven, proven.later, wrong=proven.later[:1])
    assert ([], [("red", "proven", True)]) == (windows(proven.engine), states(proven))


def test_later_reviews_refute_a_certificate(proven):
    """Every fifth is wrong: it expires, and the next calibration withdraws its threshold."""
    assert [] == windows(proven.engine)
    imported(proven, proven.later, wrong=proven.later[::5])
    [expired] = windows(proven.engine)
    assert ("red", [("red", "expired", True)]) == (expired.label, states(proven))
    [view] = certificates(proven.engine)
    assert "of the newest" in (view.reason or "")
    assert "random reviews were wrong; for 0.95 that is too many" in (view.reason or "")
    assert [] == windows(proven.engine)
    label, done = calibrated(proven)
    assert (expired.id, True) == (label.lost.id, done.is_new)
    assert 0.9 == pytest.approx(threshold_of(proven))


def test_what_was_reviewed_before_it_expired_proves_nothing(proven):
    """Only images of the collection as it is now; enough of these prove it again."""
    imported(proven, proven.later, wrong=proven.later[::5])
    windows(proven.engine)
    label, _ = calibrated(proven)
    assert len(proven.later) >= label.test.reviewed
    assert not label.test.is_proven
    proven.labels.follow()
    more = add_scenes(proven, 600, seed=10)
    imported(proven, more)
    label, _ = calibrated(proven)
    assert label.test.reviewed > 600
    assert label.last_decision > 220


def test_reviews_of_other_images_refute_nothing(proven):
    """The label is not given to them."""
    blue = add_scenes(proven, 60, seed=11, colour=2)
    imported(proven, blue, wrong=blue)
    assert [] == windows(proven.engine)


def test_pictures_of_one_scene_refute_nothing(proven):
    """Sixty errors about one scene are one error."""
    same = {f"burst-{number}": proven.written[proven.later[0]] for number in range(60)}
    proven.write(same, phash=7)
    imported(proven, list(same), wrong=list(same))
    assert [] == windows(proven.engine)


def test_other_prompts_end_a_certificate(proven):
    """It says why; and a taxonomy that is not in force has none that holds."""
    red, *others = CAREFUL.labels
    proven.apply(replace(CAREFUL, labels=(replace(red, prompts=("red", "blue")), *others)))
    [view] = certificates(proven.engine)
    assert ("expired", False, "prompts or numbers of colour have changed") == (view.state, view.in_force, view.reason)
    assert {"proven": 0, "unproven": 0, "expired": 1} == counts(proven.engine)
    proven.apply(replace(CAREFUL, name="other"))
    assert ["colour is not in force"] == [each.reason for each in certificates(proven.engine)]
