"""A call of every operation by the generated client: operation → what sends a request and looks at the answer."""

from __future__ import annotations

from collections.abc import Callable

from tests.integration.api import generated_review_calls as reviews
from tests.integration.api.generated import Generated, examples_of, same
from tests.waiting import until


def call_search(client: Generated) -> None:
    request = client.models.SearchRequest(text="red", limit=1)
    [hit] = client.call("search", body=request).hits
    assert ("red.jpg", "day") == (hit.key, hit.tags["time-of-day"])
    label = client.models.LabelName(taxonomy="setting", label="indoor")
    request = client.models.SearchRequest(label=label, tags=[client.models.TagFilter("time-of-day", "night")])
    assert ["2026/green.jpg"] == [hit.key for hit in client.call("search", body=request).hits]


def call_saved_queries(client: Generated) -> None:
    request = client.models.SearchRequest(text="red", limit=1)
    assert "mine" == client.call("put_query", "mine", body=request).name
    assert ["mine"] == [each.name for each in client.call("list_queries").queries]
    assert "red" == client.call("get_query", "mine").query["text"]
    [hit] = client.call("search_by_link", query='{"saved": "mine"}').hits
    assert "red.jpg" == hit.key
    assert client.call("delete_query", "mine") is None


def call_similarity(client: Generated) -> None:
    example = client.models.Example
    request = client.models.SimilarityRequest(examples=[example(text="red"), example(image="photos/red.jpg")])
    found = client.call("similarity", body=request)
    assert (1, True) == (found.similarities[0][0], found.similarities[0][1] > 0.99)


def call_embeddings(client: Generated) -> None:
    texts, _ = examples_of("post_embeddings")
    found = client.call("post_embeddings", body=client.body("PostEmbeddings", texts))
    assert ([0, 1], 32) == ([each.index for each in found.data], len(found.data[0].embedding))
    given = {"input": {"image": "photos/red.jpg"}, "encoding_format": "base64"}
    assert 172 == len(client.call("post_embeddings", body=client.body("PostEmbeddings", given)).data[0].embedding)


def call_classification(client: Generated) -> None:
    labels, taxonomies = examples_of("post_classification")
    [image] = client.call("post_classification", body=client.body("PostClassification", labels)).images
    assert ("photos/red.jpg", 2) == (image.image, len(image.taxonomies[0].labels))
    page = client.call("post_classification", body=client.body("PostClassification", taxonomies))
    assert (2, True) == (len(page.images), page.next_ is not None)


def call_explanation(client: Generated) -> None:
    told = client.call("get_explanation", "photos", "2026/green.jpg", taxonomy=["time-of-day", "setting"])
    assert {"time-of-day", "setting"} == {each.taxonomy for each in told.taxonomies}
    assert {"decided"} == {str(each.decided_by) for each in told.taxonomies}
    nothing = client.call("get_explanation", "photos", "blue.jpg").taxonomies
    assert {"background-nearer"} == {str(each.decided_by) for each in nothing}


def call_list(client: Generated) -> None:
    source = client.models.ListImagesSourceType0("zero-shot")
    query = {"bucket": "photos", "prefix": "2026/", "tag": ["time-of-day=night"], "source": source}
    page = client.call("list_images", **query, updated_since="2d", limit=1)
    assert ("2026/green.jpg", None) == (page.images[0].key, page.next_)
    first = client.call("list_images", limit=1)
    assert "blue.jpg" == client.call("list_images", limit=1, after=first.next_).images[0].key
    newest = client.call("list_images", order=client.models.ListImagesOrder("newest")).images
    assert {each.key for each in client.call("list_images").images} == {each.key for each in newest}


def call_counts(client: Generated) -> None:
    source = client.models.GetLabelCountsSourceType0("zero-shot")
    query = {"bucket": "photos", "prefix": "2026/", "taxonomy": ["time-of-day"], "source": source}
    [found] = client.call("get_label_counts", **query, limit=1).taxonomies
    assert [("night", 1)] == [(each.label, each.images) for each in found.labels]


def call_facets(client: Generated) -> None:
    wanted = client.body("FacetRequest", {"filter": {"bucket": "photos", "prefix": "2026/"}, "taxonomies": ["setting"]})
    found = client.call("post_facets", body=wanted)
    assert (1, True, "setting") == (found.of.images, found.of.exact, found.taxonomies[0].taxonomy)


def call_samples(client: Generated) -> None:
    wanted = client.body("SampleRequest", {"taxonomy": "time-of-day", "labels": ["night"], "per_label": 1})
    [night] = client.call("post_samples", body=wanted).labels
    assert ("night", 1) == (night.label, len(night.images))


def call_duplicates(client: Generated) -> None:
    wanted = client.body("DuplicateRequest", {"filter": {"bucket": "photos", "prefix": "2026/"}})
    found = client.call("post_duplicates", body=wanted)
    assert ([], None, 1) == (found.groups, found.next_, found.examined)


def call_stats(client: Generated) -> None:
    query = {"taxonomy": ["time-of-day"], "bucket": "photos", "since": "1d", "by_bucket": True}
    everywhere, photos = client.call("get_stats", **query).taxonomies
    assert ("photos", 3, None) == (photos.bucket, photos.total.images, everywhere.days[0].drift)


def call_changes(client: Generated) -> None:
    page = client.call("changes", limit=2)
    assert 1 == len(client.call("changes", after=page.next_).changes)


def call_retry(client: Generated) -> None:
    choice = client.models.QuarantineChoice(
        reason=client.models.Reason("unsupported-format"), bucket="photos", prefix="2026/", since="2d"
    )
    assert 1 == client.call("retry_quarantine", body=choice).changed


def call_drop(client: Generated) -> None:
    choice = client.models.QuarantineChoice(bucket="photos", key="2026/broken.jpg")
    assert 1 == client.call("drop_quarantine", body=choice).changed


def call_rejected(client: Generated) -> None:
    [kept] = client.call("list_rejected_events", limit=5).events
    assert ("s3", True) == (kept.source, client.call("get_rejected_event", kept.id).whole)


def call_quarantine(client: Generated) -> None:
    reason = client.models.Reason("unsupported-format")
    assert 1 == len(client.call("list_quarantine", reason=reason, bucket="photos", since="2d", limit=5).entries)


def call_evaluation(client: Generated) -> None:
    example = examples_of("post_evaluation")[1]
    found = client.call("post_evaluation", body=client.body("PostEvaluation", example))
    [taxonomy] = found.taxonomies
    assert ("time-of-day", 1, "file", 1) == (
        taxonomy.taxonomy,
        taxonomy.scenes,
        taxonomy.design.value,
        found.file.images,
    )


def notify(operation: str, name: str) -> Callable[[Generated], None]:
    def call(client: Generated) -> None:
        [example] = examples_of(operation)
        assert 1 == client.call(operation, body=client.body(name, example)).hinted

    return call


def call_plan(client: Generated) -> None:
    change = client.body("TaxonomyPlanRequest", {"remove": ["setting"]})
    assert ["setting"] == [
        each.edit.name for each in client.call("plan_taxonomies", body=change).taxonomies if each.edit.edit == "removed"
    ]


def call_trial(client: Generated) -> None:
    [example] = examples_of("try_taxonomy")
    found = client.call("try_taxonomy", body=client.body("TaxonomyTrialRequest", example))
    happy, sad = found.labels
    assert ("mood", 40, None) == (found.name, len(happy.histogram), sad.strips)
    assert found.sampling.images == sum(happy.histogram)


def call_plan_head(client: Generated) -> None:
    found = client.call("plan_head", body=client.body("HeadPlanRequest", {"taxonomy": "setting", "zero_shot": True}))
    assert (None, 1) == (found.learned, found.plan.revision)


def call_apply_head(client: Generated) -> None:
    change = client.body("HeadApplyRequest", {"taxonomy": "setting", "zero_shot": True, "planned": 1})
    assert 2 == client.call("apply_head", body=change).revision
    until(lambda: getattr(client.call("list_taxonomies").retagging, "finished_at", None))


def call_apply(client: Generated) -> None:
    change = client.body("TaxonomyApplyRequest", {"remove": ["setting"], "planned": 1})
    assert 2 == client.call("apply_taxonomies", body=change).id
    until(lambda: getattr(client.call("list_taxonomies").retagging, "finished_at", None))


def call_plan_calibration(client: Generated) -> None:
    asked = client.body("CalibrationPlanRequest", {"taxonomies": ["time-of-day"]})
    found = client.call("plan_calibration", body=asked)
    [own] = found.taxonomies
    assert (1, ["day", "night"], None) == (found.revision, [each.label for each in own.labels], found.plan)


def call_apply_calibration(client: Generated) -> None:
    asked = client.body("CalibrationApplyRequest", {"taxonomies": ["time-of-day"], "label": "night", "planned": 1})
    [own] = client.call("apply_calibration", body=asked).taxonomies
    [label] = own.labels
    assert (0, None, True) == (label.test.reviewed, label.test.threshold, "cannot be proven yet" in label.message)
    [kept] = client.call("list_certificates", taxonomy=["time-of-day"]).certificates
    assert (label.certificate, "unproven", False) == (kept.id, str(kept.state), kept.in_force)


def call_sessions(client: Generated) -> None:
    assert [] == client.call("get_session").scopes
    found = client.call("log_in", body=client.body("LogIn", {"token": client.session.token}))
    assert (4, True) == (len(found.scopes), found.login_needed)
    assert client.call("log_out") is None


def call_maps(client: Generated) -> None:
    [found] = client.call("list_maps").maps
    assert (1, True, "pca", 3, 0) == (found.id, found.current, str(found.method), found.images, found.added)
    assert client.call("post_map", body=client.body("PostMap", {"update": True})).updating
    asked = client.call("post_map", body=client.body("PostMap", {"method": "pca", "sample": 100, "seed": 1}))
    assert ("requested", "waiting") == (str(asked.state), str(asked.drawing.stage))


def call_map_points(client: Generated) -> None:
    assert (12, 8) == tuple(len(client.call("get_map_points", 1, **given)) for given in ({}, {"count": 2}))


def call_map_colours(client: Generated) -> None:
    found = client.call("get_map_colours", 1, by="tag:time-of-day", count=3)
    assert {"day", "night", "none of the labels"} == {each.name for each in found.legend}


def call_map_images(client: Generated) -> None:
    found = client.call("post_map_images", 1, body=client.body("PostMapImages", {"points": [2, 0]}))
    assert ([2, 0], []) == ([each.point for each in found.images], found.gone)


CALLS: dict[str, Callable[[Generated], None]] = {
    "events_s3": notify("events_s3", "EventsS3Body"),
    "events_seaweedfs": notify("events_seaweedfs", "EventsSeaweedfsBody"),
    "list_images": call_list,
    "get_image": lambda client: same(client.call("get_image", "photos", "2026/green.jpg").key, "2026/green.jpg"),
    "get_preview": lambda client: same(client.call("get_preview", 256, "photos", "red.jpg")[:4], b"RIFF"),
    "get_model_input": lambda client: same(client.call("get_model_input", "photos", "red.jpg")[:4], b"RIFF"),
    "get_original": lambda client: same(client.call("get_original", "photos", "red.jpg").expires_in, 60),
    "get_session": call_sessions,
    "log_in": call_sessions,
    "log_out": call_sessions,
    "make_login_link": lambda client: same(
        client.call("make_login_link", body=client.body("LinkRequest", {"scope": "read"})).path[:11], "login#read."
    ),
    "list_spaces": lambda client: same(
        [(each.state, each.images, each.from_previews) for each in client.call("list_spaces").spaces],
        [("active", 3, 0)],
    ),
    "list_maps": call_maps,
    "post_map": call_maps,
    "get_map_points": call_map_points,
    "get_map_colours": call_map_colours,
    "post_map_images": call_map_images,
    "get_explanation": call_explanation,
    "get_nearest_labels": lambda client: same(
        len(client.call("get_nearest_labels", "photos", "red.jpg", taxonomy=["setting"], limit=1).labels), 1
    ),
    "get_label_counts": call_counts,
    "post_facets": call_facets,
    "post_samples": call_samples,
    "post_duplicates": call_duplicates,
    "search": call_search,
    "search_by_link": call_saved_queries,
    "list_queries": call_saved_queries,
    "get_query": call_saved_queries,
    "put_query": call_saved_queries,
    "delete_query": call_saved_queries,
    "similarity": call_similarity,
    "post_embeddings": call_embeddings,
    "post_classification": call_classification,
    "changes": call_changes,
    "list_decisions": reviews.call_decisions,
    "put_decision": reviews.call_put_decision,
    "post_decisions": reviews.call_post_decisions,
    "decide_matching": reviews.call_matching,
    "undo_decisions": reviews.call_undo,
    "get_review_queue": reviews.call_queue,
    "list_review_plans": reviews.call_review_plan,
    "get_review_plan": reviews.call_review_plan,
    "post_review_plan": reviews.call_review_plan,
    "get_review_plan_items": reviews.call_next,
    "next_review_items": reviews.call_next,
    "release_review_items": reviews.call_next,
    "close_review_plan": reviews.call_close,
    "post_evaluation": call_evaluation,
    "list_quarantine": call_quarantine,
    "count_quarantine": lambda client: same(client.call("count_quarantine", bucket="photos").total, 1),
    "get_quarantine_entry": lambda client: same(
        client.call("get_quarantine_entry", "photos", "2026/broken.jpg").first_bytes, b"film".hex()
    ),
    "retry_quarantine": call_retry,
    "drop_quarantine": call_drop,
    "list_buckets": lambda client: same(
        [each.name for each in client.call("list_buckets").buckets], ["photos", "typo"]
    ),
    "drop_bucket": lambda client: same(client.call("drop_bucket", "typo"), None),
    "list_taxonomies": lambda client: same(
        [each.name for each in client.call("list_taxonomies").taxonomies], ["setting", "time-of-day"]
    ),
    "get_taxonomy": lambda client: same(client.call("get_taxonomy", "setting").set_, "default"),
    "list_taxonomy_revisions": lambda client: same(client.call("list_taxonomy_revisions").revisions[0].action, "apply"),
    "list_heads": lambda client: same(
        [(each.won, each.in_force) for each in client.call("list_heads", taxonomy=["setting"]).heads], [(7, True)]
    ),
    "plan_head": call_plan_head,
    "apply_head": call_apply_head,
    "try_taxonomy": call_trial,
    "plan_taxonomies": call_plan,
    "apply_taxonomies": call_apply,
    "get_stats": call_stats,
    "plan_calibration": call_plan_calibration,
    "apply_calibration": call_apply_calibration,
    "list_certificates": lambda client: same(client.call("list_certificates", state="proven").certificates, []),
    "status": lambda client: same(client.call("status", bucket="photos").quarantined, 1),
    "get_backlog": lambda client: same(client.call("get_backlog", bucket="photos").pending, 0),
    "get_throughput": lambda client: same(client.call("get_throughput").last_hour, 3),
    "list_processes": lambda client: same(client.call("list_processes").processes, []),
    "list_reconciliations": lambda client: same(client.call("list_reconciliations").reconciliations, []),
    "get_feed": lambda client: same(client.call("get_feed").retention_days, 30.0),
    "list_rejected_events": call_rejected,
    "get_rejected_event": call_rejected,
    "healthz": lambda client: same(client.call("healthz").status, "ok"),
    "readyz": lambda client: same(client.call("readyz").ready, True),
}


BODIES = {
    "post_map": "PostMap",
    "post_map_images": "PostMapImages",
    "search": "SearchRequest",
    "put_query": "SearchRequest",
    "similarity": "SimilarityRequest",
    "post_embeddings": "PostEmbeddings",
    "post_classification": "PostClassification",
    "events_s3": "EventsS3Body",
    "events_seaweedfs": "EventsSeaweedfsBody",
    "put_decision": "PutDecision",
    "post_decisions": "PostDecisions",
    "decide_matching": "DecideMatching",
    "plan_head": "HeadPlanRequest",
    "apply_head": "HeadApplyRequest",
    "try_taxonomy": "TaxonomyTrialRequest",
    "plan_taxonomies": "TaxonomyPlanRequest",
    "apply_taxonomies": "TaxonomyApplyRequest",
    "plan_calibration": "CalibrationPlanRequest",
    "apply_calibration": "CalibrationApplyRequest",
    "post_review_plan": "PostPlan",
    "next_review_items": "NextItems",
    "release_review_items": "ReleaseItems",
    "close_review_plan": "ClosePlan",
    "post_evaluation": "PostEvaluation",
}
