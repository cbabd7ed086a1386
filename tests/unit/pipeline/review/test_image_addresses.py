"""Paths and URLs that name images in other tools' files."""

from __future__ import annotations

import base64

import pytest

from worker.pipeline.review.formats import addresses
from worker.pipeline.review.formats.rows import BadValueError, ReadOptions

INSIDE = base64.b64encode(b"s3://photos/a b.jpg").decode()


@pytest.mark.parametrize(
    ("address", "options", "expected"),
    [
        ("s3://photos/2026/a b.jpg", {}, "photos/2026/a b.jpg"),
        ("gs://photos/a%20b.jpg", {}, "photos/a%20b.jpg"),
        ("https://minio.example:9000/photos/2026/a%20b.jpg?X-Amz-Expires=60", {}, "photos/2026/a b.jpg"),
        ("https://photos.s3.eu-west-1.amazonaws.com/a.jpg", {}, "photos/a.jpg"),
        ("https://my.photos.s3.amazonaws.com/a.jpg", {}, "my.photos/a.jpg"),
        ("https://s3.eu-west-1.amazonaws.com/photos/a.jpg", {}, "photos/a.jpg"),
        ("https://cdn.example/img/a.jpg", {"bucket": "photos", "strip": "img/"}, "photos/a.jpg"),
        ("https://cdn.example/photos/a.jpg", {"bucket": "photos"}, "photos/a.jpg"),
        ("a.jpg", {"bucket": "photos", "prefix": "2026/"}, "photos/2026/a.jpg"),
        ("./a.jpg", {"bucket": "photos"}, "photos/a.jpg"),
        ("/home/ada/pictures/x/a.jpg", {"bucket": "photos", "strip": "/home/ada/pictures/"}, "photos/x/a.jpg"),
        ("/home/ada/pictures/x/a.jpg", {"bucket": "photos", "strip": "/home/ada/pictures"}, "photos/x/a.jpg"),
        ("C:\\pictures\\x\\a.jpg", {"bucket": "photos", "strip": "C:/pictures"}, "photos/x/a.jpg"),
        ("file:///home/ada/a%20b.jpg", {"bucket": "photos", "strip": "/home/ada"}, "photos/a b.jpg"),
        ("what?.jpg", {"bucket": "photos"}, "photos/what?.jpg"),
        ("/data/local-files/?d=2026/a%20b.jpg", {"bucket": "photos"}, "photos/2026/a b.jpg"),
        ("/data/upload/12/0a1b2c3d-a.jpg", {"bucket": "photos", "prefix": "x/"}, "photos/x/a.jpg"),
        ("http://localhost:8080/data/upload/12/0a1b2c3d-a.jpg", {"bucket": "photos"}, "photos/a.jpg"),
        (f"/tasks/7/resolve/?fileuri={INSIDE}", {}, "photos/a b.jpg"),
        (f"https://ls.example/tasks/7/resolve/?fileuri={INSIDE}", {}, "photos/a b.jpg"),
    ],
)
def test_addresses(address, options, expected):
    """Bucket and key, as the store has them."""
    assert expected == str(addresses.image(address, ReadOptions(**options)))


@pytest.mark.parametrize(
    ("address", "options", "message"),
    [
        ("a.jpg", {}, "does not say in which bucket it is: give --bucket"),
        ("s3://photos", {}, "bucket or key is missing"),
        ("s3:///a.jpg", {}, "bucket or key is missing"),
        ("ftp://photos/a.jpg", {}, "is not an image's address"),
        ("data:image/png;base64,iVBOR", {}, "does not say in which bucket"),
        ("/data/local-files/?x=1", {"bucket": "photos"}, "bucket or key is missing"),
        ("/tasks/7/resolve/?fileuri=%25", {}, "its fileuri is not base64"),
        ("http://[/a", {}, "is not an image's address"),
    ],
)
def test_addresses_of_nothing(address, options, message):
    """The message says what to do."""
    with pytest.raises(BadValueError, match=message):
        addresses.image(address, ReadOptions(**options))
