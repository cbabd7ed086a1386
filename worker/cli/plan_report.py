"""A plan in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from worker.cli import abstentions, context
from worker.cli.abstentions import images, is_one, number
from worker.types import BY_HAND, DEFAULT_SET

if TYPE_CHECKING:
    from worker.pipeline.common.estimates import Sampling
    from worker.pipeline.taxonomies.plan import (
        KeptTaxonomy,
        LabelChange,
        Plan,
        PlannedChange,
        TaxonomyEdit,
        TaxonomyPlan,
    )

_SIGNS = {"same": " ", "words": "~", "moved": "~", "changed": "~", "added": "+", "removed": "-"}
_COLOURS = {"same": None, "words": "cyan", "moved": "cyan", "changed": "yellow", "added": "green", "removed": "red"}
_BAR = 30
_MOST_LINES = 12  # of a definition's differences
_MOST_LABELS = 40
_MOST_CHANGES = 15
_EXAMPLES = 3  # of each
#: Kept, lost, gained.
_BLOCKS, _ASCII = ("█", "░", "▓"), ("#", "-", "+")


def show(plan: Plan, *, source: str = "the files") -> None:
    """Print a plan; ``source``: what is compared with the tags."""
    if plan.is_empty:
        checked = f"; {basis(plan.sampling)}" if plan.sampling.images else ""
        are = "are part of" if plan.kept else "are"
        context.line(f"nothing to change: {source} {are} revision {plan.revision}, and all tags follow it{checked}")
        for each in plan.taxonomies:
            if each.abstentions:
                context.line(f"{each.edit.name}: {abstentions.sentence(each.abstentions)}")
            for line in waiting(each.edit):
                context.line(f"{each.edit.name}: {line}")
        show_kept(plan)
        return
    context.line(basis(plan.sampling))
    for each in plan.taxonomies:
        if each.edit.edit != "same" or each.changes or each.hidden.seen:
            _show_taxonomy(each)
    context.line("")
    show_kept(plan)
    context.line(summary(plan), style="bold")


def show_kept(plan: Plan) -> None:
    """Print what stays in force although the files do not name it."""
    for each in plan.kept:
        context.line(kept(each))


def kept(each: KeptTaxonomy) -> str:
    """A taxonomy that the files do not name, and what would remove it."""
    owner = "added by hand" if each.set == BY_HAND else f"set {each.set}"
    how = "--remove would remove it" if each.is_own else f"`enrich taxonomy remove {each.name}` would remove it"
    return f"kept: {each.name}  {each.version}  ({owner}, applied by {each.made_by} on {each.since:%Y-%m-%d}); {how}"


def basis(sampling: Sampling) -> str:
    """What the numbers are based on."""
    if not sampling.total:
        return "no image had to be examined"
    if sampling.is_full:
        return f"all {sampling.total:,} images were examined"
    about = "" if sampling.exact else "about "
    return (
        f"based on a uniform sample of {sampling.images:,} of {about}{sampling.total:,} images: numbers of images are "
        "estimates with 95 % intervals; --full counts exactly"
    )


def summary(plan: Plan) -> str:
    """One sentence."""
    unfinished = ""
    if plan.unfinished and plan.revision:
        unfinished = f"; revision {plan.revision} has not been fully applied"
    hidden = f"; on {number(plan.hidden)} more a person's decision hides the change" if plan.hidden.seen else ""
    return (
        f"{images(plan.changed)} {'gains or loses' if is_one(plan.changed) else 'gain or lose'} a label{hidden}; "
        f"{number(plan.touched)} {'is' if is_one(plan.touched) else 'are'} rewritten, including "
        f"changes of version or probability only{unfinished}"
    )


def headline(edit: TaxonomyEdit) -> str:
    """A taxonomy and how it changes."""
    versions = " → ".join(version for version in (edit.before, edit.after) if version)
    if edit.before == edit.after:
        versions = edit.before or ""
    what = {"words": "display texts only", "same": "unchanged"}.get(edit.edit, edit.edit)
    return f"{_SIGNS[edit.edit]} {edit.name}  {versions}  ({what}{_owner(edit)})"


def _owner(edit: TaxonomyEdit) -> str:
    """The set, where it changes or is not the default one."""
    before, after = (each and each.replace(BY_HAND, "by hand") for each in (edit.set_before, edit.set_after))
    if before and after and before != after:
        return f", {before} → {after}"
    owner = after or before
    return f", {owner}" if owner and owner != DEFAULT_SET else ""


def cautions(edit: TaxonomyEdit) -> Iterator[str]:
    """What a taxonomy cannot promise."""
    if edit.calibrated is False:
        yield "unproven: it has no numbers for the active model, so its probabilities are rough"
    if edit.unknown:
        yield f"practically never recognised by the active model: {', '.join(edit.unknown)}"
    yield from waiting(edit)


def waiting(edit: TaxonomyEdit) -> Iterator[str]:
    """Labels that wait for people's decisions."""
    if edit.unlearned:
        yield f"not recognised until they are learned: {', '.join(edit.unlearned)} (enrich learn {edit.name})"
    if edit.unproven:
        several = len(edit.unproven) != 1
        yield (
            f"{len(edit.unproven)} {'labels are' if several else 'label is'} suggested until "
            f"{'they are' if several else 'it is'} proven: enrich calibrate {edit.name} "
            f"({', '.join(shortened(edit.unproven))})"
        )


def shortened(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - _MOST_LINES
    return [*lines[:_MOST_LINES], *([f"… and {more} more"] if more > 0 else [])]


def bar(label: LabelChange, most: int, *, width: int = _BAR) -> tuple[int, int, int]:
    """Widths of the kept, lost and gained parts, where ``most`` images are the full width."""
    before, after = label.before.about, label.after.about
    stays = min(before, after)

    def scaled(count: int) -> int:
        return round(width * count / max(most, 1))

    return scaled(stays), scaled(before) - scaled(stays), scaled(after) - scaled(stays)


def _show_taxonomy(plan: TaxonomyPlan) -> None:
    context.line("")
    context.line(headline(plan.edit), style=_COLOURS[plan.edit.edit])
    for line in shortened(plan.edit.edits):
        context.line(f"    {line}")
    for line in cautions(plan.edit):
        context.line(line)
    if plan.labels:
        _show_labels(plan)
    if plan.changes:
        _show_changes(plan.changes)
    if plan.abstentions:
        context.line(abstentions.sentence(plan.abstentions))
    if suggested := suggestions(plan):
        context.line(suggested)
    if plan.hidden.seen:
        context.line(hidden(plan))


def _show_labels(plan: TaxonomyPlan) -> None:
    table = Table(box=None, pad_edge=False)
    for column in (
        "label",
        "before",
        "after",
        "unchanged",
        "added",
        "removed",
        "flipped here",
        "flipped away",
        "abstained",
    ):
        table.add_column(column, justify="left" if column == "label" else "right")
    table.add_column("kept, lost, gained")
    ordered = sorted(plan.labels, key=lambda each: -(each.before.about + each.after.about))
    most = max((max(each.before.about, each.after.about) for each in ordered), default=0)
    for each in ordered[:_MOST_LABELS]:
        counts = (
            each.before,
            each.after,
            each.unchanged,
            each.added,
            each.removed,
            each.flipped_here,
            each.flipped_away,
            each.abstained,
        )
        table.add_row(context.name(each.label), *(number(count) for count in counts), _drawn(each, most))
    table.add_row("none of these", number(plan.abstentions_before), number(plan.abstentions_after))
    context.out.print(table)
    if len(ordered) > _MOST_LABELS:
        context.line(f"… and {len(ordered) - _MOST_LABELS} labels with fewer images; --json lists them all")


def _drawn(label: LabelChange, most: int) -> str:
    signs = _BLOCKS if (context.out.encoding or "").lower().startswith("utf") else _ASCII
    return "".join(sign * count for sign, count in zip(signs, bar(label, most), strict=True))


def _show_changes(changes: Sequence[PlannedChange]) -> None:
    table = Table("change", "images", "examples", box=None, pad_edge=False)
    for each in changes[:_MOST_CHANGES]:
        examples = ", ".join(
            f"{context.name(sample.ref)} {sample.probability:.2f}" for sample in each.samples[:_EXAMPLES]
        )
        table.add_row(context.name(sentence(each)), number(each.images), examples)
    context.out.print(table)
    if len(changes) > _MOST_CHANGES:
        context.line(f"… and {len(changes) - _MOST_CHANGES} rarer ones; --json and --html list them all")


def hidden(plan: TaxonomyPlan) -> str:
    """Changes that a person's decision hides."""
    return f"hidden by a person's decision: changes on {images(plan.hidden)}; not counted above"


def suggestions(plan: TaxonomyPlan) -> str:
    """How many images each unproven label is suggested for; empty if there are none."""
    found = sorted((each for each in plan.labels if each.suggested.seen), key=lambda each: -each.suggested.about)
    parts = [f"{context.name(each.label)} {number(each.suggested)}" for each in found]
    return f"suggested, not applied, on images: {', '.join(shortened(parts))}" if parts else ""


def sentence(change: PlannedChange) -> str:
    """How an image's label changes."""
    if change.kind == "flipped":
        return f"{change.before} → {change.after}"
    if change.kind == "abstained":
        return f"{change.before} → none of these"
    return f"{change.kind} {change.after or change.before}"
