"""``enrich search``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from worker.cli import api_client, context, example_arguments, filters, read
from worker.cli.read import Json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.api import image_models
    from worker.api.search_models import Hit, SearchResponse
    from worker.catalog.image_filter import ImageFilter
    from worker.cli.read import Titles
    from worker.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(rich_help_panel=read.PANEL)(search)


def search(
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="What to look for, in words.")] = None,
    label: Annotated[
        str | None, typer.Option(metavar="TAXONOMY/LABEL", help="Instead of words: the images nearest to this label.")
    ] = None,
    *,
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="EXAMPLE", help=f"More like this: {example_arguments.FORMS}. May be repeated."),
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option(metavar="EXAMPLE", help="Less like this, written likewise. May be repeated.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="average|best",
            help="With several examples: like all of them together (the default), or like any one of them.",
        ),
    ] = None,
    place: Annotated[str | None, typer.Option("--in", metavar="BUCKET[/PREFIX]", help="Only in this place.")] = None,
    tag: filters.Tags = None,
    any_tag: filters.AnyTags = None,
    no_tag: filters.NoTags = None,
    conditions: filters.Conditions = None,
    filter_json: filters.FilterJson = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=1_000, help="Most images to show; 10 by default.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="The next page: what the last one said, with the same options.")
    ] = None,
    min_similarity: Annotated[
        float | None, typer.Option(metavar="S", min=-1, max=1, help="Leave out images less similar than this.")
    ] = None,
    min_relevance: Annotated[
        float | None,
        typer.Option(
            metavar="R", min=0, max=1, help="Leave out images less relevant than this; from 0.5 on, most are right."
        ),
    ] = None,
    words: Annotated[
        bool,
        typer.Option("--words", help="Images whose keys or labels have words of the text count as well; one page."),
    ] = False,
    all_copies: Annotated[
        bool, typer.Option("--all-copies", help="Show every copy of a picture, not only the first.")
    ] = False,
    include_examples: Annotated[
        bool, typer.Option("--include-examples", help="Show the examples themselves, if they are found.")
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare every image that passes the filter, however long that takes.")
    ] = False,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="Save this search under a name, too.")] = None,
    saved: Annotated[
        str | None, typer.Option(metavar="NAME", help="The saved search, changed by what else is given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find images by words, by images or by a label, optionally only among those that match a filter."""
    filter_ = filters.image_filter(
        place=place, tags=tag, any_tags=any_tag, no_tags=no_tag, conditions=conditions, json=filter_json
    )
    request = _given(
        saved=saved,
        text=" ".join(text or ()).strip() or None,
        label=None if label is None else _label(label),
        like=[example_arguments.parsed(each) for each in like or ()],
        unlike=[example_arguments.parsed(each) for each in unlike or ()],
        strategy=strategy,
        filter=_filter(filter_),
        limit=limit,
        after=after,
        min_similarity=min_similarity,
        min_relevance=min_relevance,
        words=words or None,
        exact=exact or None,
        collapse=False if all_copies else None if saved else True,
        include_examples=include_examples or None,
    )
    _require_something(request)
    settings = context.load_settings()
    if save is not None:
        _save(settings, save, request)
    found = _found(settings, request)
    if as_json:
        context.json_document(found.model_dump(mode="json"))
        return
    _print(settings, found, filter_, several=saved is not None or bool(request.get("like") or request.get("unlike")))


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, [], {})}


def _filter(given: ImageFilter) -> dict[str, Any]:
    from worker.api.filter_serializer import filter_json

    return filter_json(given)


def _require_something(request: Mapping[str, Any]) -> None:
    if "label" in request and "text" in request:
        raise typer.BadParameter("search by words or by --label, not by both; --like takes both together")
    if not request.keys() & {"text", "label", "like", "unlike", "saved"}:
        raise typer.BadParameter(
            "say what to search for: words, --like EXAMPLE, --label TAXONOMY/LABEL or --saved NAME"
        )


def _found(settings: Settings, request: Mapping[str, Any]) -> SearchResponse:
    from worker.api import saved_queries, search_answers
    from worker.api.search_models import SearchResponse
    from worker.bootstrap import reading
    from worker.pipeline.reading.saved_queries import SavedQueries

    answer = api_client.answered(settings, "/v1/search", request, SearchResponse)
    if answer is not None:
        return answer
    asked = saved_queries.checked(request, of="the search")
    engine = context.database(settings)
    query = saved_queries.complete(SavedQueries(engine=engine), asked).to_value()
    find, _ = reading.search(settings, engine)
    return search_answers.found(find(query))


def _save(settings: Settings, name: str, request: Mapping[str, Any]) -> None:
    from worker.api import saved_queries
    from worker.api.search_models import require_query_name
    from worker.bootstrap import reading
    from worker.pipeline.reading.saved_queries import SavedQueries

    try:
        require_query_name(name)
    except ValueError as error:
        raise typer.BadParameter(f"--save {name!r}: {error}") from error
    engine = context.database(settings)
    queries = SavedQueries(engine=engine)
    asked = saved_queries.complete(queries, saved_queries.checked(request, of="the search"))
    _, examples = reading.search(settings, engine)
    saved_queries.save(queries, examples, name, asked)
    context.say(f"saved as {name!r}: repeat it with `enrich search --saved {name!r}`")


# -- printing ----------------------------------------------------------------------------------------------------------
def _print(settings: Settings, found: SearchResponse, filter_: ImageFilter, *, several: bool) -> None:
    from worker.pipeline.common import tag_filters

    engine = context.database(settings)
    if not found.complete:
        context.say(
            "the search stopped at a limit, so images may be missing: add --exact, or with --words a higher --limit"
        )
    titles = tag_filters.titles(engine, {taxonomy for hit in found.hits for taxonomy in hit.tags})
    _print_hits(found.hits, titles, several=several)
    if not found.hits:
        context.say(read.why_nothing(engine, filter_.tags))
    if any(hit.copies for hit in found.hits):
        context.say("(+N): so many copies of the picture were found, too; --all-copies shows them")
    if found.left_out:
        context.say(f"left out as examples themselves: {found.left_out:,} (--include-examples shows them)")
    if found.next is not None:
        context.say(f"for more, repeat with --after {found.next}")


def _print_hits(hits: Sequence[Hit], titles: Titles, *, several: bool) -> None:
    judged = any(hit.relevance is not None for hit in hits)
    columns = [*(["score"] if several else []), "similarity", *(["relevance"] if judged else []), "image", "tags"]
    table = Table(*columns, box=None, pad_edge=False)
    for hit in hits:
        tags = ", ".join(
            f"{taxonomy}={read.entitled(taxonomy, label, titles)}"
            for taxonomy, labels in sorted(hit.tags.items())
            for label in ([labels] if isinstance(labels, str) else labels)
        )
        decided = ", ".join(_decided(each, titles) for each in hit.decided)
        said = f"{tags} ({decided})" if decided else tags
        if hit.words:
            said += f" [{', '.join(each.word for each in hit.words)}]"
        image = context.name(f"{hit.bucket}/{hit.key}") + (
            f" (+{hit.copies} {'copy' if hit.copies == 1 else 'copies'})" if hit.copies else ""
        )
        score = [_number(hit.score)] if several else []
        relevance = [_number(hit.relevance)] if judged else []
        table.add_row(*score, _number(hit.similarity), *relevance, image, said)
    context.out.print(table if hits else "nothing found")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _decided(tag: image_models.DecidedTag, titles: Titles) -> str:
    label = "none" if tag.label is None else read.entitled(tag.taxonomy, tag.label, titles)
    return f"{tag.taxonomy}: {'not ' if tag.rejected else ''}{label}, {context.name(tag.reviewer)}"


def _label(text: str) -> dict[str, str]:
    taxonomy, slash, label = text.partition("/")
    if not (taxonomy and slash and label):
        raise typer.BadParameter(f"--label {text!r}: write TAXONOMY/LABEL, for example --label setting/indoor")
    return {"taxonomy": taxonomy, "label": label}
