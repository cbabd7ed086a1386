"""From a queue's messages to pending work: nothing is deleted before it is committed, and nothing blocks the rest."""

from __future__ import annotations

import json
import threading
import time

from sqlalchemy import text

from tests.integration.api.live import record
from tests.integration.pipeline.intake.conftest import make_queue
from tests.integration.processes.site import kill_server, revive_server
from tests.ledger import pending, row
from tests.servers import start_servers
from tests.unit.events.event_fixtures import eventbridge_event, fixtures, in_sns
from tests.waiting import until
from worker import catalog, db, ledger, metrics
from worker.db import transaction
from worker.local.stack import Part
from worker.pipeline.intake.ingest import Ingest
from worker.types import ObjectRef

POISON = [
    "",
    " ",
    "hello",
    "{",
    "[]",
    "{}",
    '{"Records": [{}]}',
    "[" * 1_000,
    json.dumps({"TopicArn": "t", "Message": "x"}),
]


def rejected(engine):
    with transaction(engine) as connection:
        return ledger.rejected_events.recent(connection)


def counted(result):
    return metrics.REGISTRY.get_sample_value("enrich_queue_messages_total", {"result": result})


# -- what arrives ------------------------------------------------------------------------------------------------------
def test_every_notification_that_the_api_takes_a_queue_may_carry(aws, engine, listen, queue_url):
    """Each fixture of S3, as the body of a message: exactly its objects are pending, and the queue is empty."""
    known = [each for each in fixtures() if each.source == "s3"]
    aws.send(queue_url, *(body for each in known for body in each.bodies))
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    expected = {(bucket, key) for each in known for bucket, key in each.objects | each.readings}
    with transaction(engine) as connection:
        found = {(each.bucket, each.key) for each in connection.execute(text("SELECT bucket, key FROM inbox"))}
    assert expected == found


def test_what_aws_sends_arrives_by_every_way_it_takes(aws, engine, listen, queue_url):
    """S3 to SQS, to SNS and SQS (wrapped and raw), and by EventBridge: as the server's own services write it."""
    s3, sns, rules = aws.client("s3"), aws.client("sns"), aws.client("events")
    arn, bucket = aws.arn(queue_url), aws.fresh_name()
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    topics = [sns.create_topic(Name=f"{bucket}-{name}")["TopicArn"] for name in ("wrapped", "raw")]
    for topic, raw in zip(topics, ("false", "true"), strict=True):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": raw})
    rules.put_rule(Name=bucket, EventPattern=json.dumps({"source": ["aws.s3"]}))
    rules.put_targets(Rule=bucket, Targets=[{"Id": "queue", "Arn": arn}])
    prefixes = {"queue/": ("QueueArn", arn), "wrapped/": ("TopicArn", topics[0]), "raw/": ("TopicArn", topics[1])}
    for_kind: dict[str, list[object]] = {"QueueConfigurations": [], "TopicConfigurations": []}
    for prefix, (kind, target) in prefixes.items():
        chosen = {"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}}
        for_kind[f"{kind.removesuffix('Arn')}Configurations"].append(
            {kind: target, "Events": ["s3:ObjectCreated:*"], "Filter": chosen}
        )
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={**for_kind, "EventBridgeConfiguration": {}}
    )
    keys = [f"{prefix}{name}" for prefix in (*prefixes, "bridge/") for name in ("a.jpg", "é.jpg")]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    with transaction(engine) as connection:
        found = [key for key in keys if ledger.totals.object_state(connection, ObjectRef(bucket=bucket, key=key))]
    assert keys == found
    assert [] == rejected(engine)


def test_a_message_wakes_a_worker(aws, engine, listen, queue_url, rung):
    """Committed work rings the bell, and counts as hints by SQS."""
    before = metrics.REGISTRY.get_sample_value("enrich_hints_total", {"source": "sqs"}) or 0
    aws.send(queue_url, record("a.jpg"))
    listen(queue_url)
    assert rung.wait(10)
    assert 1 == pending(engine)
    until(lambda: metrics.REGISTRY.get_sample_value("enrich_hints_total", {"source": "sqs"}) == before + 1)


def test_duplicates_come_to_one_row(aws, engine, listen, queue_url):
    """A queue delivers at least once, senders send twice."""
    aws.send(queue_url, *[record("a.jpg")] * 25)
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 1 == pending(engine)


def test_what_is_not_watched_is_deleted_and_not_recorded(aws, engine, listen, queue_url):
    """Who sends more than one bucket to a queue is not punished for it."""
    aws.send(queue_url, record("a.jpg", bucket="unwatched"), record("b.jpg"))
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 1 == pending(engine)
    assert [("not watched", b"unwatched")] == [(each.reason, each.body) for each in rejected(engine)]


def test_several_queues_are_listened_to(aws, engine, listen):
    """Each on a thread of its own: one that is away holds up nobody."""
    first, second = aws.new_queue(), aws.new_queue()
    listen("http://127.0.0.1:1/123456789012/away")
    for name, url in (("a.jpg", first), ("b.jpg", second)):
        listen(url)
        aws.send(url, record(name))
    until(lambda: pending(engine) == 2)


def test_a_large_message_is_taken(aws, engine, listen, queue_url):
    """Nearly as large as the server allows: hundreds of records."""
    records = {"Records": [record(f"{number:0900}.jpg")["Records"][0] for number in range(200)]}
    aws.send(queue_url, records)
    listen(queue_url)
    until(lambda: pending(engine) == 200)


# -- delete after commit -----------------------------------------------------------------------------------------------
def test_nothing_is_deleted_before_it_is_committed(aws, engine, listen, proxy, queue_url):
    """While the commit waits for a lock, the message is in hand and nobody has asked for its removal."""
    aws.send(queue_url, record("a.jpg"))
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE inbox IN EXCLUSIVE MODE"))
        listen(proxy.url)
        until(lambda: aws.messages(queue_url) == (0, 1))
        time.sleep(0.3)
        assert "DeleteMessageBatch" not in proxy.asked
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 1 == pending(engine)


def test_a_message_that_could_not_be_deleted_comes_again_and_does_no_harm(aws, engine, listen, proxy, queue_url):
    """It is recorded twice and deleted the second time."""
    proxy.answer["DeleteMessageBatch"] = {
        "Successful": [],
        "Failed": [{"Id": "0", "SenderFault": False, "Code": "InternalError"}],
    }
    aws.send(queue_url, record("a.jpg"))
    listen(proxy.url, visibility=1)
    until(lambda: proxy.asked.count("DeleteMessageBatch") == 2)
    del proxy.answer["DeleteMessageBatch"]
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 1 == pending(engine)


def test_a_deletion_that_is_refused_does_not_end_the_listening(aws, engine, listen, proxy, queue_url):
    """The messages come again; what is new is recorded meanwhile."""
    proxy.refuse["DeleteMessageBatch"] = (500, "InternalFailure")
    aws.send(queue_url, record("a.jpg"))
    listen(proxy.url, visibility=1)
    until(lambda: pending(engine) == 1)
    aws.send(queue_url, record("b.jpg"))
    until(lambda: pending(engine) == 2)
    proxy.refuse.clear()
    until(lambda: aws.messages(queue_url) == (0, 0))


def test_receipts_that_have_expired_do_no_harm(engine, listen, proxy, capsys):
    """A commit that outlasts them: nobody could keep the messages, another had them; all is recorded, and deleted."""
    proxy.answer["ChangeMessageVisibilityBatch"] = {
        "Successful": [],
        "Failed": [{"Id": "0", "SenderFault": True, "Code": "ReceiptHandleIsInvalid"}],
    }
    proxy.send(record("a.jpg"))
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE inbox IN EXCLUSIVE MODE"))
        listen(proxy.url, visibility=1)
        until(lambda: proxy.messages == (0, 1))
        until(lambda: proxy.messages == (1, 0))
        [taken] = make_queue(proxy.behind).receive()
    until(lambda: pending(engine) == 1)
    assert "1 messages could not be kept hidden; another listener may get them, which is harmless" in "".join(
        capsys.readouterr()
    )
    listen(proxy.url, visibility=1)
    make_queue(proxy.behind).hide([taken], seconds=0)
    until(lambda: proxy.messages == (0, 0))
    assert 1 == pending(engine)


# -- what cannot be parsed ---------------------------------------------------------------------------------------------
def test_poison_is_recorded_and_deleted_where_nothing_else_would_end_it(aws, engine, listen, queue_url):
    """Without a dead-letter queue it would come back for days. Its neighbours are recorded."""
    before = counted("refused")
    aws.send(queue_url, *(body for body in POISON if body), record("a.jpg"))
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 1 == pending(engine)
    assert {body for body in POISON if body} == {each.body.decode() for each in rejected(engine)}
    assert {"sqs"} == {each.source for each in rejected(engine)}
    assert counted("refused") == before + len(POISON) - 1


def test_poison_is_left_to_the_dead_letters_where_there_are_some(aws, engine, listen):
    """It is never deleted, kept once however often it comes, and ends where its owner looks for it."""
    url, dead = aws.with_dead_letters(deliveries=2)
    aws.send(url, "poison", record("a.jpg"))
    listen(url, visibility=1)
    until(lambda: aws.messages(dead)[0] == 1)
    assert "poison" == aws.client("sqs").receive_message(QueueUrl=dead)["Messages"][0]["Body"]
    assert [b"poison"] == [each.body for each in rejected(engine)]
    assert (1, (0, 0)) == (pending(engine), aws.messages(url))


def test_poison_is_left_where_nobody_says_whether_there_are_dead_letters(aws, engine, listen, proxy, queue_url):
    """Deleting what may be somebody's is worse than seeing it again."""
    proxy.refuse["GetQueueAttributes"] = (403, "AccessDenied")
    aws.send(queue_url, "poison")
    listen(proxy.url)
    until(lambda: len(rejected(engine)) == 1)
    until(lambda: proxy.asked.count("ReceiveMessage") > 2)
    assert "DeleteMessageBatch" not in proxy.asked


def test_a_message_that_breaks_us_keeps_no_other_from_being_recorded(aws, engine, listen, queue_url):
    """A mistake of ours with one message: the others are recorded one by one, and it stays in the queue."""

    def refusal(bucket: str, _: str) -> None:
        if bucket == "boom":
            raise ValueError("a mistake")

    aws.send(queue_url, record("a.jpg"), record("x.jpg", bucket="boom"), record("b.jpg"))
    listen(queue_url, intake=Ingest(engine=engine, refusal=refusal, notify=lambda: None))
    until(lambda: pending(engine) == 2 and aws.messages(queue_url) == (0, 1))


def test_a_subscription_s_confirmation_in_a_queue_is_kept_for_a_person(aws, engine, listen, queue_url):
    """A topic of another account asks so; the message is answered for, and deleted."""
    asks = next(each for each in fixtures() if each.name == "sns/subscription-confirmation")
    aws.send(queue_url, *asks.bodies)
    listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert "asks to confirm a subscription" in rejected(engine)[0].reason


def test_half_a_surrogate_pair_in_a_body_is_refused_like_any_poison(aws, engine, listen, proxy):
    """JSON can carry what UTF-8 cannot."""
    held = {"MessageId": "m", "ReceiptHandle": "r", "Body": '{"Records": ["\udc80"]}'}
    proxy.answer["ReceiveMessage"] = {"Messages": [held]}
    listen(proxy.url)
    until(lambda: len(rejected(engine)) == 1)
    assert "is not UTF-8" in rejected(engine)[0].reason


# -- what is away ------------------------------------------------------------------------------------------------------
def test_messages_are_kept_while_the_database_is_away(aws, listen, tmp_path):
    """Three times as long as they are hidden: nobody else gets them, no delivery is used up."""
    url, dead = aws.with_dead_letters(deliveries=1)
    with start_servers(tmp_path, [Part.DATABASE]) as own:
        engine = db.connect(own.database_url, name="test", pool_size=2)
        catalog.schema.migrate(engine)
        kill_server(own, "postgres")
        aws.send(url, record("a.jpg"), record("b.jpg"))
        intake = Ingest(engine=engine, notify=lambda: None)
        listen(url, intake=intake, visibility=2)
        until(lambda: aws.messages(url) == (0, 2))
        until_gone = time.monotonic() + 6
        while time.monotonic() < until_gone:
            assert ((0, 2), (0, 0)) == (aws.messages(url), aws.messages(dead))
            time.sleep(0.2)
        revive_server(own, "postgres")
        until(lambda: aws.messages(url) == (0, 0), seconds=30)
        assert (2, (0, 0)) == (pending(engine), aws.messages(dead))
        engine.dispose()


def test_messages_are_given_back_when_stopped_while_the_database_is_away(aws, queue_url, listen):
    """At once, and whole: whoever listens next has them without waiting."""
    nowhere = db.connect("postgresql://enrich@127.0.0.1:1/enrich", name="test", pool_size=1)
    aws.send(queue_url, record("a.jpg"))
    listener = listen(queue_url, intake=Ingest(engine=nowhere, notify=lambda: None))
    until(lambda: aws.messages(queue_url) == (0, 1))
    assert listener.stop(within=10)
    assert (1, 0) == aws.messages(queue_url)


def test_what_is_still_busy_when_time_is_up_is_given_back(aws, engine, listen, queue_url):
    """A commit that hangs does not hold up the end; if it succeeds later, a repeated hint does no harm."""
    aws.send(queue_url, record("a.jpg"))
    with transaction(engine) as connection:
        connection.execute(text("LOCK TABLE inbox IN EXCLUSIVE MODE"))
        listener = listen(queue_url)
        until(lambda: connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) == 1)
        assert not listener.stop(within=0.2)
        assert (1, 0) == aws.messages(queue_url)


def test_a_queue_that_comes_back_is_listened_to_again(aws, engine, listen, proxy, queue_url):
    """For ever, with growing pauses; errors are counted."""
    before = metrics.REGISTRY.get_sample_value("enrich_queue_errors_total") or 0
    proxy.refuse["*"] = (503, "ServiceUnavailable")
    listener = listen(proxy.url)
    aws.send(queue_url, record("a.jpg"))
    until(lambda: proxy.asked.count("ReceiveMessage") >= 2)
    assert listener.is_alive
    proxy.refuse.clear()
    until(lambda: pending(engine) == 1)
    assert (metrics.REGISTRY.get_sample_value("enrich_queue_errors_total") or 0) >= before + 2


def test_a_silent_queue_is_told_from_an_empty_one(listen, proxy):
    """An answer without messages is an answer; an error is none."""
    listener = listen(proxy.url)
    until(lambda: proxy.asked.count("ReceiveMessage") >= 2)
    assert listener.silent_for < 5
    proxy.refuse["*"] = (403, "AccessDenied")
    until(lambda: listener.silent_for > 1.5)


def test_a_server_without_long_poll_is_not_asked_without_pause(listen, proxy):
    """Some answer at once that there is nothing."""
    proxy.answer["ReceiveMessage"] = {"Messages": []}
    listen(proxy.url)
    time.sleep(1.2)
    assert 1 <= proxy.asked.count("ReceiveMessage") <= 4


def test_work_of_a_queue_is_live_work(aws, engine, listen, queue_url):
    """It is claimed before retries and backfills."""
    aws.send(queue_url, in_sns(eventbridge_event("a.jpg")))
    listen(queue_url)
    until(lambda: pending(engine) == 1)
    assert (0, "eventbridge") == (row(engine, "a.jpg").lane, row(engine, "a.jpg").source)


def test_listeners_side_by_side_share_a_queue(aws, engine, listen, queue_url):
    """More of them take more messages, each once."""
    aws.send(queue_url, *(record(f"{number}.jpg") for number in range(60)))
    for _ in range(3):
        listen(queue_url)
    until(lambda: aws.messages(queue_url) == (0, 0))
    assert 60 == pending(engine)


def test_a_stopped_listener_gives_back_what_its_last_poll_brings(aws, listen, proxy, queue_url, engine):
    """Asked to stop while a request for messages is under way: what it brings goes back, unrecorded."""
    proxy.hold["ReceiveMessage"] = threading.Event()
    listener = listen(proxy.url)
    until(lambda: "ReceiveMessage" in proxy.asked)
    aws.send(queue_url, record("a.jpg"))
    listener.ask_to_stop()
    proxy.hold.pop("ReceiveMessage").set()
    assert listener.stop(within=10)
    assert ((1, 0), 0) == (aws.messages(queue_url), pending(engine))
