"""Building on a Ray cluster gives what building in one process gives, and redoes nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import data_preprocess.rows as rows
from data_preprocess.build import Settings, build
from data_preprocess.sources import InputError, SmilesList
from eyesmol.frame import PixelFrame


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_two_ray_workers_go_on_where_one_process_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    source = SmilesList("small", max_atoms=3, copies=5)
    settings = Settings("cot", size=(56, 56), frame=PixelFrame(min_pixels=784))
    build(source, tmp_path / "alone", settings)

    original, begun = rows._records, 0

    def stopped(*arguments: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun == 150:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(rows, "_records", stopped)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "ray", settings)
    first = tmp_path / "ray/images/000000"
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}
    here = os.getpid()
    monkeypatch.setattr(rows, "_records", lambda *_: pytest.fail(f"built in process {here}"))
    build(source, tmp_path / "ray", settings, workers=2, engine="ray")

    assert contents(tmp_path / "ray") == contents(tmp_path / "alone")
    assert before == {path.name: path.stat().st_mtime_ns for path in first.iterdir()}


def test_without_ray_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'eyesmol\[ray\]'"):
        build(SmilesList("small", max_atoms=1), tmp_path / "out", Settings("cot"), engine="ray")
