"""Certificates of what reviews prove, and the change that puts proven thresholds into force.

Looking at reviews spends error probability, so a certificate is stored of each look, also where nothing is proven. The
thresholds then go through the plan, the revision and the retagging of any other change of taxonomies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import partial

from worker import catalog
from worker.catalog.certificates import Certificate, NewCertificate
from worker.catalog.spaces import Space
from worker.db import Connection, Engine, transaction
from worker.errors import ChoiceError
from worker.pipeline.evaluation.calibrate import Calibration, LabelCalibration, TaxonomyCalibration, after
from worker.pipeline.taxonomies import changes
from worker.pipeline.taxonomies.changes import Change
from worker.tagging import Taxonomy

#: Between numbers that were stored as single precision.
_EQUAL = 1e-6


def store(engine: Engine, found: Calibration, *, made_by: str) -> Calibration:
    """Keep a certificate of each look, unless it is kept already; the same with the certificates' numbers."""
    with transaction(engine) as connection:
        kept = catalog.certificates.newest(connection, found.space.id, [each.name for each in found.taxonomies])
        newest = {(each.taxonomy, each.label, each.target): each for each in kept}
        stored = [
            replace(of, labels=tuple(_numbered(connection, own, _certificate(found.space, of, own, made_by), newest)
                                     for own in of.labels))
            for of in found.taxonomies
        ]  # fmt: skip
    return replace(found, taxonomies=tuple(replace(each, after=after(each, found.space)) for each in stored))


def change(found: Calibration) -> Change:
    """What puts the proven thresholds into force, and withdraws lost ones."""
    updates = {each.name: partial(_learning, each, found.space) for each in found.taxonomies if each.changes}
    return changes.relearned(updates)


def _numbered(
    connection: Connection,
    own: LabelCalibration,
    new: NewCertificate,
    newest: Mapping[tuple[str, str | None, float], Certificate],
) -> LabelCalibration:
    there = newest.get((new.taxonomy, new.label, new.target))
    if there is not None and there.expired_at is None and _same(there, new):
        return replace(own, certificate=there.id)
    return replace(own, certificate=catalog.certificates.add(connection, new))


def _same(there: Certificate, new: NewCertificate) -> bool:
    pairs = [(getattr(there, each.name), getattr(new, each.name)) for each in fields(new) if each.name != "made_by"]
    return all(
        abs(its - own) < _EQUAL if isinstance(its, float) and isinstance(own, float) else its == own
        for its, own in pairs
    )


def _certificate(space: Space, of: TaxonomyCalibration, own: LabelCalibration, made_by: str) -> NewCertificate:
    test = own.test
    return NewCertificate(
        space=space.id,
        taxonomy=of.name,
        label=own.label,
        scoring=of.scoring,
        head=of.head,
        target=of.target,
        delta=own.delta,
        look=own.look,
        spent=test.delta,
        threshold=test.threshold,
        reviewed=test.reviewed,
        accepted=test.accepted if test.is_proven else test.reviewed,
        errors=test.errors if test.is_proven else test.wrong,
        lower_bound=test.lower_bound,
        coverage=test.coverage if test.is_proven else None,
        plans=own.plans,
        last_decision=own.last_decision,
        made_by=made_by,
    )


def _learning(of: TaxonomyCalibration, space: Space, in_force: Taxonomy) -> Taxonomy:
    """Made of what is in force when it is applied, which may be what was examined, or this very change."""
    if in_force.scoring(space.model, space.id) != of.scoring:
        raise ChoiceError(
            f"{in_force.name} scores images differently now than when its reviews were examined: run the command "
            "again. "
            "Nothing was changed"
        )
    others = {number: each for number, each in in_force.learned.items() if number != str(space.id)}
    own = of.after.learned_in(space.id)
    return replace(in_force, learned=others if own is None else {**others, str(space.id): own})
