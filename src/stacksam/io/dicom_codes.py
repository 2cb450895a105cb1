"""DICOM's codes for what a segment is, found by its name."""

from __future__ import annotations

import re
from typing import Any

_SIDES = {"left", "right", "l", "r"}
_SAME = {
    "bladder": "Bladder",
    "gtv": "Neoplasm",
    "tumor": "Neoplasm",
    "tumors": "Neoplasm",
    "tumour": "Neoplasm",
    "tumours": "Neoplasm",
    "neoplasm": "Neoplasm",
    "metastasis": "NeoplasmSecondary",
    "lesion": "Lesion",
    "nodule": "Nodule",
    "mass": "Mass",
    "muscle": "MuscleTissue",
    "fat": "AdiposeTissue",
    "bone": "BoneTissue",
    "vessel": "BloodVessel",
}


def codes_of(name: str) -> tuple[Any, Any]:
    """Return segmented property category and type of a name (PS3.16, CID 7150 and 7191 to 7194).

    Parameters
    ----------
    name : str
        In English, such as "liver" or "left kidney"; what is not known becomes "Tissue".

    Returns
    -------
    category, kind : pydicom Code

    Examples
    --------
    >>> [code.meaning for code in codes_of("left kidney")]
    ['Anatomical Structure', 'Kidney']
    >>> codes_of("object 3")[1].meaning
    'Tissue'
    """
    from pydicom.sr.codedict import codes

    categories = codes.cid7150
    homes = (
        (codes.cid7192, categories.AnatomicalStructure),
        (codes.cid7194, categories.MorphologicallyAbnormalStructure),
        (codes.cid7191, categories.Tissue),
    )
    for keyword in _keywords(name):
        for home, category in homes:
            if keyword in home.dir():
                return category, getattr(home, keyword)
    return categories.Tissue, codes.cid7191.Tissue


def _keywords(name: str) -> list[str]:
    """Return spellings to look for: the whole name without its side, then known single words."""
    words = re.findall(r"[a-z]+", name.lower())
    plain = [word for word in words if word not in _SIDES]
    whole = "".join(word.capitalize() for word in plain)
    candidates = [whole, whole.removesuffix("s")] if whole else []
    return candidates + [_SAME[word] for word in plain if word in _SAME]
