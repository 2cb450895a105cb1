"""Where samples look: around an object, or around a click on it."""

import numpy as np
import pytest

from models import disc
from pack_support import SIZE, items_of
from stacksam.core.fields import crop_labels, field_around
from stacksam.core.masks import box_of
from stacksam.training.datasets import SampleSource
from stacksam.training.packs import PackedItem
from stacksam.training.views import choose_view, click_view, mark_click

MASK = disc((120, 140), (40, 90), 12)


def test_without_augmentation_the_view_is_that_of_inference():
    view = choose_view(MASK, 2.0, np.random.default_rng(0), is_augmented=False)
    assert view == field_around(box_of(MASK), MASK.shape, pixel_aspect=2.0)


def test_views_hold_the_object_at_many_sizes():
    views = [choose_view(MASK, 1.0, np.random.default_rng(n), True) for n in range(60)]
    shares = [crop_labels(MASK, view, SIZE).sum() / SIZE**2 for view in views]
    assert max(shares) > 10 * min(shares)
    kept = [
        crop_labels(MASK, view, 256).sum() * view.height * view.width / 256**2 for view in views
    ]
    assert np.mean(np.array(kept) > 0.9 * MASK.sum()) > 0.9


@pytest.mark.parametrize("click", [(40, 90), (30, 88), (50, 95)])
def test_a_click_is_in_the_middle_of_its_view(click):
    far = np.pad(MASK, 600)  # a view never leaves the slice
    click = click[0] + 600, click[1] + 600
    for seed in range(30):
        view = click_view(far, 1.5, click, np.random.default_rng(seed))
        ((y, x),) = np.argwhere(mark_click(click, view, SIZE))
        assert np.abs([y - SIZE / 2, x - SIZE / 2]).max() < 0.08 * SIZE + 1
        assert view.width == pytest.approx(1.5 * view.height, rel=0.5)


def test_without_a_click_nothing_is_marked():
    assert not mark_click(None, field_around(box_of(MASK), MASK.shape), SIZE).any()


def test_click_views_count_what_lies_beyond_the_field():
    item = items_of("train", 0)[0]
    large = np.zeros_like(item.labels)
    large[:, 8:56, 8:56] = 1
    source = SampleSource([PackedItem("one", "train", item.image, large, None)], input_size=SIZE)
    objects = [source.draw((7, seed)).objects[0] for seed in range(200)]
    cut = [o for o in objects if o.unseen > 0]
    assert 5 < len(cut) < 100
    for o in cut:
        assert o.kind == "click"
        ((x, y),) = o.points_xy
        assert o.truth[int(y) // 2, int(x) // 2] > 0
    assert not any(o.unseen for o in objects if o.kind != "click")
