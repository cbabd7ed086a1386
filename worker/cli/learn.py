"""``enrich learn``: heads that reviews teach."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import context, plan_report, taxonomy_apply

if TYPE_CHECKING:
    from worker.db import Engine
    from worker.pipeline.learning.learn import Learning, LearningRequest
    from worker.pipeline.taxonomies.changes import Change
    from worker.pipeline.taxonomies.lifecycle import ApplyResult
    from worker.pipeline.taxonomies.plan import Plan
    from worker.settings import Settings

_NOTHING = "The tags stay as they are. How the head compared is kept."

_Taxonomy = Annotated[str, typer.Argument(metavar="TAXONOMY", help="In force.")]
_Space = Annotated[
    int | None,
    typer.Option("--space", metavar="NUMBER", min=1, help="Learn for this space instead of the active one."),
]
_Promote = Annotated[
    bool, typer.Option("--promote", help="Also a head that is ahead by 2 images but not proven to be better.")
]
_Pooled = Annotated[
    bool,
    typer.Option(
        "--pooled",
        help="Prove one threshold for all labels together: fewer reviews, but a label that is often wrong is hidden.",
    ),
]
_ZeroShot = Annotated[bool, typer.Option("--zero-shot", help="Take the head out of force, and learn nothing.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, and do not examine a sample first.")]
_Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout. Without --yes, nothing is put into force.")
]


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel="Reviewing tags")(learn)


def learn(
    taxonomy: _Taxonomy,
    *,
    space: _Space = None,
    promote: _Promote = False,
    pooled: _Pooled = False,
    zero_shot: _ZeroShot = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Learn from people's decisions, and put what was learned into force where it is better than the prompts alone.

    It is better if it answers more images rightly that it did not learn from: 5 won and none lost is the least. Only
    images that were drawn at random judge. Changes are shown first, as `enrich taxonomy apply` shows them, and
    `enrich taxonomy rollback` takes them back.
    """
    # Read when numpy is imported, by one of the next lines. Its threads would mostly wait for each other: with other
    # work on the machine, several take many times as long as one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from worker.errors import ConfigurationError
    from worker.pipeline.learning.learn import LearningRequest

    if zero_shot and (promote or pooled):
        raise ConfigurationError("--zero-shot takes the head out of force: leave --promote and --pooled out")
    settings = context.load_settings()
    engine = context.database(settings, pool_size=taxonomy_apply.CONNECTIONS)
    request = LearningRequest(taxonomy=taxonomy, space=space, promote=promote, pooled=pooled)
    if zero_shot:
        _forget(settings, engine, request, yes=yes, as_json=as_json)
    else:
        _learn(settings, engine, request, yes=yes, as_json=as_json)


def _learn(settings: Settings, engine: Engine, request: LearningRequest, *, yes: bool, as_json: bool) -> None:
    from worker import bootstrap
    from worker.pipeline.learning import learn as use_case
    from worker.pipeline.taxonomies import active_taxonomies

    found = use_case.examine(engine, bootstrap.builder(settings, engine), request)
    found = use_case.store(engine, found, made_by=active_taxonomies.current_user())
    if not as_json:
        _show(found)
    plan, done = None, None
    if found.promoted_by is not None:
        plan, done = _change(settings, engine, use_case.change(found), found.revision, yes=yes, as_json=as_json)
    if as_json:
        context.json_document(_document(found) | _outcome(plan, done))


def _forget(settings: Settings, engine: Engine, request: LearningRequest, *, yes: bool, as_json: bool) -> None:
    from worker.pipeline.learning import learn as use_case

    space, revision, change = use_case.forgotten(engine, request)
    plan, done = _change(settings, engine, change, revision, yes=yes, as_json=as_json)
    if as_json:
        context.json_document({"taxonomy": request.taxonomy, "space": space.id} | _outcome(plan, done))


def _change(
    settings: Settings, engine: Engine, change: Change, planned: int, *, yes: bool, as_json: bool
) -> tuple[Plan | None, ApplyResult | None]:
    """Show what a change does and ask, unless ``yes``; then apply it."""
    plan = None if yes else taxonomy_apply.compare(settings, engine, change, sample=None, full=False)
    if plan is not None and not as_json:
        plan_report.show(plan, source="what was learned")
        if plan.is_empty:
            return plan, None
        context.confirm("Apply this?", declined=_NOTHING)
    if as_json and not yes:
        return plan, None
    done = taxonomy_apply.put_into_force(settings, engine, change, planned=planned)
    if not as_json:
        taxonomy_apply.tell(done, undo=True)
    return plan, done


# -- showing -----------------------------------------------------------------------------------------------------------
def _show(found: Learning) -> None:
    from worker.pipeline.learning import messages

    table = Table("label", "decisions", box=None, pad_edge=False)
    for each in found.labels:
        table.add_row(
            each.label, f"{each.has:,}" if not found.start.independent else f"{each.has:,} : {each.has_not:,}"
        )
    context.out.print(table)
    curve = Table("reviews", "zero-shot", "head", box=None, pad_edge=False)
    for point in found.trial.curve:
        curve.add_row(f"{point.reviews:,}", _share(point.zero_shot), _share(point.head))
    context.line("")
    context.line("right answers about images that were left out:")
    context.out.print(curve)
    style = "green" if found.promoted_by == "test" else "yellow"
    context.line(f"{found.taxonomy.name}: {messages.message(found)}", style=style)
    for note in messages.notes(found):
        context.line(f"    {note}")
    for label, said in messages.certificates(found):
        what = f"{found.taxonomy.name}={label}" if label else f"{found.taxonomy.name}, all labels together"
        context.line(f"{what}: {said}")


def _share(value: float) -> str:
    return "" if value != value else f"{value:.3f}"  # noqa: PLR0124  # NaN: nothing judges


def _outcome(plan: Plan | None, done: ApplyResult | None) -> dict[str, Any]:
    return {
        "plan": None if plan is None else asdict(plan) | {"is_empty": plan.is_empty},
        "applied": None if done is None else done.revision,
    }


def _document(found: Learning) -> dict[str, Any]:
    from worker.pipeline.learning import messages

    return messages.report(found)
