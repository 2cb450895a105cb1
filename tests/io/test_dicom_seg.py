import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_support import write_series
from stacksam import __version__
from stacksam.core.errors import ReadError, WriteError
from stacksam.core.metrics import dice
from stacksam.core.volume import Volume
from stacksam.io import read, read_labels, write_labels

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")


@pytest.fixture
def series(tmp_path):
    pixels = np.random.default_rng(0).integers(-30, 100, (6, 8, 16)).astype(np.int16)
    header = {"t0020_0052": "1.2.9", "t0010_0020": "Secret-ID", "t0020_0011": "4"}
    return write_series(tmp_path / "series", pixels, **header)


def labels_of(shape=(6, 8, 16)):
    """Ids with gaps, one of them large, and empty slices at both ends."""
    labels = np.zeros(shape, np.uint16)
    labels[1:4, 2:6, 3:9] = 3
    labels[2:5, 1:3, 10:15] = 700
    labels[4, 6, 6] = 1
    return labels


def write(tmp_path, series, labels=None, **options):
    path = tmp_path / "labels ü.dcm"
    volume = read(series)
    write_labels(path, labels_of() if labels is None else labels, like=volume, **options)
    return path, volume


def test_labels_come_back_with_ids_names_and_place(tmp_path, series):
    path, volume = write(tmp_path, series, names={3: "left kidney", 700: "tumour"})
    for again in (read(path), read_labels(path, like=volume)):
        np.testing.assert_array_equal(again.data, labels_of())
        np.testing.assert_allclose(again.affine, volume.affine, atol=1e-6)
        names = ((1, "object 1"), (3, "left kidney"), (700, "tumour"))
        assert again.scan.label_names == names


def test_pydicom_finds_the_same_voxels_and_what_made_them(tmp_path, series):
    path, volume = write(tmp_path, series, names={3: "left kidney", 700: "tumour"})
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array
    heights = volume.positions_mm([[z, 0, 0] for z in range(6)])[:, 0]
    found = np.zeros_like(labels_of())
    for frame, group in zip(pixels, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        z = np.abs(heights - group.PlanePositionSequence[0].ImagePositionPatient[2]).argmin()
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found[z][frame > 0] = (1, 3, 700)[number - 1]
    np.testing.assert_array_equal(found, labels_of())
    kidney, tumour = dataset.SegmentSequence[1], dataset.SegmentSequence[2]
    for segment in dataset.SegmentSequence:
        assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
        (made_by,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("StackSAM", __version__)
    assert kidney.SegmentedPropertyTypeCodeSequence[0].CodeValue == "64033007"  # SNOMED CT: kidney
    category = tumour.SegmentedPropertyCategoryCodeSequence[0]
    assert category.CodeMeaning == "Morphologically Abnormal Structure"
    assert "Research use only" in dataset.ContentDescription
    assert dataset.SegmentationType == "BINARY"
    assert dataset.PatientID == "Secret-ID"
    assert dataset.FrameOfReferenceUID == "1.2.9"
    references = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert len(references) == 6


def test_simpleitk_finds_the_same_voxels(tmp_path, series):
    path, _ = write(tmp_path, series, labels=(labels_of() == 3).astype(int))
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image) > 0
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    groups = dataset.PerFrameFunctionalGroupsSequence
    heights = [float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in groups]
    np.testing.assert_array_equal(array[np.argsort(heights)], labels_of() == 3)
    assert image.GetSpacing() == pytest.approx((0.7, 0.5, 3.0))


def test_large_files_leave_out_empty_frames(tmp_path, series, monkeypatch):
    monkeypatch.setattr("stacksam.io.dicom_seg_writer._MAX_FULL_BYTES", 10)
    path, volume = write(tmp_path, series)
    assert pydicom.dcmread(path).NumberOfFrames < 18
    np.testing.assert_array_equal(read_labels(path, like=volume).data, labels_of())
    alone = read(path)
    np.testing.assert_array_equal(alone.data, labels_of()[1:5])
    np.testing.assert_allclose(alone.affine[:3, 3], volume.positions_mm([1, 0, 0]), atol=1e-6)


def test_a_slice_left_out_in_between_is_empty(tmp_path, series, monkeypatch):
    monkeypatch.setattr("stacksam.io.dicom_seg_writer._MAX_FULL_BYTES", 10)
    labels = labels_of()
    labels[3] = 0
    path, _ = write(tmp_path, series, labels=labels)
    np.testing.assert_array_equal(read(path).data, labels[1:5])


def test_frames_that_need_not_end_on_a_byte(tmp_path):
    pixels = np.zeros((3, 5, 7), np.int16)
    folder = write_series(tmp_path / "series", pixels, t0020_0052="1.2.9")
    labels = np.random.default_rng(0).integers(0, 3, (3, 5, 7))
    path, volume = write(tmp_path, folder, labels=labels)
    np.testing.assert_array_equal(read_labels(path, like=volume).data, labels)


def test_labels_need_the_series_they_were_drawn_on(tmp_path, series):
    image = Volume(np.zeros((6, 8, 16), np.int16), spacing_zyx=(3, 0.5, 0.7))
    for like in (image, None):
        with pytest.raises(WriteError, match=r"was not read from one; write \.nii\.gz"):
            write_labels(tmp_path / "a.dcm", labels_of(), like=like)
    volume = read(series)
    with pytest.raises(WriteError, match="the labels are empty"):
        write_labels(tmp_path / "a.dcm", np.zeros((6, 8, 16), int), like=volume)
    shutil.rmtree(series)
    with pytest.raises(WriteError, match="is no longer where it was read from; put it back"):
        write_labels(tmp_path / "a.dcm", labels_of(), like=volume)
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_both_ways_say_what_to_install(tmp_path, series, monkeypatch):
    path, volume = write(tmp_path, series)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(
        ReadError, match=r'segmentation; reading it needs pydicom: pip install "nap'
    ):
        read(path)
    monkeypatch.setattr("stacksam.io.dicom_seg_writer.find_spec", lambda name: None)
    with pytest.raises(WriteError, match=r'needs highdicom: pip install "napari-stacksam\[dicom\]'):
        write_labels(tmp_path / "b.dcm", labels_of(), like=volume)


def test_another_image_is_refused(tmp_path, series):
    path, volume = write(tmp_path, series)
    other = Volume(np.zeros(volume.shape), affine=volume.affine @ np.diag([1, 2, 1, 1]))
    with pytest.raises(ReadError, match="has voxels that are not those of the image"):
        read_labels(path, like=other)
    with pytest.raises(ReadError, match="whose voxels have a place in space"):
        read_labels(path, like=Volume(np.zeros(volume.shape)))
    turned = volume.affine[:, [1, 0, 2, 3]]
    with pytest.raises(ReadError, match="has voxels that are not those of the image"):
        read_labels(path, like=Volume(np.zeros((8, 6, 16)), affine=turned))


def test_a_crop_of_the_image_gets_its_part(tmp_path, series):
    path, volume = write(tmp_path, series)
    moved = np.eye(4)
    moved[:3, 3] = 2, 1, 4
    crop = Volume(np.zeros((3, 5, 9)), affine=volume.affine @ moved)
    np.testing.assert_array_equal(read_labels(path, like=crop).data, labels_of()[2:5, 1:6, 4:13])


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SegmentSequence", []),
        ("NumberOfFrames", 17),
        ("SharedFunctionalGroupsSequence", []),
        ("PerFrameFunctionalGroupsSequence", []),
    ],
)
def test_files_that_lack_something_are_refused(tmp_path, series, keyword, value):
    path, _ = write(tmp_path, series)
    dataset = pydicom.dcmread(path)
    setattr(dataset, keyword, value)
    dataset.save_as(path)
    with pytest.raises(ReadError, match="lacks what places its segments"):
        read(path)


def change_pixels(path, **values):
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)


def test_fractions_count_from_one_half_on(tmp_path, series):
    path, volume = write(tmp_path, series, labels=(labels_of() == 3).astype(int))
    pixels = pydicom.dcmread(path).pixel_array
    change_pixels(
        path, SegmentationType="FRACTIONAL", MaximumFractionalValue=200, BitsAllocated=8,
        BitsStored=8, HighBit=7, PixelData=np.where(pixels > 0, 100, 99).astype(np.uint8).tobytes(),
    )  # fmt: skip
    np.testing.assert_array_equal(read_labels(path, like=volume).data, labels_of() == 3)


def test_overlapping_segments_are_chosen_one_by_one(tmp_path, series):
    path, volume = write(tmp_path, series, names={3: "a", 700: "b"})
    full = np.full(pydicom.dcmread(path).pixel_array.size // 8, 255, np.uint8)
    change_pixels(path, PixelData=full.tobytes())
    with pytest.raises(
        ReadError, match=r"overlap; choose one with channel= out of 0 \(object 1\), 1"
    ):
        read(path)
    for choice in (2, "b"):
        assert (read(path, channel=choice).data == 700).all()
        assert read_labels(path, volume, channel=choice).scan.label_names == ((700, "b"),)
    with pytest.raises(ReadError, match="has 3 channels, so channel=3 is not one of"):
        read(path, channel=3)


def test_missing_pixels_are_noticed(tmp_path, series):
    path, _ = write(tmp_path, series)
    change_pixels(path, PixelData=b"\0\0")
    with pytest.raises(ReadError, match="is damaged"):
        read(path)


def test_patient_data_stay_out_of_messages(tmp_path, series, capfd):
    path, _ = write(tmp_path, series)
    content = path.read_bytes()
    for part in (0.3, 0.6, 0.9):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(ReadError) as caught:
            read(path)
        assert "Secret" not in str(caught.value)
    assert "Secret" not in "".join(capfd.readouterr())


# real data


def test_real_segmentations_equal_the_reference(shared_data):
    folder = shared_data / "radiology" / "dcmqi_ct3slice"
    if not (folder / "dicom_seg").is_dir():
        pytest.skip("needs radiology/dcmqi_ct3slice of the shared data")
    image = read(folder / "dicom" / "ct_3slice")
    labels = read_labels(folder / "dicom_seg" / "liver" / "liver.dcm", like=image)
    truth = read(folder / "volume_masks" / "ct_3slice.nii.gz").data
    # The reference lets the heart (3) win where the two overlap.
    np.testing.assert_array_equal((labels.data > 0) & (truth != 3), truth == 1)
    assert labels.scan.label_names == ((1, "Liver"),)
    overlapping = folder / "dicom_seg" / "partial_overlaps" / "partial_overlaps.dcm"
    with pytest.raises(ReadError, match=r"overlap; choose one .* 2 \(PURPLE\)"):
        read_labels(overlapping, like=image)
    assert read_labels(overlapping, like=image, channel="PURPLE").data.any()


@pytest.mark.parametrize(
    "name",
    [
        "ibsi_sts/dicom/STS_025_PET",
        "dcmqi_ct3slice/dicom/ct_3slice",
        "dcm_qa_ct/dicom/GE_head_gantry_tilt",
    ],
)
@pytest.mark.filterwarnings("ignore:.*slice distance changes:UserWarning")
def test_segmentations_of_real_series_come_back(shared_data, tmp_path, name):
    folder = shared_data / "radiology" / name
    if not folder.is_dir():
        pytest.skip(f"needs radiology/{name} of the shared data")
    volume = read(folder)
    labels = np.zeros(volume.shape, np.uint8)
    z, y, x = (n // 2 for n in volume.shape)
    labels[z:, y : y + 9, x : x + 12], labels[: z + 1, y - 5 : y, x - 7 : x] = 1, 2
    path = tmp_path / "labels.dcm"
    write_labels(path, labels, like=volume)
    alone, again = read(path), read_labels(path, like=volume)
    for other in (alone, again):
        np.testing.assert_array_equal(other.data, labels)
        corners = np.array([[0, 0, 0], [volume.shape[0] - 1, 5, 5], [z, y, x]])
        np.testing.assert_allclose(
            other.positions_mm(corners), volume.positions_mm(corners), atol=1e-3
        )
    assert dice(again.data > 0, labels > 0) == 1
