"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _shared_data_folder() -> Path:
    named = os.environ.get("STACKSAM_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images with ground truth, beside the checkout; skips where it is missing."""
    folder = _shared_data_folder()
    if not (folder / "SPLIT.json").is_file():
        pytest.skip("needs the shared data: set STACKSAM_SHARED_DATA or put it beside the checkout")
    return folder
