"""The use case: record what people decide, and say so where it no longer fits what they saw."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from worker import catalog
from worker.catalog.decisions import Chosen, CurrentAnswer, CurrentBytes, Decision, NewDecision, Verdict, same
from worker.db import Connection, Engine, again, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import UnknownNameError
from worker.pipeline.review.questions import Effect, Question, Questions
from worker.pipeline.review.texts import LONGEST_KEY, LONGEST_REASON, require_fit
from worker.suggestions import shown
from worker.types import ObjectRef

#: Most decisions in one transaction.
MOST = 1_000
# What the columns can hold.
_PLANS, _SPACES, _LEAST = range(1, 1 << 63), range(1, 1 << 31), 1e-30
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class DecisionOutcome(enum.StrEnum):
    """What became of a request. The words are an interface."""

    SAVED = "saved"
    UNCHANGED = "unchanged"  # the same person's newest decision about these bytes says the same
    OTHER_BYTES = "other-bytes"  # saved for the bytes that were seen; the key has others now
    CONFLICT = "conflict"  # not saved: what was seen has changed
    REFUSED = "refused"  # not saved: the request names something that does not exist


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the person saw. What is left out is not compared with what is there now."""

    sha256: str | None = None  # hex; of the picture
    labels: tuple[str, ...] | None = None  # in force in the taxonomy
    decision: int | None = None  # the newest about this image in the taxonomy; 0: there was none
    label: str | None = None  # the label that was asked about
    version: str | None = None  # of the taxonomy, when that label was decided
    space: int | None = None  # in which it was decided


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRequest:
    """A decision as a person makes it."""

    ref: ObjectRef
    taxonomy: str
    verdict: Verdict
    label: str | None = None  # by name, title or alias
    seen: Seen = Seen()
    reason: str | None = None
    chosen: Chosen = Chosen.DIRECT
    inclusion_probability: float | None = None
    plan: int | None = None
    reviewer: str | None = None  # None: who makes the call
    at: datetime | None = None  # aware; None: now
    effect: Effect | None = None  # as it was recorded before; None: follows from the taxonomy in use


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionResult:
    """What became of one request."""

    outcome: DecisionOutcome
    message: str = ""  # why it was not saved, or not as asked
    decision: int | None = None  # its number; for UNCHANGED, of the one that stands
    now: CurrentAnswer | None = None  # with CONFLICT: what holds instead of what was seen


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionBatch:
    """What became of all requests, in their order."""

    batch: UUID
    results: tuple[DecisionResult, ...]

    def count(self, outcome: DecisionOutcome) -> int:
        """How many ended so."""
        return sum(each.outcome is outcome for each in self.results)


def decide(
    engine: Engine,
    requests: Sequence[DecisionRequest],
    *,
    reviewer: str,
    batch: UUID | None = None,
    resume: bool = True,
    new_labels: bool = False,
) -> DecisionBatch:
    """Record decisions in one transaction; those that cannot be recorded do not keep the others from it.

    Args:
        engine: of the database.
        requests: at most ``MOST``. A later one about the same image replaces an earlier one.
        reviewer: who decides.
        batch: to undo them by; None: a new one.
        resume: whether requests that are in the batch already are left out.
        new_labels: whether labels and taxonomies that do not exist yet may be used.

    Raises:
        ChoiceError: too many requests, or no reviewer.
    """
    if len(requests) > MOST:
        raise ChoiceError(f"{len(requests):,} decisions at once; at most {MOST:,} are taken: send them in parts")
    if not reviewer.strip():
        raise ChoiceError("say who decides: reviewer is empty")
    require_fit("reviewer", reviewer)
    call = _Call(
        reviewer=reviewer.strip(), batch=batch or uuid4(), resumed=batch is not None and resume, new_labels=new_labels
    )

    def transact() -> DecisionBatch:
        with transaction(engine) as connection:
            return _Recorder(connection, requests, call).record()

    return again(transact)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    reviewer: str
    batch: UUID
    resumed: bool  # whether the batch may have some of the requests already
    new_labels: bool


class _Recorder:
    """One transaction."""

    def __init__(self, connection: Connection, requests: Sequence[DecisionRequest], call: _Call) -> None:
        self._connection = connection
        self._requests = requests
        self._call = call
        self._questions = Questions(connection, new_labels=call.new_labels)
        self._images: Mapping[ObjectRef, CurrentBytes] = {}
        self._answers: Mapping[tuple[int, str], CurrentAnswer] = {}
        self._recorded: Mapping[_Content, int] = {}
        self._newest: dict[tuple[ObjectRef, str], NewDecision] = {}

    def record(self) -> DecisionBatch:
        fit = [each for each in self._requests if not _unfit(each)]
        refs = {each.ref for each in fit}
        self._images = catalog.decisions.lock(self._connection, refs)
        pairs = {(self._images[each.ref].id, each.taxonomy) for each in fit if each.ref in self._images}
        self._answers = catalog.decisions.answers(self._connection, pairs)
        if self._call.resumed:
            self._recorded = _content(self._connection, self._call.batch, refs)
        judged = [self._judge(each) for each in self._requests]
        ids = iter(
            catalog.decisions.record(
                self._connection, self._call.batch, [each for each in judged if isinstance(each, NewDecision)]
            )
        )
        results = tuple(self._result(each, next(ids)) if isinstance(each, NewDecision) else each for each in judged)
        return DecisionBatch(batch=self._call.batch, results=results)

    def _judge(self, request: DecisionRequest) -> DecisionResult | NewDecision:
        unfit = _unfit(request)
        if unfit is not None:
            return DecisionResult(outcome=DecisionOutcome.REFUSED, message=unfit)
        try:
            question = self._questions[request.taxonomy]
            decision = self._new(request, question)
        except (ChoiceError, UnknownNameError) as error:
            return DecisionResult(outcome=DecisionOutcome.REFUSED, message=str(error))
        standing = self._standing(request, decision)
        if standing is None:
            self._newest[decision.ref, decision.taxonomy] = decision
        return standing or decision

    def _new(self, request: DecisionRequest, question: Question) -> NewDecision:
        seen, image = request.seen, self._images.get(request.ref)
        sha256 = seen.sha256 or (image.sha256 if image else None)
        if sha256 is None:
            raise ChoiceError(
                f"{request.ref} is not in the catalog: wait until it is enriched, or give the sha256 of the bytes seen"
            )
        label = question.named(request.verdict, request.label)
        shown_label = seen.label if seen.label is None or request.effect else question.label(seen.label)
        effect = request.effect or question.effect(request.verdict, label, shown_label)
        return NewDecision(
            ref=request.ref, sha256=sha256.lower(), taxonomy=question.name, taxonomy_version=question.version,
            verdict=request.verdict, label=label, adds=effect.adds, removes=effect.removes, answers=effect.answers,
            reviewer=request.reviewer or self._call.reviewer, reason=request.reason, chosen=request.chosen,
            inclusion_probability=request.inclusion_probability, plan=request.plan, shown_label=shown_label,
            shown_version=seen.version, shown_space=seen.space, at=request.at,
        )  # fmt: skip

    def _standing(self, request: DecisionRequest, decision: NewDecision) -> DecisionResult | None:
        """The result of a request that is not recorded: it was before, or what was seen has changed."""
        recorded = self._recorded.get(_Content.of(decision.ref, request.seen.sha256 and decision.sha256, decision))
        if recorded is not None:
            return DecisionResult(outcome=DecisionOutcome.UNCHANGED, decision=recorded)
        image = self._images.get(decision.ref)
        if image is None or image.sha256 != decision.sha256:
            return None
        now = self._answers[image.id, decision.taxonomy]
        newest = self._newest.get((decision.ref, decision.taxonomy))
        if newest is not None and newest.sha256 == decision.sha256:
            return DecisionResult(outcome=DecisionOutcome.UNCHANGED) if same(newest, decision) else None
        if now.says(decision):
            return DecisionResult(outcome=DecisionOutcome.UNCHANGED, decision=now.decision)
        changed = _changed(request.seen, now)
        return DecisionResult(outcome=DecisionOutcome.CONFLICT, message=changed, now=now) if changed else None

    def _result(self, decision: NewDecision, number: int) -> DecisionResult:
        image = self._images.get(decision.ref)
        if image is not None and image.sha256 == decision.sha256:
            return DecisionResult(outcome=DecisionOutcome.SAVED, decision=number)
        what = "it has other bytes now" if image is not None else "it is not in the catalog now"
        return DecisionResult(
            outcome=DecisionOutcome.OTHER_BYTES, decision=number, message=f"{what}: kept for the bytes that were seen"
        )


@dataclass(frozen=True, slots=True)
class _Content:
    """What makes two decisions of a batch the same."""

    ref: ObjectRef
    sha256: str | None  # None: of whichever bytes the image had
    taxonomy: str
    verdict: str
    label: str | None
    shown_label: str | None

    @classmethod
    def of(cls, ref: ObjectRef, sha256: str | None, decision: NewDecision | Decision) -> _Content:
        return cls(ref, sha256, decision.taxonomy, decision.verdict, decision.label, decision.shown_label)


def _content(connection: Connection, batch: UUID, refs: Iterable[ObjectRef]) -> dict[_Content, int]:
    """Twice: a request that is sent again may not say which bytes were seen, and the image may have others now."""
    return {
        _Content.of(ObjectRef(bucket=d.bucket, key=d.key), sha256, d): d.id
        for d in catalog.decisions.of_batch(connection, batch, list(refs))
        for sha256 in (d.sha256, None)
    }


def _unfit(request: DecisionRequest) -> str | None:
    """Why a request cannot be kept as it is; None: it can."""
    seen = request.seen
    names = {"bucket": request.ref.bucket, "taxonomy": request.taxonomy, "label": request.label,
             "reviewer": request.reviewer, "label shown": seen.label, "version shown": seen.version}  # fmt: skip
    try:
        for what, name in names.items():
            require_fit(what, name)
        require_fit("key", request.ref.key, longest=LONGEST_KEY)
        require_fit("reason", request.reason, longest=LONGEST_REASON)
    except ChoiceError as error:
        return str(error)
    if seen.sha256 is not None and not _SHA256.fullmatch(seen.sha256):
        return f"sha256 {shown(seen.sha256)} is not 64 hexadecimal digits: copy it from the image's record"
    if request.plan is not None and request.plan not in _PLANS:
        return f"there is no review plan {request.plan}; leave it out, or take its number from the plan"
    if seen.space is not None and seen.space not in _SPACES:
        return f"there is no space {seen.space}; `enrich space list` shows them"
    if request.inclusion_probability is not None and not _LEAST <= request.inclusion_probability <= 1:
        return f"an inclusion probability of {request.inclusion_probability:g} is not above 0 and at most 1: correct it"
    return None


def _changed(seen: Seen, now: CurrentAnswer) -> str | None:
    """What is different from what was seen, in a sentence; None: nothing that was compared."""
    if seen.decision is not None and seen.decision != (now.decision or 0):
        if now.decision is None:
            return "the decision that was shown has been undone; look again"
        return f"{now.reviewer} decided about it meanwhile; look again"
    if seen.labels is not None and sorted(seen.labels) != sorted(now.labels):
        return f"its labels are {_listed(now.labels)} now, not {_listed(seen.labels)}; look again"
    return None


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "none"
