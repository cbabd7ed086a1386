"""``enrich review``: look at images and decide whether a label holds, on a terminal or on a contact sheet."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context
from worker.cli.decide import Reviewer, reviewing

if TYPE_CHECKING:
    from worker.db import Engine
    from worker.pipeline.pictures.previews import PreviewSource
    from worker.pipeline.review.plans import PlanState
    from worker.pipeline.review.queues import QueueItem, QueuePage, QueueRequest, ReviewQueues
    from worker.settings import Settings

_QUEUES = ("random", "uncertain", "disagreement", "search", "label-error")
_PICTURES = ("auto", "kitty", "sixel", "none")
_AT_ONCE = 20  # items fetched on a terminal
_SHEET, _MOST_OF_SHEET = 100, 300

_Taxonomy = Annotated[str | None, typer.Argument(metavar="[TAXONOMY]", help="A taxonomy in force.")]
_Label = Annotated[str | None, typer.Argument(metavar="[LABEL]", help="The label to review.")]
_QueueName = Annotated[str, typer.Option("--queue", metavar="|".join(_QUEUES), help="How images are chosen.")]
_Query = Annotated[str | None, typer.Option(metavar="TEXT", help="With --queue search: what to look for, in words.")]
_Target = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="With --queue random: the precision to prove; decides how many to draw. [default: 0.95]",
    ),
]
_OtherSpace = Annotated[
    int | None, typer.Option("--space", metavar="NUMBER", min=1, help="With --queue disagreement: the other space.")
]
_UnsureToo = Annotated[bool, typer.Option("--unsure", help="Ask again about images where people could not tell.")]
_Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Most images.")]
_Sheet = Annotated[
    Path | None,
    typer.Option("--contact-sheet", metavar="FILE.html", callback=context.output,
                 help="Write one page for a browser instead, with the pictures in it."),
]  # fmt: skip
_Pictures = Annotated[str, typer.Option(metavar="|".join(_PICTURES), help="How the terminal shows pictures.")]
_Plans = Annotated[bool, typer.Option("--plans", help="List review plans instead.")]
_Close = Annotated[int | None, typer.Option(metavar="PLAN", min=1, help="Close a review plan instead.")]
_Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="With --close: why.")]
_Json = Annotated[bool, typer.Option("--json", help="With --plans: one JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel="Reviewing tags")(review)


def review(
    taxonomy: _Taxonomy = None,
    label: _Label = None,
    *,
    queue: _QueueName = "random",
    query: _Query = None,
    target: _Target = None,
    other_space: _OtherSpace = None,
    unsure: _UnsureToo = False,
    reviewer: Reviewer = None,
    limit: _Limit = None,
    sheet: _Sheet = None,
    pictures: _Pictures = "auto",
    plans: _Plans = False,
    close: _Close = None,
    reason: _Reason = None,
    as_json: _Json = False,
) -> None:
    """Look at one image after the other, and say whether a label holds.

    With --queue random, the images of a review plan come: they are drawn once, and can prove how precise the label is.
    Each answer is recorded at once. Images that are decided do not come again.
    """
    _require_used(queue, plans=plans, close=close, target=target, reason=reason, as_json=as_json)
    if plans:
        _list_plans(taxonomy, as_json=as_json)
        return
    if close is not None:
        _close(close, reviewing(reviewer), reason)
        return
    if taxonomy is None:
        context.say("name a taxonomy, or use --plans; `enrich count` shows taxonomies and labels")
        raise typer.Exit(2)
    _require(queue, _QUEUES, "--queue")
    _require(pictures, _PICTURES, "--pictures")
    if sheet is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        context.say(
            "not a terminal: pass --contact-sheet FILE.html to review in a browser, or use /v1/review-queues of the API"
        )
        raise typer.Exit(2)
    who, settings = reviewing(reviewer), context.load_settings()
    engine = context.database(settings, pool_size=2)
    source = _Source(
        settings, engine, _request(queue, taxonomy, label, query, other_space, unsure=unsure), who, target=target
    )
    if sheet is not None:
        _write_sheet(source, sheet, min(limit or _SHEET, _MOST_OF_SHEET))
    else:
        _on_terminal(source, limit, pictures)


def _require(given: str, known: Sequence[str], option: str) -> None:
    from worker.suggestions import shown, suggested

    if given not in known:
        context.say(f"{option} {shown(given)}: {suggested(given, known, otherwise=', '.join(known))}")
        raise typer.Exit(2)


def _require_used(
    queue: str, *, plans: bool, close: int | None, target: float | None, reason: str | None, as_json: bool
) -> None:
    """Refuse an option that nothing would look at."""
    for unused, message in [
        (target is not None and queue != "random", "--target belongs to --queue random: leave one of them out"),
        (reason is not None and close is None, "--reason belongs to --close PLAN: name the plan, or leave it out"),
        (as_json and not plans, "--json belongs to --plans: add it, or leave --json out"),
    ]:
        if unused:
            context.say(message)
            raise typer.Exit(2)


def _request(
    queue: str, taxonomy: str, label: str | None, query: str | None, other_space: int | None, *, unsure: bool
) -> QueueRequest:
    from worker.pipeline.review.queues import Queue, QueueRequest

    return QueueRequest(
        queue=Queue(queue), taxonomy=taxonomy, label=label, query=query, other_space=other_space, unsure=unsure
    )


class _Source:
    """Where items come from: a page of a queue, or a plan."""

    def __init__(
        self, settings: Settings, engine: Engine, request: QueueRequest, who: str, *, target: float | None
    ) -> None:
        self.settings, self.engine, self.request, self.who = settings, engine, request, who
        self._target = target
        self.queues = _queues(settings, engine)
        self.plan = self._planned() if request.queue == "random" else None
        self.page: QueuePage | None = None

    def next(self, count: int) -> list[QueueItem]:
        """The next items."""
        from dataclasses import replace

        from worker.pipeline.review import plans

        if self.plan is not None:
            return plans.following(self.engine, self.plan.plan.id, reviewer=self.who, limit=count)
        self.page = self.queues.page(replace(self.request, limit=count))
        return list(self.page.items)

    def release(self, items: Sequence[QueueItem]) -> None:
        """Let others review items that were not answered."""
        from worker.pipeline.review import plans

        places = [each.place for each in items if each.place is not None]
        if self.plan is not None and places:
            plans.release(self.engine, self.plan.plan.id, places, reviewer=self.who)

    def described(self) -> str:
        """How the images were chosen."""
        if self.plan is not None:
            return described(self.plan)
        if self.page is None or self.page.exact:
            return f"{self.request.queue} queue"
        return f"{self.request.queue} queue, from a sample of {self.page.examined:,} of {self.page.total:,} images"

    def _planned(self) -> PlanState:
        """The open plan about the label; else a new one."""
        from worker.errors import ChoiceError
        from worker.pipeline.review import plans
        from worker.pipeline.review.frames import DEFAULT_TARGET, PlanRequest
        from worker.pipeline.review.queues import refuse_unused

        refuse_unused(self.request.queue, query=self.request.query, other_space=self.request.other_space)
        found = plans.open_about(self.engine, self.request.taxonomy, self.request.label)
        if found is not None and self._target not in (None, found.plan.target):
            raise ChoiceError(
                f"the open plan {found.plan.id} has the target {found.plan.target:g}: leave --target out to go on, or "
                f"close it with `enrich review --close {found.plan.id} --reason TEXT`"
            )
        if found is not None:
            if self.request.unsure:
                raise ChoiceError(
                    f"--unsure is for a new plan, and plan {found.plan.id} is open: leave it out to go on, or close "
                    f"the plan with `enrich review --close {found.plan.id} --reason TEXT`"
                )
            return found
        wanted = PlanRequest(
            queue=self.request.queue, taxonomy=self.request.taxonomy, label=self.request.label,
            unsure=self.request.unsure, target=self._target or DEFAULT_TARGET,
        )  # fmt: skip
        return plans.create(self.queues, wanted, reviewer=self.who)


def _queues(settings: Settings, engine: Engine) -> ReviewQueues:
    from worker import bootstrap
    from worker.pipeline.reading.label_search import LabelSearch
    from worker.pipeline.review.queues import ReviewQueues

    search = bootstrap.search(settings, engine)
    return ReviewQueues(engine, bootstrap.builder(settings, engine), search, LabelSearch(engine=engine).images_of)


# -- on a terminal -----------------------------------------------------------------------------------------------------
def _on_terminal(source: _Source, limit: int | None, pictures: str) -> None:
    from worker.cli.review_session import Labels, Session
    from worker.pipeline.review.subject import labels_of

    name = source.request.taxonomy
    labels = Labels(taxonomy=name, titles=labels_of(source.engine, name))
    shown = pictures if pictures in ("kitty", "sixel", "none") else None
    session = Session(
        source.engine,
        labels,
        lambda: source.next(_AT_ONCE),
        None if shown == "none" else _previews(source.settings),
        reviewer=source.who,
        limit=limit,
    )
    if source.plan is not None:
        context.say(described(source.plan))
    try:
        session.run(shown)  # type: ignore[arg-type]  # checked above
    finally:
        source.release(session.left())
        context.line("")
        context.line(f"{session.decided} decided by {context.name(source.who)}")
    if source.plan is not None:
        _say_state(source.engine, source.plan.plan.id, quit_=session.quit or session.decided == limit)
    elif not session.decided and not session.quit:
        context.say("nothing is left to review there: every such image is decided")


def _say_state(engine: Engine, plan: int, *, quit_: bool) -> None:
    from worker.pipeline.review import plans

    state = plans.get(engine, plan)
    context.say(described(state))
    if state.look and state.plan.target is not None:
        label = f" --label {shlex.quote(state.plan.label)}" if state.plan.label else ""
        context.say(f"what the reviews prove: `enrich calibrate {state.plan.taxonomy}{label}`")
    if state.remaining and not quit_:
        context.say(f"the other {state.remaining:,} are being reviewed by others; try again in some minutes")
    elif not state.remaining and state.plan.closed_at is None:
        context.say(f"the plan is complete; close it with `enrich review --close {plan} --reason TEXT`")


def _previews(settings: Settings) -> PreviewSource:
    from worker.bootstrap import previews

    return previews.source_for_commands(settings)


def described(state: PlanState) -> str:
    """A plan in a sentence."""
    plan = state.plan
    of = f"{plan.population:,}" if plan.exact else f"about {plan.population:,}"
    what = f"{plan.taxonomy}={plan.label}" if plan.label else plan.taxonomy
    parts = [f"plan {plan.id}, {context.name(what)}: {state.reviewed:,} of {plan.frame_size:,} reviewed"]
    parts.append(f"{state.right:,} right, {state.wrong:,} wrong, {state.unsure:,} unsure")
    if state.changed or state.gone:
        parts.append(f"{state.changed + state.gone:,} changed or gone")
    following = next((each for each in state.looks if not each.complete), None)
    if following is not None and plan.target is not None:
        parts.append(f"the next look is after {following.items:,}")
    parts.append(f"drawn from {of}" + ("; another version is in force now" if state.outdated else ""))
    return "; ".join(parts)


# -- contact sheet -----------------------------------------------------------------------------------------------------
def _write_sheet(source: _Source, path: Path, count: int) -> None:
    from worker.cli import contact_sheet
    from worker.cli.pictures import thumbnails_of

    items = source.next(count)
    if not items:
        context.say("nothing is left to review there: nothing was written")
        raise typer.Exit(1)
    request = source.request
    sheet = contact_sheet.Sheet(
        taxonomy=request.taxonomy,
        heading=f"{request.taxonomy}: does {request.label or 'the label'} hold?",
        how=source.described() + (f": {request.query}" if request.query else ""),
        reviewer=source.who,
        rejects=request.queue != "search",
        file=f"decisions-{request.taxonomy}-{request.label or 'all'}.jsonl".replace("/", "-"),
    )
    pictures = thumbnails_of(source.settings, {str(each.ref): each.sha256 for each in items})
    page = contact_sheet.page(sheet, items, pictures)
    context.write_file(path, page.encode())
    images = "1 image is" if len(items) == 1 else f"{len(items):,} images are"
    context.say(
        f"{images} in {path}: open the page in a browser, download the decisions, then run "
        f"`enrich decisions import {sheet.file}`"
    )


# -- plans -------------------------------------------------------------------------------------------------------------
def _list_plans(taxonomy: str | None, *, as_json: bool) -> None:
    from worker.api.routes.review import plan_state
    from worker.pipeline.review import plans

    engine = context.database(context.load_settings())
    found = plans.plans(engine, taxonomies=[taxonomy] if taxonomy else ())
    if as_json:
        context.json_document([plan_state(each).model_dump(mode="json") for each in found])
        return
    table = Table(
        "plan", "queue", "label", "reviewed", "right", "wrong", "left", "made", "state", box=None, pad_edge=False
    )
    for each in found:
        plan = each.plan
        table.add_row(
            str(plan.id),
            plan.queue,
            context.name(f"{plan.taxonomy}={plan.label}" if plan.label else plan.taxonomy),
            f"{each.reviewed:,} of {plan.frame_size:,}",
            f"{each.right:,}",
            f"{each.wrong:,}",
            f"{each.remaining:,}",
            f"{plan.created_at:%Y-%m-%d} {context.name(plan.reviewer)}",
            _closed(each),
        )
    context.out.print(table if found else "no review was planned yet: `enrich review TAXONOMY LABEL` makes a plan")


def _closed(state: PlanState) -> str:
    plan = state.plan
    if plan.closed_at is None:
        return "outdated" if state.outdated else "open"
    return context.name(f"closed by {plan.closed_by}" + (f": {plan.closed_because}" if plan.closed_because else ""))


def _close(number: int, who: str, reason: str | None) -> None:
    from worker.pipeline.review import plans

    closed = plans.close(context.database(context.load_settings()), number, reviewer=who, reason=reason)
    context.say(f"closed; {described(closed)}")
