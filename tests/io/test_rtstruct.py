import numpy as np
import pytest

from stacksam.core.errors import ReadError
from stacksam.core.metrics import dice
from stacksam.core.volume import Volume
from stacksam.io import read, read_labels

pydicom = pytest.importorskip("pydicom")

AFFINE = np.array([[3.0, 0, 0, 30], [0.9, 0.5, 0, -20], [0, 0, 0.7, -10], [0, 0, 0, 1]])  # tilted
IMAGE = Volume(np.zeros((4, 40, 50), np.int16), affine=AFFINE)


def item(**values):
    dataset = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def contour(z, yx, kind="CLOSED_PLANAR"):
    """A contour on slice z through (y, x) voxel coordinates."""
    points = IMAGE.positions_mm([[z, y, x] for y, x in yx])[:, ::-1]
    return item(ContourGeometricType=kind, ContourData=[f"{v:.6f}" for v in points.ravel()])


def rectangle(y0, x0, y1, x1):
    return [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]


def write(path, structures, numbers=None):
    dataset = item(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        SOPInstanceUID="1.9.9",
        PatientName="Secret^Name",
        StructureSetROISequence=[
            item(ROINumber=n, ROIName=name)
            for n, name in zip(numbers or range(1, 99), structures, strict=False)
        ],
        ROIContourSequence=[
            item(ReferencedROINumber=n, ContourSequence=contours)
            for n, contours in zip(numbers or range(1, 99), structures.values(), strict=False)
        ],
    )
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_contours_become_labels_in_their_slices(tmp_path):
    path = write(
        tmp_path / "rs.dcm",
        {
            "liver": [
                contour(1, rectangle(4.5, 9.5, 14.5, 29.5)),
                contour(2, rectangle(5, 10, 9, 20)),
            ],
            "cyst": [contour(3, rectangle(19.5, 19.5, 24.5, 24.5))],
            "empty": [],
        },
        numbers=[4, 9, 11],
    )
    labels = read_labels(path, like=IMAGE)
    expected = np.zeros((40, 50), int)
    expected[5:15, 10:30] = 4
    np.testing.assert_array_equal(labels.data[1], expected)
    assert (labels.data[2] == 4).sum() > 0
    assert (labels.data[3] == 9).sum() == 25
    assert not labels.data[0].any()
    assert labels.scan.label_names == ((4, "liver"), (9, "cyst"))
    assert labels.notes == ()
    np.testing.assert_allclose(labels.affine, AFFINE)


def test_a_contour_within_a_contour_is_a_hole(tmp_path):
    ring = [
        contour(1, rectangle(4.5, 4.5, 20.5, 20.5)),
        contour(1, rectangle(8.5, 8.5, 12.5, 12.5)),
    ]
    labels = read_labels(write(tmp_path / "rs.dcm", {"ring": ring}), like=IMAGE)
    assert labels.data[1, 10, 10] == 0
    assert (labels.data > 0).sum() == 16**2 - 4**2


def test_one_structure_is_chosen(tmp_path):
    path = write(
        tmp_path / "rs.dcm",
        {name: [contour(1, rectangle(4.5, 4.5, 9.5 + i, 9.5))] for i, name in enumerate("ab")},
    )
    with pytest.warns(UserWarning, match="25 voxels lie in more than one structure and went to"):
        labels = read_labels(path, like=IMAGE)
    assert set(np.unique(labels.data)) == {0, 2}
    assert (read_labels(path, like=IMAGE, channel="a").data == 1).sum() == 25
    with pytest.raises(ReadError, match="has 2 channels, so channel='c' is not one of"):
        read_labels(path, like=IMAGE, channel="c")


def test_contours_beside_the_image_are_noted(tmp_path):
    path = write(
        tmp_path / "rs.dcm",
        {"a": [contour(1, rectangle(4.5, 4.5, 9.5, 9.5)), contour(9, rectangle(4, 4, 9, 9))]},
    )
    with pytest.warns(UserWarning, match="1 contours lie outside of the image"):
        assert (read_labels(path, like=IMAGE).data > 0).sum() == 25
    path = write(tmp_path / "rs.dcm", {"a": [contour(9, rectangle(4, 4, 9, 9))]})
    with pytest.raises(ReadError, match="lies outside of the image"):
        read_labels(path, like=IMAGE)


@pytest.mark.parametrize(
    ("contours", "message"),
    [
        ([], "holds no closed contour"),
        ([contour(1, [(1, 1)], "POINT")], "holds no closed contour"),
        ([item(ContourData=["1", "2"])], "lacks names or contours"),
        ([item(ContourData=["1E400"] * 9)], "lacks names or contours"),
    ],
)
def test_unfit_files_are_refused(tmp_path, contours, message):
    path = write(tmp_path / "rs.dcm", {"a": contours})
    with pytest.raises(ReadError, match=message):
        read_labels(path, like=IMAGE)


def test_contours_across_the_slices_are_refused(tmp_path):
    points = IMAGE.positions_mm([[0, 5, 5], [3, 5, 5], [3, 9, 9]])[:, ::-1]
    across = item(ContourData=[f"{v:.6f}" for v in points.ravel()])
    with pytest.raises(ReadError, match="lies across the slices of the image"):
        read_labels(write(tmp_path / "rs.dcm", {"a": [across]}), like=IMAGE)


def test_contours_alone_are_no_image(tmp_path):
    path = write(tmp_path / "rs.dcm", {"a": [contour(1, rectangle(4, 4, 9, 9))]})
    for reader in (read, read_labels):
        with pytest.raises(ReadError, match=r"rs\.dcm holds contours, no image; .* like=image"):
            reader(path)


def test_real_structures_equal_the_reference_masks(shared_data):
    files = sorted((shared_data / "radiology").glob("*/dicom_rtstruct/*/*.dcm"))
    if len(files) < 3:
        pytest.skip("needs radiology/ibsi_sts of the shared data")
    for path in files:
        folder, name = path.parents[2], path.parent.name
        image = read(folder / "dicom" / name)
        labels = read_labels(path, like=image)
        truth = read(folder / "volume_masks" / f"{name}.nii.gz").data
        agreement = dice(truth > 0, labels.data > 0)
        print(f"{name}: Dice {agreement:.4f}")
        assert agreement > 0.99
