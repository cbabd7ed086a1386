"""The long-running processes, ``enrich migrate``, and the health check for supervisors."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import context

if TYPE_CHECKING:
    from pydantic import SecretStr

    from worker.settings import Settings

_PANEL = "Running it"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(rich_help_panel=_PANEL)(api)
    app.command(rich_help_panel=_PANEL)(worker)
    app.command(rich_help_panel=_PANEL)(scheduler)
    app.command(rich_help_panel=_PANEL)(listen)
    app.command(rich_help_panel=_PANEL)(migrate)
    app.command("health", rich_help_panel=_PANEL)(health_of)


def api(
    fd: Annotated[int | None, typer.Option(help="Serve on this inherited listening socket.", hidden=True)] = None,
) -> None:
    """Serve the HTTP API: event intake and reading."""
    import uvicorn

    from worker import bootstrap, broker, logs, metrics
    from worker.api import Services, Tokens, create_app, server
    from worker.bootstrap import previews, reading
    from worker.open_database import database
    from worker.pipeline.intake.ingest import HOLD
    from worker.pipeline.reading.classify import Classifier
    from worker.pipeline.reading.explain import Explainer
    from worker.pipeline.reading.filtered_search import FilteredSearch
    from worker.pipeline.reading.label_search import LabelSearch
    from worker.pipeline.reading.model_input import ModelInputs
    from worker.pipeline.reading.saved_queries import SavedQueries
    from worker.pipeline.reading.taxonomy_trials import TaxonomyTrials
    from worker.pipeline.reconciliation.recheck import Recheck
    from worker.pipeline.review.queues import ReviewQueues
    from worker.pipeline.taxonomies.requests import TaxonomyChanges
    from worker.web import Pages

    settings = context.process_settings()
    context.log_watched(settings)
    tokens = Tokens(
        admin=_secret(settings.api_token),
        events=_secret(settings.api_events_token),
        read=_secret(settings.api_read_token),
        review=_secret(settings.api_review_token),
    )
    tokens.require_for(settings.api_host)
    engine = database(settings, "api", pool_size=20)
    notify = broker.WakeUp(settings).send
    recheck = Recheck(engine)
    recheck("the API was started")  # for events that came while it was down
    filtered = FilteredSearch(engine, memory=settings.filter_memory_bytes)
    search = bootstrap.search(settings, engine, filtered)
    labels = LabelSearch(engine=engine, filtered=filtered)
    find, examples = reading.search(settings, engine, texts=search, nearest=filtered)
    pictures = previews.source(settings)
    services = Services(
        engine=engine,
        notify=notify,
        ingest=bootstrap.ingest(settings, engine, notify, hold=HOLD, recheck=recheck),
        search=search,
        examples=examples,
        classifier=Classifier(engine, examples),
        find=find,
        queries_saved=SavedQueries(engine=engine),
        explain=Explainer(engine, search.model),
        taxonomies=TaxonomyChanges(engine, search.model),
        trials=TaxonomyTrials(engine, examples),
        labels=labels,
        previews=pictures,
        model_inputs=ModelInputs(models=examples, pictures=pictures),
        originals=previews.originals(settings),
        queues=ReviewQueues(engine, bootstrap.builder(settings, engine), search, labels.images_of),
        model=bootstrap.describe_model(settings),
        tokens=tokens,
        max_event_bytes=settings.max_event_bytes,
        feed_retention_days=settings.feed_retention_days,
        images_per_second=settings.api_images_per_second,
    )
    host, port = settings.api_host, settings.api_port
    listeners = server.listen(host, port) if fd is None else [socket.socket(fileno=fd)]
    metrics.API_UP.set(1)
    logs.get("cli").info(f"serving on http://{host}:{port}", action="serve", model=services.model)
    server.raise_connection_limit()
    with reading.keeping_ready(services.search, services.examples):
        app = create_app(services, Pages().routes() if settings.pages else ())
        uvicorn.Server(server.configured(app)).run(sockets=listeners)


def worker(
    processes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="How many to run; they share the cores [ENRICH_PROCESSES]."),
    ] = None,
    hold: Annotated[
        bool,
        typer.Option(
            "--hold",
            help="For supervisors that restart every process that ends, such as Docker: after an end with status 0 or "
            "78 without being told to stop, wait for SIGTERM instead of exiting.",
        ),
    ] = False,
    member: Annotated[bool, typer.Option("--member", help="Of a group, which logs for all.", hidden=True)] = False,
) -> None:
    """Run a worker: claim, fetch, embed, tag and write images, until SIGTERM."""
    if hold:
        from worker import restart_hold

        context.process_settings()
        raise typer.Exit(
            restart_hold.run([*restart_hold.WORKER, *([] if processes is None else [f"--processes={processes}"])])
        )
    # Read when numpy is imported, by one of the next lines. Its products are small here, and the threads that it
    # starts for them by default, one per core, spin for a while after each.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from worker import worker_group
    from worker.resources import cores

    settings = context.process_settings()
    if processes is not None:
        settings = settings.model_copy(update={"processes": processes})
    if not member:  # in a worker group, the group logs it
        context.log_watched(settings)
    if settings.processes > 1:
        raise typer.Exit(worker_group.run(settings, cores=cores()))
    from worker import tasks

    tasks.run_worker(settings)


def scheduler() -> None:
    """Run the scheduler: due retries, expired leases, reconciliation, until SIGTERM."""
    from worker import tasks

    settings = context.process_settings()
    context.log_watched(settings)
    tasks.run_scheduler(settings)


def listen() -> None:
    """Receive notifications from the SQS queues in ENRICH_SQS_QUEUES, until SIGTERM."""
    from worker import broker, listener

    settings = context.process_settings()
    context.log_watched(settings)
    listener.run(settings, broker.WakeUp(settings).send)


def migrate(
    worker_role: Annotated[
        str | None,
        typer.Option(
            "--worker", metavar="ROLE", help="Grant this role the rights that the long-running processes need."
        ),
    ] = None,
    reader_role: Annotated[
        str | None,
        typer.Option("--reader", metavar="ROLE", help="Grant this role read access to the views and the change feed."),
    ] = None,
) -> None:
    """Migrate the database to the schema that this version needs. Run it as the role that owns the schema.

    Roles named once keep their rights: later migrations need not name them again.
    """
    from worker import catalog, db
    from worker.open_database import require_database

    settings = context.load_settings()
    engine = db.connect(settings.database_url, name="migrate", pool_size=1)
    require_database(engine)
    before, after = catalog.schema.migrate(engine)
    context.say(f"schema {after}: nothing to do" if before == after else f"schema {before or '(none)'} → {after}: done")
    roles: list[tuple[catalog.roles.Role, str | None]] = [("worker", worker_role), ("reader", reader_role)]
    for role, name in roles:
        if name is not None:
            with db.transaction(engine) as connection:
                catalog.roles.grant(connection, role, name)
            context.say(f"{context.name(name)} has the rights of a {role}")


def health_of(
    part: Annotated[str, typer.Argument(metavar="PART", help="api, worker, scheduler or listener, on this host.")],
) -> None:
    """Exit with 0 if a process on this host is healthy, with 1 if not: for container health checks."""
    if part not in ("api", "worker", "scheduler", "listener"):
        raise typer.BadParameter(f"{part!r} is not a part; choose api, worker, scheduler or listener")
    settings = context.load_settings()
    problem = _api_problem(settings) if part == "api" else _process_problem(settings, part)
    context.say(problem or f"{part} is healthy{_but_waits(settings, part)}")
    raise typer.Exit(1 if problem else 0)


def _process_problem(settings: Settings, part: str) -> str | None:
    from worker.errors import EnrichError
    from worker.open_database import database
    from worker.pipeline.operations import health

    try:
        engine = database(settings, "health", pool_size=1)
    except EnrichError as error:
        return str(error)
    return health.problem(engine, kind=part, host=socket.gethostname())


def _but_waits(settings: Settings, part: str) -> str:
    """What a healthy process is waiting for."""
    if part == "api":
        return ""
    from worker.open_database import database
    from worker.pipeline.operations import health

    engine = database(settings, "health", pool_size=1)
    waiting = health.waiting_for(engine, kind=part, host=socket.gethostname())
    return f", but is waiting: {waiting}" if waiting else ""


def _api_problem(settings: Settings) -> str | None:
    import urllib3

    host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::") else settings.api_host  # noqa: S104  # compared, not bound
    url = f"http://{host}:{settings.api_port}/readyz"
    try:
        response = urllib3.request("GET", url, timeout=3, retries=False)
    except urllib3.exceptions.HTTPError as error:
        return f"{url} does not answer: {error}"
    return None if response.status == 200 else f"{url} answers {response.status}: {response.data.decode()}"  # noqa: PLR2004


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
