import csv
import sys

import numpy as np
import pytest

from stacksam.core.errors import ReadError, WriteError
from stacksam.core.volume import Volume
from stacksam.io import write_labels
from stacksam.measurement import measure_file, measure_labels, write_table

ROWS = [
    {"label": 1, "name": "Leber, groß", "mean": 1.5, "surface_mm2": None},
    {"label": 2, "name": '=HYPERLINK("x")', "mean": -2.25, "surface_mm2": 3.0},
]


def test_csv_keeps_names_numbers_and_gaps(tmp_path):
    write_table(tmp_path / "ä.csv", ROWS)
    with open(tmp_path / "ä.csv", encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found[0] == {"label": "1", "name": "Leber, groß", "mean": "1.5", "surface_mm2": ""}
    assert found[1]["name"] == '\'=HYPERLINK("x")'  # no formula when a spreadsheet opens it
    assert found[1]["mean"] == "-2.25"


def test_parquet_keeps_types(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(tmp_path / "a.parquet", ROWS)
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == ROWS


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(WriteError, match=r'pip install "napari-stacksam\[tables\]" brings it, or'):
        write_table(tmp_path / "a.parquet", ROWS)
    assert list(tmp_path.iterdir()) == []


def test_other_extensions_are_refused_before_measuring(tmp_path):
    with pytest.raises(WriteError, match=r"a\.xlsx .* use \.csv or \.parquet"):
        measure_file(tmp_path / "gone.nii", tmp_path / "a.xlsx")


@pytest.fixture
def files(tmp_path):
    labels = np.zeros((3, 10, 12), np.uint8)
    labels[1:, 2:6, 3:9], labels[0, 8:, :3] = 4, 9
    image = np.random.default_rng(0).integers(-100, 100, labels.shape).astype(np.int16)
    volume = Volume(image, spacing_zyx=(3.0, 0.5, 0.5))
    write_labels(tmp_path / "labels.nii.gz", labels, like=volume)
    np.save(tmp_path / "image.npy", image)
    return labels, image


def test_a_file_is_measured_into_a_table(tmp_path, files):
    labels, image = files
    (tmp_path / "names.json").write_text('{"4": "liver"}', encoding="utf-8")
    rows, counts = measure_file(
        tmp_path / "labels.nii.gz",
        tmp_path / "table.csv",
        image=tmp_path / "image.npy",
        names=tmp_path / "names.json",
    )
    expected = measure_labels(labels, Volume(image), (3.0, 0.5, 0.5), {4: "liver"})
    assert [row["longest_3d_mm"] for row in rows] == [row["longest_3d_mm"] for row in expected]
    assert [row["name"] for row in rows] == ["liver", ""]
    assert rows[0]["volume_mm3"] == pytest.approx((labels == 4).sum() * 0.75)
    assert rows[0]["mean"] == pytest.approx(image[labels == 4].mean())
    assert counts["objects"] == 2
    with open(tmp_path / "table.csv", encoding="utf-8", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["4", "9"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1]", "has to hold names by label id"), ('{"a": 1}', "has to hold"), ("{", "has to hold")],
)
def test_names_that_are_none(tmp_path, files, content, message):
    (tmp_path / "names.json").write_text(content, encoding="utf-8")
    with pytest.raises(ReadError, match=rf"names\.json {message}"):
        measure_file(tmp_path / "labels.nii.gz", tmp_path / "a.csv", names=tmp_path / "names.json")
    with pytest.raises(ReadError, match=r"gone\.json cannot be opened"):
        measure_file(tmp_path / "labels.nii.gz", tmp_path / "a.csv", names=tmp_path / "gone.json")


def test_labels_without_objects_are_refused(tmp_path):
    write_labels(tmp_path / "a.tif", np.zeros((2, 3, 4), int))
    with pytest.raises(ReadError, match=r"a\.tif holds no object"):
        measure_file(tmp_path / "a.tif", tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
