"""The use case: learn a head from what people decided, if it is better than zero-shot.

A head becomes part of the taxonomy in force, so it is planned, applied and rolled back like any change of it.
Thresholds and proofs of the rows before it are about other probabilities: they go when it comes. Its own come with it,
from the probabilities that each image got from a fit without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from worker import catalog
from worker.catalog.heads import NewHead
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot, transaction
from worker.errors import ChoiceError, NotFoundError
from worker.pipeline.evaluation import calibrate, proofs
from worker.pipeline.evaluation.calibrate import Calibration, TaxonomyCalibration
from worker.pipeline.evaluation.reviewed import Reviewed, reviewed
from worker.pipeline.learning import answers
from worker.pipeline.learning.answers import LabelDecisions
from worker.pipeline.learning.out_of_fold import out_of_fold
from worker.pipeline.review.subject import Build, Subject, subject
from worker.pipeline.taxonomies import changes
from worker.pipeline.taxonomies.changes import Change
from worker.tagging import Taxonomy
from worker.tagging.head_inputs import ZeroShot, head_of, zero_shot
from worker.tagging.head_trials import Trial, cross_validated
from worker.tagging.heads import fit
from worker.tagging.learned import Head, Learned

#: Of folds and draws: the same decisions always give the same head and the same verdict.
SEED = 0

#: What put a head into force.
PromotedBy: TypeAlias = Literal["test", "person"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRequest:
    """What to learn."""

    taxonomy: str  # in force
    space: int | None = None  # None: the active one
    promote: bool = False  # also where the test is not passed, if the head is ahead
    pooled: bool = False  # prove one threshold for all labels, instead of one for each


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Learning:
    """A head, and how it compares with zero-shot."""

    taxonomy: Taxonomy  # in force
    space: Space
    revision: int  # in force
    total: int  # images that people decided about
    labels: tuple[LabelDecisions, ...]
    last_decision: int
    found: Reviewed
    start: ZeroShot
    trial: Trial
    head: Head  # its number is 0 until it is stored
    penalty: float
    promoted_by: PromotedBy | None  # None: it is not put into force
    calibration: TaxonomyCalibration | None = None  # what is proven about it; None: it is not promoted, or in force

    @property
    def learned(self) -> Learned:
        """What is put into force."""
        own = self.calibration.after.learned_in(self.space.id) if self.calibration else None
        return own or Learned(model=self.space.model, head=self.head)

    @property
    def decisions(self) -> int:
        """Images that it learned from."""
        return len(self.trial.reviews)

    @property
    def scoring(self) -> str:
        """Without any head."""
        return self.taxonomy.scoring(self.space.model)

    @property
    def in_force(self) -> Head | None:
        """The head in force."""
        return self.taxonomy.head(self.space.id)

    @property
    def is_in_force(self) -> bool:
        """Whether that is this one."""
        return self.in_force is not None and self.in_force.digest == self.head.digest


def examine(engine: Engine, build: Build, request: LearningRequest) -> Learning:
    """Learn and judge a head. Stores and changes nothing.

    Args:
        engine: the database.
        build: gives a tagger for the model of a space.
        request: what to learn.

    Raises:
        NotFoundError: there is no such space, or nothing was embedded yet.
        UnknownNameError: there is no such taxonomy.
        ChoiceError: too little was decided, or the taxonomy is not in force.
    """
    with snapshot(engine) as connection:
        asked, revision = _asked(connection, request.taxonomy, request.space)
        taxonomy, space = asked.taxonomy, asked.space
        found = reviewed(connection, space, taxonomy.name)
        plans = calibrate.whole_plans(connection, asked)
    decisions = answers.counts(found, taxonomy, space.model)
    if (lack := answers.missing(taxonomy, decisions)) is not None:
        raise ChoiceError(lack)
    bare = replace(taxonomy, when=(), learned={})
    independent = taxonomy.mode == "multi-label"
    without = [each.label for each in decisions if not each.has_prompts and each.is_enough(independent=independent)]
    start = zero_shot(build(space, [bare]), found.vectors, without_prompts=without)
    reviews, places = answers.reviews(found, taxonomy, start)
    if len(set(reviews.clusters.tolist())) < 2:  # noqa: PLR2004  # nothing could be left out
        raise ChoiceError(
            f"all images of {taxonomy.name} that people decided about look alike: review different ones with "
            f"`enrich review {taxonomy.name} LABEL`"
        )
    fitted = fit(reviews)
    trial = cross_validated(reviews, seed=SEED, penalty=fitted.penalty)
    learning = Learning(
        taxonomy=taxonomy,
        space=space,
        revision=revision,
        total=found.total,
        labels=decisions,
        last_decision=max(own.decision for each in found.images for own in each.answers),
        found=found,
        start=start,
        trial=trial,
        head=head_of(fitted, start, number=0),
        penalty=fitted.penalty,
        promoted_by=_promoted_by(trial, request),
    )
    if learning.promoted_by is None or (learning.is_in_force and not request.pooled):
        return learning
    with_head = replace(asked, taxonomy=learned_again(taxonomy, space, learning.learned))
    numbers = with_head.taxonomy.calibration_for(space.model, space.id)
    scored = out_of_fold(trial, places, len(found.images), start, numbers)
    return replace(learning, calibration=calibrate.of_new_head(with_head, found, scored, plans, pooled=request.pooled))


def store(engine: Engine, learning: Learning, *, made_by: str) -> Learning:
    """Keep how the fit compared, and what is proven about it if it is promoted; the same with their numbers."""
    test = learning.trial.test
    new = NewHead(
        space=learning.space.id,
        taxonomy=learning.taxonomy.name,
        scoring=learning.scoring,
        digest=learning.head.digest,
        labels=learning.start.labels,
        strength=learning.penalty,
        decisions=learning.decisions,
        last_decision=learning.last_decision,
        judged=learning.trial.judged,
        won=test.won,
        lost=test.lost,
        p=test.p,
        promoted_by=learning.promoted_by,
        made_by=made_by,
    )
    with transaction(engine) as connection:
        number = catalog.heads.add(connection, new)
    learning = replace(learning, head=replace(learning.head, number=number))
    if learning.calibration is None:
        return learning
    made = _numbered(learning, learning.calibration)
    looked = Calibration(space=learning.space, revision=learning.revision, taxonomies=(made,))
    return replace(learning, calibration=proofs.store(engine, looked, made_by=made_by).taxonomies[0])


def _numbered(learning: Learning, made: TaxonomyCalibration) -> TaxonomyCalibration:
    """With the head's number instead of that of a preview."""
    own = Learned(model=learning.space.model, head=learning.head)
    taxonomy = replace(made.taxonomy, learned={**made.taxonomy.learned, str(learning.space.id): own})
    return replace(made, taxonomy=taxonomy, head=learning.head.number)


def change(learning: Learning) -> Change:
    """What puts the head into force."""

    def with_head(in_force: Taxonomy) -> Taxonomy:
        if in_force.scoring(learning.space.model) != learning.scoring:
            raise ChoiceError(
                f"{in_force.name} scores images differently now than when the head was learned: run the command "
                "again. Nothing was changed"
            )
        return learned_again(in_force, learning.space, learning.learned)

    return changes.relearned({learning.taxonomy.name: with_head})


def learned_again(in_force: Taxonomy, space: Space, learned: Learned | None) -> Taxonomy:
    """The taxonomy with a head and what is proven about it, or without: what was learned about other rows is dropped.

    It stays as it is if the head is that in force, but for its number, and nothing more is proven about it.
    """
    own = in_force.learned_in(space.id)
    head = learned.head if learned else None
    is_same = own is not None and (own.head.digest if own.head else None) == (head.digest if head else None)
    if is_same and (learned is None or not learned.proofs):
        return in_force
    others = {number: each for number, each in in_force.learned.items() if number != str(space.id)}
    return replace(in_force, learned=others if learned is None else {**others, str(space.id): learned})


def forgotten(engine: Engine, request: LearningRequest) -> tuple[Space, int, Change]:
    """The space, the revision in force, and what goes back to zero-shot.

    Raises:
        ChoiceError: no head is in force.
        Otherwise what ``examine`` raises.
    """
    with snapshot(engine) as connection:
        asked, revision = _asked(connection, request.taxonomy, request.space)
    taxonomy, space = asked.taxonomy, asked.space
    if taxonomy.head(space.id) is None:
        raise ChoiceError(f"{taxonomy.name} has no head in space {space.id}: its tags are zero-shot")

    def without(in_force: Taxonomy) -> Taxonomy:
        return learned_again(in_force, space, None)

    return space, revision, changes.relearned({taxonomy.name: without})


def _asked(connection: Connection, name: str, number: int | None) -> tuple[Subject, int]:
    """A taxonomy in force in a space, and the revision in force."""
    asked = subject(connection, name, None)
    revision = catalog.taxonomy_revisions.current(connection)
    assert revision is not None  # noqa: S101  # ``subject`` refuses otherwise
    space = asked.space if number is None else catalog.spaces.space(connection, number)
    if space is None:
        raise NotFoundError(f"there is no space {number}; `enrich space list` shows all spaces")
    return replace(asked, space=space), revision.id


def _promoted_by(trial: Trial, request: LearningRequest) -> PromotedBy | None:
    if trial.test.passed:
        return "test"
    return "person" if request.promote and trial.test.promotable else None
