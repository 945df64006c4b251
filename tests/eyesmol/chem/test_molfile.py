"""Molfiles as patents write them: what is drawn is kept, and leads back to the same molecule."""

from __future__ import annotations

from pathlib import Path

import pytest
from rdkit import Chem

from benchmarks import fidelity
from eyesmol.answer.text import read_answer, write_answer
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.molfile import (
    MolfileError,
    block_to_mol,
    graph_to_molblock,
    parse_molblock,
    read_molblock,
)
from eyesmol.chem.smiles import (
    canonical_smiles,
    graph_from_smiles,
    graph_to_smiles,
    molblock_to_smiles,
)


def molblock(atoms: list[str], bonds: list[str], tail: list[str] | None = None) -> str:
    """A V2000 block from ``symbol x y`` and ``begin end order stereo`` rows."""
    lines = ["", "  test", "", f"{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000"]
    for row in atoms:
        symbol, x, y = row.split()
        lines.append(f"{float(x):10.4f}{float(y):10.4f}{0:10.4f} {symbol:<3} 0" + "  0" * 11)
    lines += ["".join(f"{int(value):3d}" for value in row.split()) for row in bonds]
    return "\r\n".join([*lines, *(tail or []), "M  END", ""])


ANISOLE_LIKE = molblock(
    ["C 0 0", "O 1 0", "C 2 0", "N 0 1"],
    ["1 2 1 0", "2 3 1 0", "1 4 1 0"],
    ["M  STY  1   1 SUP", "M  SLB  1   1   1", "M  SAL   1  2   3   2", "M  SBL   1  1   1",
     "M  SMT   1 OMe", "M  SBV   1   1    1.0  0.0"],
)  # fmt: skip


def test_an_abbreviation_is_one_atom_at_its_attachment_point() -> None:
    graph = parse_molblock(ANISOLE_LIKE)
    assert [(a.text, a.x) for a in graph.atoms] == [("C", 0), ("[OMe]", 1), ("N", 0)]
    assert [(b.begin, b.end) for b in graph.bonds] == [(0, 1), (0, 2)]
    # And it still stands for its atoms.
    assert graph_to_smiles(graph.transformed(50, 0, 0, flip=True)) == ("COCN", [])


def test_aliases_name_atoms_and_junk_ones_do_not() -> None:
    block = molblock(
        ["C 0 0", "C 1 0", "C 2 0", "R1 3 0"],
        ["1 2 1 0", "2 3 1 0", "3 4 1 0"],
        ["A    1", "CO2Et", "A    2", "(", "A    3", "Chiral"],
    )
    assert [a.text for a in parse_molblock(block).atoms] == ["[CO2Et]", "C", "C", "[R1]"]


def test_charges_isotopes_radicals_and_wedges_survive() -> None:
    block = molblock(
        ["C 0 0", "N 1 0", "O 0 1", "C -1 0", "F 0 -1"],
        ["1 2 1 0", "1 3 1 6", "4 1 1 0", "1 5 1 4"],
        ["M  CHG  2   2   1   3  -1", "M  ISO  1   4  13", "M  RAD  1   4   2"],
    )
    graph = parse_molblock(block)
    assert [a.text for a in graph.atoms] == ["C", "[N+]", "[O-]", "[13C•]", "F"]
    assert [b.order for b in graph.bonds] == [
        BondOrder.SINGLE,
        BondOrder.DASHED_WEDGE,
        BondOrder.SINGLE,
        BondOrder.WAVY,
    ]
    picture = graph.transformed(40, 100, 100, flip=True)
    written = parse_molblock(graph_to_molblock(picture))
    assert [(a.text, a.charge) for a in written.atoms] == [(a.text, a.charge) for a in graph.atoms]
    assert written.bonds == graph.bonds


def test_a_crossed_double_bond_is_of_either_stereo() -> None:
    ends = ["C 0 0", "C 1 0.5", "C 2 0", "C 3 0.5"]
    plain = molblock(ends, ["1 2 1 0", "2 3 2 0", "3 4 1 0"])
    crossed = molblock(ends, ["1 2 1 0", "2 3 2 3", "3 4 1 0"])
    graph = parse_molblock(crossed)
    assert graph.bonds[1].order == BondOrder.CROSSED_DOUBLE
    assert parse_molblock(Chem.MolToV3KMolBlock(block_to_mol(crossed, sanitize=False))) == graph
    picture = graph.transformed(40, 100, 100, flip=True)
    assert graph_to_smiles(picture) == ("CC=CC", [])
    assert parse_molblock(graph_to_molblock(picture)).bonds == graph.bonds
    assert molblock_to_smiles(plain) == "C/C=C/C"


@pytest.mark.parametrize(
    "smiles",
    [
        "C[C@H](N)C(=O)O",
        "CC=CC",
        "C[CH2]",
        "CC(C)(C)N([O])C",
        "C/C=C/C",
        "C/C=C\\C",
        "F/C=C/[C@@H](C)O",
        "C1C[C@H]2CC[C@@H]1O2",
        "[NH3+]CC(=O)[O-]",
        "c1ccc2[nH]ccc2c1",
        "CC.Cl",
        "[1*]c1ccccc1",
    ],
)
def test_stereo_comes_through_the_picture_and_back(smiles: str) -> None:
    graph = graph_from_smiles(smiles).transformed(40, 300, 300, flip=True)
    answer = read_answer(write_answer(graph, smiles, "compact"))
    assert graph_to_smiles(answer.graph) == (canonical_smiles(smiles), [])
    assert molblock_to_smiles(graph_to_molblock(graph)) == canonical_smiles(smiles)


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "is empty"), (b"not a molfile\n", "not a molfile"), (b"\n\n\n  9  9", "not a molfile")],
)
def test_what_is_no_molfile_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "broken.mol"
    path.write_bytes(content)
    with pytest.raises(MolfileError, match=found) as caught:
        parse_molblock(read_molblock(path), source=str(path))
    assert "broken.mol" in str(caught.value)


def test_real_patent_molfiles(shared_data: Path) -> None:
    """Reading an answer back is the identity for 4,290 real files, and RDKit refuses a dozen."""
    refused = 0
    files = sorted((shared_data / "uspto_molfiles").iterdir())
    for path in files + sorted((shared_data / "clef300" / "molfiles").iterdir()):
        block = read_molblock(path)
        try:
            expected = molblock_to_smiles(block, source=path.name)
        except MolfileError:
            refused += 1
            continue
        graph = parse_molblock(block).transformed(80, 3000, 3000, flip=True).rounded()
        for form in ("json", "compact"):
            assert read_answer(write_answer(graph, expected, form)).graph == graph.walked(), path
    assert refused <= 12


def test_what_real_patent_molfiles_hold_survives(shared_data: Path) -> None:
    """The figures of the fidelity benchmark; what is left are molfiles that contradict themselves.

    2,403 of 2,447 S-groups and 4,257 of 4,290 files when this was written.
    """
    folders = [shared_data / "uspto_molfiles", shared_data / "clef300" / "molfiles"]
    groups, files, _, _ = fidelity.measured([path for f in folders for path in sorted(f.iterdir())])
    assert sum(not case.reason for case in groups) >= 0.98 * len(groups) > 2300
    assert sum(not case.reason for case in files) >= 0.992 * len(files) > 4200
    assert not [case for case in files if case.reason == "another molecule"]


def test_v3000_is_read_as_v2000_is() -> None:
    mol = block_to_mol(ANISOLE_LIKE, sanitize=False)
    block = Chem.MolToV3KMolBlock(mol)
    assert "V30 BEGIN SGROUP" in block
    assert parse_molblock(block) == parse_molblock(ANISOLE_LIKE)
    wedged = graph_from_smiles("C[C@H](N)C(=O)[O-]").transformed(1, 0, 0, flip=True)
    mol = block_to_mol(graph_to_molblock(wedged), sanitize=False)
    Chem.ReapplyMolBlockWedging(mol)
    v3000 = parse_molblock(Chem.MolToV3KMolBlock(mol, kekulize=False))
    assert v3000.bonds == wedged.bonds


def test_a_label_without_atoms_behind_it_is_no_carbon_and_no_yttrium() -> None:
    block = molblock(["C 0 0", "C 1 0", "Y 2 0"], ["1 2 1 0", "2 3 1 0"], ["A    1", "CO2Et"])
    assert molblock_to_smiles(block) == canonical_smiles("CCOC(=O)C*")


def test_an_empty_graph_has_an_empty_molblock() -> None:
    assert parse_molblock(graph_to_molblock(MolGraph())) == MolGraph()


def test_more_bonds_than_rdkit_can_count_are_a_problem_and_no_crash() -> None:
    """It counts in eight bits and raises from 128 on; a model that has lost its way gets there."""
    atoms = tuple(Atom("C", 20.0 * (i % 40), 20.0 * (i // 40)) for i in range(182))
    bonds = (*(Bond(0, i) for i in range(1, 182)), Bond(1, 2))
    smiles, problems = graph_to_smiles(MolGraph(atoms, bonds))
    assert smiles is None
    assert "more bonds than RDKit can count" in problems[0]
