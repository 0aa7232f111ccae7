"""Single images as a batch: all of them, and none copied without need."""

from __future__ import annotations

import numpy as np

from fovea_pipelines.one_batch import one_batch


def test_one_image_in_one_piece_is_not_copied() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    batch = one_batch([image])
    assert (batch.shape, np.shares_memory(batch, image)) == ((1, 2, 4, 3), True)


def test_one_image_in_several_pieces_comes_in_one() -> None:
    turned = np.arange(24, dtype=np.uint8).reshape(2, 4, 3).swapaxes(0, 1)
    batch = one_batch([turned])
    assert batch.flags.c_contiguous
    assert np.array_equal(batch[0], turned)


def test_several_images_follow_each_other() -> None:
    images = [np.full((2, 4, 3), value, np.uint8) for value in (1, 2, 3)]
    batch = one_batch(images)
    assert batch.shape == (3, 2, 4, 3)
    assert [int(image.max()) for image in batch] == [1, 2, 3]
