"""The scales at which people are looked for, and where they are then said to be."""

import numpy as np

from converters.hog_graph import CHANNEL_ORDER, cell_profile
from converters.hog_pyramid import PERSON_HEIGHT, Level, ladder, person_boxes


def test_the_smallest_person_is_96_pixels_tall_and_the_largest_fills_the_canvas():
    boxes = person_boxes(ladder(360, 640, ratio=1.2, margin=16), 360, 640)
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.min() == PERSON_HEIGHT
    assert heights.max() > 0.9 * 360


def test_a_person_who_touches_the_edge_of_the_picture_fits_a_window():
    boxes = person_boxes([Level(height=360, width=640, margin=16)], 360, 640)
    assert boxes[:, 1].min() == 0
    assert boxes[:, 3].max() == 360
    assert boxes[:, 0].min() == 0
    assert boxes[:, 2].max() >= 632


def test_there_is_one_box_for_each_window():
    levels = ladder(360, 640, ratio=1.2, margin=16)
    windows = sum(rows * columns for rows, columns in (level.grid for level in levels))
    assert person_boxes(levels, 360, 640).shape == (windows, 4)


def test_the_channel_order_is_a_permutation():
    assert sorted(CHANNEL_ORDER.tolist()) == list(range(36))


def test_cells_share_a_block_like_mirror_images_but_for_the_off_centre_gaussian():
    first, second = cell_profile()
    assert first.argmax() < 8 <= second.argmax()
    np.testing.assert_allclose(first[1:], second[:0:-1], atol=0.13)
