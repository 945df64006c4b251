"""``collect uspto``: a release with every fault that a row can have, zipped and unpacked."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from data_preprocess.catalogue.compounds import COMPOUNDS, read_file
from data_preprocess.collect.uspto import collect
from eyesmol.chem.molfile import graph_to_molblock, parse_molblock
from eyesmol.chem.smiles import graph_from_smiles
from eyesmol.exceptions import InputError

HEADER = ["file_path", "mol_path", "raw_SMILES", "SMILES", "node_coords", "edges"]
TABLE = "uspto_mol/train_680k.csv"
GOOD = {"US00000001-20050104-C00001": "CCO", "US00000001-20050104-C00002": "OC(=O)c1ccccc1"}


def molfile(smiles: str) -> bytes:
    return graph_to_molblock(graph_from_smiles(smiles)).encode()


def faulty() -> dict[str, tuple[bytes | None, bytes | None, str]]:
    """Name -> image, molfile, and the reason that has to be given for leaving it out."""
    ethanol, image = molfile("CCO"), b"II*\0 an image"
    over_valent = molfile("C(C)(C)(C)C").replace(b"  1  0\n  1  3", b"  2  0\n  1  3", 1)
    return {
        "no-image": (None, ethanol, "no such image"),
        "no-molfile": (image, None, "no such molfile"),
        "empty": (image, b" \r\n", "empty molfile"),
        "garbage": (image, b"not\na\nmolfile\nat all\n", "RDKit cannot parse the molfile"),
        "salt": (image, molfile("[Na+].[Cl-]"), "several molecules"),
        "five-bonds": (image, over_valent, "RDKit cannot sanitise the molecule"),
        "damaged": (image, ethanol, "damaged molfile"),
    }


def write_release(folder: Path) -> Path:
    """An unpacked release; returns the folder that holds ``uspto_mol``."""
    rows = []
    files: dict[str, tuple[bytes | None, bytes | None]] = {
        name: (b"II*\0 an image", molfile(smiles)) for name, smiles in GOOD.items()
    }
    files |= {name: (image, block) for name, (image, block, _) in faulty().items()}
    for name, (image, block) in files.items():
        base = f"uspto_mol/2005/I20050104/{name}/{name}"
        for suffix, data in ((".TIF", image), (".MOL", block)):
            if data is not None:
                path = folder / (base + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        rows.append([f"{base}.TIF", f"{base}.MOL", "C", "C", "[[0, 0]]", "[]"])
    rows.append(rows[0])  # twice the same drawing
    rows.append(["", rows[1][1], "", "", "", ""])
    rows.append(["../../secret.TIF", rows[1][1], "", "", "", ""])
    with (folder / TABLE).open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    (folder.parent / "secret.TIF").write_bytes(b"not yours")
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder).as_posix())
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        member = next(info for info in archive.infolist() if info.filename.endswith("damaged.MOL"))
    start = member.header_offset + 30 + len(member.filename)
    data[start + 100] ^= 0xFF  # the checksum no longer fits
    path.write_bytes(data)
    return path


def test_every_row_is_a_drawing_or_a_drop_with_its_reason(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "release")
    info = collect(zipped(folder, tmp_path / "any.zip"), tmp_path / "out", progress=False)
    expected = {reason: 1 for _, _, reason in faulty().values()}
    expected |= {
        "a second drawing of this id": 1,
        "row without file_path or mol_path": 1,
        "no such image": 2,  # ../../secret.TIF is just a name that the archive does not have
    }
    assert {reason: drop["count"] for reason, drop in info["drops"].items()} == expected
    rows = list(COMPOUNDS.read(tmp_path / "out"))
    assert info["rows"] == len(rows) == len(GOOD)
    assert info["read"] == info["rows"] + sum(expected.values())
    for row in rows:
        assert row.smiles == GOOD[row.id].replace("OC(=O)c1ccccc1", "O=C(O)c1ccccc1")
        assert row.group == "US00000001"
        assert row.image is not None
        assert row.molfile is not None
        assert read_file(tmp_path / "out", row.image) == b"II*\0 an image"
        assert parse_molblock(row.molfile).atoms
    # A second call has nothing to do; another table is another catalogue.
    assert collect(tmp_path / "any.zip", tmp_path / "out", progress=False) == info
    with pytest.raises(InputError, match="other values of fragments"):
        collect(tmp_path / "any.zip", tmp_path / "out", fragments=True, progress=False)


@pytest.mark.parametrize("inner", ["", "uspto_mol"])
def test_the_unpacked_release_gives_the_same(tmp_path: Path, inner: str) -> None:
    folder = write_release(tmp_path / "release")
    info = collect(folder / inner, tmp_path / "out", fragments=True, progress=False)
    assert [row.id for row in COMPOUNDS.read(tmp_path / "out")] == [*GOOD, "salt", "damaged"]
    assert "several molecules" not in info["drops"]
    assert info["drops"]["path that leaves the folder"]["count"] == 1
    for row in COMPOUNDS.read(tmp_path / "out"):
        assert row.image is not None
        assert read_file(tmp_path / "out", row.image)


def test_faults_of_the_release_itself_are_named(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "release")
    archive = zipped(folder, tmp_path / "any.zip")
    with pytest.raises(InputError, match="nothing there"):
        collect(tmp_path / "none.zip", tmp_path / "out")
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(InputError, match="not a whole zip archive"):
        collect(cut, tmp_path / "out")
    with pytest.raises(InputError, match=r"no table train_1k.csv; found .*train_680k.csv"):
        collect(archive, tmp_path / "out", table="train_1k.csv")
    other = tmp_path / "other.csv"
    other.write_text("image,smiles\na.tif,C\n")
    with pytest.raises(InputError, match=r"found the columns image, smiles; expected file_path"):
        collect(archive, tmp_path / "out", table=str(other))
    other.write_bytes(b"file_path,mol_path\na.tif,b.mol\n\xff\xfe,b.mol\n")
    with pytest.raises(InputError, match="breaks off or is no CSV in UTF-8"):
        collect(archive, tmp_path / "out", table=str(other), progress=False)


def test_killed_it_goes_on_and_ends_alike(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "release")
    with (folder / TABLE).open(newline="") as file:
        header, first, *_ = csv.reader(file)
    block = molfile("CCO")
    names = [f"US00000002-20050104-C{number:05d}" for number in range(2_500)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *([first[0], f"uspto_mol/{n}.MOL"] for n in names)])
    archive = tmp_path / "many.zip"
    with zipfile.ZipFile(archive, "w") as file_:
        file_.writestr(first[0], b"II*\0 an image")
        file_.writestr(TABLE, text.getvalue())
        for name in names:
            file_.writestr(f"uspto_mol/{name}.MOL", block)
    command = [sys.executable, "-m", "data_preprocess", "collect", "uspto", "--workers", "1"]
    command += ["--zip", str(archive), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not list((tmp_path / "out").glob("parts-*/000000.jsonl")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / COMPOUNDS.name).exists()
    subprocess.run(command, check=True, capture_output=True)
    collect(archive, tmp_path / "whole", workers=2, progress=False)
    found = (tmp_path / "out" / COMPOUNDS.name).read_bytes()
    assert found == (tmp_path / "whole" / COMPOUNDS.name).read_bytes()
    assert [row.id for row in COMPOUNDS.read(tmp_path / "out")] == names
    assert not list((tmp_path / "out").glob("parts-*"))
