"""Batch sizes, near-duplicates and inclusion probabilities of review plans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pipeline.review.sampling import BITS, COSINE, batch, clusters, frame, looks, share


@pytest.mark.parametrize(("target", "size"), [(0.9, 60), (0.95, 120), (0.98, 300), (0.8, 30), (0.5, 10)])
def test_a_batch_suits_the_target(target, size):
    """Twice as many as prove it at best."""
    assert size == batch(target)


@pytest.mark.parametrize(
    ("first", "size", "expected"),
    [(60, 240, (60, 120, 240)), (60, 100, (60, 100)), (60, 60, (60,)), (60, 7, (7,)), (60, 0, ())],
)
def test_looks_double_up_to_the_frame(first, size, expected):
    """A small frame has fewer; its last look has all of it."""
    assert expected == looks(first, size)


def test_looks_never_spend_more_than_there_is():
    """However many plans follow each other."""
    assert [0.5, 0.25, 0.125] == [share(look) for look in range(3)]
    assert sum(share(look) for look in range(40)) < 1


def test_images_that_look_alike_are_one_cluster():
    """By their hash, or by their vectors; what is like neither is alone."""
    random = np.random.default_rng(0)
    hashes = np.array([0, 0xFF, 0x1FF << 20, 0x0F0F0F0F0F0F0F0F, 0xF0F0F0F0F0F0F0F0], dtype=np.uint64)
    vectors = np.eye(5, dtype=np.float32)
    vectors[4] = 0.99 * vectors[3] + np.sqrt(1 - 0.99**2) * vectors[4]
    first, second, third, fourth, fifth = clusters(hashes, vectors, random)
    assert (True, True, 3) == (first == second, fourth == fifth, len({first, third, fourth}))


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_every_pair_compared(seed):
    """Also where there are more images than are compared at once."""
    random = np.random.default_rng(seed)
    count, kinds = 1_200, random.normal(size=(300, 16))
    vectors = kinds[random.integers(0, 300, count)] + 0.06 * random.normal(size=(count, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    hashes = random.integers(0, 1 << 63, count).astype(np.uint64)
    near = (np.bitwise_count(hashes[:, np.newaxis] ^ hashes) <= BITS) | (vectors @ vectors.T > COSINE)
    expected = np.full(count, -1)
    for image in np.random.default_rng(seed).permutation(count):
        if expected[image] == -1:
            expected[near[image] & (expected == -1)] = expected[image] = expected.max() + 1
    assert list(expected) == list(clusters(hashes, vectors, np.random.default_rng(seed)))


def test_no_images_are_no_clusters():
    """Where nothing was drawn."""
    empty = clusters(np.empty(0, np.uint64), np.empty((0, 4), np.float32), np.random.default_rng(0))
    drawn = frame(np.empty(0), empty, 10, np.random.default_rng(0))
    assert (0, 0) == (len(empty), len(drawn.places))


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=30),
    share=st.floats(0.01, 1),
    seed=st.integers(0, 1_000),
)
def test_a_whole_frame_stands_for_every_image(sizes, share, seed):
    """One image of each cluster, each in the place of all like it."""
    of = np.repeat(np.arange(len(sizes)), sizes)
    found = frame(np.full(len(of), share), of, len(sizes), np.random.default_rng(seed))
    assert sorted(set(of)) == sorted(of[found.places])
    assert list(np.array(sizes)[of[found.places]]) == list(found.alike)
    assert pytest.approx(sum(sizes) / share) == (1 / found.probability).sum()


def test_part_of_a_frame_stands_for_every_image_on_average():
    """Over many draws; and each image of a cluster is as likely as the others."""
    of = np.array([0, 0, 0, 1, 2, 2, 3])
    random, sums, counts = np.random.default_rng(1), [], np.zeros(len(of))
    for _ in range(4_000):
        found = frame(np.full(len(of), 0.5), of, 2, random)
        sums.append((1 / found.probability).sum())
        counts[found.places] += 1
    assert pytest.approx(14, rel=0.03) == np.mean(sums)
    assert pytest.approx([4_000 / 2 / 3] * 3, rel=0.12) == list(counts[:3])
