"""Random and spoilt answers and pictures: a few hundred of what ``benchmarks/fuzz.py`` runs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from eyesmol.answer.text import AnswerForm
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.local import LocalRecognizer
from nano.model import create_nano


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz.py"
    spec = importlib.util.spec_from_file_location("fuzz", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz"] = module
    spec.loader.exec_module(module)
    return module


def test_spoilt_answers(fuzz: ModuleType) -> None:
    _, good = fuzz.read_answers(300, 7)
    assert good > 60, "many are still molecules, and each is one molecule in SMILES and molblock"


@pytest.mark.filterwarnings("ignore")  # Pillow's, about broken files
def test_spoilt_pictures(fuzz: ModuleType) -> None:
    _, good = fuzz.read_pictures(150, 7)
    assert good > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", get_args(AnswerForm))
def test_the_reader_gives_a_row_for_each(
    fuzz: ModuleType, form: AnswerForm, tmp_path: Path
) -> None:
    frame = PixelFrame(56 * 56, 112 * 112)
    folder = create_nano(tmp_path / "nano", width=32, layers=1, frame=frame)
    reader = LocalRecognizer.from_folder(folder, form=form)
    files = list(fuzz.spoilt_files(40, 3))
    results = list(reader.recognize(files, max_new_tokens=40, any_picture=True, grammar=False))
    assert [r.image for r in results] == [f"image {n}" for n in range(40)]
    assert all(r.error or r.reason or r.smiles for r in results)
    assert {r.error is None for r in results} == {True, False}
