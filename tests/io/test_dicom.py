import shutil
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from dicom_support import write_series, write_slice
from stacksam.core.errors import ReadError
from stacksam.io import read

TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()


def stack(count=4, dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(-30, 100, (count, 5, 6)).astype(dtype)


def place(volume, *zyx):
    """Voxel centre in patient coordinates (x, y, z)."""
    return (volume.affine @ [*zyx, 1])[2::-1]


# one series


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_slices_ascend_whatever_the_files_are_called(tmp_path, order):
    volume = read(write_series(tmp_path / "a", stack(), order=order))
    np.testing.assert_array_equal(volume.data, stack())
    assert volume.spacing_zyx == pytest.approx((3.0, 0.5, 0.7))
    np.testing.assert_allclose(place(volume, 0, 0, 0), (-10, -20, 30))
    np.testing.assert_allclose(place(volume, 3, 4, 5), (-10 + 5 * 0.7, -20 + 4 * 0.5, 39))
    assert volume.notes == ()
    assert volume.name == "a"


def test_slices_ascend_along_the_normal_of_a_turned_plane(tmp_path):
    orientation = (*TURN[:, 0], *TURN[:, 1])
    folder = write_series(
        tmp_path / "a", stack(), orientation=orientation, step=2.5 * TURN[:, 2], order=[3, 1, 0, 2]
    )
    volume = read(folder)
    np.testing.assert_array_equal(volume.data, stack())
    for number, z in enumerate([3, 1, 0, 2]):
        image = sitk.ReadImage(str(folder / f"{number:03}.dcm"))
        expected = image.TransformIndexToPhysicalPoint((5, 4, 0))
        np.testing.assert_allclose(place(volume, z, 4, 5), expected, atol=1e-5)


def test_positions_against_the_normal_are_turned_round(tmp_path):
    volume = read(write_series(tmp_path / "a", stack(), step=(0, 0, -3)))
    np.testing.assert_array_equal(volume.data, stack()[::-1])
    np.testing.assert_allclose(place(volume, 0, 0, 0), (-10, -20, 21))
    assert np.linalg.det(volume.affine[:3, :3]) > 0


def test_a_tilted_gantry_stays_in_the_affine(tmp_path):
    tilt = np.deg2rad(18.5)
    orientation = (1, 0, 0, 0, np.cos(tilt), -np.sin(tilt))
    volume = read(write_series(tmp_path / "a", stack(), orientation=orientation, step=(0, 0, 4)))
    np.testing.assert_allclose(volume.affine[:3, 0], (4, 0, 0), atol=1e-6)
    expected = 0.5 * np.array([-np.sin(tilt), np.cos(tilt), 0])
    np.testing.assert_allclose(volume.affine[:3, 1], expected, atol=1e-6)
    assert volume.notes == ()


def test_stored_values_are_rescaled(tmp_path):
    hounsfield = stack() - 1000
    volume = read(write_series(tmp_path / "a", hounsfield, rescale=(1, -1024)))
    np.testing.assert_array_equal(volume.data, hounsfield)
    assert volume.dtype == np.int16


def test_values_beyond_16_bit_keep_all_bits(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    stored = stack()
    stored[2, 1, 1] = -32_000
    folder = write_series(tmp_path / "a", stored, rescale=(1, 0))
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.RescaleIntercept = -1024
        dataset.save_as(path)
    volume = read(folder)
    np.testing.assert_array_equal(volume.data, stored.astype(int) - 1024)
    assert volume.dtype == np.int32


def test_each_slice_has_its_own_slope(tmp_path):
    (tmp_path / "a").mkdir()
    stored = np.abs(stack()).astype(np.uint16)
    for z, slope in enumerate([1, 0.25, 2, 0.5]):
        write_slice(
            tmp_path / "a" / f"{z}.dcm",
            stored[z] * slope,
            position=(0, 0, z),
            rescale=(slope, 0),
            t0028_0100="16",
            t0028_0101="16",
            t0028_0102="15",
            t0028_0103="0",
        )
    factors = np.array([1, 0.25, 2, 0.5])[:, None, None]
    np.testing.assert_allclose(read(tmp_path / "a").data, stored * factors)


@pytest.mark.parametrize(
    ("heights", "message"),
    [
        ([0, 3, 6, 7], "slice distance changes from 1 to 3 mm; the mean of 2.333 mm is used"),
        ([0, 3, 9, 12], "slice distance changes from 3 to 6 mm"),
    ],
)
def test_a_changing_slice_distance_is_noted_and_warned_of(tmp_path, heights, message):
    (tmp_path / "a").mkdir()
    for z, height in enumerate(heights):
        write_slice(tmp_path / "a" / f"{z}.dcm", stack()[z], position=(0, 0, height))
    with pytest.warns(UserWarning, match=message) as caught:
        volume = read(tmp_path / "a")
    assert caught[0].filename == __file__
    assert len(volume.notes) == 1
    assert message in volume.notes[0]
    np.testing.assert_allclose(volume.positions_mm([[z, 0, 0] for z in range(4)])[:, 0], heights)
    np.testing.assert_allclose(place(volume, 3, 0, 0), (0, 0, heights[-1]))


def test_rounded_positions_are_no_change(tmp_path):
    (tmp_path / "a").mkdir()
    for z, height in enumerate([0, 0.6, 1.2, 1.9, 2.5]):  # 0.625 with one digit
        write_slice(tmp_path / "a" / f"{z}.dcm", stack()[0], position=(0, 0, height))
    volume = read(tmp_path / "a")
    assert volume.notes == ()
    np.testing.assert_allclose(volume.positions_mm([3, 0, 0]), (1.9, 0, 0))


def test_slices_without_a_position_are_refused(tmp_path):
    folder = write_series(tmp_path / "a", stack())
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes().replace(b"\x20\x00\x32\x00", b"\x20\x00\x33\x00"))
    with pytest.raises(ReadError, match="a: 1 of 4 slices have no position in their header"):
        read(folder)
    assert read(path).shape == (1, 5, 6)
    assert read(path).affine is None


def test_colour_slices(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colour, isVector=True), str(tmp_path / "a.dcm"))
    volume = read(tmp_path / "a.dcm")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data[0], colour)
    np.testing.assert_array_equal(read(tmp_path / "a.dcm", channel=2).data[0], colour[..., 2])


# files and folders


def test_one_file_is_one_slice_in_its_place(tmp_path):
    folder = write_series(tmp_path / "a", stack(), t0018_0050="2.5")
    volume = read(folder / "001.dcm")
    np.testing.assert_array_equal(volume.data, stack()[1:2])
    assert volume.spacing_zyx == pytest.approx((2.5, 0.5, 0.7))
    np.testing.assert_allclose(place(volume, 0, 0, 0), (-10, -20, 33))


def test_files_without_an_extension_in_folders_below(tmp_path):
    written = write_series(tmp_path / "a", stack())
    folder = tmp_path / "Müller CD" / "DICOM" / "日本 01"
    folder.mkdir(parents=True)
    for path in written.iterdir():
        shutil.copy(path, folder / path.stem)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"\0" * 200)
    np.testing.assert_array_equal(read(tmp_path / "Müller CD").data, stack())
    np.testing.assert_array_equal(read(folder / "002").data[0], stack()[2])


def test_images_in_the_folder_itself_hide_those_below(tmp_path):
    folder = write_series(tmp_path / "a", stack())
    write_series(folder / "below", stack(seed=1), series="1.2.4")
    np.testing.assert_array_equal(read(folder).data, stack())


def test_copies_of_a_file_count_once(tmp_path):
    folder = write_series(tmp_path / "a", stack())
    shutil.copy(folder / "002.dcm", folder / "002 (1).dcm")
    np.testing.assert_array_equal(read(folder).data, stack())


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ReadError, match="is a folder without DICOM or Zarr images"):
        read(tmp_path)


# several series


@pytest.fixture
def several(tmp_path):
    folder = write_series(tmp_path / "a", stack(3), t0008_103e="Thorax 5 mm", t0020_0011="2")
    for path in write_series(
        tmp_path / "b", stack(2, seed=1), series="1.2.4", t0008_0060="PT", t0020_0011="7"
    ).iterdir():
        shutil.copy(path, folder / f"b{path.name}")
    return folder


def test_several_series_are_listed_without_the_patient(several):
    with pytest.raises(ReadError) as caught:
        read(several)
    text = str(caught.value)
    assert "a holds 2 series; choose one with series= out of" in text
    assert "0 (3 slices, CT, Thorax 5 mm), 1 (2 slices, PT)" in text
    assert "Secret" not in text


def test_a_series_is_chosen_by_index_or_uid(several):
    for choice in (0, "1.2.3"):
        np.testing.assert_array_equal(read(several, series=choice).data, stack(3))
    for choice in (1, "1.2.4"):
        np.testing.assert_array_equal(read(several, series=choice).data, stack(2, seed=1))
    for choice in (2, -1, "1.2.5", "0"):
        with pytest.raises(ReadError, match=f"series={choice!r} is not one of 0"):
            read(several, series=choice)


def test_a_long_list_of_series_is_cut(tmp_path):
    for number in range(23):
        write_slice(
            tmp_path / f"{number}.dcm", stack()[0], position=(0, 0, 0), series=f"1.{number}"
        )
    with pytest.raises(ReadError, match=r"holds 23 series; .*19 \(1 slice, CT\) \.\.\. 22"):
        read(tmp_path)


def test_a_scout_within_the_series_is_a_series_apart(tmp_path):
    folder = write_series(tmp_path / "a", stack())
    write_slice(folder / "z.dcm", stack()[0], position=(0, 0, 0), orientation=(1, 0, 0, 0, 0, -1))
    with pytest.raises(ReadError, match=r"0 \(4 slices, CT\), 1 \(1 slice, CT\)"):
        read(folder)
    np.testing.assert_array_equal(read(folder, series=0).data, stack())
    with pytest.raises(ReadError, match="images of 2 kinds in that series; choose one with"):
        read(folder, series="1.2.3")


# several images at one position


def write_repeats(folder, name, values):
    for number, value in enumerate(values):
        for path in write_series(folder / "one", stack(3, seed=number), **{name: value}).iterdir():
            shutil.move(path, folder / f"{number}{path.name}")
    (folder / "one").rmdir()
    return folder


@pytest.mark.parametrize(
    ("name", "values", "option", "listed"),
    [
        ("t0020_0100", ["2", "10", "1"], "time", r"0 \(1\), 1 \(2\), 2 \(10\)"),
        ("t0018_0081", ["9.2", "4.6"], "channel", r"0 \(4.6 ms echo\), 1 \(9.2 ms echo\)"),
        ("t0008_0032", ["101500", "093000"], "time", r"0 \(093000\), 1 \(101500\)"),
    ],
)
def test_images_at_one_position_are_chosen(tmp_path, name, values, option, listed):
    folder = write_repeats(tmp_path, name, values)
    order = sorted(range(len(values)), key=lambda i: float(values[i]))
    for choice, number in enumerate(order):
        volume = read(folder, **{option: choice})
        np.testing.assert_array_equal(volume.data, stack(3, seed=number))
    with pytest.raises(ReadError, match=rf"choose one with {option}= out of {listed}"):
        read(folder)
    other = {"time": "channel", "channel": "time"}[option]
    with pytest.raises(ReadError, match=f"so {other}=1 is not one of 0"):
        read(folder, **{option: 0, other: 1})


def test_echoes_at_several_times(tmp_path):
    for number, (time, echo) in enumerate([("1", "5"), ("1", "9"), ("2", "5"), ("2", "9")]):
        source = write_series(
            tmp_path / "one", stack(3, seed=number), t0020_0100=time, t0018_0081=echo
        )
        for path in source.iterdir():
            shutil.move(path, tmp_path / f"{number}{path.name}")
    (tmp_path / "one").rmdir()
    np.testing.assert_array_equal(read(tmp_path, time=1, channel=0).data, stack(3, seed=2))
    with pytest.raises(ReadError, match="holds 2 channels; choose one with channel="):
        read(tmp_path, time=0)


def test_repeated_positions_that_nothing_tells_apart_are_refused(tmp_path):
    folder = write_series(tmp_path / "a", stack())
    write_slice(folder / "again.dcm", stack()[1], position=(-10, -20, 33))
    with pytest.raises(ReadError, match="5 images at 4 slice positions and nothing tells them"):
        read(folder)


# damage


@pytest.mark.parametrize("part", [0.0, 0.1, 0.2, 0.5, 0.8, 0.98])
def test_a_truncated_slice_is_named(tmp_path, capfd, part):
    folder = write_series(tmp_path / "a", stack())
    path = folder / "002.dcm"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    for target in (folder, path):
        with pytest.raises(ReadError, match=r"002\.dcm is (damaged|empty)") as caught:
            read(target)
        assert str(tmp_path) not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(30))
def test_damaged_headers_give_an_image_or_one_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    folder = write_series(tmp_path / "a", stack())
    path = folder / "001.dcm"
    content = bytearray(path.read_bytes())
    for at in rng.integers(132, len(content), 3):
        content[at] = rng.integers(0, 256)
    path.write_bytes(content)
    outcome = "an image"
    try:
        assert read(folder, series=0).shape[0] >= 1
    except ReadError as error:
        outcome = str(error)
    except UserWarning as warning:  # the damage moved a slice
        outcome = str(warning)
    assert "\n" not in outcome
    assert str(tmp_path) not in outcome


@pytest.mark.parametrize("element", [b"\x10", b"\x11"], ids=["rows", "columns"])
def test_a_header_that_declares_more_than_is_there_is_refused(tmp_path, element):
    path = write_slice(tmp_path / "a.dcm", stack()[0], position=(0, 0, 0))
    content = path.read_bytes()
    at = content.index(b"\x28\x00" + element + b"\x00") + 8
    path.write_bytes(content[:at] + b"\xff\x7f" + content[at + 2 :])
    with pytest.raises(ReadError, match=r"a\.dcm is damaged"):
        read(path)


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_compressed_files_equal_the_plain_ones(tmp_path, syntax):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip(
        "openjpeg" if "2000" in syntax else "jpeg_ls" if "LS" in syntax else "numpy"
    )
    values = np.random.default_rng(0).integers(0, 1000, (4, 64, 48)).astype(np.int16)
    folder = write_series(tmp_path / "a", values, rescale=(1, -1024))
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.compress(getattr(pydicom.uid, syntax))
        dataset.save_as(path)
    np.testing.assert_array_equal(read(folder).data, values)


def test_a_film_in_a_video_codec_is_refused(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    path = write_slice(tmp_path / "a.dcm", stack()[0], position=(0, 0, 0))
    dataset = pydicom.dcmread(path)
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 100])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.save_as(path)
    with pytest.raises(ReadError, match="compressed as a video"):
        read(path)


def test_window_and_unit_come_from_the_header(tmp_path):
    folder = write_series(
        tmp_path / "a", stack(), t0028_1050="40\\300", t0028_1051="400\\1500", t0028_1054="HU"
    )
    scan = read(folder).scan
    assert (scan.unit, scan.window) == ("HU", (-160.0, 239.0))
    assert [source.path for source in scan.sources] == [
        str(folder / f"{number:03}.dcm") for number in range(4)
    ]


# objects SimpleITK does not write


def other_object(path, storage_class):
    pydicom = pytest.importorskip("pydicom")
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = storage_class, "1.9.9"
    dataset.PatientName = "Secret^Name"
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("number", ["481.3", "66.4", "88.33"])
def test_other_objects_beside_a_series_do_not_matter(tmp_path, number):
    folder = write_series(tmp_path / "a", stack())
    path = other_object(folder / "other.dcm", f"1.2.840.10008.5.1.4.1.1.{number}")
    np.testing.assert_array_equal(read(folder).data, stack())
    with pytest.raises(
        ReadError, match=r"other\.dcm (holds no DICOM image but|holds contours|lacks)"
    ):
        read(path)


def enhanced(path, heights, *, slopes=None, times=None, position=True):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import Dataset

    def group(**values):
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        return item

    count = len(heights)
    stored = np.arange(count * 30, dtype=np.uint16).reshape(count, 5, 6)
    dataset = group(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        SOPInstanceUID="1.2.9",
        SeriesInstanceUID="1.2.3",
        Modality="CT",
        Rows=5,
        Columns=6,
        NumberOfFrames=count,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=0,
        PixelData=stored.tobytes(),
    )
    measures = group(PixelSpacing=[0.5, 0.7], SliceThickness=3)
    plane = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared = group(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[plane])
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index, height in enumerate(heights):
        frame = group(
            PixelValueTransformationSequence=[
                group(RescaleSlope=slopes[index] if slopes else 1, RescaleIntercept=-1024)
            ]
        )
        if position:
            frame.PlanePositionSequence = [group(ImagePositionPatient=[-10, -20, height])]
        if times:
            frame.FrameContentSequence = [group(TemporalPositionIndex=times[index])]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return stored.astype(int) - 1024


@pytest.mark.parametrize("heights", [[0, 3, 6], [6, 3, 0], [3, 0, 6]])
def test_frames_of_an_enhanced_file_are_sorted(tmp_path, heights):
    values = enhanced(tmp_path / "a.dcm", heights)
    volume = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(volume.data, values[np.argsort(heights)])
    assert volume.spacing_zyx == pytest.approx((3, 0.5, 0.7))
    np.testing.assert_allclose(place(volume, 2, 0, 0), (-10, -20, 6))


def test_frames_of_an_enhanced_file_may_be_uneven(tmp_path):
    enhanced(tmp_path / "a.dcm", [0, 3, 9])
    with pytest.warns(UserWarning, match="changes from 3 to 6 mm"):
        read(tmp_path / "a.dcm")


def test_time_points_of_an_enhanced_file(tmp_path):
    values = enhanced(tmp_path / "a.dcm", [0, 3, 0, 3], times=[1, 1, 2, 2])
    np.testing.assert_array_equal(read(tmp_path / "a.dcm", time=1).data, values[2:])


def test_each_frame_of_an_enhanced_file_has_its_own_slope(tmp_path):
    values = enhanced(tmp_path / "a.dcm", [3, 0], slopes=[0.5, 2])
    volume = read(tmp_path / "a.dcm")
    stored = values + 1024
    np.testing.assert_allclose(volume.data, [stored[1] * 2 - 1024, stored[0] * 0.5 - 1024])
    assert volume.dtype == np.float32


def test_an_enhanced_file_without_pydicom_says_what_to_install(tmp_path, monkeypatch):
    enhanced(tmp_path / "a.dcm", [0, 3])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ReadError, match=r"enhanced .* pip install \"napari-stacksam\[dicom\]"):
        read(tmp_path / "a.dcm")


def test_frames_without_positions_are_a_film(tmp_path):
    values = enhanced(tmp_path / "a.dcm", [0, 3, 6], position=False)
    volume = read(tmp_path / "a.dcm")
    np.testing.assert_array_equal(volume.data, values)
    assert volume.spacing_zyx is None
    np.testing.assert_array_equal(read(tmp_path / "a.dcm", time=1).data, values[1:2])


# real data


def test_real_series_equal_the_nifti_beside_them(shared_data):
    series = sorted((shared_data / "radiology").glob("*/dicom/*"))
    pairs = [(s, s.parent.parent / "volumes" / f"{s.name}.nii.gz") for s in series]
    pairs = [(s, nifti) for s, nifti in pairs if nifti.is_file()]
    assert len(pairs) >= 4
    for folder, nifti in pairs:
        volume, expected = read(folder), read(nifti)
        assert volume.shape == expected.shape
        off = np.abs(volume.data.astype(float) - expected.data).max()
        corners = np.array([[z, y, x, 1] for z in (0, 1) for y in (0, 1) for x in (0, 1)])
        corners = corners * [*(n - 1 for n in volume.shape), 1]
        moved = np.abs(corners @ (volume.affine - expected.affine).T).max()
        print(f"{folder.name}: largest difference {off:.2g} in voxels, {moved:.2g} mm in corners")
        assert volume.scan.unit == {"CT": "HU", "PT": "SUVbw", "PET": "SUVbw"}.get(
            "CT" if "ct" in folder.name.lower() else folder.name.split("_")[-1], ""
        )
        assert off <= 1e-6 * np.abs(expected.data).max()  # PET is stored as float32 in the NIfTI
        assert moved < 1e-3
        np.testing.assert_allclose(volume.spacing_zyx, expected.spacing_zyx, rtol=1e-5)


def test_real_tilted_head_with_changing_distances(shared_data):
    folder = shared_data / "radiology" / "dcm_qa_ct" / "dicom" / "GE_head_gantry_tilt"
    if not folder.is_dir():
        pytest.skip("needs radiology/dcm_qa_ct of the shared data")
    with pytest.warns(UserWarning, match="slice distance changes from 1.14 to 7.38 mm"):
        volume = read(folder)
    assert volume.shape == (14, 512, 512)
    steps = volume.affine[:3, :3] / volume.spacing_zyx
    assert np.rad2deg(np.arcsin(abs(steps[:, 0] @ steps[:, 1]))) == pytest.approx(18.5, abs=0.01)
    heights = [read(path).affine[0, 3] for path in folder.iterdir()]
    places = volume.positions_mm([[z, 0, 0] for z in range(14)])
    np.testing.assert_allclose(places[:, 0], sorted(heights), atol=1e-3)
    assert volume.scan.window == (-15.0, 84.0)
    assert volume.affine[0, 3] == pytest.approx(min(heights))
    assert place(volume, 13, 0, 0)[2] == pytest.approx(max(heights))
