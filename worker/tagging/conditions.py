"""``when``: dependencies between taxonomies, and errors in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.errors import TaxonomyError
from worker.tagging.messages import did_you_mean
from worker.tagging.taxonomy import ABSTENTION, Requirement, Taxonomy


@dataclass(frozen=True, kw_only=True, slots=True)
class ConditionProblem:
    """A condition that can never be decided."""

    taxonomy: str  # whose condition it is
    requires: str  # the taxonomy it names
    alternative: int  # in which of its alternatives, counted from 0
    message: str


def in_order(taxonomies: Sequence[Taxonomy]) -> tuple[Taxonomy, ...]:
    """Order taxonomies so that each comes after those its condition names; keep the given order apart from that.

    Raises:
        TaxonomyError: a condition names what is not among them, or they wait for each other in a circle.
    """
    found = problems(taxonomies)
    if found:
        raise TaxonomyError("\n".join(f"{each.taxonomy}: when.{each.requires}: {each.message}" for each in found))
    by_name = {taxonomy.name: taxonomy for taxonomy in taxonomies}
    ordered: dict[str, Taxonomy] = {}

    def place(taxonomy: Taxonomy) -> None:
        for name in required(taxonomy):
            place(by_name[name])
        ordered.setdefault(taxonomy.name, taxonomy)

    for taxonomy in taxonomies:
        place(taxonomy)
    return tuple(ordered.values())


def required(taxonomy: Taxonomy) -> tuple[str, ...]:
    """The taxonomies its condition names."""
    return tuple(dict.fromkeys(part.taxonomy for alternative in taxonomy.when for part in alternative))


def problems(taxonomies: Sequence[Taxonomy]) -> list[ConditionProblem]:
    """Unknown names and cycles, each once."""
    by_name = {taxonomy.name: taxonomy for taxonomy in taxonomies}
    unknown = [
        ConditionProblem(taxonomy=taxonomy.name, requires=part.taxonomy, alternative=number, message=message)
        for taxonomy in taxonomies
        for number, alternative in enumerate(taxonomy.when)
        for part in alternative
        for message in _unknown(part, by_name)
    ]
    return list(dict.fromkeys([*unknown, *_circles(by_name)]))


def decidable(taxonomies: Sequence[Taxonomy], *, among: Collection[str]) -> list[Taxonomy]:
    """Without those whose condition can never be decided; those that ``among`` names stay whatever they are."""
    left = list(taxonomies)
    while wrong := {each.taxonomy for each in problems(left)}.difference(among):
        left = [each for each in left if each.name not in wrong]
    return left


def holds(taxonomy: Taxonomy, answers: Mapping[str, Collection[str | None]]) -> bool:
    """Whether the taxonomy applies to an image with these answers: taxonomy → labels, or None for none of these."""
    return not taxonomy.when or any(
        all(any(label in answers.get(part.taxonomy, ()) for label in part.labels) for part in alternative)
        for alternative in taxonomy.when
    )


def _unknown(part: Requirement, by_name: Mapping[str, Taxonomy]) -> Iterator[str]:
    if part.taxonomy not in by_name:
        near = did_you_mean(part.taxonomy, by_name)
        yield f"no taxonomy of that name is loaded{near}; load it too (ENRICH_TAXONOMIES), or remove the condition"
        return
    if not by_name[part.taxonomy].decides:
        yield f"{part.taxonomy!r} is a vocabulary, which decides nothing about images; remove the condition"
        return
    labels = [label.name for label, _ in by_name[part.taxonomy].walk()]
    for label in part.labels:
        if label is not None and label not in labels:
            choices = ", ".join([*labels[:20], *(["…"] if len(labels) > 20 else []), f"'{ABSTENTION}'"])  # noqa: PLR2004
            yield f"{part.taxonomy!r} has no label {label!r}{did_you_mean(label, labels)}; it has {choices}"


def _circles(by_name: Mapping[str, Taxonomy]) -> Iterator[ConditionProblem]:
    done: set[str] = set()
    for start in by_name:
        path: list[str] = []
        yield from _follow(start, path, done, by_name)


def _follow(name: str, path: list[str], done: set[str], by_name: Mapping[str, Taxonomy]) -> Iterator[ConditionProblem]:
    if name in path:
        circle = " → ".join([*path[path.index(name) :], name])
        message = f"a cycle: {circle}; each would wait for the other, remove one of these conditions"
        yield ConditionProblem(
            taxonomy=path[-1], requires=name, alternative=_naming(by_name[path[-1]], name), message=message
        )
    elif name in by_name and name not in done:
        for other in required(by_name[name]):
            yield from _follow(other, [*path, name], done, by_name)
        done.add(name)


def _naming(taxonomy: Taxonomy, name: str) -> int:
    return next(i for i, parts in enumerate(taxonomy.when) if any(part.taxonomy == name for part in parts))
