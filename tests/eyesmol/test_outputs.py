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
from eyesmol.outputs import Journal, OutputError, read_rows, to_dataframe, write_as
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
        assert journal.done == 3
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
        assert journal.done == 0
        journal.finish()
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1, "the header and no row"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(KeyError):
        write_as(out, [{"image": "half a row"}])
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    with pytest.raises(OutputError, match=r"found the ending '\.pdb', expected one of \.smi"):
        write_as(tmp_path / "out.pdb", [])


def test_smiles_files_hold_what_is_a_molecule(tmp_path: Path) -> None:
    found = results()
    write_as(tmp_path / "out.smi", [r.to_dict() for r in found])
    lines = (tmp_path / "out.smi").read_text().splitlines()
    assert lines == [f"{r.smiles}\t{r.image}" for r in found if r.smiles]
    assert 0 < len(lines) < len(found)


def test_a_molfile_holds_one_molecule(tmp_path: Path) -> None:
    rows = [r.to_dict() for r in results()]
    write_as(tmp_path / "one.mol", rows[:1])
    assert Chem.MolToSmiles(Chem.MolFromMolFile(str(tmp_path / "one.mol"))) == SMILES[0]
    for wrong, words in ((rows[:2], "several molecules, expected one"), (rows[-1:], "no molecule")):
        with pytest.raises(OutputError, match=words):
            write_as(tmp_path / "other.mol", wrong)


def tempting() -> list[Recognition]:
    """Names that a spreadsheet would run."""
    return [replace(results()[0], image=name) for name in ("=1+1.png", "-a", "@b", "'quoted'", "c")]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_tables_begin_no_formula_and_come_back(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"out.{ending}"
    write_as(out, [r.to_dict() for r in tempting()])
    cells = [line.split("," if ending == "csv" else "\t")[0] for line in out.open()][1:]
    assert cells == ["'=1+1.png", "'-a", "'@b", "'quoted'", "c"]
    assert [row["image"] for _, row in read_rows(out)] == [r.image for r in tempting()]


def test_a_workbook_holds_text_and_numbers(tmp_path: Path) -> None:
    pytest.importorskip("xlsxwriter")
    openpyxl = pytest.importorskip("openpyxl", reason="to read it back")
    write_as(tmp_path / "out.xlsx", [r.to_dict() for r in tempting()])
    sheet = openpyxl.load_workbook(tmp_path / "out.xlsx").active
    header, *rows = sheet.iter_rows()
    names = [cell.value for cell in header]
    assert names[:4] == ["image", "page", "box", "smiles"]
    assert [(row[0].value, row[0].data_type) for row in rows] == [
        (r.image, "s") for r in tempting()
    ]
    assert rows[0][names.index("smiles")].value == SMILES[0]
    assert rows[0][names.index("seconds")].data_type == "n"


def test_a_dataframe_has_a_row_for_each_result() -> None:
    pytest.importorskip("pandas")
    found = results()
    frame = to_dataframe(iter(found))
    assert list(frame["smiles"].fillna("")) == [r.smiles or "" for r in found]
    assert frame.loc[0, "molblock"] == found[0].molecule.molblock
    assert len(to_dataframe(found[0])) == 1


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(OutputError, match=r"out\.csv: is there already; --overwrite replaces it"):
        Journal(out, {}, ["a"])
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    with Journal(out, {}, ["0.png"], overwrite=True) as journal:
        journal.add(results()[0])
        assert journal.finish().molecules == 1
    assert SMILES[0] in out.read_text()


def test_a_journal_resumes_at_an_image_however_many_rows_it_had(tmp_path: Path) -> None:
    def part(name: str, left: int) -> Recognition:
        return Recognition(f"{name}@{left},0,9,9", page=1, box=(left, 0, 9, 9))

    images = ["a.png", "page#1", "page#2", "b.png"]
    rows = [Recognition("a.png"), part("page#1", 1), part("page#1", 2), part("page#2", 1)]
    for kept, done in ((1, 1), (2, 1), (3, 1), (4, 2)):
        with Journal(tmp_path / "out.csv", {}, images) as journal:
            for row in rows[:kept]:
                journal.add(row)
        # The last page may have held more than was read of it.
        with Journal(tmp_path / "out.csv", {}, images) as journal:
            assert journal.done == done
            assert [row["image"] for row in journal.rows()] == [
                row.image for row in rows[: {1: 1, 2: 3}[done]]
            ]
            journal._remove()
