"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The first example of a test may have to import torch; no test asserts on time.
settings.register_profile("eyesmol", deadline=None)
settings.load_profile("eyesmol")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real patent drawings and molfiles, which do not travel with the project."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("EYESMOL_SHARED_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real patent data here: set EYESMOL_SHARED_DATA to a folder that holds it")
    return folder
