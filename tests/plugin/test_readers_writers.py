"""Reader, writer and sample data as napari calls them, without a viewer."""

import shutil
import zipfile

import numpy as np
import pytest

pytest.importorskip("napari")
from napari.layers import Image, Labels

import stacksam
from stacksam.core.errors import ReadError
from stacksam.plugin.layers import grid_options
from stacksam.plugin.readers import get_reader, read_layers
from stacksam.plugin.sample_data import abdomen_ct, nuclei
from stacksam.plugin.writers import write_labels_layer


def write_ct(path):
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    image.SetSpacing((0.5, 0.8, 2.0))
    image.SetOrigin((10.0, 20.0, 30.0))
    SimpleITK.WriteImage(image, str(path))


@pytest.mark.parametrize("name", ["a.nii", "B.NII.GZ", "c.nrrd", "d.mha", "e.mhd"])
def test_known_formats_get_a_reader(name):
    assert get_reader(name) is read_layers


@pytest.mark.parametrize("path", ["a.tif", "b.png", "nii", ["a.nii", "b.nii"]])
def test_anything_else_is_left_to_others(path):
    assert get_reader(path) is None


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.nrrd", "ct.mha"])
def test_file_opens_where_the_scanner_saw_it(tmp_path, name):
    write_ct(tmp_path / name)
    ((data, options, kind),) = read_layers(str(tmp_path / name))
    layer = Image(data, **options)
    assert kind == "image"
    np.testing.assert_allclose(layer.scale, (2.0, 0.8, 0.5))
    np.testing.assert_allclose(layer.data_to_world((1, 1, 1)), (32.0, 20.8, 10.5), rtol=1e-5)


def write_dicom(folder, numbers):
    from dicom_support import write_series

    for number in numbers:
        stack = np.full((4, 6, 5), 100 * number, np.int16)
        (folder / f"series{number}").mkdir(parents=True)
        write_series(folder / f"series{number}", stack, series=f"1.2.{number}")
    return folder


def test_a_dicom_folder_opens_as_one_stack(tmp_path):
    folder = write_dicom(tmp_path, [1]) / "series1"
    assert get_reader(str(folder)) is read_layers
    ((data, options, kind),) = read_layers(str(folder))
    assert (data.shape, kind) == ((4, 6, 5), "image")
    assert Image(data, **options).scale[0] == pytest.approx(3)


def test_each_series_of_a_folder_and_of_an_archive_becomes_a_layer(tmp_path):
    folder = write_dicom(tmp_path / "patient", [1, 2])
    archive = shutil.make_archive(str(tmp_path / "patient"), "zip", folder)
    for path in (str(folder), archive):
        assert get_reader(path) is read_layers
        layers = read_layers(path)
        assert sorted(int(np.max(data)) for data, _, _ in layers) == [100, 200]
        assert len({options["name"] for _, options, _ in layers}) == 2


def test_folders_without_dicom_are_left_to_others(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "zarr.json").write_text("{}", encoding="utf-8")
    assert get_reader(tmp_path) is None


def test_an_archive_without_images_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "notes.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(ReadError, match=r"notes\.zip"):
        read_layers(str(tmp_path / "notes.zip"))


def test_a_damaged_file_says_so(tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"not a volume")
    with pytest.raises(ReadError, match=r"bad\.nii\.gz"):
        read_layers(str(tmp_path / "bad.nii.gz"))


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nrrd", "labels.mha", "labels.tif"])
def test_labels_are_written_in_the_images_geometry(tmp_path, name):
    write_ct(tmp_path / "ct.nii.gz")
    ((data, options, _),) = read_layers(str(tmp_path / "ct.nii.gz"))
    image = Image(data, **options)
    array = np.zeros(data.shape, np.uint16)
    array[1, 2, 3] = 7
    labels = Labels(array, name="organs", **grid_options(image))
    layer_data, meta, _ = labels.as_layer_data_tuple()
    assert write_labels_layer(str(tmp_path / name), layer_data, meta) == [str(tmp_path / name)]
    written = stacksam.read(tmp_path / name)
    np.testing.assert_array_equal(written.data, array)
    assert written.spacing_zyx == pytest.approx((2.0, 0.8, 0.5), rel=1e-4)


@pytest.mark.parametrize("sample", [abdomen_ct, nuclei])
def test_samples_open_with_their_spacing(sample):
    ((data, options, kind),) = sample()
    layer = Image(data, **options)
    assert kind == "image"
    assert layer.ndim == 3
    assert all(unit.is_compatible_with("mm") for unit in layer.units)
