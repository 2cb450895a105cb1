"""Pictures of planes: proportions, outlines, orientation, legend."""

import numpy as np
import pytest

from stacksam.core.volume import Volume
from stacksam.evaluation.drawing import COLOURS
from stacksam.evaluation.pictures import colour_of, three_planes

LPS = np.diag([4.0, 1.0, 1.0, 1.0])


def ball(shape=(10, 40, 40)):
    z, y, x = np.indices(shape)
    centre = np.array(shape) // 2
    inside = ((z - centre[0]) * 4) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < 15**2
    return inside.astype(np.uint8)


def coloured(picture, label_id):
    """Pixels drawn in exactly this label's colour."""
    return (np.asarray(picture) == colour_of(label_id)).all(axis=-1)


def image_columns(picture):
    """Widths of the planes, which are black where the page is white."""
    is_dark = (np.asarray(picture) < 10).all(axis=-1)[: picture.height // 2].sum(axis=0) > 20
    edges = np.flatnonzero(np.diff(np.r_[0, is_dark.astype(int), 0]))
    return [int(n) for n in np.diff(edges)[::2]]


def test_thick_slices_become_square_millimetres():
    labels = np.zeros((10, 40, 80), np.uint8)
    volume = Volume(np.zeros(labels.shape, np.int16), spacing_zyx=(4.0, 1.0, 1.0))
    planes = image_columns(three_planes(volume, labels))
    assert planes == [380, 380, 190]  # xy and xz are 80 mm wide, yz 40 mm


def test_outlines_follow_the_labels():
    labels = ball()
    volume = Volume(labels * 100, spacing_zyx=(4.0, 1.0, 1.0))
    drawn = coloured(three_planes(volume, labels), 1)
    rows, columns = np.nonzero(drawn[:380, :380])
    scale = 380 / 40
    assert rows.min() == pytest.approx(6 * scale, abs=scale)  # 15 mm around the centre at 20
    assert rows.max() == pytest.approx(35 * scale, abs=scale)
    assert columns.max() - columns.min() == pytest.approx(29 * scale, abs=scale)
    assert not drawn[int(20 * scale), int(20 * scale)]  # an outline, not a filled area


def test_patients_are_drawn_head_up_and_stages_as_stored():
    data = np.zeros((10, 40, 40), np.uint8)
    data[8:] = 255  # the upper end of a patient
    labels = np.zeros(data.shape, np.uint8)
    for affine, bright_on_top in ((LPS, True), (None, False)):
        volume = Volume(data, None if affine is not None else (4.0, 1, 1), affine=affine)
        coronal = np.asarray(three_planes(volume, labels, window=(0, 255)))[:380, 400:770, 0]
        assert (coronal[:50].mean() > 200) == bright_on_top
        assert (coronal[-50:].mean() > 200) != bright_on_top


def test_legend_has_a_swatch_per_name_and_grows_with_the_text():
    labels = ball()
    volume = Volume(labels, spacing_zyx=(4.0, 1.0, 1.0))
    short = three_planes(volume, labels, names={1: "a", 2: "b"}, scores={1: 0.5})
    long = three_planes(volume, labels, names={1: "a" * 60, 2: "b"}, scores={1: 0.5})
    assert coloured(short, 2).sum() >= 200  # label 2 is in the legend only
    assert long.width > short.width


def test_many_labels_share_colours_and_columns():
    labels = np.arange(1, 41, dtype=np.uint8).reshape(1, 4, 10).repeat(2, 0)
    picture = three_planes(Volume(labels), labels)
    assert colour_of(1) == colour_of(1 + len(COLOURS))
    assert picture.width > three_planes(Volume(labels), np.minimum(labels, 2)).width


def test_without_labels_the_middle_is_shown():
    volume = Volume(np.zeros((4, 5, 6), np.float32))
    assert three_planes(volume, np.zeros((4, 5, 6), int), title="empty").size > (0, 0)


def test_one_colour_slice():
    volume = Volume(np.zeros((20, 30, 3), np.uint8), rgb=True)
    picture = three_planes(volume, np.ones((1, 20, 30), np.uint8))
    assert coloured(picture, 1).any()


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match=r"labels have shape \(1, 2, 3\)"):
        three_planes(Volume(np.zeros((4, 5, 6))), np.zeros((1, 2, 3), int))
