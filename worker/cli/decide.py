"""``enrich decide``: a person decides about the tags of one image, or of all that match a filter."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context, filters

if TYPE_CHECKING:
    from uuid import UUID

    from worker.catalog.decisions import Verdict
    from worker.catalog.image_filter import ImageFilter
    from worker.db import Engine
    from worker.pipeline.review.decide import DecisionBatch, DecisionRequest
    from worker.pipeline.review.matching import Preview, SameDecision
    from worker.types import ObjectRef

_PANEL = "Reviewing tags"
_Image = Annotated[
    str | None, typer.Argument(metavar="[BUCKET/KEY]", help="The image; or use --in and --tag for all that match.")
]
_Accepts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TAXONOMY=LABEL]…", help="Labels that hold; `TAXONOMY=` for none of its labels."),
]
_Rejects = Annotated[
    list[str] | None, typer.Option("--reject", metavar="TAXONOMY=LABEL", help="A label that does not hold.")
]
_Unsure = Annotated[
    list[str] | None, typer.Option("--unsure", metavar="TAXONOMY", help="You cannot tell: leave it to the model.")
]
_Undo = Annotated[str | None, typer.Option(metavar="BATCH", help="Take back every decision of a batch.")]
_Where = Annotated[str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="All images here.")]
_Suggested = Annotated[
    list[str] | None, typer.Option("--suggested", metavar="TAXONOMY=LABEL", help="All images with this suggestion.")
]
Reviewer = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who decides; else ENRICH_REVIEWER, else the name you are logged in as."),
]
_Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Why.")]
_NewLabels = Annotated[bool, typer.Option("--new-labels", help="Allow labels that the taxonomy does not have.")]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Decide about all that match without asking.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=_PANEL)(decide)


def decide(
    image: _Image = None,
    accepts: _Accepts = None,
    *,
    rejects: _Rejects = None,
    unsure: _Unsure = None,
    where: _Where = None,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    suggested: _Suggested = None,
    undo: _Undo = None,
    reviewer: Reviewer = None,
    reason: _Reason = None,
    new_labels: _NewLabels = False,
    yes: _Yes = False,
) -> None:
    """Correct the tags of an image, or of all images that match.

    What you decide holds for the bytes that the image has now, whatever a model says later. It can be undone.
    """
    who = reviewing(reviewer)
    wanted = filters.image_filter(
        place=where,
        tags=tag,
        any_tags=any_tag,
        no_tags=no_tag,
        conditions=conditions,
        json=filter_json,
        suggested=tuple(filters.tag_filter(each) for each in suggested or ()),
    )
    if undo is not None:
        given = [image, *(accepts or []), *(rejects or []), *(unsure or []), *([] if wanted.is_empty else ["some"])]
        _undo(undo, who, reason, given=given)
        return
    if not wanted.is_empty:
        if new_labels:
            context.say("--new-labels is for one image: use the label there first, then decide about all that match")
            raise typer.Exit(2)
        labels = [*([image] if image else []), *(accepts or [])]
        same = _same(_parsed(labels, rejects or [], unsure or [], reason))
        _matching(same, wanted, who, yes=yes)
        return
    if image is None:
        context.say("name an image, BUCKET/KEY, or say which ones with --in, --tag or --suggested")
        raise typer.Exit(2)
    ref = context.image_ref(image)
    decisions = _parsed(accepts or [], rejects or [], unsure or [], reason)
    _one(ref, decisions, who, new_labels=new_labels)


def reviewing(reviewer: str | None) -> str:
    """The reviewer's name: as given, else from the settings, else of the login."""
    from worker import settings

    found = reviewer or settings.load().reviewer or _login()
    if not found:
        context.say("say who decides: pass --reviewer, or set ENRICH_REVIEWER")
        raise typer.Exit(2)
    return found


def _login() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return None


def _parsed(
    accepts: Sequence[str], rejects: Sequence[str], unsure: Sequence[str], reason: str | None
) -> list[SameDecision]:
    from worker.catalog.decisions import Verdict
    from worker.pipeline.review.matching import SameDecision

    found = [_accepted(each) for each in accepts]
    found += [(Verdict.REJECT, *_split(each)) for each in rejects]
    found += [(Verdict.UNSURE, *_split(each, label=False)) for each in unsure]
    _refuse_two_answers(found)
    if not found:
        context.say("nothing to decide: give TAXONOMY=LABEL, --reject TAXONOMY=LABEL or --unsure TAXONOMY")
        raise typer.Exit(2)
    return [SameDecision(taxonomy=name, verdict=verdict, label=label, reason=reason) for verdict, name, label in found]


def _refuse_two_answers(found: Sequence[tuple[Verdict, str, str | None]]) -> None:
    """Refuse the same label twice, and "none" beside a label: the later one would silently win."""
    for number, (verdict, taxonomy, label) in enumerate(found):
        for other, named, beside in found[:number]:
            if named == taxonomy and (label == beside or None in (label, beside)):
                what = f"{other} {beside or ''}".strip(), f"{verdict} {label or ''}".strip()
                context.say(f"{taxonomy}: both {what[0]} and {what[1]}: leave one of them out")
                raise typer.Exit(2)


def _accepted(text: str) -> tuple[Verdict, str, str | None]:
    from worker.catalog.decisions import Verdict

    taxonomy, label = _split(text)
    return (Verdict.NONE, taxonomy, None) if label is None else (Verdict.ACCEPT, taxonomy, label)


def _split(text: str, *, label: bool = True) -> tuple[str, str | None]:
    taxonomy, equals, rest = text.partition("=")
    if not taxonomy or (label and not equals):
        context.say(f"{text!r}: write TAXONOMY=LABEL, such as time-of-day=night, or TAXONOMY= for none of its labels")
        raise typer.Exit(2)
    return taxonomy, rest or None


def _one(ref: ObjectRef, decisions: Sequence[SameDecision], reviewer: str, *, new_labels: bool) -> None:
    from worker.pipeline.review.decide import decide as record
    from worker.pipeline.review.questions import refuse_rivals

    engine = context.database(context.load_settings())
    refuse_rivals(engine, decisions)
    requests = [_request(ref, each) for each in decisions]
    done = record(engine, requests, reviewer=reviewer, new_labels=new_labels)
    _report(decisions, done)


def _request(ref: ObjectRef, decision: SameDecision) -> DecisionRequest:
    from worker.pipeline.review.decide import DecisionRequest

    return DecisionRequest(
        ref=ref,
        taxonomy=decision.taxonomy,
        verdict=decision.verdict,
        label=decision.label,
        reason=decision.reason,
    )


def _report(decisions: Sequence[SameDecision], done: DecisionBatch) -> None:
    for decision, result in zip(decisions, done.results, strict=True):
        what = f"{decision.taxonomy}: {decision.verdict}" + (f" {decision.label}" if decision.label else "")
        context.line(f"{what}: {result.outcome}" + (f": {result.message}" if result.message else ""))
    bad = [each for each in done.results if each.outcome in ("refused", "conflict")]
    if len(bad) < len(done.results) and any(each.outcome == "saved" for each in done.results):
        _how_to_undo(done.batch)
    if bad:
        raise typer.Exit(1)


def _how_to_undo(batch: UUID) -> None:
    context.say(f"undo with: enrich decide --undo {batch}")


def _undo(batch: str, reviewer: str, reason: str | None, *, given: Sequence[str | None]) -> None:
    from uuid import UUID

    from worker.pipeline.review.undo import undo_batch

    if any(given):
        context.say("--undo takes back a batch and decides nothing else: leave the rest out")
        raise typer.Exit(2)
    try:
        number = UUID(batch)
    except ValueError:
        context.say(f"{batch!r} is not the number of a batch: `enrich decide` prints it, such as 5f0c3f0e-…")
        raise typer.Exit(2) from None
    done = undo_batch(context.database(context.load_settings()), number, reviewer=reviewer, reason=reason)
    context.line(f"{done.undone:,} undone" + (f", {done.already:,} had been undone before" if done.already else ""))


def _same(decisions: Sequence[SameDecision]) -> SameDecision:
    if len(decisions) > 1:
        context.say("one decision at a time, where it is about all that match: repeat the command for the others")
        raise typer.Exit(2)
    return decisions[0]


def _matching(decision: SameDecision, wanted: ImageFilter, reviewer: str, *, yes: bool) -> None:
    from worker.pipeline.review import matching

    engine = context.database(context.load_settings())
    found = matching.preview(engine, wanted, decision)
    if not found.count:
        context.line("no image matches")
        return
    if not yes:
        _ask(found, decision)
    _carry_out(engine, wanted, decision, reviewer, found.count)


def _ask(found: Preview, decision: SameDecision) -> None:
    context.say(f"{found.count:,} images match; the model is least certain of these:")
    for image in found.examples:
        of = [tag for tag in image.tags if tag.taxonomy == decision.taxonomy and tag.in_force]
        maybe = [each for each in image.suggestions if each.taxonomy == decision.taxonomy]
        parts = [f"{tag.label or 'none'}" + _chance(tag.probability) for tag in of]
        said = ", ".join([*parts, *(f"suggests {each.label}" + _chance(each.probability) for each in maybe)])
        context.say(f"  {context.name(f'{image.bucket}/{image.key}')}: {decision.taxonomy}: {said or 'nothing'}")
    what = f"{decision.verdict} {decision.taxonomy}" + (f"={decision.label}" if decision.label else "")
    context.confirm(f"{what} for all {found.count:,}?", declined="Nothing was decided.")


def _chance(probability: float | None) -> str:
    return "" if probability is None else f" {probability:.2f}"


def _carry_out(engine: Engine, wanted: ImageFilter, decision: SameDecision, reviewer: str, count: int) -> None:
    from worker.pipeline.review import matching

    total: dict[str, int] = {}
    after, refused = None, None
    while True:
        done = matching.decide_matching(engine, wanted, decision, reviewer=reviewer, confirmed=count, after=after)
        for outcome, images in done.outcomes.items():
            total[outcome] = total.get(outcome, 0) + images
        refused = refused or done.refused
        if (after := done.next) is None:
            break
    context.line(", ".join(f"{images:,} {outcome}" for outcome, images in total.items()))
    if refused:
        context.say(f"not saved: {refused}")
        raise typer.Exit(1)
    _how_to_undo(done.batch)
