"""Building on a Ray cluster gives what building in one process gives, and redoes nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import data_preprocess.build.rows as rows
from data_preprocess.build.build import Settings, build
from data_preprocess.build.chart_mixing import ChartFolder
from data_preprocess.catalogue.charts import CHARTS, Chart
from data_preprocess.recipes import Recipe
from data_preprocess.sources.files import SmilesList
from eyesmol.exceptions import InputError
from eyesmol.image.pixel_frame import PixelFrame


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def chart_folder(folder: Path, count: int) -> ChartFolder:
    with CHARTS.writer(folder) as writer:
        for number in range(count):
            Image.new("RGB", (60, 40), (number, 90, 90)).save(folder / f"{number}.png")
            writer.add(
                Chart(f"p{number}", "pixmo", "x", f"{number}.png", ("Red?",), (f"{number}",))
            )
    return ChartFolder(folder)


def test_two_ray_workers_go_on_where_one_process_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    source = SmilesList("small", max_atoms=3, copies=3)
    recipe = Recipe("mine", questions=2, charts=0.2, tasks={"smiles": 1, "formula": 1})
    settings = Settings(
        "instruction", size=(56, 56), frame=PixelFrame(min_pixels=784), recipe=recipe
    )
    charts = chart_folder(tmp_path / "charts", 60)
    info = build(source, tmp_path / "alone", settings, charts=charts)
    assert info.chart_rows == {"wanted": 110, "written": 60}

    original, begun = rows._records, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 150:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(rows, "_records", stopped)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "ray", settings, charts=charts)
    first = tmp_path / "ray/images/000000"
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    here = os.getpid()
    monkeypatch.setattr(rows, "_records", lambda *_: pytest.fail(f"built in process {here}"))
    build(source, tmp_path / "ray", settings, charts=charts, workers=2, engine="ray")

    assert contents(tmp_path / "ray") == contents(tmp_path / "alone")
    assert before == {path.name: path.stat().st_mtime_ns for path in first.iterdir()}


def test_without_ray_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'eyesmol\[ray\]'"):
        build(SmilesList("small", max_atoms=1), tmp_path / "out", Settings("cot"), engine="ray")
