"""``enrich facets``, ``enrich sample`` and ``enrich duplicates``: what the images that match a filter have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from worker.cli import context, filters

if TYPE_CHECKING:
    from worker.pipeline.common.estimates import Estimate
    from worker.pipeline.reading.duplicates import DuplicatePage
    from worker.pipeline.reading.facets import Denominator, Facets, TaxonomyFacet
    from worker.pipeline.reading.sample import Sample

_PANEL = "Reading results"
_BAR = 24  # characters of the longest bar
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_Taxonomies = Annotated[list[str] | None, typer.Option("--taxonomy", metavar="NAME", help="Only these taxonomies.")]
_Seed = Annotated[int, typer.Option(metavar="N", min=0, max=(1 << 31) - 1, help="Another seed draws other images.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=_PANEL)(facets)
    app.command(rich_help_panel=_PANEL)(sample)
    app.command(rich_help_panel=_PANEL)(duplicates)


def facets(
    place: filters.Place = None,
    *,
    taxonomy: _Taxonomies = None,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most labels of a taxonomy.")] = 10,
    seed: _Seed = 0,
    as_json: _Json = False,
) -> None:
    """Count what the images that match have: labels, when and with what they were taken, sizes. Draws bars.

    All counts are over the images that match. Of more than 50,000 a uniform sample is examined, and counts are
    estimated, with the 95 % interval in brackets.
    """
    from worker.pipeline.reading import facets as use_case

    wanted = filters.image_filter(
        place=place, tags=tag, any_tags=any_tag, no_tags=no_tag, conditions=conditions, json=filter_json
    )
    engine = context.database(context.load_settings())
    found = use_case.facets(engine, wanted, taxonomies=taxonomy or (), limit=limit, seed=seed)
    if as_json:
        from worker.api.facet_models import Facets as Answer

        context.json_document(Answer.model_validate(found).model_dump(mode="json"))
        return
    _print_facets(found)


def _print_facets(found: Facets) -> None:
    context.say(_denominator(found.of))
    if found.quarantined:
        context.say("in quarantine: " + ", ".join(f"{reason} {n:,}" for reason, n in found.quarantined.items()))
    if not found.of.images:
        return
    for each in found.taxonomies:
        if each.without_own:
            context.say(f"{each.taxonomy} is counted without its own tags in the filter: {_denominator(each.of)}")
        context.out.print(_taxonomy(each), "", sep="\n")
    taken = [("unknown" if each.start is None else _moment(found, each.start), each.count) for each in found.taken]
    context.out.print(_bars(f"taken, by {found.unit}", taken, found.of), "", sep="\n")
    cameras = [(each.name or "unknown", each.count) for each in found.cameras]
    context.out.print(_bars("camera", cameras, found.of, more=found.more_cameras), "", sep="\n")
    context.out.print(_bars("format", [(each.name, each.count) for each in found.formats], found.of), "", sep="\n")
    for title, unit, classes in (("file size", "B", found.bytes), ("picture size", "px", found.pixels)):
        rows = [(_class(each.least, each.below, unit), each.count) for each in classes if each.count.about]
        context.out.print(_bars(title, rows, found.of), "", sep="\n")


def _taxonomy(found: TaxonomyFacet) -> Table:
    rows = [(context.name(_named(each.label, each.title)), each.count) for each in found.labels]
    rows += [("– (undecided)", found.undecided)] if found.undecided.about else []
    rows += [("(not applicable)", found.not_applicable)] if found.not_applicable.about else []
    return _bars(found.taxonomy, rows, found.of, more=found.left_out)


def _named(label: str, title: str) -> str:
    return label if title.casefold() in ("", label.casefold()) else f"{label} ({title})"


def _bars(title: str, rows: Sequence[tuple[str, Estimate]], of: Denominator, *, more: int = 0) -> Table:
    table = Table(title, "images", "share", "", box=None, pad_edge=False)
    table.columns[1].justify = table.columns[2].justify = "right"
    longest = max((count.about for _, count in rows), default=0) or 1
    for name, count in rows:
        share = f"{count.about / of.images:.1%}" if of.images else ""
        table.add_row(name, _about(count), share, _bar(count.about / longest))
    if more:
        table.add_row(f"… and {more:,} more: --limit", style="dim")
    return table


def _about(count: Estimate) -> str:
    exact = count.low == count.high
    return f"{count.about:,}" if exact else f"≈ {count.about:,} ({count.low:,}–{count.high:,})"


def _bar(part: float) -> str:
    eighths = round(8 * _BAR * part)
    if part > 0:
        eighths = max(eighths, 1)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _moment(found: Facets, start: object) -> str:
    return f"{start:%Y}" if found.unit == "year" else f"{start:%Y-%m}" if found.unit == "month" else f"{start:%F}"


def _class(least: int, below: int | None, unit: str) -> str:
    if below is None:
        return f"{_short(least)}{unit} and more"
    if not least:
        return f"less than {_short(below)}{unit}"
    first, last = _short(least), _short(below)
    return f"{first[:-2] if first[-1] == last[-1] else first}–{last}{unit}"


def _short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g} {letter}"
    return f"{number} "


def _denominator(of: Denominator) -> str:
    if of.examined == of.images and of.exact:
        return f"{of.images:,} images match, and all are counted"
    about = "" if of.exact else "about "
    between = "" if of.exact else f" ({of.low:,}–{of.high:,})"
    return f"{about}{of.images:,}{between} images match; {of.examined:,} of them, drawn at random, are examined"


def sample(
    place: filters.Place = None,
    *,
    taxonomy: Annotated[str, typer.Option(metavar="NAME", help="Whose labels.")],
    label: Annotated[list[str] | None, typer.Option("--label", metavar="LABEL", help="Only these labels.")] = None,
    per_label: Annotated[int, typer.Option(metavar="N", min=1, max=100, help="Most images of a label.")] = 5,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    seed: _Seed = 0,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=context.output, help="Write a page with the pictures, in one file."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Draw a few images of each label at random, to see what the label means."""
    from worker.pipeline.reading import sample as use_case

    wanted = filters.image_filter(
        place=place, tags=tag, any_tags=any_tag, no_tags=no_tag, conditions=conditions, json=filter_json
    )
    settings = context.load_settings()
    found = use_case.sample(
        context.database(settings), wanted, taxonomy=taxonomy, labels=label or (), per_label=per_label, seed=seed
    )
    if html is not None:
        from worker.cli import sample_page

        context.write_file(html, sample_page.page(settings, found).encode())
        context.say(f"{html} shows {sum(len(each.images) for each in found.labels):,} images")
    if as_json:
        from worker.api.routes.facets import sampled

        context.json_document(sampled(found).model_dump(mode="json"))
    elif html is None:
        _print_sample(found)


def _print_sample(found: Sample) -> None:
    table = Table("label", "of", "image", "probability", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for each in found.labels:
        about = "" if each.exact else "≈ "
        for number, image in enumerate(each.images):
            chance = each.probability(image, found.taxonomy)
            table.add_row(
                ("–" if each.label is None else context.name(each.label)) if number == 0 else "",
                f"{about}{each.total:,}" if number == 0 else "",
                context.name(f"{image.bucket}/{image.key}"),
                "" if chance is None else f"{chance:.2f}",
            )
        if not each.images:
            table.add_row(context.name(each.label or "–"), "0")
    context.out.print(table if table.rows else "no image that matches has a label of this taxonomy")
    if found.left_out:
        context.say(f"{found.left_out:,} more labels have images: name them with --label")


def duplicates(
    place: filters.Place = None,
    *,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    bits: Annotated[
        int, typer.Option(metavar="N", min=0, max=7, help="Most bits, of 64, in which perceptual hashes may differ.")
    ] = 4,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most groups.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Continue where an earlier list ended.")] = None,
    as_json: _Json = False,
) -> None:
    """List groups of near-duplicates: the same bytes, or pictures that hardly differ."""
    from worker.pipeline.reading import duplicates as use_case

    wanted = filters.image_filter(
        place=place, tags=tag, any_tags=any_tag, no_tags=no_tag, conditions=conditions, json=filter_json
    )
    engine = context.database(context.load_settings())
    page = use_case.duplicates(engine, wanted, bits=bits, limit=limit, after=after)
    while page.next is not None and len(page.groups) < limit:
        more = use_case.duplicates(engine, wanted, bits=bits, limit=limit - len(page.groups), after=page.next)
        page = use_case.DuplicatePage(
            groups=(*page.groups, *more.groups), examined=page.examined + more.examined, next=more.next
        )
    if as_json:
        from worker.api.routes.facets import duplicated

        context.json_document(duplicated(page).model_dump(mode="json"))
        return
    _print_duplicates(page)


def _print_duplicates(page: DuplicatePage) -> None:
    table = Table("group", "image", "bytes", "size", "", box=None, pad_edge=False)
    table.columns[2].justify = "right"
    for number, group in enumerate(page.groups, 1):
        for place, each in enumerate(group.images):
            image = each.image
            same = "" if place == 0 else "same bytes" if each.same_bytes else f"{each.bits} bits differ"
            table.add_row(
                str(number) if place == 0 else "",
                context.name(f"{image.bucket}/{image.key}"),
                f"{image.size:,}",
                f"{image.width} × {image.height}",
                same,
            )
        left = group.total - len(group.images)
        if left:
            table.add_row("", f"… and {left:,} more", style="dim")
    context.out.print(table if page.groups else "no near-duplicates found")
    if page.next is not None:
        context.say(f"more follow: continue with --after {page.next}")
