"""The use case: calibrations that clients ask for over HTTP."""

from __future__ import annotations

import socket

from worker.catalog.taxonomy_revisions import Revision
from worker.db import Engine
from worker.errors import ApplyingError
from worker.pipeline.evaluation import calibrate, proofs
from worker.pipeline.evaluation.calibrate import Calibration, CalibrationRequest
from worker.pipeline.taxonomies.plan import Plan
from worker.pipeline.taxonomies.requests import Requested, TaxonomyChanges


class Calibrations:
    """Examines reviews and puts proven thresholds into force, with a model that this process has loaded."""

    def __init__(self, engine: Engine, taxonomies: TaxonomyChanges) -> None:
        """Ask nothing yet."""
        self._engine, self._taxonomies = engine, taxonomies

    def plan(self, request: CalibrationRequest, *, sample: int) -> tuple[Calibration, Plan | None]:
        """What the reviews prove, and what putting it into force would do; stores nothing.

        Raises what ``examine`` and ``plan`` raise.
        """
        found = calibrate.examine(self._engine, self._taxonomies.build, request)
        if not found.changes:
            return found, None
        return found, self._taxonomies.plan(Requested(change=proofs.change(found)), sample=sample)

    def apply(self, request: CalibrationRequest, *, planned: int | None) -> tuple[Calibration, Revision | None]:
        """Store certificates, put what is proven into force, and update stored tags on a thread of this process.

        Args:
            request: what to prove.
            planned: the revision that a person saw compared; None: any may be in force.

        Returns:
            What the reviews prove, and the revision; None if nothing had to be changed.

        Raises:
            ApplyingError: another revision is in force, or another process is applying taxonomies.
            What ``examine`` raises.
        """
        found = calibrate.examine(self._engine, self._taxonomies.build, request)
        if planned is not None and planned != found.revision:
            raise ApplyingError(
                f"revision {found.revision} was put into force since the plan was made: plan again to see what it "
                "would change now. Nothing was changed"
            )
        found = proofs.store(self._engine, found, made_by=f"api@{socket.gethostname()}")
        if not found.changes:
            return found, None
        return found, self._taxonomies.apply(Requested(change=proofs.change(found)), planned=found.revision)
