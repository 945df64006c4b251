"""``collect pixmo``: streamed from a folder laid out like the Hub's, and from Parquet files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_preprocess.__main__ import main
from data_preprocess.catalogue.charts import CHARTS, Chart
from data_preprocess.catalogue.compounds import read_file
from data_preprocess.collect import pixmo
from eyesmol.exceptions import InputError


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pixmo, "_PART", 4)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def _png(number: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (number, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def _row(number: int, **other: Any) -> dict[str, Any]:
    questions = [
        {"question": f"How many of {number}?", "answer": str(number)},
        {"question": "Why?", "answer": "Because"},
    ]
    row = {"image": {"bytes": _png(number), "path": None}, "image_id": f"chart_{number}"}
    return {**row, "questions": questions, **other}


def _parquet(path: Path, rows: list[dict[str, Any]], *, lists: bool = False) -> Path:
    """As the Hub has it: questions as a dict of lists, or as `lists` of dicts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not lists:
        names = ("question", "answer")
        rows = [
            row | {"questions": {name: [turn[name] for turn in row["questions"]] for name in names}}
            for row in rows
        ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    return path


def _hub(folder: Path, shards: list[list[dict[str, Any]]]) -> Path:
    for number, rows in enumerate(shards):
        _parquet(folder / f"charts/train-{number:05d}-of-{len(shards):05d}.parquet", rows)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: charts\n  data_files:\n  - split: train\n"
        "    path: charts/train-*\n---\n"
    )
    return folder


def _colours(folder: Path) -> list[tuple[str, int]]:
    """(id, red of its image) of each chart."""
    found = []
    for chart in CHARTS.read(folder):
        with Image.open(io.BytesIO(read_file(folder, chart.image))) as image:
            red = image.convert("RGB").getpixel((0, 0))
        assert isinstance(red, tuple)
        found.append((chart.id, red[0]))
    return found


def test_charts_come_in_the_order_of_the_shards(tmp_path: Path) -> None:
    hub = _hub(tmp_path / "hub", [[_row(n) for n in range(5)], [_row(n) for n in range(5, 11)]])
    out = tmp_path / "out"
    command = ["collect", "pixmo", "--repository", str(hub), "--out", str(out)]
    assert main([*command, "--limit", "9"]) == 0
    assert _colours(out) == [(f"chart_{n}", n) for n in range(9)]
    assert next(CHARTS.read(out)) == Chart(
        "chart_0", "pixmo-docs charts", "ODC-BY-1.0", "images/000000/0000001.png",
        ("How many of 0?", "Why?"), ("0", "Because"),
    )  # fmt: skip
    assert read_file(out, "images/000000/0000001.png") == _png(0)  # not written again
    info = json.loads((out / "collect_info.json").read_text())
    assert (info["read"], info["rows"], info["questions"], info["drops"]) == (9, 9, 18, {})
    assert sorted(p.name for p in out.iterdir()) == ["charts.parquet", "collect_info.json",
                                                     "images"]  # fmt: skip
    assert main([*command, "--limit", "9"]) == 0  # nothing to do
    assert main(command) == 2  # another collection


def test_every_picture_that_is_left_out_is_counted(tmp_path: Path) -> None:
    torn = _png(2)[:40]
    rows = [
        _row(0, image={"bytes": _png(0, "BMP"), "path": "a.bmp"}),
        _row(1, questions=[]),
        _row(2, image={"bytes": torn, "path": None}),
        _row(3, image={"bytes": None, "path": "gone.png"}),
        _row(4, questions=[{"question": " ", "answer": "4"}, {"question": "?", "answer": "4"}]),
        _row(5, questions=[{"question": "?", "answer": ""}]),
        _row(6, image_id="chart_0"),
        _row(7, image_id="../../etc/passwd"),
        _row(8, image_id=None),
    ]
    file = _parquet(tmp_path / "a.parquet", rows, lists=True)
    out = tmp_path / "out"
    info = pixmo.collect(out, parquet=[file], progress=False)
    hidden = hashlib.sha256(b"../../etc/passwd").hexdigest()[:32]
    assert _colours(out) == [("chart_0", 0), ("chart_4", 4), (hidden, 7), ("row-9", 8)]
    assert info["questions"] == 7
    assert {reason: drop["count"] for reason, drop in info["drops"].items()} == {
        "no question with an answer": 2,
        "corrupt image": 1,
        "no image": 1,
        "question or answer empty": 1,
        "a second image of this image_id": 1,
    }
    charts = list(CHARTS.read(out))
    assert charts[1].answers == ("4",)
    # Only images of charts lie there, all of them inside, in kinds that the trainer reads.
    files = sorted(p.relative_to(out).as_posix() for p in out.glob("images/**/*.*"))
    assert files == sorted(chart.image for chart in charts)
    assert read_file(out, charts[0].image)[:4] == b"\x89PNG"


_KILLED_AT = """
import os, signal, sys
from data_preprocess.collect import pixmo
pixmo._PART = 4
kept, seen = pixmo._kept, 0
def dying(*args):
    global seen
    seen += 1
    if seen == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*args)
pixmo._kept = dying
from pathlib import Path
pixmo.collect(Path(sys.argv[2]), repository=sys.argv[1], progress=False)
"""


def test_killed_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = _hub(tmp_path / "hub", [[_row(n) for n in range(7)], [_row(n) for n in range(7, 13)]])
    out = tmp_path / "out"
    for rows in (6, 7):  # one part more each time
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED_AT, str(hub), str(out), str(rows)],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(pixmo.__file__).parents[2]),
                "USE_TORCH": "0",  # `datasets` would import it, for seconds
            },
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        assert not (out / "charts.parquet").exists()
    read: list[int] = []
    kept = pixmo._kept

    def noted(row: dict[str, Any], place: int, *args: Any) -> Any:
        read.append(place)
        return kept(row, place, *args)

    monkeypatch.setattr(pixmo, "_kept", noted)
    pixmo.collect(out, repository=str(hub), progress=False)
    assert read == [9, 10, 11, 12, 13]
    assert _colours(out) == [(f"chart_{n}", n) for n in range(13)]
    assert sorted(path.name for path in out.iterdir()) == [
        "charts.parquet",
        "collect_info.json",
        "images",
    ]


def test_faulty_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.parquet: no such file"):
        pixmo.collect(tmp_path / "out", parquet=[tmp_path / "no.parquet"])
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"image": [None], "text": ["a"]}), other)
    with pytest.raises(InputError, match="expected image_id, questions too"):
        pixmo.collect(tmp_path / "out", parquet=[other])
    other.write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match="not a whole Parquet file"):
        pixmo.collect(tmp_path / "out", parquet=[other])
