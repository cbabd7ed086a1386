"""``enrich demo``: what a newcomer sees first, and what is left when they have seen enough."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.commands import leaves_nothing, running, terminal
from tests.pictures import picture


@pytest.fixture
def production() -> Iterator[tuple[int, list[str]]]:
    """A port that nobody may connect to, and who did."""
    visitors: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            try:
                while True:
                    connection, address = listener.accept()
                    visitors.append(str(address))
                    connection.close()
            except OSError:  # closed: the test is over
                return

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1], visitors
        listener.shutdown(socket.SHUT_RDWR)


def test_the_table_says_what_is_in_the_photos(tmp_path: Path, production: tuple[int, list[str]]) -> None:
    """Real photos get tags that a person agrees with, a broken upload a reason, and searches find what they name.

    All of it although the shell and a .env point at somebody's production: that is never connected to.
    """
    port, visitors = production
    (tmp_path / ".env").write_text(f"ENRICH_BUCKETS=production\nENRICH_BROKER_URL=redis://127.0.0.1:{port}/0\n")
    env = {
        "ENRICH_DATABASE_URL": f"postgresql://enrich@127.0.0.1:{port}/enrich",
        "ENRICH_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "ENRICH_S3_ACCESS_KEY_ID": "production",
        "ENRICH_S3_SECRET_ACCESS_KEY": "production",
        "ENRICH_METRICS_PORT": str(port),
        "ENRICH_API_PORT": str(port),
    }
    with running("demo", cwd=tmp_path, logs=tmp_path, env=env) as demo:
        assert 0 == demo.process.wait(280), demo.said()
    shown = demo.stdout.read_text()
    rows = {cells[1].strip(): cells for line in shown.splitlines() if len(cells := line.split("│")) > 5}
    subjects = {name: rows[name][5].strip() for name in ("chelsea.png", "astronaut.png", "china.jpg", "coffee.png")}
    assert {
        "chelsea.png": "animal, cat",
        "astronaut.png": "person",
        "china.jpg": "building",
        "coffee.png": "food",
    } == subjects
    assert "broken-upload.jpg (truncated): the JPEG file ends before its picture does" in shown
    assert "+ 0 excluded (not images) + 1 quarantined + 0 pending" in shown
    assert shown.index("Search for “a cat”") < shown.index("chelsea.png", shown.index("Search for “a cat”"))
    assert "\x1b" not in shown + demo.said()
    assert [] == visitors
    assert [] == leaves_nothing(tmp_path, seconds=0.5)


def test_a_folder_of_ones_own_with_everything_in_it(tmp_path: Path) -> None:
    """Odd names, texts, empty files, hidden folders: every upload has an outcome, the others are named."""
    folder = tmp_path / "my photos"
    (folder / ".git").mkdir(parents=True)
    (folder / "2026 été").mkdir()
    files = {
        "2026 été/[bold]a+b 100% 🌈.jpg": picture(),
        "new\nline.png": picture(kind="PNG"),
        "notes.txt": b"hello",
        "empty.jpg": b"",
        ".git/hidden.jpg": picture(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jpg")).write_bytes(picture())
    with running("demo", "--exit", "--photos", str(folder), cwd=tmp_path, logs=tmp_path) as demo:
        assert 0 == demo.process.wait(280), demo.said()
    shown = demo.stdout.read_text()
    assert "4 uploaded = 2 enriched + 1 excluded (not images) + 1 quarantined + 0 pending" in shown
    assert "│2026 été/[bold]a+b 100% 🌈.jpg" in shown
    assert r"│new\nline.png" in shown
    assert r"not uploaded: bad\udcff.jpg: its name is not valid UTF-8" in demo.said()


def test_an_empty_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """In one sentence, at once."""
    with running("demo", "--photos", str(tmp_path), cwd=tmp_path, logs=tmp_path / "..") as demo:
        assert 1 == demo.process.wait(30)
    assert demo.said().endswith("holds no files to upload; name a folder with photos\n")
    assert not (tmp_path / ".enrich").exists()


@pytest.mark.parametrize("moment", ["starting the servers", "starting the API", "uploading"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Whenever it comes: quietly, with status 130, and nothing runs on."""
    with running("demo", cwd=tmp_path, logs=tmp_path) as demo:
        demo.wait_until_it_says(moment)
        assert 130 == demo.end(signal.SIGINT)
    assert "Traceback" not in demo.said()
    assert [] == leaves_nothing(tmp_path, seconds=5)


def test_on_a_terminal_it_stays_until_ctrl_c(tmp_path: Path) -> None:
    """The addresses are printed, and Ctrl-C is a success; killing it outright leaves nothing either."""
    with terminal("demo", cwd=tmp_path) as (process, read):
        shown = read(lambda text: "Ctrl-C stops everything." in text)
        assert re.search(
            r"^http://127\.0\.0\.1:\d+/login#admin\.\d+\.[\w-]{8}\.[\w-]{22}\r?$", shown, re.MULTILINE
        )  # unbroken
        process.send_signal(signal.SIGINT)
        shown = read(lambda text: "nothing is left running" in text)
        assert "nothing is left running" in shown
        assert 0 == process.wait(30)
    assert [] == leaves_nothing(tmp_path, seconds=1)


def test_sigkill_leaves_nothing(tmp_path: Path) -> None:
    """The parent cannot clean up any more; its orphan reaper does."""
    with running("demo", cwd=tmp_path, logs=tmp_path) as demo:
        demo.wait_until_it_says("starting the API")
        demo.end(signal.SIGKILL)
    assert [] == leaves_nothing(tmp_path)
