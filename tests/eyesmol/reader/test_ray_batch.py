"""Many models on Ray read what one reader reads, go on after a stop, and redo nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

import eyesmol.reader.ray_batch as batch
from eyesmol.cli.main import main
from eyesmol.image.loading import PictureError, list_pictures
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.outputs import read_rows
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.ray_batch import Plan, read_on_ray
from eyesmol.reader.ray_cluster import ClusterError
from nano.model import create_nano


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    frame = PixelFrame(56 * 56, 168 * 168)
    folder = create_nano(tmp_path_factory.mktemp("nano"), seed=1, width=32, layers=2, frame=frame)
    info = {"pixel_frame": frame.to_dict(), "answer_form": "compact"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return str(folder)


def draw(path: Path, size: int) -> None:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).line([5, 9, size - 9, size - 5], fill="black", width=3)
    path.parent.mkdir(exist_ok=True)
    image.save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(10):
        draw(folder / f"{number % 2}" / f"{number:02}.png", 60 + 4 * number)
    (folder / "broken.png").write_bytes(b"\x89PNG, and no more")
    Image.new("RGB", (90, 90), "white").save(folder / "blank.png")
    return folder


def rows(path: Path, about: bool = False) -> list[dict[str, Any]]:
    """The rows, but for the time they took; with confidences as they come from other threads."""
    found = [{**row, "seconds": None, "memory_mib": None} for _, row in read_rows(path)]
    for row in found if about else ():
        for part in [row, *(row["atoms"] or ()), *(row["bonds"] or ())]:
            for name in {"confidence", "raw_confidence"} & part.keys():
                part[name] = part[name] and pytest.approx(part[name], rel=1e-2)
    return found


def test_two_ray_workers_write_what_one_reader_writes(
    model: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(batch, "_PART_SIZE", 2)
    monkeypatch.chdir(tmp_path)  # names are as they were given, wherever a worker runs
    options = ["--model", model, "--max-new-tokens", "100", "--batch-size", "1"]
    options += ["--min-confidence", "0"]
    assert main(["recognize", "pictures", *options, "--out", "alone.jsonl"]) == 1
    capsys.readouterr()
    on_ray = ["recognize", "pictures", *options, "--out", "ray.jsonl", "--engine", "ray",
              "--workers", "2"]  # fmt: skip

    # Stopped on the way: the parts that are there are not read again.
    def stop(cores: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(batch, "cluster", stop)
        assert main(on_ray) == 130
    parts, joined = tmp_path / "ray.jsonl.parts", batch.write_as
    plan = Plan(model, device="cpu", options=ReadOptions(max_new_tokens=100, batch_size=1))
    worker = batch._Worker(plan, str(tmp_path), 1, batch.__version__)
    for part in list(batch._parts(list_pictures("pictures"), parts, 2))[1:3]:
        assert worker.read(part.names, part.path) == 2
    before = {path.name: path.stat().st_mtime_ns for path in parts.glob("0*.jsonl")}
    after: dict[str, int] = {}

    def join(path: Path, found: Iterator[dict[str, Any]]) -> None:
        after.update({path.name: path.stat().st_mtime_ns for path in parts.glob("0*.jsonl")})
        joined(path, found)

    monkeypatch.setattr(batch, "write_as", join)
    assert main(on_ray) == 1  # one is broken
    said = capsys.readouterr().err
    assert "12 images, " in said
    assert "-> ray.jsonl, 1 could not be read" in said
    assert before.items() < after.items()
    assert len(after) == 6
    assert rows(Path("alone.jsonl")) == rows(Path("ray.jsonl"), about=True)
    assert len({row["answer"] for _, row in read_rows(Path("ray.jsonl"))}) > 2
    assert not parts.exists()


def test_parts_of_another_run_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No Ray here: all parts are there, or none is."""
    folder, out = tmp_path / "out.jsonl.parts", tmp_path / "out.jsonl"
    blank = {"image": "a", "error": None, "reason": "no molecule"}

    def made(names: list[str], settings: dict[str, Any]) -> list[Path]:
        batch._prepare(folder, settings)
        parts = list(batch._parts(names, folder, 2))
        for part in parts:
            lines = (json.dumps({**blank, "image": name}) + "\n" for name in part.names)
            part.path.write_text("".join(lines))
        return [part.path for part in parts]

    class NoCluster(Exception):
        pass

    def refuse(cores: int) -> None:
        raise NoCluster

    monkeypatch.setattr(batch, "cluster", refuse)
    names = ["a", "b", "c"]
    made(names, {"form": "json"})
    counts = read_on_ray(names, out, Plan("me/m"), {"form": "json"}, part_size=2)
    assert (counts.rows, counts.failed, counts.without) == (3, 0, 3)
    assert [row["image"] for _, row in read_rows(out)] == names
    for others, form in ((["a", "x", "c"], "json"), (names, "compact")):
        made(names, {"form": "json"})
        with pytest.raises(NoCluster):
            read_on_ray(others, out, Plan("me/m"), {"form": form}, part_size=2)
    (folder / "mine.txt").write_text("of the user")
    made(names, {"form": "json"})
    read_on_ray(names, out, Plan("me/m"), {"form": "json"}, part_size=2)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_pictures_are_taken_as_they_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0

    def names() -> Iterator[str]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield str(number)

    parts = batch._parts(names(), tmp_path, 5)
    assert [next(parts).names[0] for _ in range(3)] == ["0", "5", "10"]
    assert taken <= 16


def test_mistakes_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "a.png", 60)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'eyesmol\[ray\]'"):
        read_on_ray(["a.png"], tmp_path / "out.jsonl", Plan("me/m"), {})
    for wrong, complaint in (
        (["--engine", "ray"], "--out"),
        (["--workers", "2"], "go with --engine ray"),
        (["--engine", "ray", "--out", str(tmp_path / "x.txt")], "found the ending '.txt'"),
        (["--engine", "ray", "--out", str(tmp_path / "x.sdf")], "m: no such folder"),
    ):
        assert main(["recognize", str(tmp_path / "a.png"), "--model", "m", *wrong]) == 2
        assert complaint in capsys.readouterr().err


def test_folders_are_listed_in_the_order_of_paths(tmp_path: Path) -> None:
    names = "b.png a/z.jpg a.png a/b/c.tif a-1/x.png é/1.gif Z.PDF n.txt"
    for name in names.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    expected = sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".txt")
    assert list(list_pictures(tmp_path)) == [str(path) for path in expected]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PictureError, match="no image in this folder"):
        list(list_pictures(tmp_path / "empty"))
