"""Calls of decisions and reviews by the generated client."""

from __future__ import annotations

import importlib

from tests.integration.api.generated import PACKAGE, Generated, examples_of


def call_put_decision(client: Generated) -> None:
    body = client.body("PutDecision", examples_of("put_decision")[0])
    assert "saved" == client.call("put_decision", "photos", "red.jpg", body=body).outcome.value


def call_decisions(client: Generated) -> None:
    call_put_decision(client)
    [found] = client.call("list_decisions", bucket="photos", taxonomy=["time-of-day"], reviewer="ada").decisions
    assert ("night", "replace", "day") == (found.label, found.verdict.value, found.shown_label)


def call_post_decisions(client: Generated) -> None:
    [example] = examples_of("post_decisions")
    done = client.call("post_decisions", body=client.body("PostDecisions", example))
    assert (0, ["refused", "refused"]) == (done.saved, [each.outcome.value for each in done.results])


def call_matching(client: Generated) -> None:
    given = {"images": {"bucket": "photos"}, "taxonomy": "setting", "verdict": "none", "reviewer": "ada"}
    found = client.call("decide_matching", body=client.body("DecideMatching", given))
    assert (3, 3) == (found.count, len(found.examples))
    done = client.call("decide_matching", body=client.body("DecideMatching", {**given, "confirm": 3}))
    assert {"saved": 3} == done.outcomes.to_dict()


def call_undo(client: Generated) -> None:
    call_decisions(client)
    [found] = client.call("list_decisions").decisions
    assert 1 == client.call("undo_decisions", reviewer="ada", id=[found.id], reason="a slip").undone
    assert 1 == client.call("undo_decisions", reviewer="ada", batch=found.batch).already


def call_queue(client: Generated) -> None:
    queue = importlib.import_module(f"{PACKAGE}.models").Queue("uncertain")
    page = client.call("get_review_queue", queue, "time-of-day", label="night", limit=1)
    assert ["2026/green.jpg"] == [each.key for each in page.items]


def call_review_plan(client: Generated) -> None:
    example = examples_of("post_review_plan")[0]
    plan = client.call("post_review_plan", body=client.body("PostPlan", example))
    assert (plan.id, 1) == (client.call("get_review_plan", plan.id).id, plan.remaining)
    assert 2 == len(client.call("list_review_plans", taxonomy=["time-of-day"], only_open=True).plans)


def call_next(client: Generated) -> None:
    [item] = client.call("next_review_items", 1, body=client.models.NextItems("ada")).items
    assert ("red.jpg", "day", 1) == (item.key, item.seen.label, item.plan)
    back = client.models.ReleaseItems("ada", [item.place])
    assert client.call("release_review_items", 1, body=back) is None
    [shown] = client.call("get_review_plan_items", 1).items
    assert ("open", None) == (shown.state.value, shown.held_by)


def call_close(client: Generated) -> None:
    body = client.body("ClosePlan", examples_of("close_review_plan")[0])
    assert "ada" == client.call("close_review_plan", 1, body=body).closed_by
