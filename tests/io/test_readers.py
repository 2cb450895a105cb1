import gzip
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
import zarr
from PIL import Image

from stacksam.core.errors import ReadError
from stacksam.core.volume import Volume
from stacksam.io import read, read_labels, tiff

ITK_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


def stack(shape=(4, 5, 6), dtype=np.int16, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def write_itk(path, array, spacing=None, origin=None, direction=None, **kwargs):
    image = sitk.GetImageFromArray(array, **kwargs)
    if spacing:
        image.SetSpacing(spacing)
    if origin:
        image.SetOrigin(origin)
    if direction is not None:
        image.SetDirection(np.ravel(direction).tolist())
    sitk.WriteImage(image, str(path))
    return path


def rotation(a=0.3, b=-0.2):
    c, s = np.cos(a), np.sin(a)
    first = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(b), np.sin(b)
    return first @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


# NIfTI, NRRD, MetaImage


@pytest.mark.parametrize("flip", [1, -1], ids=["right-handed", "left-handed"])
@pytest.mark.parametrize("suffix", ITK_SUFFIXES)
def test_voxels_and_positions_are_those_of_simpleitk(tmp_path, suffix, flip):
    direction = rotation() @ np.diag([1, 1, flip])
    path = write_itk(tmp_path / f"a{suffix}", stack(), (0.5, 0.7, 3.0), (-9, 20, 400), direction)
    image, volume = sitk.ReadImage(str(path)), read(path)
    np.testing.assert_array_equal(volume.data, sitk.GetArrayFromImage(image))
    assert volume.dtype == np.int16
    assert volume.spacing_zyx == image.GetSpacing()[::-1]
    for zyx in [(0, 0, 0), (3, 4, 5), (1, 0, 4)]:
        expected = image.TransformIndexToPhysicalPoint(zyx[::-1])[::-1]
        np.testing.assert_allclose((volume.affine @ [*zyx, 1])[:3], expected, atol=1e-4)


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"], ids=str
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_types_stay_as_stored(tmp_path, suffix, dtype):
    data = stack(dtype=dtype)
    volume = read(write_itk(tmp_path / f"a{suffix}", data))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(volume.data, data)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_2d_file_is_one_slice_in_its_place(tmp_path, suffix):
    path = write_itk(tmp_path / f"a{suffix}", stack((5, 6)), (0.5, 0.25), (7.0, -8.0))
    volume = read(path)
    assert volume.shape == (1, 5, 6)
    assert volume.spacing_zyx == (1.0, 0.25, 0.5)
    expected = sitk.ReadImage(str(path)).TransformIndexToPhysicalPoint((5, 4))
    np.testing.assert_allclose(volume.affine @ [0, 4, 5, 1], [0, *expected[::-1], 1])


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_time_point_of_4d_is_chosen(tmp_path, suffix):
    frames = [sitk.GetImageFromArray(stack(seed=s)) for s in range(3)]
    for frame in frames:
        frame.SetSpacing((0.5, 0.5, 2.0))
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.JoinSeries(frames), str(path))
    volume = read(path, time=2)
    np.testing.assert_array_equal(volume.data, stack(seed=2))
    assert volume.spacing_zyx == (2.0, 0.5, 0.5)
    with pytest.raises(ReadError, match=r"holds 3 time points; choose one with time= out of 0, 1"):
        read(path)
    with pytest.raises(ReadError, match="has 3 time points, so time=3 is not one of"):
        read(path, time=3)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_colour_and_vectors(tmp_path, suffix):
    colour = stack((4, 5, 6, 3), np.uint8)
    path = write_itk(tmp_path / f"c{suffix}", colour, isVector=True)
    volume = read(path)
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, colour)
    np.testing.assert_array_equal(read(path, channel=1).data, colour[..., 1])
    path = write_itk(tmp_path / f"v{suffix}", stack((4, 5, 6, 3), np.float32), isVector=True)
    with pytest.raises(ReadError, match="holds 3 channels; choose one with channel="):
        read(path)
    assert read(path, channel=2).shape == (4, 5, 6)


def test_slope_and_intercept_of_nifti_are_applied(tmp_path):
    path = write_itk(tmp_path / "a.nii", stack())
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, 112, 2.0, -1000.0)
    path.write_bytes(content)
    np.testing.assert_allclose(read(path).data, 2.0 * stack() - 1000)


@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (1, 1), (0, 0)], ids=str)
def test_qform_and_sform_of_nifti(tmp_path, codes):
    spacing, origin = (0.5, 0.7, 3.0), (-9, 20, 400)
    path = write_itk(tmp_path / "a.nii", stack(), spacing, origin, rotation())
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, 252, *codes)
    path.write_bytes(content)
    volume = read(path)
    image = sitk.GetImageFromArray(stack())
    image.SetSpacing(spacing)
    if any(codes):
        image.SetOrigin(origin)
        image.SetDirection(np.ravel(rotation()).tolist())
    expected = image.TransformIndexToPhysicalPoint((5, 4, 3))[::-1]
    np.testing.assert_allclose(volume.positions_mm([3, 4, 5]), expected, atol=1e-4)


@pytest.mark.parametrize(("code", "scale"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 1e-3)])
def test_units_of_nifti(tmp_path, code, scale):
    path = write_itk(tmp_path / "a.nii", stack(), (0.5, 0.7, 3.0), (10, 20, 30))
    content = bytearray(path.read_bytes())
    content[123] = code
    path.write_bytes(content)
    volume = read(path)
    np.testing.assert_allclose(volume.spacing_zyx, np.array([3.0, 0.7, 0.5]) * scale, rtol=1e-6)
    np.testing.assert_allclose(volume.affine[:3, 3], np.array([30, 20, 10]) * scale, rtol=1e-6)


def test_units_of_nrrd(tmp_path):
    path = write_itk(tmp_path / "a.nrrd", stack(), (0.5, 0.7, 3.0), (10, 20, 30))
    lines = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(lines[0] + b'\nspace units: "um" "um" "um"\n\n' + lines[1])
    volume = read(path)
    np.testing.assert_allclose(volume.spacing_zyx, (0.003, 0.0007, 0.0005))
    np.testing.assert_allclose(volume.affine[:3, 3], (0.03, 0.02, 0.01))


@pytest.mark.parametrize(("suffix", "line"), [(".nrrd", b"space"), (".mha", b"ElementSpacing")])
def test_a_header_without_spacing_gives_none(tmp_path, suffix, line):
    path = write_itk(tmp_path / f"a{suffix}", stack())
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(text for text in lines if not text.startswith(line)))
    volume = read(path)
    np.testing.assert_array_equal(volume.data, stack())
    assert volume.spacing_zyx is None


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, suffix, compressed, part):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(stack((9, 40, 40))), str(path), compressed)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ReadError, match=rf"a{suffix} is (damaged|not an? )"):
        read(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_flipped_byte_in_compressed_data_is_noticed(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(stack((9, 40, 40))), str(path), True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ReadError, match="is damaged"):
        read(path)


def test_a_nifti_header_that_promises_too_much_allocates_nothing(tmp_path):
    path = write_itk(tmp_path / "a.nii", stack())
    content = bytearray(path.read_bytes())
    struct.pack_into("<3h", content, 42, 32767, 32767, 32767)
    path.write_bytes(content)
    with pytest.raises(ReadError, match="incomplete"):
        read(path)


def test_nifti_named_gz_without_compression_is_read(tmp_path):
    path = write_itk(tmp_path / "a.nii", stack())
    np.testing.assert_array_equal(read(path.rename(tmp_path / "b.nii.gz")).data, stack())


def test_a_sheared_nifti_grid_keeps_its_shear(tmp_path):
    path = write_itk(tmp_path / "a.nii", stack())
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, 252, 0, 1)
    struct.pack_into("<12f", content, 280, -1, 0, 0, 5, 0, -1, 0.8, 6, 0, 0, 1, 7)
    path.write_bytes(content)
    volume = read(path)
    np.testing.assert_array_equal(volume.data, stack())
    expected = [[1, 0, 0, 7], [-0.8, 1, 0, -6], [0, 0, 1, -5], [0, 0, 0, 1]]  # z, y, x in LPS
    np.testing.assert_allclose(volume.affine, expected, atol=1e-6)


def test_itk_stays_quiet(tmp_path, capfd):
    path = write_itk(tmp_path / "a.nii", stack(), (1, 1, 2))
    content = bytearray(path.read_bytes())
    struct.pack_into("<2h", content, 252, 1, 1)
    struct.pack_into("<4f", content, 296, 0, -1, 0.8, 0)
    path.write_bytes(content)
    read(path)
    assert capfd.readouterr() == ("", "")
    assert sitk.ProcessObject.GetGlobalWarningDisplay()


# TIFF


@pytest.mark.parametrize("metadata", [None, {}], ids=["plain pages", "shaped"])
def test_a_stack_without_axes_is_z(tmp_path, metadata):
    tifffile.imwrite(tmp_path / "a.tif", stack((9, 5, 6), np.uint16), metadata=metadata)
    volume = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.data, stack((9, 5, 6), np.uint16))
    assert volume.spacing_zyx is None


@pytest.mark.parametrize(
    ("unit", "in_mm"),
    [("micron", 1e-3), ("µm", 1e-3), ("\\u00B5m", 1e-3), ("um", 1e-3), ("nm", 1e-6), ("mm", 1.0)],
)
def test_imagej_spacing(tmp_path, unit, in_mm):
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack(dtype=np.uint16),
        imagej=True,
        resolution=(1 / 0.25, 1 / 0.5),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": unit.replace("µ", "\\u00B5")},
    )
    expected = (2.0 * in_mm, 0.5 * in_mm, 0.25 * in_mm)
    assert read(tmp_path / "a.tif").spacing_zyx == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "metadata", [{"spacing": 2.0}, {"unit": "micron"}, {"spacing": 2.0, "unit": "pixel"}]
)
def test_imagej_without_a_full_spacing_gives_none(tmp_path, metadata):
    data = stack(dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX"} | metadata,
    )
    assert read(tmp_path / "a.tif").spacing_zyx is None


def test_screen_resolution_is_no_spacing(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", stack((9, 5, 6), np.uint8), resolution=(72, 72), resolutionunit=2
    )
    assert read(tmp_path / "a.tif").spacing_zyx is None


def test_ome_spacing_in_mixed_units(tmp_path):
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": 250.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.5,  # µm is OME's default
        "PhysicalSizeZ": 0.002,
        "PhysicalSizeZUnit": "mm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", stack(dtype=np.uint16), metadata=metadata)
    volume = read(tmp_path / "a.ome.tif")
    assert volume.spacing_zyx == pytest.approx((2e-3, 5e-4, 2.5e-4))
    np.testing.assert_array_equal(volume.data, stack(dtype=np.uint16))


@pytest.mark.parametrize("size", [{}, {"PhysicalSizeZ": 0.0}, {"PhysicalSizeZUnit": "pixel"}])
def test_ome_without_a_full_spacing_gives_none(tmp_path, size):
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    metadata |= {"PhysicalSizeZ": 1.0} | size if size else {}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack(dtype=np.uint16), metadata=metadata)
    assert read(tmp_path / "a.ome.tif").spacing_zyx is None


def test_channels_and_time_points_are_chosen(tmp_path):
    data = stack((2, 3, 4, 5, 6), np.uint16)
    metadata = {"axes": "TCZYX", "Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
    path = tmp_path / "a.ome.tif"
    np.testing.assert_array_equal(read(path, channel=2, time=1).data, data[1, 2])
    np.testing.assert_array_equal(read(path, channel="GFP", time=0).data, data[0, 1])
    with pytest.raises(ReadError, match=r"3 channels; .* 0 \(DAPI\), 1 \(GFP\), 2 \(RFP\)"):
        read(path)
    with pytest.raises(ReadError, match="holds 2 time points; choose one with time="):
        read(path, channel=0)
    with pytest.raises(ReadError, match="channel='Cy5' is not one of"):
        read(path, channel="Cy5", time=0)
    with pytest.raises(ReadError, match="channel=-1 is not one of"):
        read(path, channel=-1, time=0)


def test_imagej_hyperstack_order(tmp_path):
    data = stack((2, 4, 3, 5, 6), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "TZCYX"})
    np.testing.assert_array_equal(read(tmp_path / "a.tif", channel=1, time=1).data, data[1, :, 1])


def test_a_time_lapse_of_planes_keeps_time_as_axis_0(tmp_path):
    data = stack((7, 5, 6), np.uint16)
    metadata = {"axes": "TYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 1.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata=metadata)
    volume = read(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(volume.data, data)
    assert volume.spacing_zyx is None
    one = read(tmp_path / "a.ome.tif", time=3)
    np.testing.assert_array_equal(one.data, data[3:4])
    assert one.spacing_zyx == pytest.approx((1e-3, 5e-4, 5e-4))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colour_tiffs(tmp_path, planar, samples):
    colour = stack((5, 6, samples), np.uint8)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    volume = read(tmp_path / "a.tif")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, colour[None, ..., :3])
    np.testing.assert_array_equal(read(tmp_path / "a.tif", channel=1).data, colour[None, ..., 1])


def test_a_colour_stack(tmp_path):
    colour = stack((4, 5, 6, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
    volume = read(tmp_path / "a.tif")
    assert volume.rgb
    np.testing.assert_array_equal(volume.data, colour)


def test_samples_that_are_no_colours_are_channels(tmp_path):
    data = stack((5, 6, 2), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ReadError, match="holds 2 channels"):
        read(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", channel=1).data, data[None, ..., 1])


def test_several_series_need_a_choice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(stack((9, 5, 6), np.uint8))
        writer.write(stack((7, 8), np.uint16))
    assert read(tmp_path / "a.tif", series=1).shape == (1, 7, 8)
    assert read(tmp_path / "a.tif", series=0).shape == (9, 5, 6)
    with pytest.raises(ReadError, match=r"holds 2 series; .* 0 \(9x5x6\), 1 \(7x8\)"):
        read(tmp_path / "a.tif")
    with pytest.raises(ReadError, match="series=2 is not one of"):
        read(tmp_path / "a.tif", series=2)


def test_axes_without_a_meaning_are_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack((2, 9, 5, 6), np.uint16))
    with pytest.raises(ReadError, match=r"axes QQYX \(2x9x5x6\) whose meaning it does not say"):
        read(tmp_path / "a.tif")


def test_byte_order_does_not_matter(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", stack((9, 5, 6), np.uint16), byteorder=">")
    volume = read(tmp_path / "a.tif")
    assert volume.read_slice(0).dtype.isnative
    np.testing.assert_array_equal(volume.data, stack((9, 5, 6), np.uint16))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_large_tiffs_are_read_where_needed(tmp_path, monkeypatch, compression):
    data = stack((3, 4, 5, 6), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        metadata={"axes": "ZCYX"},
        photometric="minisblack",
        compression=compression,
    )
    eager = read(tmp_path / "a.tif", channel=2)
    monkeypatch.setattr(tiff, "LAZY_BYTES", 0)
    lazy = read(tmp_path / "a.tif", channel=2)
    assert not isinstance(lazy.data, np.ndarray)
    assert lazy.fingerprint == eager.fingerprint
    for axis in range(3):
        np.testing.assert_array_equal(lazy.read_slice(1, axis), eager.read_slice(1, axis))
    np.testing.assert_array_equal(np.asarray(lazy.data), data[:, 2])


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"imagej": True}, {"metadata": None}, {"ome": True}],
    ids=["shaped", "compressed", "imagej", "pages", "ome"],
)
def test_a_truncated_tiff_is_refused(tmp_path, caplog, options, part):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((9, 40, 40), np.uint16), **options)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(ReadError, match=r"a\.tif is damaged"):
        read(path)
    assert not caplog.records


# pictures and npy


@pytest.mark.parametrize(
    ("mode", "dtype", "rgb"),
    [("1", bool, False), ("L", "u1", False), ("I;16", "u2", False), ("RGB", "u1", True)],
)
def test_pngs_keep_values_and_type(tmp_path, mode, dtype, rgb):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2 if dtype is bool else 256, (5, 6, 3) if rgb else (5, 6))
    values = values.astype(dtype)
    picture = Image.fromarray(values)
    assert picture.mode == mode
    picture.save(tmp_path / "a.png")
    volume = read(tmp_path / "a.png")
    assert volume.rgb == rgb
    assert volume.dtype == values.dtype
    assert volume.spacing_zyx is None
    np.testing.assert_array_equal(volume.data, values[None])


@pytest.mark.parametrize(("mode", "rgb"), [("RGBA", True), ("LA", False)])
def test_alpha_is_dropped(tmp_path, mode, rgb):
    values = stack((5, 6, len(mode)), np.uint8)
    Image.fromarray(values, mode).save(tmp_path / "a.png")
    volume = read(tmp_path / "a.png")
    assert volume.rgb == rgb
    np.testing.assert_array_equal(volume.data[0], values[..., :3] if rgb else values[..., 0])


def test_16_bit_colour_keeps_all_bits(tmp_path):
    values = stack((5, 6, 3), np.uint16) * 600
    write_itk(tmp_path / "a.png", values, isVector=True)
    volume = read(tmp_path / "a.png")
    assert volume.dtype == np.uint16
    np.testing.assert_array_equal(volume.data, values[None])


def test_palettes_become_grey_or_colour(tmp_path):
    grey = Image.fromarray(stack((5, 6), np.uint8)).convert("P")
    grey.save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read(tmp_path / "grey.png").data[0], stack((5, 6), np.uint8))
    grey.putpalette([255, 0, 0] * 256)
    grey.save(tmp_path / "red.png")
    volume = read(tmp_path / "red.png")
    assert volume.rgb
    assert (volume.data == [255, 0, 0]).all()


def test_jpeg_is_not_turned_by_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stack((16, 24), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert read(tmp_path / "a.jpg").shape == (1, 16, 24)


def test_a_truncated_picture_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(stack((50, 60), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ReadError, match=r"a\.png is damaged or not a \.png file"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "dtype", "expected", "rgb"),
    [
        ((5, 6), np.float64, (1, 5, 6), False),
        ((4, 5, 6), bool, (4, 5, 6), False),
        ((4, 5, 3), np.int16, (4, 5, 3), False),
        ((5, 6, 3), np.uint8, (1, 5, 6), True),
        ((4, 5, 6, 3), np.uint8, (4, 5, 6), True),
        ((1, 4, 5, 6), np.uint8, (4, 5, 6), False),
    ],
)
def test_npy_shapes(tmp_path, shape, dtype, expected, rgb):
    data = stack(shape, dtype)
    np.save(tmp_path / "a.npy", data)
    volume = read(tmp_path / "a.npy")
    assert (volume.shape, volume.rgb, volume.dtype) == (expected, rgb, np.dtype(dtype))
    np.testing.assert_array_equal(np.ravel(volume.data), data.ravel())


def test_a_large_npy_stays_on_disk(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", stack((2, 4, 5, 6)))
    monkeypatch.setattr(tiff, "LAZY_BYTES", 0)
    volume = read(tmp_path / "a.npy", time=1)
    assert not isinstance(volume.data, np.ndarray)
    np.testing.assert_array_equal(volume.read_slice(2, axis=1), stack((2, 4, 5, 6))[1, :, 2])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2, 2, 2)), r"has shape \(2, 2, 2, 2, 2\); save"),
        (np.zeros(4), r"has shape \(4,\); save"),
        (np.zeros((4, 5), complex), "cannot be used: data has dtype complex128"),
        (np.full((4, 5), "a"), "cannot be used: data has dtype"),
        (np.zeros((0, 5)), "cannot be used: .* at least one voxel"),
        (np.zeros((3, 4, 5, 6)), "holds 3 time points"),
    ],
)
def test_unfit_npy_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ReadError, match=message):
        read(tmp_path / "a.npy")


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 2), {}, object), allow_pickle=True)
    with pytest.raises(ReadError, match="is damaged or not"):
        read(tmp_path / "a.npy")


# any format


@pytest.mark.parametrize("suffix", [*ITK_SUFFIXES, ".tif", ".ome.tif", ".png", ".jpg", ".npy"])
@pytest.mark.parametrize(
    "content", [b"no image\n", b"\x00" * 700, gzip.compress(b"x" * 999)], ids=["text", "0", "gzip"]
)
def test_garbage_is_refused_in_one_sentence(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=rf"a{suffix} is (damaged|not an? )") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".tif", ".png", ".npy"])
def test_an_empty_file_is_refused(tmp_path, suffix):
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(ReadError, match="is empty \\(0 bytes\\)"):
        read(tmp_path / f"a{suffix}")


def test_missing_files_folders_and_unknown_kinds(tmp_path):
    with pytest.raises(ReadError, match=r"gone\.tif does not exist"):
        read(tmp_path / "gone.tif")
    (tmp_path / "series").mkdir()
    with pytest.raises(ReadError, match="series is a folder without DICOM or Zarr images"):
        read(tmp_path / "series")
    (tmp_path / "a.docx").write_text("x", encoding="utf-8")
    with pytest.raises(ReadError, match=r"a\.docx has an extension .* \.nii\.gz"):
        read(tmp_path / "a.docx")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".tif", ".png", ".npy"])
def test_any_path_and_any_case(tmp_path, suffix):
    folder = tmp_path / "Müller Größe µ 日本"
    folder.mkdir()
    plain, path = tmp_path / f"a{suffix}", folder / f"Leber übersicht 1.2{suffix.upper()}"
    if suffix == ".npy":
        np.save(plain, stack((5, 6), np.uint8))
    elif suffix == ".tif":
        tifffile.imwrite(plain, stack((5, 6), np.uint8))
    else:
        write_itk(plain, stack((5, 6), np.uint8))
    volume = read(str(plain.rename(path)))
    np.testing.assert_array_equal(volume.data[0], stack((5, 6), np.uint8))
    assert volume.name == path.name


@pytest.mark.parametrize("choice", [{"channel": 1}, {"time": 1}, {"series": 1}])
@pytest.mark.parametrize("suffix", [".nii", ".tif", ".png", ".npy"])
def test_choosing_what_is_not_there_is_an_error(tmp_path, suffix, choice):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, stack((5, 6)))
    elif suffix == ".tif":
        tifffile.imwrite(path, stack((5, 6)))
    else:
        write_itk(path, stack((5, 6), np.uint8))
    assert read(path, channel=0, time=0, series=0).shape == (1, 5, 6)
    word = next(iter(choice))
    with pytest.raises(ReadError, match=f"has 1 {word}.*, so {word}=1 is not one of 0"):
        read(path, **choice)


def test_a_volume_over_zarr_equals_the_file(tmp_path):
    path = write_itk(tmp_path / "a.nrrd", stack((9, 20, 30)))
    volume = read(path)
    stored = zarr.array(volume.data, chunks=(4, 7, 8))
    assert Volume(stored, volume.spacing_zyx).fingerprint == volume.fingerprint


# real data


def _first_files(folder):
    for data_set in sorted(p for p in folder.iterdir() if p.is_dir()):
        for kind in ("images", "masks", "volumes", "volume_masks"):
            files = sorted((data_set / kind).glob("*.*"))
            if files:
                yield files[0]


def test_real_microscopy(shared_data):
    files = list(_first_files(shared_data / "microscopy"))
    assert len(files) >= 20
    for path in files:
        volume = read(path)
        expected = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
        np.testing.assert_array_equal(np.squeeze(volume.data), np.squeeze(expected))
        assert volume.spacing_zyx is None


def test_real_radiology(shared_data):
    files = list(_first_files(shared_data / "radiology"))
    assert len(files) >= 20
    for path in files:
        volume, image = read(path), sitk.ReadImage(str(path))
        if image.GetDimension() == 2:
            assert volume.shape == (1, *image.GetSize()[::-1])
            continue
        np.testing.assert_array_equal(volume.data, sitk.GetArrayViewFromImage(image))
        last = [n - 1 for n in image.GetSize()]
        expected = image.TransformIndexToPhysicalPoint(last)[::-1]
        np.testing.assert_allclose((volume.affine @ [*last[::-1], 1])[:3], expected, atol=1e-3)


# headers that promise too much


def test_a_tiff_that_declares_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    for compression in (None, "zlib", "lzw"):
        tifffile.imwrite(path, stack((40, 50), np.uint8), compression=compression, metadata=None)
        with tifffile.TiffFile(path, mode="r+") as tif:
            tif.pages[0].tags["ImageLength"].overwrite(3_000_000)
        with pytest.raises(ReadError, match=r"a\.tif is damaged"):
            read(path)


def test_a_tiff_with_huge_tiles_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack((40, 50), np.uint8), tile=(16, 16), metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["TileWidth"].overwrite(60_000)
        tif.pages[0].tags["TileLength"].overwrite(60_000)
    with pytest.raises(ReadError, match=r"its tiles are larger than its pages"):
        read(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.ome.tif", "C:\\x\\other.ome.tif"])
def test_ome_metadata_that_lead_elsewhere_are_refused(tmp_path, name):
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="5" SizeZ="2" '
        f'SizeC="1" SizeT="1"><TiffData IFD="0" FirstZ="1"><UUID FileName="{name}">urn:uuid:1'
        "</UUID></TiffData></Pixels></Image></OME>"
    )
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack((5, 6), np.uint8), description=text, metadata=None)
    with pytest.raises(ReadError, match="names parts outside of its own folder"):
        read(path)


def test_a_png_that_declares_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(stack((40, 50), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, 16, 10_000)
    struct.pack_into(">I", content, 20, 10_000)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"a\.png is damaged .*more than the file can hold"):
        read(path)


def test_black_pictures_are_no_lies(tmp_path):
    for name in ("a.png", "a.jpg", "a.bmp"):
        Image.new("RGB", (4000, 3000)).save(tmp_path / name)
        assert not read(tmp_path / name).read_slice(0).any()


def test_an_npy_that_declares_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, stack())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(4, 5, 6)", b"(4, 5, 6000000)".ljust(9), 1))
    with pytest.raises(ReadError, match="is damaged"):
        read(path)


def test_float_labels_of_other_programs_are_read_as_integers(tmp_path):
    path = write_itk(tmp_path / "a.nii.gz", stack(dtype=np.float32))
    labels = read_labels(path)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels.data, stack())
    write_itk(path, stack(dtype=np.float32) + 0.5)
    with pytest.raises(ReadError, match="holds float32 values; labels are whole numbers"):
        read_labels(path)
    write_itk(path, stack())
    with pytest.raises(ReadError, match=r"has shape \(4, 5, 6\), but the image has \(4, 5, 7\)"):
        read_labels(path, like=Volume(np.zeros((4, 5, 7))))
