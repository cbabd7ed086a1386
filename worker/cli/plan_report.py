"""A plan in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from worker.pipeline.common.estimates import Estimate, Sampling
    from worker.pipeline.taxonomies.plan import LabelChange, Plan, PlannedChange, TaxonomyEdit, TaxonomyPlan

_SIGNS = {"same": " ", "words": "~", "changed": "~", "added": "+", "removed": "-"}
_COLOURS = {"same": None, "words": "cyan", "changed": "yellow", "added": "green", "removed": "red"}
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
        context.line(f"nothing to change: {source} are revision {plan.revision}, and all tags follow it{checked}")
        return
    context.line(basis(plan.sampling))
    for each in plan.taxonomies:
        if each.edit.edit != "same" or each.changes or each.hidden.seen:
            _show_taxonomy(each)
    context.line("")
    context.line(summary(plan), style="bold")


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
        f"{number(plan.changed)} images gain or lose a label{hidden}; {number(plan.touched)} are rewritten, including "
        f"changes of version or probability only{unfinished}"
    )


def headline(edit: TaxonomyEdit) -> str:
    """A taxonomy and how it changes."""
    versions = " → ".join(version for version in (edit.before, edit.after) if version)
    if edit.before == edit.after:
        versions = edit.before or ""
    what = {"words": "display texts only", "same": "unchanged"}.get(edit.edit, edit.edit)
    return f"{_SIGNS[edit.edit]} {edit.name}  {versions}  ({what})"


def number(count: Estimate) -> str:
    """With its interval, if it is an estimate."""
    return f"{count.about:,}" if count.low == count.high else f"{count.about:,} ({count.low:,}–{count.high:,})"


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
    if plan.labels:
        _show_labels(plan)
    if plan.changes:
        _show_changes(plan.changes)
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
    return f"hidden by a person's decision: changes on {number(plan.hidden)} images; not counted above"


def sentence(change: PlannedChange) -> str:
    """How an image's label changes."""
    if change.kind == "flipped":
        return f"{change.before} → {change.after}"
    if change.kind == "abstained":
        return f"{change.before} → none of these"
    return f"{change.kind} {change.after or change.before}"
