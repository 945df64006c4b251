"""What is written can be read by others, and a run that was stopped goes on."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from eyesmol.answer.text import write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_from_smiles, molblock_to_smiles
from eyesmol.outputs import Journal, OutputError, read_rows, write_as
from eyesmol.recognition import Recognition

SMILES = ["CCO", "C[C@H](N)C(=O)O", "F/C=C\\Cl", "C[N+](C)(C)C.[Cl-]", "[13CH4]", "[1*]c1ccccc1"]


def read(image: str, graph: MolGraph, written: str) -> Recognition:
    text = write_answer(graph, written, "json")
    return Recognition.from_answer(image, text, size=(90, 120), frame_size=(120, 120))


def results() -> list[Recognition]:
    drawn = [graph_from_smiles(s).transformed(20, 60, 60, flip=True) for s in SMILES]
    phenol = MolGraph((Atom("Ph", 10, 10), Atom("O", 40, 10)), (Bond(0, 1),))
    broken = MolGraph(
        (Atom("F", 1, 1), Atom("F", 30, 1), Atom("F", 60, 1)), (Bond(0, 1), Bond(1, 2))
    )
    return [
        *(read(f"{n}.png", g, s) for n, (g, s) in enumerate(zip(drawn, SMILES, strict=True))),
        read("abbreviated.png", phenol, "wrong(("),
        read("written only.png", broken, "C[C@@H](F)Cl"),
        read("neither.png", broken, "F(F)F"),
        Recognition("bad\n$$$$.png", error="bad\n\n$$$$.png: cannot be read\n"),
    ]


def test_sdf_holds_the_same_molecules_as_the_rows(tmp_path: Path) -> None:
    found = results()
    assert [r.smiles for r in found[: len(SMILES)]] == [Chem.CanonSmiles(s) for s in SMILES], (
        "every molecule comes back from its answer"
    )
    write_as(tmp_path / "out.sdf", [r.to_dict() for r in found])
    records = list(Chem.SDMolSupplier(str(tmp_path / "out.sdf")))
    assert len(records) == len(found)
    for result, mol in zip(found, records, strict=True):
        assert Chem.CanonSmiles(Chem.MolToSmiles(mol)) == (result.smiles or "")
        assert mol.HasProp("error") == (result.error is not None)
        assert mol.GetProp("image") == " ".join(result.image.split())
    assert [r.molecule.smiles_from for r in found[-4:]] == ["graph", "written", None, None]


LABELS = ["C", "N", "O", "[N+]", "[OMe]", "[R1]", "[Ph]", "[Zz]", "[13C]", "[O•]", "Cl"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=9), st.integers(0, 2**32 - 1))
def test_smiles_and_molblocks_are_one_molecule(labels: list[str], seed: int) -> None:
    """Whatever graph a model lists: V2000, V3000 and SMILES agree, and CXSMILES can be read."""
    chance = random.Random(seed)
    points = [(chance.randrange(20, 280), chance.randrange(20, 280)) for _ in labels]
    atoms = tuple(Atom.from_text(label, *p) for label, p in zip(labels, points, strict=True))
    orders = [*BondOrder, *[BondOrder.SINGLE] * 12]
    bonds = [Bond(chance.randrange(n), n, chance.choice(orders)) for n in range(1, len(atoms))]
    if len(atoms) > 3 and (bonds[-1].begin, bonds[-1].end) != (0, len(atoms) - 1):
        bonds.append(Bond(0, len(atoms) - 1))
    found = read("a", MolGraph(atoms, tuple(bonds)), "none")
    if found.smiles is None:
        return
    for block in (found.molecule.molblock, found.as_v3000().molecule.molblock):
        assert block
        assert molblock_to_smiles(block) == found.smiles
    assert Chem.MolFromSmiles(found.molecule.cxsmiles or "") is not None


def test_labels_are_kept_and_expanded() -> None:
    atoms = (Atom("MeO", 10, 50), Atom("C", 40, 50), Atom("C", 70, 50), Atom("R2", 100, 50))
    found = read("a", MolGraph(atoms, (Bond(0, 1), Bond(1, 2), Bond(2, 3))), "COCC[2*]")
    assert found.smiles == Chem.CanonSmiles("COCC[2*]")
    assert found.molecule.cxsmiles == "*CC* |$MeO;;;_R2$|"
    assert found.graph is not None
    assert found.expanded is not None
    assert (len(found.graph.atoms), len(found.expanded.atoms)) == (4, 5)
    assert "MeO" in (found.molecule.drawn_molblock or "")
    assert "MeO" not in (found.molecule.molblock or "")
    assert "V30" in (found.as_v3000().molecule.molblock or "")


def test_json_lines_and_csv_hold_the_rows(tmp_path: Path) -> None:
    found = results()
    for ending in ("jsonl", "csv"):
        write_as(tmp_path / f"out.{ending}", [r.to_dict() for r in found])
    with (tmp_path / "out.jsonl").open() as file:
        assert [Recognition.from_dict(json.loads(line)).to_dict() for line in file] == [
            r.to_dict() for r in found
        ]
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["smiles"] or None) for row in rows] == [
        (r.image, r.smiles) for r in found
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.jsonl"]


def test_parquet_holds_all_of_the_rows(tmp_path: Path) -> None:
    found = [replace(r, page=n, box=(n, 1, 2, 3)) if n % 2 else r for n, r in enumerate(results())]
    found[0] = replace(found[0], atom_confidence=(0.1, 0.2, 0.3), bond_confidence=(1.0, 0.5))
    out = tmp_path / "out.parquet"
    write_as(out, [r.to_dict() for r in found])
    assert [Recognition.from_dict(row).to_dict() for _, row in read_rows(out)] == [
        r.to_dict() for r in found
    ]
    out.write_bytes(b"PAR1, and no more")
    with pytest.raises(OutputError, match=r"out\.parquet: cannot be read"):
        list(read_rows(out))


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    found, images = results(), [r.image for r in results()]
    out = tmp_path / "out.jsonl"
    with Journal(out, {"model": "a"}, images) as journal:
        for result in found[:3]:
            journal.add(result)
    with journal.path.open("a") as file:
        file.write('{"image": "3.png", "smi')  # stopped in the middle of a line
    assert not out.exists()

    with Journal(out, {"model": "a"}, images) as journal:
        assert journal.done == images[:3]
        for result in found[3:]:
            journal.add(result)
        journal.finish()
    assert [json.loads(line)["image"] for line in out.read_text().splitlines()] == images
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize(
    ("settings", "images"),
    [({"model": "b"}, ["0.png", "1.png"]), ({"model": "a"}, ["1.png"]), ({"model": "a"}, [])],
)
def test_another_run_starts_anew(
    tmp_path: Path, settings: dict[str, str], images: list[str]
) -> None:
    with Journal(tmp_path / "out.csv", {"model": "a"}, ["0.png", "1.png"]) as journal:
        journal.add(Recognition("0.png"))
    with Journal(tmp_path / "out.csv", settings, images) as journal:
        assert journal.done == []
        journal.finish()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1, "the header and no row"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(KeyError):
        write_as(out, [{"image": "half a row"}])
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    with pytest.raises(OutputError, match=r"found the ending '\.smi', expected one of \.jsonl"):
        write_as(tmp_path / "out.smi", [])
