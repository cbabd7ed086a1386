"""Changes of the taxonomies in force. A set of files owns what it declared; what was added by hand is owned by none.

A change is a function of what is in force, so that it is made from what is in force when it is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from worker import tagging
from worker.errors import NotFoundError, TaxonomyError
from worker.pipeline.taxonomies.catalog_state import CatalogState, carrying
from worker.suggestions import shown, suggested
from worker.tagging import Taxonomy
from worker.types import BY_HAND

#: Raises TaxonomyError if taxonomies cannot be in force together.
Check: TypeAlias = Callable[[Sequence[Taxonomy]], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Desired:
    """What is to be in force."""

    taxonomies: tuple[Taxonomy, ...]
    sets: Mapping[str, str]  # name → the set that owns it
    own: str | None = None  # the set whose files were compared
    kept: tuple[str, ...] = ()  # in force, and not among these files


Change: TypeAlias = Callable[[CatalogState], Desired]


def declared(files: Sequence[Taxonomy], *, own: str, remove: bool = False, check: Check = tagging.in_order) -> Change:
    """Put the files of a set into force, beside everything else that is.

    Args:
        files: the taxonomies that the set declares.
        own: the set's name.
        remove: whether to remove taxonomies of this set that it does not declare.
        check: told what would be in force.

    The change raises TaxonomyError if another set owns another version of one of them.
    """

    def change(found: CatalogState) -> Desired:
        kept_learned = carrying(found, files)
        _refuse_those_of_others(found, kept_learned, own)
        names = {each.name for each in files}
        absent = [name for name in found.versions if name not in names]
        gone = {name for name in absent if remove and found.sets[name] == own}
        kept = tuple(name for name in absent if name not in gone)
        sets = {name: found.sets[name] for name in kept}
        # Another set that has the same version goes on owning it.
        sets |= {name: own if found.sets.get(name, own) == BY_HAND else found.sets.get(name, own) for name in names}
        together = _checked(check, [*kept_learned, *found.in_force(but=names | gone)])
        return Desired(taxonomies=together, sets=sets, own=own, kept=kept)

    return change


def added(files: Sequence[Taxonomy], *, check: Check = tagging.in_order) -> Change:
    """Put taxonomies into force, beside or in place of those that are. No set owns them from then on.

    The change raises NotFoundError if nothing is in force: the first worker would not put its files into force then.
    """

    def change(found: CatalogState) -> Desired:
        _require_a_beginning(found)
        names = {each.name for each in files}
        sets = dict(found.sets) | dict.fromkeys(names, BY_HAND)
        together = _checked(check, [*carrying(found, files), *found.in_force(but=names)])
        return Desired(taxonomies=together, sets=sets)

    return change


def removed(names: Collection[str]) -> Change:
    """Remove taxonomies, whichever set owns them.

    The change raises NotFoundError for a name that is not in force, and TaxonomyError for one that a condition of a
    remaining taxonomy names. If an earlier run removed it and was interrupted, there is only the rest of that to do.
    """

    def change(found: CatalogState) -> Desired:
        _require_a_beginning(found)
        removed_before = found.before.versions if found.before and not found.is_finished else {}
        for name in names:
            if name not in found.versions and name not in removed_before:
                _refuse_unknown(name, found)
        left = found.in_force(but=names)
        _refuse_needed(names, left)
        sets = {name: owner for name, owner in found.sets.items() if name not in names}
        return Desired(taxonomies=tuple(left), sets=sets)

    return change


def exactly(taxonomies: Sequence[Taxonomy], sets: Mapping[str, str]) -> Change:
    """Put these into force and no others."""
    return lambda _: Desired(taxonomies=tuple(taxonomies), sets=sets)


def one_replaced(taxonomy: Taxonomy) -> Change:
    """Put one into force in place of the one of its name, which keeps its owner."""

    def change(found: CatalogState) -> Desired:
        sets = {taxonomy.name: BY_HAND} | dict(found.sets)
        together = _checked(tagging.in_order, [taxonomy, *found.in_force(but={taxonomy.name})])
        return Desired(taxonomies=together, sets=sets)

    return change


def relearned(updates: Mapping[str, Callable[[Taxonomy], Taxonomy]]) -> Change:
    """Replace what reviews taught about taxonomies in force, which keep their owners.

    Args:
        updates: name → what makes a taxonomy with other thresholds, proofs or heads of the one in force.

    The change raises NotFoundError for a name that is not in force.
    """

    def change(found: CatalogState) -> Desired:
        for name in updates:
            if name not in found.versions:
                _refuse_unknown(name, found)
        together = [updates[each.name](each) if each.name in updates else each for each in found.in_force()]
        return Desired(taxonomies=_checked(tagging.in_order, together), sets=found.sets)

    return change


def described(name: str) -> str:
    """A set, for people."""
    return "added by hand" if name == BY_HAND else f"set {name}"


def _checked(check: Check, taxonomies: Sequence[Taxonomy]) -> tuple[Taxonomy, ...]:
    check(taxonomies)
    return tuple(taxonomies)


def _require_a_beginning(found: CatalogState) -> None:
    if found.revision is None:
        raise NotFoundError("no taxonomies are in force yet; start a worker or run `enrich taxonomy apply`")


def _refuse_those_of_others(found: CatalogState, files: Sequence[Taxonomy], own: str) -> None:
    lines = [
        f"{each.name} belongs to set {owner}, and these files are of set {own}: take it out of the files, apply it "
        f"with ENRICH_TAXONOMY_SET={owner}, or take it over with `enrich taxonomy add` first"
        for each in files
        if (owner := found.sets.get(each.name, own)) not in (own, BY_HAND)
        and tagging.edits(found.definitions[each.name], tagging.definition(each))
    ]
    if lines:
        raise TaxonomyError("\n".join(lines))


def _refuse_unknown(name: str, found: CatalogState) -> None:
    hint = suggested(name, found.versions, otherwise=f"in force are {', '.join(sorted(found.versions)) or 'none'}")
    raise NotFoundError(f"no taxonomy {shown(name)} is in force; {hint}")


def _refuse_needed(names: Collection[str], left: Sequence[Taxonomy]) -> None:
    lines = [
        f"{name} cannot be removed, because `when` of {each.name} names it: remove {each.name} too, or add it without "
        "this condition first"
        for each in left
        for name in sorted({part.taxonomy for alternative in each.when for part in alternative}.intersection(names))
    ]
    if lines:
        raise TaxonomyError("\n".join(lines))
