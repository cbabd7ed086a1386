"""The use cases: which certificates hold, and whether later reviews refute one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from worker import catalog, logs, metrics, tagging
from worker.catalog.certificates import Certificate
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, snapshot, transaction
from worker.errors import ChoiceError
from worker.pipeline.common.tag_filters import require_taxonomies
from worker.pipeline.evaluation.certify import REFUTED, at_least
from worker.pipeline.evaluation.reviewed import Reviewed, reviewed
from worker.pipeline.resilience.periodic import PeriodicThread
from worker.pipeline.review.sampling import batch
from worker.suggestions import shown, suggested
from worker.tagging import Taxonomy

_log = logs.get("pipeline")

#: Seconds between checks.
INTERVAL = 300.0

#: proven: later reviews did not refute it; unproven: it says what is missing; expired: it is about something else now.
CertificateState: TypeAlias = Literal["proven", "unproven", "expired"]
STATES: tuple[CertificateState, ...] = ("proven", "unproven", "expired")


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateView:
    """A certificate, and whether it holds."""

    certificate: Certificate
    state: CertificateState
    reason: str | None  # why it expired
    in_force: bool  # whether its threshold is the one that tags


@dataclass(frozen=True, kw_only=True, slots=True)
class Refuted:
    """A certificate that no longer holds."""

    id: int
    taxonomy: str
    label: str | None
    because: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _InForce:
    """What images are tagged by now."""

    space: Space
    taxonomies: Mapping[str, Taxonomy]

    def certificates(self) -> set[int]:
        """Those that a threshold in force has."""
        return {
            proof.certificate
            for each in self.taxonomies.values()
            for own in [each.learned_in(self.space.id)]
            if own is not None
            for proof in own.proofs.values()
        }


def certificates(
    engine: Engine,
    *,
    taxonomies: Sequence[str] = (),
    label: str | None = None,
    state: CertificateState | None = None,
) -> list[CertificateView]:
    """For each label and target, the newest certificate in the active space, and those whose thresholds are in force.

    Raises:
        UnknownNameError: there is no such taxonomy.
        ChoiceError: there is no such state.
    """
    if state is not None and state not in STATES:
        raise ChoiceError(f"no state {shown(state)}: {suggested(state, STATES, otherwise=', '.join(STATES))}")
    with snapshot(engine) as connection:
        require_taxonomies(connection, taxonomies)
        found = _in_force(connection)
        views = [] if found is None else _views(connection, found, taxonomies)
    return [
        each
        for each in views
        if (label is None or each.certificate.label == label) and (state is None or each.state == state)
    ]


def counts(engine: Engine) -> dict[str, int]:
    """How many labels of the taxonomies in force are in each state: by the certificate in force, else the newest."""
    views = certificates(engine)
    ordered = sorted(views, key=lambda each: (each.in_force, each.certificate.id))
    of_label = {(each.certificate.taxonomy, each.certificate.label): each.state for each in ordered}
    found = Counter(of_label.values())
    return {state: found[state] for state in STATES}


def watcher(engine: Engine) -> PeriodicThread:
    """Watches certificates, once it is started."""
    return PeriodicThread(
        "certificates",
        lambda: watch(engine),
        action="certificates",
        failure="the check of certificates failed; retrying",
        interval=INTERVAL,
    )


def watch(engine: Engine) -> None:
    """Let certificates expire that later reviews refute, log each, and publish how many there are in each state."""
    for each in windows(engine):
        _log.warning(
            f"certificate {each.id} for {each.taxonomy}={each.label or '(all labels)'} has expired: {each.because}; "
            "`enrich calibrate` looks again",
            action="certificates",
        )
    metrics.set_certificates(counts(engine))


def windows(engine: Engine) -> list[Refuted]:
    """Note which certificates in force the newest reviews refute; those that expired by this.

    The window of a certificate has the newest random reviews since it was made, one for each scene, of images to which
    the model gives the label: as many as a first look at the target has. They refute the target if so many errors have
    a probability of at most 1 % where it holds.
    """
    with snapshot(engine) as connection:
        found = _in_force(connection)
        own = catalog.certificates.by_id(connection, found.certificates()) if found else {}
        refuted = [
            Refuted(id=each.id, taxonomy=each.taxonomy, label=each.label, because=because)
            for each in own.values()
            if found and each.expired_at is None and (because := _refuted(connection, found, each))
        ]
    if not refuted:
        return []
    with transaction(engine) as connection:
        return [each for each in refuted if catalog.certificates.expire(connection, each.id, because=each.because)]


# -- states ------------------------------------------------------------------------------------------------------------
def _in_force(connection: Connection) -> _InForce | None:
    space, revision = catalog.spaces.active(connection), catalog.taxonomy_revisions.current(connection)
    if space is None or revision is None:
        return None
    kept = catalog.taxonomies.kept(connection, list(revision.versions))
    restored = [tagging.restore(each.definition, version=each.version) for each in kept if each.in_force]
    return _InForce(space=space, taxonomies={each.name: each for each in restored})


def _views(connection: Connection, found: _InForce, taxonomies: Sequence[str]) -> list[CertificateView]:
    in_force = found.certificates()
    newest = {each.id: each for each in catalog.certificates.newest(connection, found.space.id, taxonomies)}
    every = newest | catalog.certificates.by_id(connection, in_force - newest.keys())
    return [
        _view(each, found, in_force=each.id in in_force)
        for each in sorted(every.values(), key=lambda each: (each.taxonomy, each.label or "", each.target, each.id))
        if not taxonomies or each.taxonomy in taxonomies
    ]


def _view(own: Certificate, found: _InForce, *, in_force: bool) -> CertificateView:
    reason = own.expired_because or _outdated(own, found)
    state: CertificateState = "unproven" if own.threshold is None else "expired" if reason else "proven"
    return CertificateView(certificate=own, state=state, reason=reason, in_force=in_force)


def _outdated(own: Certificate, found: _InForce) -> str | None:
    taxonomy = found.taxonomies.get(own.taxonomy)
    if taxonomy is None:
        return f"{own.taxonomy} is not in force"
    if taxonomy.scoring(found.space.model, found.space.id) == own.scoring:
        return None
    head = taxonomy.head(found.space.id)
    if (head.number if head else None) != own.head:
        return "another head is in force" if head else "its head is not in force"
    return f"prompts or numbers of {own.taxonomy} have changed"


# -- windows -----------------------------------------------------------------------------------------------------------
def _refuted(connection: Connection, found: _InForce, own: Certificate) -> str | None:
    """Why a certificate no longer holds."""
    taxonomy = found.taxonomies[own.taxonomy]
    if not catalog.reviewed_images.has_later(connection, own.taxonomy, own.last_decision or 0):
        return None
    labels = [own.label] if own.label is not None else [each.name for each in taxonomy.labels]
    given = catalog.certificates.given(connection, own.space, own.taxonomy, labels, after=own.last_decision or 0)
    right = _window(reviewed(connection, found.space, own.taxonomy), given, own)
    errors = int((~right).sum())
    if not len(right) or at_least(errors, len(right), 1 - own.target) > REFUTED:
        return None
    return f"{errors} of the newest {len(right)} random reviews were wrong; for {own.target:g} that is too many"


def _window(found: Reviewed, given: Mapping[int, Sequence[str]], own: Certificate) -> np.ndarray:
    """Whether the label was right, for the newest random reviews of images that have it."""
    newest: list[tuple[int, int, bool]] = []  # decision, scene, right
    for place in found.some(lambda each: each.id in given).tolist():
        image = found.images[place]
        for label in given[image.id]:
            answer = image.about(label)
            if answer is not None and answer.draw is not None and answer.draw.decision > (own.last_decision or 0):
                newest.append((answer.draw.decision, int(found.scenes[place]), bool(image.truth(label))))
    once: dict[int, bool] = {}
    for _, scene, right in sorted(newest, reverse=True):
        once.setdefault(scene, right)
    return np.array(list(once.values())[: batch(own.target)], dtype=bool)
