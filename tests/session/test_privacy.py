"""Names of patients and folders stay where they were."""

import logging
import os
import zipfile
import zlib

import numpy as np
import pytest

from dicom_support import write_series
from models import ThresholdPredictor
from stacksam.io import read, write_labels
from stacksam.session import Session, journals

PERSON, FOLDER = "Meier^Anna", "Doktor Huber"


@pytest.fixture
def scan(tmp_path):
    """A DICOM series of a named patient in a user's folder."""
    pixels = np.full((5, 48, 48), 100, np.int16)
    pixels[:, 10:30, 12:34] = 900
    header = {"t0010_0010": PERSON, "t0010_0020": "PID-4711", "t0020_0052": "1.2.9"}
    (tmp_path / FOLDER).mkdir()
    return read(write_series(tmp_path / FOLDER / "Meier Anna CT", pixels, **header))


def secrets_of(scan, tmp_path):
    paths = {source.path for source in scan.scan.sources}
    assert len(paths) == 5
    texts = [PERSON, "Meier", "Anna", "PID-4711", FOLDER, "Huber", str(tmp_path), *paths]
    return [text.encode() for text in texts]


def contents(folder):
    """All bytes in a folder, archives opened, names of files included."""
    for path in folder.rglob("*"):
        yield path.name.encode()
        if path.is_file():
            yield path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield name.encode() + archive.read(name)


def test_nothing_of_a_patient_is_in_a_session_folder(scan, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    secrets = secrets_of(scan, tmp_path)
    folder = tmp_path / FOLDER / "session"
    session = Session(scan, ThresholdPredictor())
    session.start_journal(folder)
    session.add_box(1, 2, (8, 10, 32, 36))
    session.propagate(1)
    session.commit(1, name="liver")
    session.new_object()
    session.undo()
    session.save(tmp_path / "copy")
    shown = [scan.scan, scan.scan.sources, session, session.objects, session.propagation_job(1)]
    shown += [session.slice_job(1, 2), journals.unfinished(folder)]
    session.stop_journal()
    assert list((tmp_path / "copy").glob("labels-*.zarr.zip"))
    for content in [*contents(tmp_path / "copy"), repr(shown).encode()]:
        assert [secret for secret in secrets if secret in content] == []
    beside = os.fsencode(scan.name)  # the image's own name may be said beside it
    for content in contents(folder):
        assert [s for s in secrets if s in content.replace(beside, b"")] == []
    assert [s for s in secrets if s in caplog.text.encode()] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.tif", "a.ome.zarr", "a.mha"])
def test_nothing_of_a_patient_is_in_exported_labels(scan, tmp_path, name):
    secrets = secrets_of(scan, tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    labels = np.zeros(scan.shape, np.uint8)
    labels[1, 2:5, 2:5] = 1
    write_labels(out / name, labels, like=scan, names={1: "liver"})
    for content in contents(out):
        if name.endswith(".gz") and content[:2] == b"\x1f\x8b":
            content = zlib.decompress(content, zlib.MAX_WBITS | 16)
        assert [s for s in secrets if s in content] == []


def test_a_dicom_seg_holds_no_paths(scan, tmp_path):
    pytest.importorskip("highdicom")
    labels = np.zeros(scan.shape, np.uint8)
    labels[1, 2:5, 2:5] = 1
    write_labels(tmp_path / "seg.dcm", labels, like=scan)
    content = (tmp_path / "seg.dcm").read_bytes()
    paths = [os.fsencode(source.path) for source in scan.scan.sources]
    assert [s for s in (*paths, FOLDER.encode(), os.fsencode(tmp_path)) if s in content] == []
