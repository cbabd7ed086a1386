"""``enrich taxonomy``: list, show and check taxonomies."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from worker.catalog.taxonomies import KeptTaxonomy
    from worker.pipeline.taxonomies.catalog_state import CatalogState
    from worker.settings import Settings
    from worker.tagging import Advice, Label, Taxonomy

#: Other modules add their commands to this group.
group = typer.Typer(
    no_args_is_help=True, help="Taxonomies: list, show, check, try, plan, apply, add, remove, history, rollback."
)

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(group, name="taxonomy", rich_help_panel="Operating it")


@group.command("list")
def list_taxonomies(as_json: _Json = False) -> None:
    """List the taxonomies in ENRICH_TAXONOMIES, and every version that is or was in force; who applied it, and for
    which set of files.
    """
    from worker import tagging
    from worker.pipeline.taxonomies.catalog_state import carrying, in_catalog

    settings = context.load_settings()
    found = in_catalog(context.database(settings))
    taxonomies = carrying(found, tagging.load_taxonomies(settings.taxonomies, alone=False))
    rows = _with_owners(_rows(taxonomies, _kept(settings), settings.model), found)
    rows = _with_proofs(rows, settings)
    if as_json:
        context.json_document(rows)
        return
    table = Table(
        "taxonomy",
        "version",
        "mode",
        "labels",
        "in files",
        "in force",
        "set",
        "applied by",
        "first used",
        "calibrated",
        "proven",
        box=None,
        pad_edge=False,
    )
    for row in rows:
        used = row["first_used"].isoformat(sep=" ", timespec="minutes") if row["first_used"] else "never"
        labels = "" if row["labels"] is None else str(row["labels"])
        table.add_row(
            row["name"],
            row["version"],
            row["mode"],
            labels,
            _yes(row["in_files"]),
            _yes(row["in_force"]),
            row["set"] or "",
            row["made_by"] or "",
            used,
            _yes(row["calibrated"]),
            _proven(row),
        )
    context.out.print(table)


@group.command()
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A shipped name, a file, or one of ENRICH_TAXONOMIES; else one in force."),
    ],
    as_json: _Json = False,
) -> None:
    """Show one taxonomy as parsed: its labels with all their properties."""
    taxonomy = _named(name, context.load_settings())
    if as_json:
        context.json_document(asdict(taxonomy) | {"version": taxonomy.version, "many": taxonomy.many})
        return
    context.line(f"{taxonomy.name}: {taxonomy.title} ({taxonomy.mode}, version {taxonomy.version})", style="bold")
    if taxonomy.description:
        context.line(taxonomy.description)
    if taxonomy.when:
        context.line(f"only when {_condition(taxonomy)}")
    _print_labels(taxonomy)
    if taxonomy.background:
        context.line(f"background: {'; '.join(taxonomy.background)}")
    _print_calibrations(taxonomy)


@group.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Shipped names, files or directories.")
    ] = None,
    with_model: Annotated[
        bool, typer.Option("--with-model", help="Also ask the model which prompts it confuses with another label.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there is advice, too.")] = False,
    as_json: _Json = False,
) -> None:
    """Check whether taxonomies are valid, and advise on likely mistakes. Needs no server.

    Errors are listed with file, line and valid choices, and exit with status 1. Advice does so only with --strict.
    """
    from worker import tagging

    settings = context.own_settings()
    taxonomies = tagging.load_taxonomies(names or settings.taxonomies)
    found = [each for taxonomy in taxonomies for each in tagging.advice(taxonomy, settings.model)]
    if with_model:
        found += _asked(taxonomies, settings)
    else:
        found += [each for taxonomy in taxonomies for each in tagging.long_prompts(taxonomy)]
    unknown = {each.name: list(each.unknown[settings.model]) for each in taxonomies if settings.model in each.unknown}
    if as_json:
        valid = [each.name for each in taxonomies]
        asked = {each.name: each.target_precision for each in taxonomies if each.target_precision is not None}
        context.json_document(
            {
                "valid": valid,
                "advice": [asdict(each) for each in found],
                "unknown": unknown,
                "target_precision": asked,
            }
        )
    else:
        for name, labels in unknown.items():
            context.line(f"{name}: practically never recognised by {settings.model}: {', '.join(labels)}")
        for taxonomy in taxonomies:
            for line in _waiting(taxonomy):
                context.line(f"{taxonomy.name}: {line}")
        for each in found:
            context.line(f"{each.taxonomy}{f': {each.label}' if each.label else ''}: {each.message}", style="yellow")
        advice = (
            "no advice" if not found else "1 piece of advice" if len(found) == 1 else f"{len(found)} pieces of advice"
        )
        context.say(f"{len(taxonomies)} valid, {advice}")
    raise typer.Exit(1 if strict and found else 0)


def _waiting(taxonomy: Taxonomy) -> Iterator[str]:
    """What people's decisions must do first."""
    if unlearned := [label.name for label in taxonomy.labels if label.name in taxonomy.unlearned(None)]:
        yield f"not recognised until they are learned: {', '.join(unlearned)} (enrich learn {taxonomy.name})"
    if taxonomy.target_precision is not None:
        yield (
            f"labels are suggested until they are proven to reach {taxonomy.target_precision:g}: "
            f"enrich calibrate {taxonomy.name}"
        )


def _rows(taxonomies: Sequence[Taxonomy], kept: Sequence[KeptTaxonomy], model: str) -> list[dict[str, Any]]:
    used = {(each.name, each.version): each for each in kept}
    rows: list[dict[str, Any]] = []
    for taxonomy in taxonomies:
        found = used.pop((taxonomy.name, taxonomy.version), None)
        rows.append(
            {
                "name": taxonomy.name,
                "version": taxonomy.version,
                "mode": taxonomy.mode,
                "labels": sum(1 for _ in taxonomy.walk()),
                "in_files": True,
                "in_force": found is not None and found.in_force,
                "first_used": found.first_used if found else None,
                "calibrated": taxonomy.is_calibrated_for(model),
                "target_precision": taxonomy.target_precision,
            }
        )
    for (name, version), older in used.items():
        rows.append(
            {
                "name": name,
                "version": version,
                "mode": older.definition.get("mode", "exclusive"),
                "labels": None,
                "in_files": False,
                "in_force": older.in_force,
                "first_used": older.first_used,
                "calibrated": model in older.definition.get("models", {}),
                "target_precision": older.definition.get("target_precision"),
            }
        )
    return sorted(rows, key=lambda row: (row["name"], not row["in_files"]))


def _with_proofs(rows: Sequence[dict[str, Any]], settings: Settings) -> list[dict[str, Any]]:
    """How many labels of a version in force are proven in the active space, and of how many that has expired."""
    from worker import catalog
    from worker.db import transaction

    with transaction(context.database(settings)) as connection:
        counts = {each.taxonomy: each for each in catalog.proofs.counts(connection)}

    def own(row: dict[str, Any]) -> dict[str, Any]:
        count = counts.get(row["name"]) if row["in_force"] else None
        return {"proven": count.proven if count else 0, "expired": count.expired if count else 0}

    return [row | own(row) for row in rows]


def _proven(row: dict[str, Any]) -> str:
    asked = row["target_precision"]
    if not (row["proven"] or row["expired"] or asked):
        return ""
    of = "" if row["labels"] is None else f" of {row['labels']}"
    expired = f", {row['expired']} expired" if row["expired"] else ""
    return f"{row['proven']}{of}{expired}{f'; asked: {asked:g}' if asked else ''}"


def _with_owners(rows: Sequence[dict[str, Any]], found: CatalogState) -> list[dict[str, Any]]:
    unowned = {"set": None, "made_by": None, "since": None}
    return [row | (_owner(row["name"], found) if row["in_force"] else unowned) for row in rows]


def _owner(name: str, found: CatalogState) -> dict[str, Any]:
    origin = found.origins[name]
    return {"set": found.sets[name], "made_by": origin.made_by, "since": origin.since}


def _kept(settings: Settings) -> list[KeptTaxonomy]:
    from worker import catalog
    from worker.db import transaction

    with transaction(context.database(settings)) as connection:
        return catalog.taxonomies.kept(connection)


def _named(name: str, settings: Settings) -> Taxonomy:
    from worker import tagging
    from worker.errors import TaxonomyError

    configured = {each.name: each for each in tagging.load_taxonomies(settings.taxonomies, alone=False)}
    if name in configured:
        return configured[name]
    try:
        files = tagging.load_files([name], alone=False)
    except TaxonomyError:
        if (found := _in_force(name, settings)) is not None:
            return found
        raise
    if len(files) != 1:
        raise TaxonomyError(
            f"{name} holds {len(files)} taxonomies; name one of {', '.join(f.taxonomy.name for f in files)}"
        )
    return files[0].taxonomy


def _in_force(name: str, settings: Settings) -> Taxonomy | None:
    """A taxonomy that is in force and in no file here, such as one that was added by hand."""
    from worker import tagging
    from worker.errors import ConfigurationError

    try:
        found = next((each for each in _kept(settings) if each.name == name and each.in_force), None)
    except ConfigurationError:  # files can be shown without a system
        return None
    return None if found is None else tagging.restore(found.definition, version=found.version)


def _asked(taxonomies: Iterable[Taxonomy], settings: Settings) -> list[Advice]:
    from worker import bootstrap, tagging

    encoder = bootstrap.encoder(settings, text_only=True)
    model = encoder.space.model
    found: list[Advice] = []
    for taxonomy in taxonomies:
        found += tagging.cut_prompts(taxonomy, encoder.cut, model=model)
        found += tagging.confusions(taxonomy, encoder.encode_texts, model=model)
    return found


def _print_labels(taxonomy: Taxonomy) -> None:
    table = Table("label", "title", "aliases", "prompts", box=None, pad_edge=False)
    depth: dict[str, int] = {}
    for label, parent in taxonomy.walk():
        depth[label.name] = depth[parent.name] + 1 if parent else 0
        table.add_row("  " * depth[label.name] + label.name, label.title, ", ".join(label.aliases), _prompts(label))
    context.out.print(table)


def _prompts(label: Label) -> str:
    parts = ["; ".join(label.prompts)]
    parts += [f"not: {'; '.join(label.negatives)}"] if label.negatives else []
    parts += [f"other kinds: {'; '.join(label.background)}"] if label.background else []
    return context.printable(" — ".join(part for part in parts if part))


def _print_calibrations(taxonomy: Taxonomy) -> None:
    table = Table("model", "threshold", "margin", "temperature", "own thresholds", box=None, pad_edge=False)
    for model, each in {"any other": taxonomy.calibration, **taxonomy.models}.items():
        own = ", ".join(f"{label} {threshold:g}" for label, threshold in each.thresholds.items())
        table.add_row(model, f"{each.threshold:g}", f"{each.margin:g}", f"{each.temperature:g}", own)
    context.out.print(table)


def _condition(taxonomy: Taxonomy) -> str:
    return " or ".join(
        " and ".join(
            f"{part.taxonomy} is {' or '.join(label or 'none of these' for label in part.labels)}"
            for part in alternative
        )
        for alternative in taxonomy.when
    )


def _yes(value: object) -> str:
    return "yes" if value else "no"
