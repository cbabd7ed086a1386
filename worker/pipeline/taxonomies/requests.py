"""The use case: plan and apply changes for callers who do not wait until every image has its tags."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from worker import catalog, logs, tagging
from worker.catalog.proofs import ProofCounts
from worker.catalog.spaces import Space
from worker.catalog.taxonomy_revisions import Action, Revision
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.errors import ApplyingError
from worker.pipeline.taxonomies import changes, lifecycle
from worker.pipeline.taxonomies import plan as planning
from worker.pipeline.taxonomies.catalog_state import CatalogState, in_catalog
from worker.pipeline.taxonomies.changes import Change
from worker.pipeline.taxonomies.plan import Plan
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.tagging import Tagger, Taxonomy, TaxonomyFile

_log = logs.get("pipeline")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requested:
    """A change, and what the history says about it."""

    change: Change
    action: Action = "apply"
    back_to: int | None = None


class TaxonomyChanges:
    """Plans and applies changes in this process, with a model that it has loaded already."""

    def __init__(self, engine: Engine, model: Callable[[], tuple[Space, Encoder]]) -> None:
        """Load nothing yet.

        Args:
            engine: the database.
            model: the active space and its model; called when a prompt is new.
        """
        self._engine, self._model = engine, model

    def state(self) -> CatalogState:
        """What is in force."""
        return in_catalog(self._engine)

    def state_and_proofs(self) -> tuple[CatalogState, Mapping[str, ProofCounts]]:
        """What is in force, and how many labels of each taxonomy have certificates."""
        state = in_catalog(self._engine)
        with transaction(self._engine) as connection:
            return state, {each.taxonomy: each for each in catalog.proofs.counts(connection)}

    def history(self, *, limit: int) -> list[Revision]:
        """The newest revisions, newest first."""
        with transaction(self._engine) as connection:
            return catalog.taxonomy_revisions.recent(connection, limit=limit)

    def added(self, files: Sequence[TaxonomyFile]) -> Requested:
        """Put these into force beside all others."""
        return Requested(change=changes.added(_of(files), check=partial(tagging.check_conditions, files)))

    def declared(self, files: Sequence[TaxonomyFile], *, own: str, remove: bool) -> Requested:
        """Put these into force as those of a set."""
        check = partial(tagging.check_conditions, files)
        return Requested(change=changes.declared(_of(files), own=own, remove=remove, check=check))

    def removed(self, names: Sequence[str]) -> Requested:
        """Remove these."""
        return Requested(change=changes.removed(names))

    def gone_back(self, target: str | None) -> Requested:
        """Go back; raises what ``lifecycle.content`` raises."""
        number, change = lifecycle.content(self._engine, target)
        return Requested(change=change, action="rollback", back_to=number)

    def plan(self, requested: Requested, *, sample: int) -> Plan:
        """What the change would do; raises what ``plan`` raises."""
        return planning.plan(self._engine, requested.change, self.build, sample=sample)

    def apply(self, requested: Requested, *, planned: int | None) -> Revision:
        """Put the change into force, and update stored tags on a thread of this process.

        When the process ends before that is done, the same request goes on with it.

        Returns:
            The revision in force.

        Raises:
            Whatever ``lifecycle.apply`` raises before the revision is in force.
        """
        begun: Future[Revision] = Future()
        work = partial(self._apply, requested, planned, begun)
        threading.Thread(target=work, name="retag", daemon=True).start()
        return begun.result()

    def _apply(self, requested: Requested, planned: int | None, begun: Future[Revision]) -> None:
        try:
            lifecycle.apply(
                self._engine,
                requested.change,
                self.build,
                action=requested.action,
                back_to=requested.back_to,
                planned=planned,
                made_by=f"api@{socket.gethostname()}",
                in_force=begun.set_result,
            )
        except BaseException as error:  # noqa: BLE001  # raised by the caller if it still waits
            if not begun.done():
                begun.set_exception(error)
                return
            _log.error("stored tags were not updated to the end", action="taxonomies", error=str(error))

    def build(self, space: Space, desired: Sequence[Taxonomy]) -> Tagger:
        """A tagger for the model of a space, which must be the active one if a prompt is new."""
        prompts = PromptVectorCache(self._engine, space, lambda: self._encoder(space))
        return Tagger(desired, prompts, logit_scale=prompts.logit_scale, model=space.model, space=space.id)

    def _encoder(self, space: Space) -> Encoder:
        active, encoder = self._model()
        if active.id != space.id:
            raise ApplyingError(f"space {active.id} was activated meanwhile; try again. Nothing was changed")
        return encoder


def _of(files: Sequence[TaxonomyFile]) -> list[Taxonomy]:
    return [each.taxonomy for each in files]
