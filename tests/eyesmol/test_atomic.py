"""Files and folders appear whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eyesmol.atomic import atomic_path, write_bytes, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "µ\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "µ\r\n".encode()
    write_bytes(tmp_path / "a.txt", b"\x00")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00"
    write_json(tmp_path / "b.json", {"name": "Ångström"})
    text = (tmp_path / "b.json").read_text("utf-8")
    assert json.loads(text) == {"name": "Ångström"}
    assert "Å" in text
    assert text.endswith("}\n")
    assert names(tmp_path) == ["a.txt", "b.json"]


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_block_that_fails_leaves_what_was_there(
    tmp_path: Path, kind: str, error: type[BaseException]
) -> None:
    path = tmp_path / "it"
    inside = path if kind == "file" else path / "part"
    inside.parent.mkdir(exist_ok=True)
    inside.write_text("old")

    def fail() -> None:
        with atomic_path(path) as draft:
            if kind == "folder":
                draft.mkdir()
                draft = draft / "part"
            draft.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert inside.read_text() == "old"
    assert names(tmp_path) == ["it"]


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [object()])
    assert (tmp_path / "a.json").read_text() == "[\n  1\n]\n"
    assert names(tmp_path) == ["a.json"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_path(path) as draft:
            (draft / "deep").mkdir(parents=True)
            (draft / "deep" / name).write_text(name)
    assert names(path / "deep") == ["second"]
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("")
    replace = Path.replace

    def full(source: Path, target: Path) -> Path:
        if source.name.endswith(".tmp"):
            raise OSError("no space left")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full)

    def make() -> None:
        with atomic_path(path) as draft:
            draft.mkdir()

    with pytest.raises(OSError, match="no space"):
        make()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["model"]


def test_two_writers_do_not_take_each_others_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_path(path) as one, atomic_path(path) as two:
        assert one != two
        assert one.parent == two.parent == tmp_path
        one.write_text("one")
        two.write_text("two")
    assert path.read_text() == "one"  # the block of the first ended last
    assert names(tmp_path) == ["a.txt"]


def test_readers_see_whole_files_while_many_write(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    texts = [letter * 100_000 for letter in "abcd"]
    write_text(path, texts[0])

    def write(text: str) -> None:
        for _ in range(20):
            write_text(path, text)

    writers = [threading.Thread(target=write, args=[text]) for text in texts]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_text() in texts
    assert names(tmp_path) == ["a.txt"]


def test_a_process_that_dies_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = (
        "import os, sys; from eyesmol.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as draft:\n"
        "    draft.write_text('half'); os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    write_text(path, "new")
    assert names(tmp_path) == ["a.txt"]  # what it left is gone


def test_a_draft_of_a_living_process_stays_and_a_stale_one_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    program = (
        "import sys; from eyesmol.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as draft:\n"
        "    draft.write_text('other'); print('ready', flush=True); input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        elsewhere = [tmp_path / f".a.txt.0000000{n}-1-00000000.tmp" for n in range(2)]
        for draft in elsewhere:
            draft.write_text("of another machine")
        os.utime(elsewhere[0], (0, 0))
        write_text(path, "ours")
        assert len(names(tmp_path)) == 3
        assert not elsewhere[0].exists()
        other.communicate("\n")
    assert other.returncode == 0
    assert path.read_text() == "other"


def test_the_content_is_on_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_sync(handle: int) -> None:
        steps.append("folder" if os.path.isdir(f"/dev/fd/{handle}") else "file")  # noqa: PTH112
        fsync(handle)

    def noted_replace(source: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_text(tmp_path / "a.txt", "a")
    assert steps[:2] == ["file", "replace"]
    assert len(steps) == 3


def test_a_block_that_writes_nothing_and_a_missing_folder_are_errors(tmp_path: Path) -> None:
    def nothing() -> None:
        with atomic_path(tmp_path / "a.txt"):
            pass

    with pytest.raises(FileNotFoundError):
        nothing()
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "no" / "a.txt", "a")
    assert names(tmp_path) == []
