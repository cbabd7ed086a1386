"""``enrich show`` and ``enrich search``."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.table import Table

from worker.cli import context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from worker.api import models
    from worker.catalog.search import Nearest, TagFilter
    from worker.db import Engine
    from worker.settings import Settings

    #: (taxonomy, label) → its title.
    Titles: TypeAlias = Mapping[tuple[str, str], str]

_PANEL = "Reading results"
_Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, in the API's format.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=_PANEL)(show)
    app.command(rich_help_panel=_PANEL)(search)


def show(image: Annotated[str, typer.Argument(metavar="BUCKET/KEY")], as_json: _Json = False) -> None:
    """Show everything known about one image."""
    from worker.api import serializers
    from worker.pipeline.common import tag_filters
    from worker.pipeline.reading import image_lookup

    ref = context.image_ref(image)
    engine = context.database(context.load_settings())
    record = image_lookup.image(engine, ref)
    presented = serializers.image(record)
    if as_json:
        context.json_document(presented.model_dump(mode="json"))
        return
    _print_metadata(presented)
    named = {tag.taxonomy for tag in presented.tags} | {tag.taxonomy for tag in presented.earlier_tags}
    titles = tag_filters.titles(engine, named)
    _print_tags(presented, titles)
    _print_earlier(presented, titles)


def _print_metadata(image: models.Image) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in image.model_dump(exclude={"tags", "earlier_tags"}).items():
        if value is not None:
            table.add_row(name.replace("_", " "), context.name(str(value)))
    context.out.print(table, "")


def _print_tags(image: models.Image, titles: Titles) -> None:
    table = Table("taxonomy", "label", "probability", "similarity", "source", "space", "model", "version", "decided",
                  pad_edge=False)  # fmt: skip
    for tag in image.tags:
        table.add_row(
            tag.taxonomy,
            "–" if tag.label is None else entitled(tag.taxonomy, tag.label, titles),
            "" if tag.probability is None else f"{tag.probability:.2f}",
            "" if tag.score is None else f"{tag.score:.3f}",
            tag.source,
            "" if tag.space is None else str(tag.space),
            tag.model or "",
            tag.taxonomy_version,
            tag.decided_at.isoformat(sep=" ", timespec="minutes"),
            style=None if tag.active else "dim",
        )
    context.out.print(table)


def _print_earlier(image: models.Image, titles: Titles) -> None:
    """Print what people decided about earlier bytes, which is not in force."""
    if not image.earlier_tags:
        return
    table = Table("taxonomy", "label", "version", "decided", "sha256", pad_edge=False)
    for tag in image.earlier_tags:
        table.add_row(
            tag.taxonomy,
            "–" if tag.label is None else entitled(tag.taxonomy, tag.label, titles),
            tag.taxonomy_version,
            tag.decided_at.isoformat(sep=" ", timespec="minutes"),
            tag.sha256 or "",
        )
    context.out.print("", "decided by people for earlier bytes under this key (not in force):", table, sep="\n")


def search(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for, in words.")] = "",
    label: Annotated[
        str | None, typer.Option(metavar="TAXONOMY/LABEL", help="Instead of words: the images nearest to this label.")
    ] = None,
    *,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAXONOMY=LABEL", help="Only images with this tag.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000, help="Most images to show.")] = 10,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every image that has the tags, however long that takes.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Find images by words or by a label, optionally only among those with certain tags."""
    from worker.api import serializers
    from worker.pipeline.common import tag_filters

    filters = [tag_filter(each) for each in tag or []]
    wanted = _label(label) if label is not None else None
    if wanted is None and not text.strip():
        raise typer.BadParameter("say what to search for: words, or --label TAXONOMY/LABEL")
    if wanted is not None and text.strip():
        raise typer.BadParameter("search by words or by --label, not by both")
    settings = context.load_settings()
    engine = context.database(settings)
    found = _answered(settings, text, limit, filters, exact=exact) if wanted is None else None
    if found is None:
        found = serializers.hits(_found(settings, engine, wanted or text, limit, filters, exact=exact))
    if as_json:
        context.json_document(found.model_dump(mode="json"))
        return
    if not found.complete:
        context.say("the search stopped at a limit, so nearer images may be missing: --exact compares all")
    titles = tag_filters.titles(engine, {taxonomy for hit in found.hits for taxonomy in hit.tags})
    _print_hits(found.hits, titles)
    if not found.hits:
        context.say(why_nothing(engine, filters))


def _answered(
    settings: Settings, text: str, limit: int, tags: Sequence[TagFilter], *, exact: bool
) -> models.SearchResponse | None:
    """The answer of the API of `enrich up`, which has the model loaded already.

    None if there is no such API, it refuses, or it is of a release with another response format. The caller then
    searches in this process, which reports errors itself.
    """
    import urllib3

    from worker.api import models
    from worker.errors import ServerError

    try:
        running = context.running_system(settings)
    except ServerError:
        return None
    if running.database_url != settings.database_url:
        return None
    asked = [{"taxonomy": each.taxonomy, "label": each.label} for each in tags]
    try:
        answer = urllib3.request(
            "POST",
            f"{running.api_url}/v1/search",
            json={"text": text, "limit": limit, "tags": asked, "exact": exact},
            headers={"Authorization": f"Bearer {running.api_token}"},
            timeout=60,
            retries=False,
        )
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status != HTTPStatus.OK:
        return None
    try:
        return models.SearchResponse.model_validate_json(answer.data)
    except ValueError:
        return None


def _found(
    settings: Settings, engine: Engine, wanted: str | TagFilter, limit: int, tags: Sequence[TagFilter], *, exact: bool
) -> Nearest:
    from worker import bootstrap
    from worker.pipeline.reading.label_search import LabelSearch

    if isinstance(wanted, str):
        return bootstrap.search(settings, engine)(wanted, limit=limit, tags=tags, exact=exact)
    return LabelSearch(engine=engine).images_of(wanted, limit=limit, tags=tags, exact=exact)


def _print_hits(hits: Sequence[models.Hit], titles: Titles) -> None:
    table = Table("similarity", "image", "tags", box=None, pad_edge=False)
    for hit in hits:
        tags = ", ".join(
            f"{taxonomy}={entitled(taxonomy, label, titles)}"
            for taxonomy, labels in sorted(hit.tags.items())
            for label in ([labels] if isinstance(labels, str) else labels)
        )
        table.add_row(f"{hit.similarity:.3f}", context.name(f"{hit.bucket}/{hit.key}"), tags)
    context.out.print(table if hits else "nothing found")


def why_nothing(engine: Engine, tags: Sequence[TagFilter]) -> str:
    """Why nothing was found, and what to do next."""
    from worker.pipeline.operations import system_status

    totals = system_status.totals(engine)
    if totals.enriched:
        asked = " and ".join(f"{each.taxonomy}={each.label}" for each in tags)
        what = f"has {context.name(asked)} there" if tags else "is there"
        return f"none of {totals.enriched:,} images {what}: `enrich count` shows how many images each label has"
    if totals.pending:
        return f"no image is enriched yet; {totals.pending:,} are pending: `enrich status` shows progress"
    return (
        "no image is enriched yet: upload some to a watched bucket, or queue existing ones with `enrich backfill "
        "BUCKET`; `enrich status` shows their states"
    )


def entitled(taxonomy: str, label: str, titles: Titles) -> str:
    from worker import label_names

    return context.name(label_names.entitled(label, titles.get((taxonomy, label), "")))


def _label(text: str) -> TagFilter:
    from worker.catalog.search import TagFilter

    taxonomy, slash, label = text.partition("/")
    if not (taxonomy and slash and label):
        raise typer.BadParameter(f"--label {text!r}: write TAXONOMY/LABEL, for example --label setting/indoor")
    return TagFilter(taxonomy=taxonomy, label=label)


def tag_filter(text: str) -> TagFilter:
    from worker.catalog.search import TagFilter

    taxonomy, equals, label = text.partition("=")
    if not (taxonomy and equals and label):
        raise typer.BadParameter(f"--tag {text!r}: write TAXONOMY=LABEL, for example --tag time-of-day=night")
    return TagFilter(taxonomy=taxonomy, label=label)


def require_source(source: str | None) -> None:
    """Refuse an unknown source of tags."""
    from worker.api.models import TagSource
    from worker.suggestions import shown, suggested

    known = get_args(TagSource)
    if source is not None and source not in known:
        raise typer.BadParameter(
            f"unknown source {shown(source)}; {suggested(source, known, otherwise=', '.join(known))}"
        )
