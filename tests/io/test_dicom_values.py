import pytest

from dicom_support import write_series
from stacksam.io import read
from stacksam.io.dicom_values import suv_factor, unit_of, window_of

pydicom = pytest.importorskip("pydicom")

HALF_LIFE = 6586.2  # of fluorine-18, in seconds


@pytest.mark.parametrize(
    ("center", "width", "function", "expected"),
    [
        (40, 400, "", (-160, 239)),
        (0.5, 1.5, "LINEAR", (-0.25, 0.25)),
        (40, 400, "LINEAR_EXACT", (-160, 240)),
        (40, 400, "SIGMOID", (-160, 240)),
        (40, 1, "", None),
        (40, 0, "LINEAR_EXACT", None),
        (float("nan"), 1, "", None),
        (None, 1, "", None),
        (1, None, "", None),
    ],
)
def test_window(center, width, function, expected):
    assert window_of(center, width, function) == expected


@pytest.mark.parametrize(
    ("words", "unit"),
    [
        (("CT",), "HU"),
        (("CT", "HU"), "HU"),
        (("CT", "US"), ""),
        (("MR", "US"), ""),
        (("PT", "", "BQML"), "Bq/ml"),
        (("PT", "", "GML"), "SUVbw"),
        (("PT", "", "GML", "BSA"), "g/ml"),
        (("PT", "", "CNTS"), "counts"),
        (("PT", "", "PROPCNT"), ""),
    ],
)
def test_units(words, unit):
    assert unit_of(*words) == unit


def pet(tracer=(), **values):
    """A PET header: 350 MBq for 70 kg, injected an hour before the scan."""
    dataset = pydicom.Dataset()
    dataset.Modality = "PT"
    dataset.Units = "BQML"
    dataset.CorrectedImage = ["ATTN", "DECY", "SCAT"]
    dataset.DecayCorrection = "START"
    dataset.PatientWeight = 70
    dataset.SeriesDate, dataset.SeriesTime = "20240301", "103000.00"
    injected = pydicom.Dataset()
    injected.RadionuclideTotalDose = 350e6
    injected.RadionuclideHalfLife = HALF_LIFE
    injected.RadiopharmaceuticalStartTime = "093000.00"
    for keyword, value in dict(tracer).items():
        setattr(injected, keyword, value)
    dataset.RadiopharmaceuticalInformationSequence = [injected]
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


AFTER_AN_HOUR = 70_000 / (350e6 * 2 ** (-3600 / HALF_LIFE))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (pet(), AFTER_AN_HOUR),
        (pet(DecayCorrection="ADMIN"), 70_000 / 350e6),
        (pet(Units="GML"), 1.0),
        (pet(Units="GML", SUVType="LBM"), None),
        (pet(Units="CNTS"), None),
        (pet(CorrectedImage=["ATTN"]), None),
        (pet(CorrectedImage="DECY"), None),
        (pet(DecayCorrection="NONE"), None),
        (pet(PatientWeight=None), None),
        (pet(PatientWeight=0), None),
        (pet({"RadionuclideTotalDose": None}), None),
        (pet({"RadionuclideHalfLife": None}), None),
        (pet({"RadiopharmaceuticalStartTime": ""}), None),
        (pet({"RadiopharmaceuticalStartTime": "09"}), None),
        (pet({"RadiopharmaceuticalStartDateTime": "20240301093000.00"}), AFTER_AN_HOUR),
        (pet({"RadiopharmaceuticalStartDateTime": "20240201093000"}), None),
        (pet({"RadiopharmaceuticalStartTime": "233000"}, SeriesTime="003000"), AFTER_AN_HOUR),
        (pet(RadiopharmaceuticalInformationSequence=[]), None),
        (pet(Modality="CT"), None),
    ],
)
def test_suv_factor(dataset, expected):
    assert suv_factor(dataset) == (None if expected is None else pytest.approx(expected))


def test_a_series_processed_later_counts_from_its_first_acquisition():
    assert suv_factor(pet(SeriesTime="150000"), "103000.5") == pytest.approx(AFTER_AN_HOUR)


def test_philips_counts_have_their_own_factor():
    dataset = pet(Units="CNTS")
    block = dataset.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0.00025")
    assert suv_factor(dataset) == 0.00025


def test_a_pet_series_gets_its_factor(tmp_path):
    import numpy as np

    values = np.random.default_rng(0).integers(0, 100, (3, 5, 6)).astype(np.int16)
    folder = write_series(tmp_path / "a", values)
    header = pet()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.update(header)
        dataset.AcquisitionTime = "103000"
        dataset.save_as(path)
    volume = read(folder)
    assert volume.scan.unit == "Bq/ml"
    assert volume.scan.suv_factor == pytest.approx(AFTER_AN_HOUR)
    np.testing.assert_array_equal(volume.data, values)  # stored values stay as they are
