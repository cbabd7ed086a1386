"""The vectors of labels' texts, for taxonomies that are not in force; nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np

from worker import catalog
from worker.catalog.spaces import Space
from worker.db import Engine, transaction
from worker.encoder import Encoder
from worker.errors import ChoiceError, TextTooLongError
from worker.pipeline.reading.examples import ExampleVectors
from worker.tagging import Tagger, Taxonomy
from worker.tagging.given_labels import MOST_TEXTS
from worker.tagging.matrix import own_texts
from worker.types import Floats


class LabelTexts:
    """Builds taggers with the vectors of the catalog, and with a model for texts that it does not have."""

    def __init__(self, engine: Engine, examples: ExampleVectors) -> None:
        """Load nothing yet."""
        self._engine, self._examples = engine, examples

    def tagger(self, space: Space, taxonomies: Sequence[Taxonomy]) -> Tagger:
        """A tagger for a space; encodes only texts that neither the catalog nor this process knows."""
        return Tagger(
            taxonomies,
            partial(self._encode, space),
            logit_scale=self._logit_scale(space),
            model=space.model,
            space=space.id,
        )

    def require_whole(self, space: Space, made: Taxonomy) -> None:
        """``require_whole`` with the space's model; raises ``TextTooLongError``."""
        require_whole(self._examples.text_model(space), made)

    def _encode(self, space: Space, texts: Sequence[str]) -> Floats:
        """Prefer vectors from the catalog, which decide about uploads: this machine's may differ in the last bits."""
        with transaction(self._engine) as connection:
            stored = catalog.texts.known(connection, space.id, texts)
        rest = [each for each in dict.fromkeys(texts) if each not in stored]
        known = stored | dict(zip(rest, self._examples.encode_texts(space, rest), strict=True))
        return np.stack([known[each] for each in texts])

    def _logit_scale(self, space: Space) -> float:
        with transaction(self._engine) as connection:
            known = catalog.texts.logit_scale(connection, space.id)
        return known if known is not None else self._examples.text_model(space).logit_scale


def require_whole(model: Encoder, made: Taxonomy) -> None:
    """Refuse labels of whose texts the model would not read the end: two of them could be the same to it.

    Raises:
        TextTooLongError: names one, and how long it is.
    """
    for text, tokens in model.cut(list(dict.fromkeys(own_texts(made, model.space.model)))).items():
        raise TextTooLongError(model.why_cut(text, tokens))


def require_few(given: Sequence[Taxonomy], model: str) -> None:
    """Refuse definitions with more texts than labels of a request may have.

    Raises:
        ChoiceError: says how many there may be.
    """
    # Multiplied before any text is made, which could be millions.
    least = sum(len(label.prompts) * len(each.templates) for each in given for label, _ in each.walk())
    if least > MOST_TEXTS or len(list(islice(_all_texts(given, model), MOST_TEXTS + 1))) > MOST_TEXTS:
        raise ChoiceError(
            f"the definitions have more than {MOST_TEXTS:,} texts, counted in all templates; give fewer labels at "
            "once, or put the taxonomies into force and name them"
        )


def _all_texts(given: Sequence[Taxonomy], model: str) -> Iterator[str]:
    return (text for each in given for text in own_texts(each, model))


__all__ = ["LabelTexts", "require_few", "require_whole"]
