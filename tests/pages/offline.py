"""Opens every page where no packet can leave: in a network namespace that has nothing but its own loopback.

Run by ``test_offline.py`` inside that namespace. Prints one JSON object.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41


def main(folder: Path) -> None:
    """Servers, API and browser, all in here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)

    from tests.api_services import services_of
    from tests.integration.api.live import serve
    from tests.memory_store import MemoryStore
    from tests.pages import catalog as pages_catalog
    from tests.pages.conftest import FLAGS
    from tests.servers import start_servers
    from worker import catalog, db
    from worker.api import Tokens
    from worker.local.stack import Part
    from worker.web import Pages, pages

    shown, faults = {}, []
    with start_servers(folder / "servers", [Part.DATABASE]) as servers, sync_playwright() as playwright:
        engine = db.connect(servers.database_url, name="offline", pool_size=5)
        catalog.schema.migrate(engine)
        store = MemoryStore(pages_catalog.BUCKET)
        pages_catalog.fill(engine, store, images=200)
        services = services_of(engine, store, folder / "previews", notify=lambda: None, tokens=Tokens())
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        with serve(services, Pages().routes()) as api:
            tab = browser.new_page()
            tab.on("requestfailed", lambda request: faults.append(f"{request.url}: {request.failure}"))
            tab.on("pageerror", lambda error: faults.append(str(error)))
            for name in (*pages.NAMES[1:], ""):
                tab.goto(f"http://127.0.0.1:{api.port}/{name}?bucket=photos&key=2020/00000.png")
                tab.wait_for_load_state("networkidle")
                shown[name or "search"] = tab.inner_text("main")
        browser.close()
        engine.dispose()
    print(json.dumps({"shown": shown, "faults": faults, "interfaces": [name for _, name in socket.if_nameindex()]}))  # noqa: T201


main(Path(sys.argv[1]))
