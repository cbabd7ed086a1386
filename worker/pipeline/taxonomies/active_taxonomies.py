"""The taxonomies in force, ready to tag with one model. They follow changes without a restart."""

from __future__ import annotations

import getpass
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from worker import catalog, logs, tagging
from worker.catalog.certificates import CertifiedLabel
from worker.catalog.spaces import Space
from worker.catalog.taxonomies import TaxonomyVersion
from worker.catalog.taxonomy_revisions import Revision
from worker.db import Engine, transaction
from worker.errors import EnrichError, TaxonomyError
from worker.pipeline.taxonomies.catalog_state import carrying, in_catalog
from worker.pipeline.taxonomies.prompt_vectors import PromptVectorCache
from worker.tagging import Tagger, Taxonomy
from worker.types import DEFAULT_SET

_log = logs.get("pipeline")
_T = TypeVar("_T")

#: Seconds between attempts at a lock that writers hold, and the total time.
_PAUSE = 0.2
_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ActiveTagger:
    """A revision of the taxonomies and its tagger."""

    revision: int
    tagger: Tagger


class ActiveTaxonomies:
    """One model's tagger. Threads share it; each reads ``now`` once per batch."""

    def __init__(self, engine: Engine, space: Space, prompts: PromptVectorCache) -> None:
        """Read the revision in force.

        Raises:
            TaxonomyError: it was applied by a release that knows more than this one.
        """
        self._engine, self._space, self._prompts = engine, space, prompts
        self._mutex = threading.Lock()
        self._now: ActiveTagger | None = None
        self._now = self.follow()

    @property
    def now(self) -> ActiveTagger:
        """The revision and tagger as of the last ``follow``."""
        assert self._now is not None  # noqa: S101  # set in __init__
        return self._now

    def follow(self) -> ActiveTagger:
        """Load the revision in force; encodes new prompts. Call it when a write finds the revision outdated.

        Raises:
            TaxonomyError: it was applied by a release that knows more than this one.
        """
        with self._mutex:
            with transaction(self._engine) as connection:
                current = catalog.taxonomy_revisions.current(connection)
                assert current is not None  # noqa: S101  # `begin` was called first
                if self._now is not None and self._now.revision == current.id:
                    return self._now
                stored = catalog.taxonomy_revisions.definitions_of(connection, current.id)
                catalog.taxonomy_revisions.note_empty(connection, self._space.id, current.id)
            taxonomies = [tagging.restore(definition, version=version) for version, definition in stored]
            before, self._now = self._now, ActiveTagger(revision=current.id, tagger=self.build(taxonomies))
        if before is not None:
            _log.info(f"now tagging by revision {current.id} of the taxonomies", action="taxonomies")
        return self._now

    def build(self, taxonomies: Sequence[Taxonomy]) -> Tagger:
        """A tagger of other taxonomies with the same model."""
        scale, space = self._prompts.logit_scale, self._space
        return Tagger(taxonomies, self._prompts, logit_scale=scale, model=space.model, space=space.id)


def begin(
    engine: Engine,
    desired: Callable[[], Sequence[Taxonomy]],
    *,
    own: str = DEFAULT_SET,
    made_by: str | None = None,
) -> Revision:
    """The revision in force; in a catalog without one, what ``desired`` gives is put into force first.

    Args:
        engine: the database.
        desired: reads the files.
        own: the set that they belong to.
        made_by: user@host; None: the user of this process.
    """
    with transaction(engine) as connection:
        found = catalog.taxonomy_revisions.current(connection)
    if found is not None:
        return found
    taxonomies = desired()
    keep(engine, taxonomies)

    def try_to() -> Revision:
        with transaction(engine) as connection:
            return catalog.taxonomy_revisions.begin(
                connection,
                versions(taxonomies),
                sets={each.name: own for each in taxonomies},
                made_by=made_by or current_user(),
            )

    return retry_while_locked(try_to)


def warn_uncalibrated(built: Tagger) -> None:
    """Log which taxonomies are not calibrated for this model."""
    if built.uncalibrated:
        _log.warning(
            f"not calibrated for {built.model}: {', '.join(built.uncalibrated)}; their tags with this model are "
            "unproven, and their probabilities rough: look at some, then give the model numbers of its own under "
            "`models:` (docs/reference/taxonomies.md)",
            action="calibration",
            model=built.model,
            taxonomies=list(built.uncalibrated),
        )


def warn_changed_files(
    engine: Engine, in_force: Revision, desired: Callable[[], Sequence[Taxonomy]], *, own: str
) -> None:
    """Log if the files differ from those taxonomies in force that belong to their set."""
    try:
        files = versions(carrying(in_catalog(engine), desired()))
        if all(
            files.get(name) == in_force.versions.get(name)
            for name in {*files, *(name for name in in_force.versions if in_force.set_of(name) == own)}
        ):
            return
        differing = "are not those in force"
    except TaxonomyError as error:
        differing = f"cannot be read ({error})"
    _log.warning(
        f"the taxonomies of ENRICH_TAXONOMIES {differing}; images are tagged by revision {in_force.id}, which was "
        "applied: `enrich taxonomy plan` shows the difference, `enrich taxonomy apply` puts the files into force",
        action="taxonomies",
    )


def keep(engine: Engine, taxonomies: Sequence[Taxonomy]) -> None:
    """Store these versions' definitions, with the newest display texts."""
    kept = [
        TaxonomyVersion(name=each.name, version=each.version, many=each.many, definition=tagging.definition(each))
        for each in taxonomies
    ]
    certified = [
        CertifiedLabel(
            space=int(space), taxonomy=each.name, version=each.version, label=label, certificate=proof.certificate
        )
        for each in taxonomies
        for space, own in each.learned.items()
        for label, proof in own.proofs.items()
    ]
    with transaction(engine) as connection:
        catalog.taxonomies.remember(connection, kept)
        catalog.certificates.certify(connection, certified)


def versions(taxonomies: Sequence[Taxonomy]) -> Mapping[str, str]:
    """Name → version."""
    return {each.name: each.version for each in taxonomies}


def current_user() -> str:
    """user@host, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = "?"
    return f"{user}@{socket.gethostname()}"


def retry_while_locked(transact: Callable[[], _T]) -> _T:
    """Run a transaction that needs a lock which writers share, again and again.

    Raises:
        EnrichError: writers held it all the time.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return transact()
        except Exception as error:
            if not catalog.partitions.is_lock_timeout(error):
                raise
            if time.monotonic() > deadline:
                raise EnrichError(
                    f"transactions that write tags were open all of {_PATIENCE:g} s; nothing was changed: look for "
                    "one that hangs in pg_stat_activity, then try again"
                ) from error
            time.sleep(_PAUSE)
