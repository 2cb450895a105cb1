"""What DICOM values mean: unit, display window, standardised uptake."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

_UNITS = {"BQML": "Bq/ml", "GML": "g/ml", "CNTS": "counts"}
_PHILIPS = (0x7053, "Philips PET Private Group")


def window_of(
    center: float | None, width: float | None, function: str = ""
) -> tuple[float, float] | None:
    """Turn centre and width into (low, high) in the rescaled unit (PS3.3, C.11.2.1.2).

    Examples
    --------
    >>> window_of(40, 400), window_of(40, 400, "LINEAR_EXACT"), window_of(40, 0)
    ((-160.0, 239.0), (-160.0, 240.0), None)
    """
    if center is None or width is None or not math.isfinite(center + width):
        return None
    if function.upper() in ("LINEAR_EXACT", "SIGMOID"):
        return (center - width / 2, center + width / 2) if width > 0 else None
    low = center - 0.5 - (width - 1) / 2
    return (low, low + width - 1) if width > 1 else None


def unit_of(modality: str, rescale_type: str = "", pet_units: str = "", suv_type: str = "") -> str:
    """Return the unit of rescaled values, empty where the header does not say.

    Examples
    --------
    >>> unit_of("CT"), unit_of("CT", "US"), unit_of("PT", "", "BQML"), unit_of("PT", "", "GML")
    ('HU', '', 'Bq/ml', 'SUVbw')
    """
    if modality == "CT":
        return "HU" if rescale_type.upper() in ("", "HU") else ""
    if modality == "PT" and pet_units.upper() == "GML" and suv_type.upper() in ("", "BW"):
        return "SUVbw"
    return _UNITS.get(pet_units.upper(), "") if modality == "PT" else ""


def suv_factor(dataset: Any, earliest_acquisition: str = "") -> float | None:
    """Return what turns a PET image's rescaled values into SUV by body weight (g/ml).

    Follows the vendor-neutral calculation of the Quantitative Imaging Biomarkers Alliance: activity
    per millilitre, divided by the injected activity at the time the image is corrected to, times
    the body weight.

    Parameters
    ----------
    dataset : pydicom Dataset
        Header of one slice.
    earliest_acquisition : str
        AcquisitionTime of the first slice acquired; the series' own time may be that of a later
        processing.

    Returns
    -------
    factor : float or None
        None where the header lacks what is needed or the image is not corrected for decay and
        attenuation.
    """
    if str(dataset.get("Modality", "")) != "PT":
        return None
    units = str(dataset.get("Units", "")).upper()
    if units == "GML":
        return 1.0 if str(dataset.get("SUVType", "")).upper() in ("", "BW") else None
    if not {"ATTN", "DECY"} <= {str(word) for word in _many(dataset.get("CorrectedImage"))}:
        return None
    if units == "CNTS":
        return _positive(_private(dataset, 0x00))  # Philips' own factor
    activity = _injected_activity(dataset, earliest_acquisition) if units == "BQML" else None
    weight = _positive(dataset.get("PatientWeight"))  # kg
    return None if activity is None or weight is None else 1000 * weight / activity


def _injected_activity(dataset: Any, earliest: str) -> float | None:
    """Return the injected activity in Bq at the time decay is corrected to."""
    tracers = dataset.get("RadiopharmaceuticalInformationSequence")
    tracer = tracers[0] if tracers else None
    dose = None if tracer is None else _positive(tracer.get("RadionuclideTotalDose"))
    half_life = None if tracer is None else _positive(tracer.get("RadionuclideHalfLife"))
    if tracer is None or dose is None or half_life is None:
        return None
    kind = str(dataset.get("DecayCorrection", "")).upper()
    if kind == "ADMIN":
        return dose
    passed = _seconds_to_scan(dataset, tracer, earliest) if kind == "START" else None
    return None if passed is None else dose * 2 ** (-passed / half_life)


def _seconds_to_scan(dataset: Any, tracer: Any, earliest: str) -> float | None:
    """Return the time from injection to the start of the scan, None where it cannot be right."""
    date = str(dataset.get("SeriesDate", ""))
    scan = _moment(date, str(dataset.get("SeriesTime", "")))
    acquired = _moment(date, earliest or str(dataset.get("AcquisitionTime", "")))
    scan = min(filter(None, (scan, acquired)), default=None)
    start = _moment(str(tracer.get("RadiopharmaceuticalStartDateTime", "") or "").split(".")[0])
    start = start or _moment(date, str(tracer.get("RadiopharmaceuticalStartTime", "") or ""))
    if scan is None or start is None:
        return None
    if start > scan and start - scan < timedelta(days=1):  # injected before midnight
        start -= timedelta(days=1)
    passed = (scan - start).total_seconds()
    return passed if 0 <= passed < 86_400 else None


def _moment(date: str, time: str = "") -> datetime | None:
    """Parse DICOM date and time, YYYYMMDD and HHMMSS, fractions dropped."""
    text = (date + time.split(".")[0].replace(":", ""))[:14]
    if len(text) not in (12, 14):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S" if len(text) == 14 else "%Y%m%d%H%M")
    except ValueError:
        return None


def _private(dataset: Any, element: int) -> Any:
    group, creator = _PHILIPS
    try:
        return dataset.private_block(group, creator)[element].value
    except KeyError:
        return None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _many(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value]
    return list(value)
