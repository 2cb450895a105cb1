"""A tiny SAM of ours, and transformers' with the same weights."""

from __future__ import annotations

import pytest

import sam_models


@pytest.fixture(scope="session")
def tiny_config():
    return sam_models.TINY_SAM


@pytest.fixture
def tiny_sam():
    return sam_models.tiny_sam()


@pytest.fixture(scope="session")
def reference_sam():
    return sam_models.transformers_sam()
