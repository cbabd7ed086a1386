"""The pages on ten thousand images, to look at: ``python -m tests.pages [PORT]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import uvicorn

from tests.api_services import services_of
from tests.memory_store import MemoryStore
from tests.pages import catalog as pages_catalog
from tests.servers import start_servers
from worker import catalog, db
from worker.api import Tokens, create_app, server
from worker.local.stack import Part
from worker.web import Pages


def main(port: int) -> None:
    """Serve until Ctrl-C. The files of the pages are read when it starts."""
    with tempfile.TemporaryDirectory() as folder, start_servers(Path(folder) / "servers", [Part.DATABASE]) as servers:
        Path(folder).chmod(0o755)
        engine = db.connect(servers.database_url, name="pages", pool_size=10)
        catalog.schema.migrate(engine)
        store = MemoryStore(pages_catalog.BUCKET)
        pages_catalog.fill(engine, store)
        services = services_of(engine, store, Path(folder) / "previews", notify=lambda: None, tokens=Tokens())
        app = create_app(services, Pages().routes())
        print(f"http://127.0.0.1:{port}/", flush=True)  # noqa: T201  # a program for people
        uvicorn.Server(server.configured(app)).run(sockets=server.listen("127.0.0.1", port))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 8790)
