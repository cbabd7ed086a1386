"""What a model saw can be looked at, however it takes its pixels."""

from __future__ import annotations

import numpy as np

from worker.encoder import as_picture

PICTURE = np.random.default_rng(1).integers(0, 256, size=(3, 8, 12), dtype=np.uint8)


def test_bytes_are_shown_as_they_are() -> None:
    """Most models take them so, and normalise on the device."""
    shown = as_picture(PICTURE)

    assert ("RGB", (12, 8)) == (shown.mode, shown.size)
    np.testing.assert_array_equal(PICTURE.transpose(1, 2, 0), np.asarray(shown))


def test_normalised_numbers_are_stretched_to_the_whole_range() -> None:
    """Each colour by itself; the order of brightness stays."""
    spread = PICTURE.copy()
    spread[:, 0, 0], spread[:, 0, 1] = 0, 255
    shown = as_picture(((spread / 255.0 - 0.48) / 0.27).astype(np.float32))

    assert np.abs(np.asarray(shown).astype(int) - spread.transpose(1, 2, 0)).max() <= 1


def test_a_plain_colour_is_no_division_by_zero() -> None:
    """It is black: nothing is brighter than anything else."""
    assert not np.asarray(as_picture(np.full((3, 4, 4), 0.5, dtype=np.float32))).any()


def test_patches_are_put_together_again() -> None:
    """Two by three patches of four by four pixels, each flattened row by row."""
    rows = PICTURE.transpose(1, 2, 0).astype(np.float32)
    patches = [[rows[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].reshape(-1) for j in range(3)] for i in range(2)]

    assert np.array_equal(
        np.asarray(as_picture(np.array(patches, dtype=np.float32))), np.asarray(as_picture(PICTURE.astype(np.float32)))
    )
