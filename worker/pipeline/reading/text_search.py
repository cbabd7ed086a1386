"""The use case: search images by words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from worker import catalog, logs
from worker.catalog.image_filter import TagFilter
from worker.catalog.search import Nearest
from worker.catalog.spaces import Space
from worker.db import Engine, snapshot, transaction
from worker.encoder import Encoder
from worker.errors import EnrichError, NotFoundError, SpaceMismatchError, TextTooLongError
from worker.pipeline.common.tag_filters import resolve_label
from worker.pipeline.reading.filtered_search import FilteredSearch
from worker.pipeline.spaces.loaded_models import LoadedModels, kept_ready
from worker.pipeline.spaces.model_loading import space_spec
from worker.types import Floats

_log = logs.get("pipeline")


class NothingEmbeddedError(NotFoundError):
    """Images were embedded, but none with the model that this process is configured with."""


class TextSearch:
    """Text search in the active space. Text encoders load when the first search needs one, and are kept for the spaces
    that are being filled as well, so that a switch finds the new model ready.
    """

    def __init__(
        self,
        engine: Engine,
        load_own: Callable[[], Encoder],
        load_of: Callable[[Space], Encoder] | None = None,
        *,
        filtered: FilteredSearch | None = None,
        spare: int = 0,
    ) -> None:
        """Load nothing yet.

        Args:
            engine: the database.
            load_own: gives the model that this process is configured with.
            load_of: gives the model of a space. Without it, only the configured one is searched with.
            filtered: what a process keeps that goes on searching. Without it, the database alone searches.
            spare: most models kept ready beside the active one.
        """
        self._engine = engine
        self._search = filtered or catalog.search.nearest
        self._load_own, self._load_of = load_own, load_of
        self._models: LoadedModels[Encoder] = LoadedModels(refusal=SpaceMismatchError)
        self._spare = spare if load_of is not None else 0
        self._vector = lru_cache(maxsize=1024)(self._encode)

    def __call__(
        self,
        text: str,
        *,
        limit: int,
        tags: Sequence[TagFilter] = (),
        min_similarity: float | None = None,
        exact: bool = False,
    ) -> Nearest:
        """The images that match ``text`` best, in the active space; none in an empty catalog.

        Words, vectors and tags are of one space, also while another one is being activated. ``exact`` compares every
        image that passes, however long that takes.

        Raises:
            UnknownNameError: a filter names a taxonomy or label that the catalog has never heard of.
            NothingEmbeddedError: the active space is that of another model, and nothing says where to load it from.
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
            TextTooLongError: the model does not read all of the text.
        """
        words = " ".join(text.split())
        while True:
            with transaction(self._engine) as connection:
                space, filters = catalog.spaces.active(connection), resolve_label(connection, tags)
            if space is None:
                self._own()  # to report its errors now
                return Nearest(hits=[], exact=True, complete=True)
            vector = self._vector(space, words)
            found = self._nearest(space, vector, limit=limit, tags=filters, exact=exact)
            if found is not None:
                return at_least(found, min_similarity)

    @property
    def refusals(self) -> list[str]:
        """Why some spaces cannot be searched by words: their models failed the golden check here."""
        return [str(error) for error in self._models.refusals.values()]

    def keep_ready(self) -> None:
        """Load models that the next switch will need, and free unneeded ones; call it every few seconds."""
        if {None}.issuperset(self._models.keys):
            return  # nobody has searched yet
        with transaction(self._engine) as connection:
            spaces = catalog.spaces.all_spaces(connection)
        wanted = kept_ready(spaces, self._spare)
        for space in wanted:
            try:
                self.model_of(space)
            except EnrichError as error:
                _log.warning(
                    f"searches in space {space.id} could not be answered: {error}", action="model", space=space.id
                )
        self._models.keep([None, *(each.id for each in wanted)])

    def _nearest(
        self, space: Space, vector: Floats, *, limit: int, tags: Sequence[TagFilter], exact: bool
    ) -> Nearest | None:
        """The answer; None if another space has become active."""
        with snapshot(self._engine) as connection:
            active = catalog.spaces.active(connection)  # in the snapshot of everything below
            if active is None or active.id != space.id:
                return None
            return self._search(connection, space, vector, limit=limit, tags=tags, exact=exact)

    def model(self) -> tuple[Space, Encoder]:
        """The active space, and the text tower of its model.

        Raises:
            NothingEmbeddedError: there is none yet, or its model is not available.
            ModelUnavailableError: the model's files are not available.
            SpaceMismatchError: the model is not the one that the space was filled with.
        """
        with transaction(self._engine) as connection:
            space = catalog.spaces.active(connection)
        if space is None:
            raise NothingEmbeddedError("no image was embedded yet")
        return space, self.model_of(space)

    def encoder(self) -> Encoder:
        """The active space's model; the configured one while there is no space."""
        with transaction(self._engine) as connection:
            space = catalog.spaces.active(connection)
        return self._own() if space is None else self.model_of(space)

    def _encode(self, space: Space, text: str) -> Floats:
        model = self.model_of(space)
        if text in (cut := model.cut([text])):
            raise TextTooLongError(model.why_cut(text, cut[text]))
        vector: Floats = model.encode_texts([text])[0]
        return vector

    def _own(self) -> Encoder:
        """The configured model."""
        return self._models.get(None, self._load_own)

    def model_of(self, space: Space) -> Encoder:
        """The text tower at least of a space's model. Raises what ``model`` raises."""
        return self._models.get(space.id, lambda: self._load(space))

    def _load(self, space: Space) -> Encoder:
        if self._load_of is not None and space.source is not None:
            return self._load_of(space)
        encoder = self._own()
        if space_spec(encoder) != space.spec:
            raise _not_ours(space, encoder)
        return encoder


def at_least(found: Nearest, least: float | None) -> Nearest:
    """The answer without hits less similar than ``least``."""
    return replace(found, hits=[hit for hit in found.hits if least is None or hit.similarity >= least])


def _not_ours(space: Space, encoder: Encoder) -> NothingEmbeddedError:
    ours = f"{encoder.space.model} at {encoder.space.revision}"
    theirs = f"{space.model} at {space.revision}"
    if ours == theirs:
        way_out = "that differ in how pictures are prepared: run API and workers in the same version"
    else:
        way_out = "set ENRICH_MODEL to what the workers use"
    return NothingEmbeddedError(f"no image was embedded with {ours}; the catalog has vectors of {theirs}: {way_out}")
