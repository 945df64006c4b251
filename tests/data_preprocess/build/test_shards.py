"""Shards: the same rows as in one file, whatever the number, the workers and the kills."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import data_preprocess.build.build as builder
from data_preprocess.__main__ import main
from data_preprocess.build.build import build
from data_preprocess.build.settings import Settings
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.catalogue.source import CompoundCatalogue
from data_preprocess.dataset.folder import Parts, Shard, write_part
from data_preprocess.dataset.json_stream import read_list
from data_preprocess.dataset.reading import find_lists
from data_preprocess.sources.files import SmilesList
from data_preprocess.sources.small_molecules import small_molecules
from eyesmol.exceptions import InputError

TEXT = Settings("cot", images=False)
SMALL = list(small_molecules(4))


def rows_of(dataset: Path) -> dict[str, list[Any]]:
    return {name: list(read_list(path)) for name, path in find_lists(dataset).items()}


def by_id(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: str(row["id"]))


def catalogue(folder: Path, count: int = 300) -> CompoundCatalogue:
    """Molecules in groups that tear them apart, and each written twice."""
    with COMPOUNDS.writer(folder) as writer:
        for n in range(count):
            smiles = SMALL[n % (count // 2)]
            if n >= count // 2:
                smiles = f"{smiles} "  # another spelling
            writer.add(Compound(f"C{n}", "test", "CC0-1.0", smiles=smiles, group=f"G{n % 37}"))
    return CompoundCatalogue(folder)


@pytest.mark.parametrize("split_by", ["molecule", "group"])
def test_shards_hold_the_rows_of_one_list(
    split_by: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, settings = catalogue(tmp_path / "in"), Settings("cot", images=False, split_by=split_by)
    whole = build(source, tmp_path / "whole", settings)
    monkeypatch.setattr(builder, "_SHARDED_PART", 70)
    cut = build(source, tmp_path / "cut", settings, shards=3)
    assert whole.shards is None
    assert cut.shards == 3
    for name in ("splits", "tasks", "molecules", "reads_back", "items"):
        assert getattr(cut, name) == getattr(whole, name), name
    assert {r: d["count"] for r, d in cut.drops.items()} == {
        r: d["count"] for r, d in whole.drops.items()
    }
    assert whole.molecules["in_two_splits"] == 0
    one, three = rows_of(tmp_path / "whole"), rows_of(tmp_path / "cut")
    for split in one:
        assert by_id(three[split]) == by_id(one[split])
    files = sorted(path.name for path in (tmp_path / "cut").glob("train-*"))
    assert files == [f"train-{n:05d}-of-00003.jsonl" for n in range(3)]
    assert sorted(p.name for p in (tmp_path / "cut").glob("*.json")) == ["dataset_info.json"]
    assert min(len((tmp_path / "cut" / name).read_text().splitlines()) for name in files) > 10


def test_a_molecule_written_three_ways_is_drawn_once(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\nOCC\nC(O)C\nCCN\nC[C@H](N)O\nC[C@@H](N)O\n")
    settings = Settings("cot", size=(112, 112), valid=0, test=0)
    source = SmilesList(str(tmp_path / "a.smi"), copies=2)
    info = build(source, tmp_path / "out", settings)
    rows = rows_of(tmp_path / "out")["train"]
    assert len(rows) == 2 * 4  # copies are meant, and stereo makes another molecule
    assert info.drops["drawn already"]["count"] == 2 * 2
    images = {path.relative_to(tmp_path / "out").as_posix()
              for path in (tmp_path / "out").rglob("*.png")}  # fmt: skip
    assert images == {row["image"] for row in rows}


def test_words_of_their_own_keep_a_second_drawing(tmp_path: Path) -> None:
    with COMPOUNDS.writer(tmp_path / "in") as writer:
        for name, words in (("a", "A solvent."), ("b", "A liquid."), ("c", "A liquid.")):
            writer.add(Compound(name, "test", "CC0-1.0", smiles="CCO", description=words))
    source = CompoundCatalogue(tmp_path / "in")
    settings = Settings("instruction", images=False, valid=0, test=0)
    info = build(source, tmp_path / "out", settings)
    assert info.drops == {"drawn already": {"count": 1, "examples": ["c"]}}


def test_killed_between_shards_it_goes_on_and_ends_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = catalogue(tmp_path / "in")
    build(source, tmp_path / "whole", TEXT, shards=4)
    original, made = builder.write_shard, []

    def killed(job: Any) -> Any:
        made.append(job.shard.number)
        if len(made) == 3:
            raise KeyboardInterrupt
        return original(job)

    monkeypatch.setattr(builder, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "killed", TEXT, shards=4)
    assert not (tmp_path / "killed/dataset_info.json").exists()
    monkeypatch.undo()
    build(source, tmp_path / "killed", TEXT, shards=4, workers=2)
    names = sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "killed").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (
            tmp_path / "killed" / name
        ).read_bytes(), name


def test_other_shards_are_other_settings(tmp_path: Path) -> None:
    source = catalogue(tmp_path / "in")
    build(source, tmp_path / "out", TEXT, shards=2)
    with pytest.raises(InputError, match="other values of shards"):
        build(source, tmp_path / "out", TEXT, shards=3)
    build(source, tmp_path / "out", TEXT, overwrite=True)
    assert not list((tmp_path / "out").glob("*-of-*"))
    with pytest.raises(InputError, match="--shards 0"):
        build(source, tmp_path / "none", TEXT, shards=0)


def test_a_part_is_read_shard_by_shard(tmp_path: Path) -> None:
    parts = Parts(tmp_path, {})
    parts.begin()
    records = [{"drop": "r", "name": f"ä{n}"} for n in range(50)]
    write_part(parts.path(0), records, shards=4)
    found = [[r["name"] for r in parts.records([0], Shard(n, 4))] for n in range(4)]
    assert sorted(itertools.chain(*found)) == sorted(str(r["name"]) for r in records)
    assert all(names == sorted(names, key=lambda n: int(n[1:])) for names in found)
    assert all(found)


def test_check_preview_and_trainer_take_shards(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("\n".join(SMALL[:40]) + "\n")
    out = tmp_path / "out"
    command = ["build", "cot", "--smiles", str(tmp_path / "a.smi"), "--size", "112x112"]
    assert main([*command, "--shards", "3", "--out", str(out), "--workers", "1"]) == 0
    assert main(["check", str(out), "--workers", "1"]) == 0
    assert main(["card", str(out)]) == 0
    assert main(["preview", str(out), "--out", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 100
    pytest.importorskip("transformers")
    root = Path(__file__).resolve().parents[3]
    sys.path.insert(0, str(root / "Qwen2-VL-Finetune/src"))
    from qwen_vl_finetune.row_store import open_rows
    from qwen_vl_finetune.rows import read_pixel_frame

    pattern = out / "train-*.jsonl"
    rows = open_rows(pattern, out)
    assert Counter(rows[n]["id"] for n in range(len(rows))) == Counter(
        row["id"] for row in rows_of(out)["train"]
    )
    assert read_pixel_frame(pattern) is not None
    assert json.loads((out / "dataset_info.json").read_text())["splits"]["train"] == len(rows)
