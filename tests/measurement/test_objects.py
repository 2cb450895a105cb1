import threading

import dask.array as da
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from skimage.measure import regionprops_table

from stacksam.core.scan_info import ScanInfo
from stacksam.core.volume import Volume
from stacksam.measurement import count_objects, measure_labels

TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
SPACING = (2.5, 0.6, 0.8)


def blobs(seed=0, shape=(12, 40, 50)):
    """Labels 2, 5 and 300000 with rough outlines, and an image with some NaN."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for label, centre, radius in [
        (2, (4, 12, 12), 9),
        (5, (7, 25, 35), 11),
        (300_000, (9, 8, 40), 5),
    ]:
        distance = ((z - centre[0]) * 3) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
        labels[distance + rng.normal(0, 8, shape) < radius**2] = label
    image = rng.normal(100, 20, shape).astype(np.float32)
    return labels, image


def affine_of(turn=TURN, spacing=SPACING, origin=(10, -20, 30)):
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing)
    affine[:3, 3] = origin
    return affine


def itk_statistics(labels, image, affine):
    turned = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    images = [sitk.GetImageFromArray(a) for a in (labels, image)]
    for one in images:
        one.SetSpacing(np.linalg.norm(affine[:3, :3], axis=0)[::-1].tolist())
        one.SetDirection(turned[::-1, ::-1].ravel().tolist())
        one.SetOrigin(affine[:3, 3][::-1].tolist())
    shape, values = (
        sitk.LabelShapeStatisticsImageFilter(),
        sitk.LabelIntensityStatisticsImageFilter(),
    )
    shape.Execute(images[0])
    values.Execute(*images)
    return shape, values


@pytest.mark.parametrize(
    "turn", [np.eye(3), TURN, TURN[:, [0, 2, 1]]], ids=["plain", "oblique", "left"]
)
def test_figures_are_those_of_simpleitk(turn):
    labels, image = blobs()
    affine = affine_of(turn)
    rows = measure_labels(labels, Volume(image, affine=affine))
    shape, values = itk_statistics(labels, image, affine)
    assert [row["label"] for row in rows] == [2, 5, 300_000]
    for row in rows:
        label = row["label"]
        assert row["voxels"] == shape.GetNumberOfPixels(label)
        assert row["volume_mm3"] == pytest.approx(shape.GetPhysicalSize(label))
        assert row["volume_ml"] == pytest.approx(shape.GetPhysicalSize(label) / 1000)
        x, y, z, width, height, depth = shape.GetBoundingBox(label)
        box = [row[f"bbox_{a}{end}"] for end in (0, 1) for a in "xyz"]
        assert box == [x, y, z, x + width, y + height, z + depth]
        centroid = [row[f"centroid_{a}_mm"] for a in "xyz"]
        np.testing.assert_allclose(centroid, shape.GetCentroid(label), atol=1e-6)
        for key, expected in [
            ("mean", values.GetMean(label)),
            ("min", values.GetMinimum(label)),
            ("max", values.GetMaximum(label)),
        ]:
            assert row[key] == pytest.approx(expected, rel=1e-6)
        spread = values.GetStandardDeviation(label) * np.sqrt(1 - 1 / row["voxels"])
        assert row["sd"] == pytest.approx(spread, rel=1e-6)


def test_figures_are_those_of_scikit_image():
    labels, image = blobs(1)
    rows = measure_labels(labels, Volume(image, spacing_zyx=SPACING))
    expected = regionprops_table(
        labels.astype(int), image, ["num_pixels", "centroid", "bbox", "intensity_mean", "area"],
        spacing=SPACING,
    )  # fmt: skip
    for i, row in enumerate(rows):
        assert row["voxels"] == expected["num_pixels"][i]
        assert row["volume_mm3"] == pytest.approx(expected["area"][i])
        assert row["mean"] == pytest.approx(expected["intensity_mean"][i])
        for axis, letter in enumerate("zyx"):
            assert row[f"centroid_{letter}"] * SPACING[axis] == pytest.approx(
                expected[f"centroid-{axis}"][i]
            )
            assert row[f"bbox_{letter}0"] == expected[f"bbox-{axis}"][i]
            assert row[f"bbox_{letter}1"] == expected[f"bbox-{axis + 3}"][i]


@pytest.mark.parametrize("turn", [np.eye(3), TURN], ids=["plain", "oblique"])
def test_a_ball_has_the_figures_of_a_ball(turn):
    affine = affine_of(turn, (1.5, 0.5, 0.5))
    index = np.stack(np.mgrid[-9:10, -25:26, -25:26], axis=-1)
    mask = np.linalg.norm(index * [1.5, 0.5, 0.5], axis=-1) <= 11
    image = Volume(np.full(mask.shape, 7, np.int16), affine=affine)
    (row,) = measure_labels(mask, image, names={1: "ball"})
    assert row["volume_mm3"] == pytest.approx(4 / 3 * np.pi * 11**3, rel=0.01)
    assert row["surface_mm2"] == pytest.approx(4 * np.pi * 11**2, rel=0.03)
    assert row["longest_in_slice_mm"] == pytest.approx(22, abs=0.6)
    assert row["longest_3d_mm"] == pytest.approx(22, abs=1.5)
    assert row["sphericity"] == pytest.approx(1, abs=0.03)
    assert row["largest_area_mm2"] == pytest.approx(np.pi * 11**2, rel=0.01)
    assert (row["name"], row["slices"], row["longest_slice"], row["components"]) == (
        "ball",
        15,
        9,
        1,
    )
    assert (row["mean"], row["sd"], row["median"]) == (7, 0, 7)


def test_a_sheared_box_is_as_large_as_its_determinant():
    affine = np.array([[3.0, 0, 0, 0], [1.0, 0.5, 0, 0], [0, 0, 0.5, 0], [0, 0, 0, 1]])
    labels = np.zeros((6, 10, 10), np.uint8)
    labels[1:4, 2:6, 3:8] = 1
    (row,) = measure_labels(labels, Volume(labels, affine=affine))
    assert row["volume_mm3"] == pytest.approx(60 * 3.0 * 0.25)
    assert row["longest_in_slice_mm"] == pytest.approx(np.hypot(4, 5) / 2, rel=0.15)


def test_changing_slice_distances_change_volumes():
    labels = np.zeros((4, 6, 6), np.uint8)
    labels[0, 1:3, 1:3], labels[3, 1:3, 1:3] = 1, 2
    scan = ScanInfo(slice_positions=((0.0, 0, 0), (1.0, 0, 0), (2.0, 0, 0), (8.0, 0, 0)))
    affine = np.diag([8 / 3, 1, 1, 1])
    first, last = measure_labels(labels, Volume(labels, None, affine, scan=scan))
    assert (first["volume_mm3"], last["volume_mm3"]) == (4, 24)
    assert last["centroid_z_mm"] == 8


def test_unknown_spacing_gives_pixels_and_no_millimetre():
    labels, image = blobs()
    for row in measure_labels(labels, Volume(image)):
        assert not [key for key in row if "mm" in key or key.endswith("ml")]
        assert row["volume_px3"] == row["voxels"]
        assert row["longest_3d_px"] > row["longest_in_slice_px"] > 0


def test_a_single_slice_has_neither_surface_nor_length_in_space():
    labels = np.zeros((20, 20), int)
    labels[5:15, 5:15] = 1
    (row,) = measure_labels(labels, spacing_zyx=(1, 0.1, 0.1))
    assert row["surface_mm2"] is row["sphericity"] is row["longest_3d_mm"] is None
    assert row["largest_area_mm2"] == pytest.approx(1)
    assert row["longest_in_slice_mm"] == pytest.approx(np.sqrt(2), rel=0.05)


def test_pieces_are_counted_where_corners_touch():
    labels = np.zeros((3, 9, 9), int)
    labels[0, 0, 0], labels[1, 1, 1], labels[2, 7, 7] = 1, 1, 1
    (row,) = measure_labels(labels)
    assert (row["components"], row["slices"], row["voxels"]) == (2, 3, 3)


def test_values_that_are_not_finite_are_left_out():
    labels = np.ones((2, 3, 3), int)
    image = np.full((2, 3, 3), np.nan, np.float32)
    image[0, 0] = 1, 2, np.inf
    (row,) = measure_labels(labels, Volume(image))
    assert (row["mean"], row["min"], row["max"]) == (1.5, 1, 2)
    (row,) = measure_labels(labels, Volume(np.full((2, 3, 3), np.nan, np.float32)))
    assert row["mean"] is row["sd"] is row["median"] is None


@pytest.mark.parametrize(
    ("scan", "unit", "factor"),
    [
        (ScanInfo(unit="HU"), "HU", 1),
        (ScanInfo(unit="Bq/ml", suv_factor=0.001), "SUVbw", 0.001),
        (ScanInfo(unit="SUVbw", suv_factor=1.0), "SUVbw", 1),
        (ScanInfo(unit="Bq/ml"), "Bq/ml", 1),
        (ScanInfo(), "", 1),
    ],
)
def test_intensities_have_a_unit(scan, unit, factor):
    labels, image = blobs()
    row = measure_labels(labels, Volume(image, scan=scan))[0]
    assert row["intensity_unit"] == unit
    assert row["mean"] == pytest.approx(image[labels == 2].astype(float).mean() * factor)
    low, high = np.percentile(image[labels == 2].astype(float), [5, 75])
    assert (row["p5"], row["p75"]) == (pytest.approx(low * factor), pytest.approx(high * factor))


def test_colour_is_averaged():
    labels = np.ones((2, 3, 3), int)
    image = np.stack([np.full((2, 3, 3), v, np.uint8) for v in (10, 20, 60)], axis=-1)
    (row,) = measure_labels(labels, Volume(image, rgb=True))
    assert row["mean"] == 30


def test_lazy_labels_give_the_same_and_are_read_in_parts():
    labels, image = blobs()
    lazy = da.from_array(labels, chunks=(5, 13, 17))
    assert measure_labels(lazy, Volume(image)) == measure_labels(labels, Volume(image))


def test_labels_from_a_file_bring_geometry_and_names():
    labels, _ = blobs()
    own = Volume(labels, affine=affine_of(), scan=ScanInfo(label_names=((2, "liver"),)))
    rows = measure_labels(own)
    assert [row["name"] for row in rows] == ["liver", "", ""]
    assert "volume_mm3" in rows[0]
    assert measure_labels(own, names={5: "cyst"})[1]["name"] == "cyst"


def test_progress_and_cancel():
    labels, _ = blobs()
    seen, cancel = [], threading.Event()

    def progress(done, total):
        seen.append((done, total))
        cancel.set()

    assert len(measure_labels(labels, progress=progress, cancel=cancel)) == 1
    assert seen == [(1, 3)]


def test_empty_labels_give_no_rows():
    assert measure_labels(np.zeros((2, 3, 4), int)) == []


@pytest.mark.parametrize(
    ("labels", "volume", "spacing", "error", "message"),
    [
        (np.ones((2, 3, 4)), None, None, TypeError, "labels have dtype float64; measure integer"),
        (np.full((2, 3, 4), -2), None, None, ValueError, "labels hold -2; label ids are 0"),
        (np.ones((2, 3, 4), int), Volume(np.zeros((2, 3, 5))), None, ValueError, r"\(2, 3, 5\)"),
        (
            np.ones((2, 3, 4), int), Volume(np.zeros((2, 3, 4)), (1, 1, 1)), (1, 1, 1),
            ValueError, "already have one",
        ),
        (
            Volume(np.ones((2, 3, 4), int), affine=affine_of(origin=(10, -20, 31))),
            Volume(np.zeros((2, 3, 4)), affine=affine_of()),
            None, ValueError, "lie up to 1 mm apart",
        ),
    ],
)  # fmt: skip
def test_unfit_labels_are_refused(labels, volume, spacing, error, message):
    with pytest.raises(error, match=message):
        measure_labels(labels, volume, spacing)


def test_counts_and_densities():
    labels, image = blobs()
    volume = Volume(image, spacing_zyx=SPACING)
    rows = measure_labels(labels, volume)
    counts = count_objects(rows, labels, volume)
    size = labels.size * np.prod(SPACING)
    assert counts["objects"] == 3
    assert counts["field_mm3"] == pytest.approx(size)
    assert counts["density_per_mm3"] == pytest.approx(3 / size)
    assert counts["volume_fraction"] == pytest.approx((labels > 0).mean())
    assert counts["components"] == sum(row["components"] for row in rows)
    assert "density_per_px3" in count_objects(measure_labels(labels), labels)
