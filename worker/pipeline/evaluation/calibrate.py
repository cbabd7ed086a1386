"""The use case: find the thresholds that people's reviews prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from worker import catalog
from worker.catalog.certificates import Certificate
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot
from worker.errors import ChoiceError
from worker.pipeline.evaluation import evidence, pools
from worker.pipeline.evaluation.certify import REFUTED, ThresholdTest, at_least, certify
from worker.pipeline.evaluation.pools import PlanProgress, Pool, Question
from worker.pipeline.evaluation.reviewed import Reviewed, reviewed, scores, shown_alike
from worker.pipeline.evaluation.shortfall import Shortfall, shortfall
from worker.pipeline.review.frames import DEFAULT_TARGET
from worker.pipeline.review.sampling import share
from worker.pipeline.review.subject import Build, Subject, subject
from worker.tagging import Taxonomy
from worker.tagging.label_probabilities import LabelProbabilities
from worker.tagging.learned import Learned, Proof

_DELTA = 0.05  # of what is proven about a new head


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRequest:
    """What to prove."""

    taxonomies: tuple[str, ...] = ()  # none: all in force
    label: str | None = None  # of the one taxonomy that is named
    target: float | None = None  # None: the taxonomy's target_precision, or the default
    confidence: float = 0.95
    pooled: bool = False  # one threshold for all labels of a taxonomy


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCalibration:
    """What the reviews say about one label, or about all together."""

    taxonomy: str
    label: str | None  # None: all together
    threshold: float | None  # that is in force; of a single label only
    test: ThresholdTest  # at the last look; if none is complete, of all reviews so far, and nothing is proven
    delta: float  # error probability of all looks
    look: int
    images: int  # reviewed
    scenes: int  # of which so many look different; where fewer count, the others were drawn with lower probability
    waiting: int  # reviewed since the last look
    plans: tuple[int, ...]  # whose reviews count
    last_decision: int | None
    missing: Shortfall | None  # None: it is proven
    queued: int  # images that wait for a reviewer in an open plan
    plan: int | None  # that plan
    stands: Certificate | None  # an earlier proof that goes on, because nothing new refutes it
    lost: Certificate | None  # an earlier proof that ends
    kept: Mapping[str, Certificate]  # label → proof of a higher precision, which a proof of this one does not replace
    proves: tuple[str, ...]  # labels of the accepted images: nothing is proven about a label that no image had
    taught: int  # images whose reviews do not count, because the head in force learned from them
    certificate: int | None = None  # once stored


@dataclass(frozen=True, kw_only=True, slots=True)
class TaxonomyCalibration:
    """What the reviews say about one taxonomy in force."""

    taxonomy: Taxonomy
    scoring: str
    head: int | None
    target: float
    reviewed: int  # images that people decided about, however they were chosen
    labels: tuple[LabelCalibration, ...]
    after: Taxonomy  # with the thresholds and proofs

    @property
    def name(self) -> str:
        """Of the taxonomy."""
        return self.taxonomy.name

    @property
    def changes(self) -> bool:
        """Whether anything is put into force."""
        return self.after.learned != self.taxonomy.learned


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What the reviews say, and what would be put into force."""

    space: Space
    revision: int  # of the taxonomies, in force when it was made
    taxonomies: tuple[TaxonomyCalibration, ...]

    @property
    def changes(self) -> bool:
        """Whether anything is put into force."""
        return any(each.changes for each in self.taxonomies)


def examine(engine: Engine, build: Build, request: CalibrationRequest) -> Calibration:
    """Test the reviews that there are. Stores and changes nothing.

    Args:
        engine: the database.
        build: gives a tagger for the model of a space.
        request: what to prove.

    Raises:
        NotFoundError: no image was embedded, or no taxonomies are in force.
        UnknownNameError: there is no such taxonomy or label.
        ChoiceError: the request cannot be fulfilled.
    """
    _refuse_impossible(request)
    with snapshot(engine) as connection:
        revision = catalog.taxonomy_revisions.current(connection)
        if revision is None:
            raise ChoiceError("no taxonomies are in force yet; start a worker or run `enrich taxonomy apply`")
        names = request.taxonomies or _deciding(connection, revision.versions)
        found = [_examined(connection, build, subject(connection, name, request.label), request) for name in names]
        space = catalog.spaces.active(connection)
    assert space is not None  # noqa: S101  # ``subject`` refuses otherwise
    return Calibration(space=space, revision=revision.id, taxonomies=tuple(found))


def whole_plans(connection: Connection, asked: Subject) -> list[PlanProgress]:
    """Random plans about all labels of a taxonomy together: they also judge other rows of the same labels."""
    return [each for each in evidence.plans(connection, asked) if each.label is None]


def of_new_head(
    asked: Subject,
    found: Reviewed,
    scored: LabelProbabilities,
    plans: Sequence[PlanProgress],
    *,
    pooled: bool = False,
) -> TaxonomyCalibration:
    """What the reviews that taught a head prove about it, before it is in force.

    Images that were drawn because an older version gave them a label are left out: this head may give that label to
    others.

    Args:
        asked: the taxonomy with the head.
        found: reviewed images.
        scored: their probabilities, each by a fit without that image and what looks like it.
        plans: what ``whole_plans`` returned.
        pooled: one threshold for all labels.

    Raises:
        ChoiceError: labels that do not compete cannot have one threshold.
    """
    if pooled:
        _refuse_pooled(asked)
    taxonomy, head = asked.taxonomy, asked.taxonomy.head(asked.space.id)
    target = taxonomy.target_precision or DEFAULT_TARGET
    looked = _Looked(
        found=found,
        scored=scored,
        plans=plans,
        target=target,
        delta=_DELTA,
        thresholds=asked.thresholds,
        proofs={},
        after={},
        learned_from=0,
        versions=frozenset(),
    )
    made = TaxonomyCalibration(
        taxonomy=taxonomy,
        scoring=asked.scoring,
        head=head.number if head else None,
        target=target,
        reviewed=found.total,
        labels=tuple(_label(looked, label) for label in ([None] if pooled else scored.labels)),
        after=taxonomy,
    )
    return replace(made, after=after(made, asked.space))


# -- testing -----------------------------------------------------------------------------------------------------------
def _refuse_impossible(request: CalibrationRequest) -> None:
    shares = [each for each in (request.target, request.confidence) if each is not None]
    if not all(0.5 <= each < 1 for each in shares):  # noqa: PLR2004  # below, nothing is proven
        raise ChoiceError("target and confidence are shares from 0.5 to below 1, such as 0.95")
    if request.label is not None and len(request.taxonomies) != 1:
        raise ChoiceError("a label belongs to a taxonomy: name exactly one")
    if request.label is not None and request.pooled:
        raise ChoiceError("pooled is one threshold for all labels: leave the label out, or do not pool")


def _refuse_pooled(asked: Subject) -> None:
    if asked.one_by_one:
        raise ChoiceError(
            f"{asked.taxonomy.name} allows several labels: each needs a threshold of its own, so do not pool"
        )


def _refuse_looser(taxonomy: Taxonomy, target: float | None) -> None:
    least = taxonomy.target_precision
    if target is not None and least is not None and target < least:
        raise ChoiceError(
            f"{taxonomy.name} has target_precision: {least:g} in its file. A proof of {target:g} would not be enough: "
            f"its labels would stay suggestions. Ask for {least:g} or more, or change the file first"
        )


def _deciding(connection: Connection, versions: Mapping[str, str]) -> list[str]:
    kept = [each for each in catalog.taxonomies.kept(connection, list(versions)) if each.in_force]
    return sorted(each.name for each in kept if each.definition.get("mode") != "vocabulary")


def _examined(connection: Connection, build: Build, asked: Subject, request: CalibrationRequest) -> TaxonomyCalibration:
    taxonomy, space = asked.taxonomy, asked.space
    if asked.parent is not None:
        raise ChoiceError(f"{asked.label} is a kind of {asked.parent}: only labels at the top are calibrated")
    if request.pooled:
        _refuse_pooled(asked)
    _refuse_looser(taxonomy, request.target)
    target = request.target or taxonomy.target_precision or DEFAULT_TARGET
    head = taxonomy.head(space.id)
    found = reviewed(connection, space, taxonomy.name)
    looked = _Looked(
        found=found,
        scored=scores(build(space, [replace(taxonomy, when=())]), found.vectors),
        plans=evidence.plans(connection, asked),
        target=target,
        delta=round(1 - request.confidence, 9),
        thresholds=asked.thresholds,
        proofs=evidence.proofs(connection, taxonomy, space),
        after=evidence.expired(connection, asked),
        learned_from=evidence.learned_from(connection, head.number) if head else 0,
        versions=shown_alike(connection, asked, found),
        spent=1 if head else 0,  # ``of_new_head`` looked out of fold, once, and spent at most the first share
    )
    tops = [label.name for label in taxonomy.labels]
    labels: Sequence[str | None] = [None] if request.pooled else [asked.label] if asked.label else tops
    made = TaxonomyCalibration(
        taxonomy=taxonomy,
        scoring=asked.scoring,
        head=head.number if head else None,
        target=target,
        reviewed=looked.found.total,
        labels=tuple(_label(looked, label) for label in labels),
        after=taxonomy,
    )
    return replace(made, after=after(made, space))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Looked:
    """All that is read about one taxonomy."""

    found: Reviewed
    scored: LabelProbabilities
    plans: Sequence[PlanProgress]
    target: float
    delta: float
    thresholds: Mapping[str, float]  # label → what is in force
    proofs: Mapping[str, Certificate]  # label → what is in force
    after: Mapping[str | None, int]  # label → decision, from which on the collection was another
    learned_from: int  # the last decision that the head was fitted to
    versions: frozenset[str]  # that reviewers without a plan were shown, and that score images as they are scored now
    spent: int = 0  # looks before all others

    def proof(self, label: str | None) -> Certificate | None:
        """What is in force about a label alone, or about all together: one look says nothing about the other.

        What has expired ends in any case.
        """
        own = next((each for each in self.proofs.values() if each.label == label), None)
        pooled = self.proofs.get(label) if label is not None else None
        return pooled if own is None and pooled is not None and pooled.expired_at is not None else own

    def stricter(self, label: str | None) -> dict[str, Certificate]:
        """Label → a proof in force of a higher precision, for this label or for all."""
        return {
            name: each
            for name, each in self.proofs.items()
            if label in (None, name) and each.target > self.target and each.expired_at is None
        }


def _label(looked: _Looked, label: str | None) -> LabelCalibration:
    pool = _pool_of(looked, label)
    spent = looked.delta * share(pool.look)
    following = looked.delta * share(pool.look + pool.is_judged)
    test = certify(pool.probabilities, pool.right, target=looked.target, delta=spent)
    if not pool.is_judged:
        test = replace(test, threshold=None, accepted=0, errors=0, lower_bound=None)
    missing = None
    if not test.is_proven:
        missing = shortfall(pool.probabilities, pool.right, target=looked.target, delta=following)
    count, number = pools.queued(looked.plans, label)
    proof = looked.proof(label)
    ends = proof is not None and not test.is_proven and _ends(proof, pool, looked)
    stricter = looked.stricter(label) if test.is_proven else {}
    return LabelCalibration(
        taxonomy=looked.found.taxonomy,
        label=label,
        threshold=looked.thresholds.get(label) if label is not None else None,
        test=test,
        delta=looked.delta,
        look=pool.look,
        images=pool.images,
        scenes=pool.scenes,
        waiting=pool.waiting,
        plans=pool.plans,
        last_decision=pool.last_decision,
        missing=missing,
        queued=count,
        plan=number,
        stands=None if test.is_proven or ends else proof,
        lost=proof if ends else None,
        kept={name: each for name, each in stricter.items() if each.label != label or not _refuted(each, pool)},
        proves=_proves(test, pool),
        taught=_taught(looked),
    )


def _proves(test: ThresholdTest, pool: Pool) -> tuple[str, ...]:
    if test.threshold is None:
        return ()
    accepted = pool.probabilities >= np.float32(test.threshold)
    return tuple(sorted({label for label, counts in zip(pool.labels, accepted, strict=True) if counts}))


def _pool_of(looked: _Looked, label: str | None) -> Pool:
    # Where all labels together were refuted, the reviews of each were about another collection, and vice versa.
    refuted = [decision for own, decision in looked.after.items() if label is None or own in (None, label)]
    after = max([*refuted, looked.learned_from])
    asked = Question(
        label=label,
        target=looked.target,
        delta=looked.delta,
        after=after,
        space=looked.found.space.id,
        versions=looked.versions,
        spent=looked.spent,
    )
    return pools.pool(looked.found, looked.scored, looked.plans, asked)


def _taught(looked: _Looked) -> int:
    """Images that people decided about before the head in force was learned."""
    if not looked.learned_from:
        return 0
    return len(looked.found.some(lambda image: min(own.decision for own in image.answers) <= looked.learned_from))


def _refuted(proof: Certificate, pool: Pool) -> bool:
    """Whether the images of a look refute a proof of a higher precision, as later reviews do when it expires."""
    accepted = pool.right[pool.probabilities >= np.float32(proof.threshold or 0.0)]
    return bool(at_least(int((~accepted).sum()), len(accepted), 1 - proof.target) <= REFUTED)


def _ends(proof: Certificate, pool: Pool, looked: _Looked) -> bool:
    """Whether an earlier proof ends where this look proves nothing."""
    return proof.expired_at is not None or (pool.is_judged and looked.target <= proof.target)


# -- what is put into force --------------------------------------------------------------------------------------------
def after(of: TaxonomyCalibration, space: Space) -> Taxonomy:
    """The taxonomy with what is proven; what was not asked about stays as it is."""
    before = of.taxonomy.learned_in(space.id) or Learned(model=space.model)
    thresholds, proofs = dict(before.thresholds), dict(before.proofs)
    for own in of.labels:
        for label in own.proves:
            if label in own.kept or own.test.threshold is None:
                continue
            thresholds[label] = own.test.threshold
            # Before it is stored it has no number, on which nothing depends but what people are shown.
            proofs[label] = Proof(certificate=own.certificate or 0, precision=of.target)
        if own.lost is not None:
            for ended in [name for name, each in proofs.items() if each.certificate == own.lost.id]:
                thresholds.pop(ended, None)
                proofs.pop(ended, None)
    after = replace(before, thresholds=thresholds, proofs=proofs)
    others = {number: each for number, each in of.taxonomy.learned.items() if number != str(space.id)}
    if not (after.thresholds or after.proofs or after.head):
        return replace(of.taxonomy, learned=others)
    return replace(of.taxonomy, learned={**others, str(space.id): after})
