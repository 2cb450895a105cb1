"""Boxes, pieces, holes and inner points of small masks."""

import numpy as np
import pytest

from stacksam.core.masks import (
    box_of,
    component_at,
    components,
    draw_scribble,
    drop_small,
    edge_distance,
    fill_holes,
    interior_point,
    largest_component,
)


def parse(text):
    rows = text.split()
    return np.array([[c == "#" for c in row] for row in rows])


TWO = parse("""
    ##....
    ##..#.
    ......
    ...###
    ...###
""")


def test_box_is_half_open():
    assert box_of(TWO) == (0, 0, 5, 6)
    assert box_of(parse("... .#. ...")) == (1, 1, 2, 2)
    assert box_of(np.zeros((3, 3), bool)) is None
    assert box_of(np.zeros((0, 3), bool)) is None


def test_components_count():
    assert components(TWO)[1] == 3
    corner = parse("#. .#")
    assert components(corner)[1] == 1
    assert components(corner, diagonal=False)[1] == 2


def test_largest_component():
    assert largest_component(TWO).sum() == 6
    assert largest_component(TWO)[4, 4]
    assert not largest_component(np.zeros((3, 3), bool)).any()
    assert np.array_equal(largest_component(parse("#.# ...")), parse("#.. ..."))


def test_component_at():
    assert np.array_equal(
        component_at(TWO, (0.4, 1.4)), parse("##.... ##.... ...... ...... ......")
    )
    for missed in [(2, 2), (-1, 0), (9, 9)]:
        assert not component_at(TWO, missed).any()


def test_holes():
    ring = parse("""
        #######
        #.#...#
        #######
    """)
    assert fill_holes(ring).all()
    assert np.array_equal(fill_holes(ring, max_px=1), ring | parse("....... .#..... ......."))
    assert np.array_equal(fill_holes(ring, max_px=0), ring)


def test_drop_small():
    assert drop_small(TWO, 4).sum() == 10
    assert drop_small(TWO, 1).sum() == TWO.sum()
    assert not drop_small(TWO, 7).any()
    assert not drop_small(np.zeros((2, 2), bool), 1).any()


def test_the_image_border_is_an_edge():
    distance, offset = edge_distance(np.ones((5, 5), bool))
    assert distance[2, 2] == 3
    assert distance[0, 0] == 1
    assert offset == (0, 0)


def test_interior_point_is_in_the_middle_of_the_ridge():
    assert interior_point(np.ones((3, 9), bool)) == (1, 4)
    assert interior_point(TWO)[0] >= 3
    assert interior_point(np.zeros((4, 4), bool)) is None


def test_interior_point_moves_with_the_object():
    mask = np.zeros((40, 40), bool)
    mask[3:9, 4:15] = True
    y, x = interior_point(mask)
    moved = np.roll(mask, (20, 17), axis=(0, 1))
    assert interior_point(moved) == (y + 20, x + 17)


def test_interior_point_of_a_ring_is_on_the_ring():
    y, x = np.ogrid[:41, :41]
    radius = np.hypot(y - 20, x - 20)
    ring = (radius > 12) & (radius < 18)
    assert ring[interior_point(ring)]


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_scribble_is_as_wide_as_said(width):
    mask = draw_scribble(((5.0, 2.0), (5.0, 12.0)), width, (11, 15))
    assert mask[:, 7].sum() == width
    assert mask[5, 2:13].all()


def test_a_dot_and_a_stroke_past_the_border():
    assert draw_scribble(((2.0, 2.0),), 1, (5, 5)).sum() == 1
    assert draw_scribble(((0.0, 0.0), (0.0, 4.0)), 3, (5, 5)).sum() == 10
    assert draw_scribble(((0.0, 0.0), (3.0, 3.0)), 1, (5, 5))[[0, 1, 2, 3], [0, 1, 2, 3]].all()
