"""``enrich up``: one system for this module, used, abused, stopped and started again, in this order."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from rich.cells import cell_len

from tests.acceptance.commands import (
    ENRICH,
    RunningSystem,
    enrich,
    environment,
    json_of,
    leaves_nothing,
    on_a_terminal,
    until,
    up,
)
from tests.pictures import picture
from worker.local.ports import free_port_base

ODD_KEY = "holiday 2026/été+sommer/100% 🌈 [red]#1?.jpg"
CUT_KEY = "customers/ACME Corporation/2026/november/holiday-in-portugal/originals/IMG_20261120_103045_HDR.jpg"


@pytest.fixture(scope="module")
def ports() -> int:
    return free_port_base()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def system(folder: Path, ports: int) -> Iterator[RunningSystem]:
    with up(folder, ports, env={"ENRICH_LEASE_SECONDS": "5"}) as system:
        yield system


def photos_round(system: RunningSystem) -> str:
    """When the newest round of reconciliation that ended began; nothing while there is none."""
    rounds = json_of("status", cwd=system.cwd)["reconciliations"]
    return next((each["started_at"] for each in rounds if each["bucket"] == "photos" and each["finished_at"]), "")


def session(api: str, link: str) -> urllib3.BaseHTTPResponse:
    """The request of a page that a link has opened."""
    return urllib3.request("POST", f"{api}/session", json={"code": link.partition("#")[2]}, timeout=30)


class TestUse:
    """What a newcomer does with it."""

    def test_the_banner_says_where_everything_is(self, system: RunningSystem, ports: int) -> None:
        """API, store, database, model, data and logs; passwords are left out; nothing of third parties is logged."""
        said = system.command.said()
        for expected in (
            f"http://127.0.0.1:{ports}/docs",
            f"http://127.0.0.1:{ports + 1}",
            "watched   photos",
            "starter",
        ):
            assert expected in said
        env = system.env
        assert env["database_url"].split(":")[2].split("@")[0] not in said
        assert "[info" not in said

    def test_the_pages_open_by_a_link(self, system: RunningSystem) -> None:
        """The banner has one that logs in once; `enrich login` prints more, for less if asked."""
        api = system.env["api_url"]
        [link] = re.findall(rf"{api}/login#\S+", system.command.said())
        page = urllib3.request("GET", link, timeout=30)
        assert (200, True) == (page.status, page.data.startswith(b"<!doctype html>"))
        assert ["admin", "events", "read", "review"] == session(api, link).json()["scopes"]
        again = session(api, link)
        assert (409, True) == (again.status, "enrich login" in again.json()["detail"])
        to_look = enrich("login", "--scope", "read", cwd=system.cwd).stdout.strip()
        found = session(api, to_look)
        assert 200 == found.status, (to_look, found.json())
        assert ["read"] == found.json()["scopes"]
        cookie = {"Cookie": found.headers["set-cookie"].partition(";")[0]}
        assert 200 == urllib3.request("GET", f"{api}/v1/status", headers=cookie, timeout=30).status
        refused = enrich("login", "--scope", "reed", cwd=system.cwd)
        assert (2, True) == (refused.returncode, "did you mean 'read'" in refused.stderr)

    def test_env_sets_a_shell_up(self, system: RunningSystem) -> None:
        """After `eval "$(enrich env)"` any S3 client finds the store, and scripts find the API and its token."""
        script = (
            f'eval "$({ENRICH} env)"; echo "$AWS_ENDPOINT_URL_S3 $AWS_ACCESS_KEY_ID $ENRICH_API_URL $ENRICH_API_TOKEN"'
        )
        done = subprocess.run(
            ["sh", "-c", script], cwd=system.cwd, env=environment(), capture_output=True, text=True, check=True
        )
        env = system.env
        assert done.stdout.split() == [
            env["s3_endpoint_url"],
            env["s3_access_key_id"],
            env["api_url"],
            env["api_token"],
        ]

    def test_an_upload_becomes_searchable(self, system: RunningSystem) -> None:
        """Put with any S3 client; the store's own notification does the rest; odd keys arrive intact."""
        system.upload(picture("blue"), ODD_KEY, "plain.jpg")
        system.upload(picture()[:200], CUT_KEY)
        system.until_totals(enriched=2, quarantined=1, pending=0)
        shown = json_of("show", f"photos/{ODD_KEY}", cwd=system.cwd)
        assert (shown["key"], shown["width"], shown["format"]) == (ODD_KEY, 64, "JPEG")
        assert {tag["taxonomy"] for tag in shown["tags"]} >= {"time-of-day", "setting", "document-page"}

    def test_the_store_may_send_events_and_do_nothing_else(self, system: RunningSystem) -> None:
        """The token that it posts them with is refused everywhere else."""
        headers = {"Authorization": f"Bearer {system.env['api_events_token']}"}
        asked = {"/v1/status": "GET", "/v1/images": "GET", "/v1/search": "POST", "/v1/quarantine/retry": "POST"}
        answers = [
            urllib3.request(method, system.env["api_url"] + path, headers=headers, timeout=30).status
            for path, method in asked.items()
        ]
        assert [403] * len(asked) == answers

    def test_what_is_not_watched_is_stored_and_not_read(self, system: RunningSystem) -> None:
        """An upload to another bucket: its event is counted, nothing is known of it, and commands say what to set."""
        store, counted = system.store(), 'enrich_ignored_total{reason="not-watched",source="seaweedfs"}'
        store.create_bucket(Bucket="other")
        store.put_object(Bucket="other", Key="secret.jpg", Body=picture(), ContentType="image/jpeg")
        until(lambda: counted in system.request("GET", "/metrics").data.decode())
        done = enrich("status", "--bucket", "other", cwd=system.cwd)
        assert (1, True) == (done.returncode, "unknown bucket 'other'" in done.stderr)
        done = enrich("backfill", "other", cwd=system.cwd)
        assert (1, True) == (done.returncode, "ENRICH_BUCKETS names photos; add other" in done.stderr)

    def test_search_finds_it(self, system: RunningSystem) -> None:
        """By words, best first, with tags; as JSON the way the API answers."""
        [first] = json_of("search", "a blue wall", "--limit", "5", cwd=system.cwd)["hits"]
        assert 1 == first["copies"]  # of the same picture
        hits = json_of("search", "a blue wall", "--limit", "5", "--all-copies", cwd=system.cwd)["hits"]
        assert {hit["key"] for hit in hits} == {ODD_KEY, "plain.jpg"}
        assert hits == sorted(hits, key=lambda hit: -hit["similarity"])

    def test_the_running_api_is_asked_to_search(self, system: RunningSystem) -> None:
        """It has the model loaded, so that the command needs none; what it refuses is said as by the command."""
        no_model = {"ENRICH_MODEL": "/nowhere/model"}
        done = enrich("search", "blue", "--limit", "1", "--json", cwd=system.cwd, **no_model)
        request = {"text": "blue", "limit": 1, "collapse": True}
        answer = system.request("POST", "/v1/search", json.dumps(request).encode()).json()
        assert answer == json.loads(done.stdout)
        refused = enrich("search", "blue", "--tag", "settin=outdoor", cwd=system.cwd)
        assert (1, True) == (refused.returncode, "did you mean 'setting'" in refused.stderr)

    def test_images_are_listed_by_place_and_tag(self, system: RunningSystem) -> None:
        """In the order of their keys, page by page, as the API lists them; what is unknown is refused."""
        first = json_of("list", "photos", "--limit", "1", cwd=system.cwd)
        second = json_of("list", "photos", "--limit", "5", "--after", first["next"], cwd=system.cwd)
        assert [ODD_KEY, "plain.jpg"] == [each["key"] for each in (*first["images"], *second["images"])]
        assert second["next"] is None
        headers = {"Authorization": f"Bearer {system.env['api_token']}"}
        answer = urllib3.request("GET", f"{system.env['api_url']}/v1/images?bucket=photos", headers=headers, timeout=30)
        assert first["images"] + second["images"] == answer.json()["images"]
        assert json_of("list", "photos/plain", cwd=system.cwd)["images"] == second["images"]
        assert "no image matches\n" == enrich("list", "photos/none", cwd=system.cwd).stdout
        for wrong, says in (("settin=outdoor", "did you mean 'setting'"), ("setting=outdor", "did you mean 'outdoor'")):
            done = enrich("list", "--tag", wrong, cwd=system.cwd)
            assert (1, True) == (done.returncode, says in done.stderr)
        assert "did you mean 'human'" in enrich("list", "--source", "humans", cwd=system.cwd).stderr

    def test_keys_with_markup_are_printed_as_they_are(self, system: RunningSystem) -> None:
        """A bracket in a key is a bracket; a pipe has no width to break lines at, and gets no colours."""
        done = enrich("search", "a blue wall", cwd=system.cwd)
        assert f"photos/{ODD_KEY}" in done.stdout
        assert "\x1b" not in done.stdout

    def test_what_was_refused_can_be_seen_and_tried_again(self, system: RunningSystem) -> None:
        """The reason is a sentence; a retry of what is still broken ends in quarantine again."""
        [entry] = json_of("quarantine", "list", cwd=system.cwd)["entries"]
        assert (entry["key"], entry["reason"]) == (CUT_KEY, "truncated")
        assert "1 entry" in enrich("quarantine", "retry", f"photos/{CUT_KEY}", cwd=system.cwd).stderr
        system.until_totals(quarantined=1, pending=0)

    @pytest.mark.parametrize(
        "command",
        [
            ("status",),
            ("reconcile",),
            ("list",),
            ("quarantine", "list"),
            ("show", f"photos/{ODD_KEY}"),
            ("explain", f"photos/{ODD_KEY}"),
            ("search", "blue"),
            ("taxonomy", "list"),
            ("taxonomy", "show", "subject"),
            ("taxonomy", "history"),
            ("space", "list"),
            ("bucket", "list"),
            ("labels", "near", f"photos/{ODD_KEY}"),
        ],
    )
    def test_nothing_is_cut_off_at_80_columns(self, system: RunningSystem, command: tuple[str, ...]) -> None:
        """Names are folded or rows become blocks; no line is wider than the terminal."""
        shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", on_a_terminal(*command, cwd=system.cwd, columns=80))
        assert shown.strip()
        assert "…" not in shown.removeprefix("loading the model starter …\n")
        assert all(cell_len(line) <= 80 for line in shown.splitlines())
        if command == ("quarantine", "list"):
            assert f"photos/{CUT_KEY}".replace(" ", "") in re.sub(r"\s", "", shown)

    def test_a_refused_notification_is_kept(self, system: RunningSystem) -> None:
        """What cannot be parsed is answered with 400 and shown by `enrich rejected`, as are buckets not watched."""
        response = system.request("POST", "/v1/events/s3", b"[]")
        assert 400 == response.status
        assert ["[]", "other"] == [each["body"] for each in json_of("rejected", cwd=system.cwd)]

    def test_the_bucket_balances(self, system: RunningSystem) -> None:
        """`enrich verify` lists the bucket and finds every object accounted for; so does a backfill."""
        assert 0 == enrich("verify", "photos", cwd=system.cwd).returncode
        found = enrich("backfill", "photos", cwd=system.cwd).stderr
        assert "3 keys seen, 0 to do: 2 unchanged, 1 in quarantine" in found
        system.until_totals(enriched=2, quarantined=1, pending=0)

    def test_status_names_who_runs(self, system: RunningSystem) -> None:
        """Totals, processes and spaces, for people and for programs."""
        status = json_of("status", cwd=system.cwd)
        assert {"worker", "scheduler"} == {each["kind"] for each in status["processes"]}
        assert ["active"] == [each["state"] for each in status["spaces"]]
        assert "worker@" in enrich("status", cwd=system.cwd).stdout

    @pytest.mark.parametrize("part", ["api", "worker", "scheduler"])
    def test_health_is_good(self, system: RunningSystem, part: str) -> None:
        """What container health checks run."""
        assert 0 == enrich("health", part, cwd=system.cwd).returncode


class TestAbuse:
    """What happens to a system on somebody's machine."""

    def test_a_second_start_in_the_same_folder_is_refused(self, system: RunningSystem) -> None:
        """Two supervisors must not share data; the message names the first."""
        done = enrich("up", cwd=system.cwd)
        assert 1 == done.returncode
        assert f"in use by process {system.command.process.pid}" in done.stderr

    def test_a_taken_port_is_named(self, system: RunningSystem, ports: int, tmp_path: Path) -> None:
        """Before anything is started, with the way out."""
        done = enrich("up", "--port-base", str(ports), cwd=tmp_path)
        assert 1 == done.returncode
        assert str(ports) in done.stderr
        assert "--port-base" in done.stderr
        assert [] == leaves_nothing(tmp_path)

    def test_a_bucket_that_cannot_exist_is_refused_at_once(self, tmp_path: Path) -> None:
        """Before anything is started, with the rule and the nearest name that is allowed."""
        done = enrich("up", "--bucket", "Bad_Bucket", cwd=tmp_path)
        assert (1, False) == (done.returncode, (tmp_path / ".enrich").exists())
        assert "Try --bucket bad-bucket" in done.stderr

    def test_events_sent_while_the_api_is_down_are_not_lost(self, system: RunningSystem) -> None:
        """The supervisor holds the socket: the store's one attempt waits there until the new API accepts it."""
        before = system.totals()["enriched"]
        system.child("api").kill()
        system.upload(picture("green"), "while-down.jpg")
        system.until_totals(enriched=before + 1, pending=0)
        assert "api died (killed by SIGKILL)" in system.command.said()

    def test_a_killed_worker_is_restarted_and_its_work_finished(self, system: RunningSystem) -> None:
        """Killed in the middle of uploads: every image ends enriched."""
        before = system.totals()["enriched"]
        system.upload(picture("red"), *(f"killed-{number}.jpg" for number in range(3)))
        system.child("worker").kill()
        system.upload(picture("red"), *(f"after-{number}.jpg" for number in range(3)))
        system.until_totals(enriched=before + 6, pending=0)
        assert "worker died (killed by SIGKILL)" in system.command.said()


class TestStopAndStart:
    """These stop the module's system."""

    def test_sigterm_stops_everything_and_the_next_start_goes_on(
        self, system: RunningSystem, folder: Path, ports: int
    ) -> None:
        """Uploads in flight when it stops are finished after the next start, which looks at once for what the store did
        not get to say; data, keys, token and ports are the same.
        """
        env, before = system.env, system.totals()["enriched"]
        system.upload(picture("yellow"), *(f"late-{number}.jpg" for number in range(20)))
        until(lambda: system.totals()["enriched"] + system.totals()["pending"] >= before + 20)
        until(lambda: photos_round(system) != "")
        begun = photos_round(system)
        assert 0 == system.command.end(signal.SIGTERM)
        assert "stopping" in system.command.said()
        assert [] == leaves_nothing(folder, seconds=2)
        started = time.monotonic()
        with up(folder, None) as again:
            assert time.monotonic() - started < 60
            assert {**again.env, "pid": 0} == {**env, "pid": 0}
            again.until_totals(enriched=before + 20, pending=0)
            until(lambda: photos_round(again) > begun)
            again.command.process.kill()
            assert [] == leaves_nothing(folder)

    @pytest.mark.parametrize("command", [("env",), ("status",), ("search", "blue")])
    def test_without_a_running_system_the_next_step_is_named(
        self, system: RunningSystem, command: tuple[str, ...]
    ) -> None:
        """Nothing on stdout, which might be evaluated, and what to do on stderr."""
        done = enrich(*command, cwd=system.cwd)
        assert (1, "") == (done.returncode, done.stdout)
        assert "start it with `enrich up`" in done.stderr

    def test_a_shell_that_still_has_its_addresses_is_told_the_same(self, system: RunningSystem) -> None:
        """`enrich env` was evaluated while it ran; another database's address is left to whoever set it."""
        ports = json.loads((system.cwd / ".enrich" / "ports.json").read_text())
        for port, told in ((ports["base"] + 6, True), (1, False)):
            url = f"postgresql://enrich:secret@127.0.0.1:{port}/enrich"
            done = enrich("status", cwd=system.cwd, ENRICH_DATABASE_URL=url)
            assert (done.returncode, "start it with `enrich up`" in done.stderr) == (1, told)
