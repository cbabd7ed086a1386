"""``enrich calibrate`` and ``enrich certificates``: thresholds that reviews prove, and whether they still hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import context, plan_report, taxonomy_apply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.db import Engine
    from worker.pipeline.evaluation.calibrate import Calibration, LabelCalibration
    from worker.pipeline.evaluation.certificates import CertificateView
    from worker.pipeline.taxonomies.lifecycle import ApplyResult
    from worker.pipeline.taxonomies.plan import Plan
    from worker.settings import Settings

_NOTHING = "The thresholds in force stay. The certificates are kept."

_Taxonomies = Annotated[list[str] | None, typer.Argument(metavar="[TAXONOMY...]", help="In force. Default: all.")]
_Target = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="The precision to prove. [default: the taxonomy's target_precision, or 0.95]"),
]
_Confidence = Annotated[float, typer.Option(metavar="SHARE", help="That a proof is right, whatever the reviews were.")]
_Label = Annotated[str | None, typer.Option("--label", metavar="NAME", help="Only this label; of one taxonomy.")]
_Pooled = Annotated[
    bool,
    typer.Option("--pooled", help="One threshold for all labels together: fewer reviews, but weak labels are hidden."),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Store nothing, and put nothing into force.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, and do not examine a sample first.")]
_Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout. Without --yes, nothing is put into force.")
]
_State = Annotated[str | None, typer.Option(metavar="proven|unproven|expired", help="Only those in this state.")]
_ListJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (calibrate, certificates):
        app.command(rich_help_panel="Reviewing tags")(command)


def calibrate(
    taxonomies: _Taxonomies = None,
    *,
    target: _Target = None,
    confidence: _Confidence = 0.95,
    label: _Label = None,
    pooled: _Pooled = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Find the thresholds that people's reviews prove, and put them into force.

    Only reviews of images that were drawn at random count: `enrich review TAXONOMY LABEL` draws and asks. Where nothing
    is proven, it says how many reviews are missing. Changes are shown first, as `enrich taxonomy apply` shows them.
    """
    from worker import bootstrap
    from worker.pipeline.evaluation import calibrate as use_case
    from worker.pipeline.evaluation import proofs
    from worker.pipeline.evaluation.calibrate import CalibrationRequest
    from worker.pipeline.taxonomies import active_taxonomies

    settings = context.load_settings()
    engine = context.database(settings, pool_size=taxonomy_apply.CONNECTIONS)
    request = CalibrationRequest(
        taxonomies=tuple(taxonomies or ()), label=label, target=target, confidence=confidence, pooled=pooled
    )
    found = use_case.examine(engine, bootstrap.builder(settings, engine), request)
    if not dry_run:
        found = proofs.store(engine, found, made_by=active_taxonomies.current_user())
    if not as_json:
        _show(found, pooled=pooled)
    changed = found.changes
    plan = _plan(settings, engine, found) if changed and not yes else None
    done = None
    if not as_json and plan is not None:
        plan_report.show(plan, source="these thresholds")
    if changed and not dry_run and (yes or not as_json):
        done = _apply(settings, engine, found, plan)
    if as_json:
        context.json_document(_document(found, plan, done))
    elif not changed:
        context.say("nothing to put into force: the thresholds in force are those that the reviews prove")


def certificates(
    taxonomies: _Taxonomies = None, *, label: _Label = None, state: _State = None, as_json: _ListJson = False
) -> None:
    """List what reviews proved about each label, what they did not, and what no longer holds."""
    from worker.api.calibration_models import CertificateList
    from worker.pipeline.evaluation import certificates as use_case

    engine = context.database(context.load_settings())
    found = use_case.certificates(
        engine, taxonomies=tuple(taxonomies or ()), label=label, state=state  # type: ignore[arg-type]  # checked there
    )  # fmt: skip
    if as_json:
        context.json_document(CertificateList.of(found).model_dump(mode="json"))
    elif found:
        _list(found)
    else:
        context.line("no certificates yet: `enrich review TAXONOMY LABEL`, then `enrich calibrate`")


def _plan(settings: Settings, engine: Engine, found: Calibration) -> Plan:
    from worker.pipeline.evaluation import proofs

    return taxonomy_apply.compare(settings, engine, proofs.change(found), sample=None, full=False)


def _apply(settings: Settings, engine: Engine, found: Calibration, plan: Plan | None) -> ApplyResult:
    from worker.pipeline.evaluation import proofs

    if plan is not None and not plan.is_empty:  # where only the numbers of certificates differ, there is no question
        context.confirm("Apply this?", declined=_NOTHING)
    done = taxonomy_apply.put_into_force(settings, engine, proofs.change(found), planned=found.revision)
    taxonomy_apply.tell(done, undo=True)
    return done


# -- showing -----------------------------------------------------------------------------------------------------------
def _show(found: Calibration, *, pooled: bool) -> None:
    from worker.pipeline.evaluation import messages

    for each in found.taxonomies:
        for own in each.labels:
            name = f"{each.name}={own.label}" if own.label is not None else f"{each.name}, all labels together"
            style = "green" if own.missing is None else "yellow"
            context.line(f"{context.name(name)}: {messages.message(own)}", style=style)
            for note in messages.notes(own):
                context.line(f"    {note}")
    if pooled:
        context.say("one threshold for all labels: it may hide a label that is often wrong")


def _list(found: Sequence[CertificateView]) -> None:
    columns = (
        "taxonomy",
        "label",
        "state",
        "target",
        "threshold",
        "reviewed",
        "wrong",
        "at least",
        "coverage",
        "made",
        "",
    )
    table = Table(*columns, box=None, pad_edge=False)
    for each in found:
        own = each.certificate
        table.add_row(
            own.taxonomy,
            own.label or "(all)",
            each.state,
            f"{own.target:g}",
            _number(own.threshold),
            f"{own.accepted:,} of {own.reviewed:,}" if own.threshold is not None else f"{own.reviewed:,}",
            f"{own.errors:,}",
            _number(own.lower_bound),
            _number(own.coverage),
            f"{own.at:%Y-%m-%d}",
            each.reason or ("in force" if each.in_force else ""),
        )
    context.out.print(table)


def _number(share: float | None) -> str:
    return "" if share is None else f"{share:.3g}"


def _document(found: Calibration, plan: Plan | None, done: ApplyResult | None) -> dict[str, Any]:
    return {
        "space": found.space.id,
        "revision": found.revision,
        "taxonomies": [
            {
                "taxonomy": each.name,
                "version": each.taxonomy.version,
                "scoring": each.scoring,
                "head": each.head,
                "target": each.target,
                "reviewed": each.reviewed,
                "labels": [_label(own) for own in each.labels],
                "changes": each.changes,
            }
            for each in found.taxonomies
        ],
        "plan": None if plan is None else asdict(plan) | {"is_empty": plan.is_empty},
        "applied": None if done is None else done.revision,
    }


def _label(own: LabelCalibration) -> dict[str, Any]:
    from worker.pipeline.evaluation import messages

    return asdict(own) | {
        "coverage": own.test.coverage,
        "message": messages.message(own),
        "notes": list(messages.notes(own)),
    }
