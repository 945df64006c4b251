"""How much of a patent molfile survives in the graph: abbreviations, and whole molecules.

    python benchmarks/fidelity.py --molfiles DIR...

Two measures, each against what the molfile itself holds:

- **S-groups**: each abbreviation is cut out of its molfile with its neighbours as numbered R
  groups. The label, expanded, has to give the canonical SMILES of the hidden atoms, attachment
  points included. All groups count, those with junk for a label too.
- **Files**: the collapsed graph, labels expanded, has to give the canonical SMILES of the molfile,
  stereo included. All files that RDKit sanitises count. In files with labels that have no atoms
  behind them (aliases and variables: X, Ar), RDKit reads carbon or argon; there the reference takes
  the label for what it says (see `eyesmol.chem.smiles.molblock_to_smiles`), and they are listed.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, rdBase
from tqdm import tqdm

from eyesmol.chem.molfile import (
    MolfileError,
    abbreviation_groups,
    block_to_mol,
    has_open_labels,
    mol_to_graph,
    read_molblock,
)
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles, molblock_to_smiles


@dataclass(frozen=True)
class Case:
    """One comparison: what the molfile holds, what the graph gave, and why they differ."""

    file: str
    label: str
    expected: str
    found: str
    reason: str  # empty where they agree


def main() -> None:
    """Measure, and print the table and the cases that differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molfiles", nargs="+", type=Path, required=True, metavar="DIR")
    paths = [path for folder in parser.parse_args().molfiles for path in sorted(folder.iterdir())]
    groups, files, open_files, refused = measured(tqdm(paths, disable=None))
    report("abbreviation S-groups that expand to the atoms of their molfile", groups)
    report("files whose collapsed graph gives the molfile's canonical SMILES", files)
    print(f"\nleft out, as RDKit cannot sanitise them: {len(refused)}\n  " + "\n  ".join(refused))
    print(f"\nfiles with labels that have no atoms behind them: {len(open_files)}")
    print("  " + "\n  ".join(open_files))


def measured(
    paths: Iterable[Path],
) -> tuple[list[Case], list[Case], list[str], list[str]]:
    """Cases of the S-groups and of the files; names of files with open labels, and of refused ones.

    S-groups of files that RDKit parses but does not sanitise count too.
    """
    groups: list[Case] = []
    files: list[Case] = []
    open_files: list[str] = []
    refused: list[str] = []
    for path in paths:
        try:
            block = read_molblock(path)
            mol = block_to_mol(block, sanitize=False, source=path.name)
            groups += sgroup_cases(mol, path.name)
            files.append(file_case(mol, block, path.name))
        except MolfileError:
            refused.append(path.name)
            continue
        if has_open_labels(mol):
            open_files.append(path.name)
    return groups, files, open_files, refused


def report(title: str, cases: list[Case]) -> None:
    """One measure: the share that agrees, then the rest by reason."""
    rest: defaultdict[str, Counter[tuple[str, str, str]]] = defaultdict(Counter)
    for case in cases:
        if case.reason:
            rest[case.reason][case.label or case.file, case.expected, case.found] += 1
    good = sum(not case.reason for case in cases)
    print(f"\n{title}: {good} of {len(cases)}, {100 * good / max(len(cases), 1):.2f} %")
    for reason, counts in sorted(rest.items(), key=lambda item: -sum(item[1].values())):
        print(f"  {sum(counts.values()):3d}  {reason}")
        for (name, expected, found), count in counts.most_common():
            print(f"       {count:3d}  {name!r}: the molfile has {expected}, the graph {found}")


def sgroup_cases(mol: Chem.Mol, file: str) -> Iterator[Case]:
    """Each abbreviation of a molecule (unsanitised), measured by itself."""
    for group in abbreviation_groups(mol):
        part, outside = _cut_out(mol, group.members)
        expected = _part_smiles(part)
        graph = mol_to_graph(part).transformed(1, 0, 0, flip=True)
        found, problems = graph_to_smiles(graph)
        reason = ""
        if found != expected or problems:
            reason = _group_reason(expected, found, outside, problems)
        yield Case(file, group.label, expected, found or "none", reason)


def _cut_out(mol: Chem.Mol, members: frozenset[int]) -> tuple[Chem.Mol, list[int]]:
    """The group's atoms, its neighbours as R1, R2 ...; and the neighbour of each crossing bond."""
    part = Chem.RWMol(mol)
    outside: list[int] = []
    for bond in mol.GetBonds():
        ends = (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
        if (ends[0] in members) != (ends[1] in members):
            outside.append(ends[ends[0] in members])
        elif ends[0] not in members:
            part.RemoveBond(*ends)
    for number, index in enumerate(dict.fromkeys(outside), start=1):
        blank = Chem.Atom(0)
        blank.SetIsotope(number)
        part.ReplaceAtom(index, blank)
    part.BeginBatchEdit()
    for index in range(mol.GetNumAtoms()):
        if index not in members and index not in outside:
            part.RemoveAtom(index)
    part.CommitBatchEdit()
    return part.GetMol(), outside


def _part_smiles(part: Chem.Mol) -> str:
    """Canonical SMILES of the hidden atoms as RDKit reads them, sanitised where it can be."""
    mol = Chem.Mol(part)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(mol)
            Chem.AssignChiralTypesFromBondDirs(mol)
            mol = Chem.RemoveHs(mol)
        except ValueError:
            pass
    smiles = str(Chem.MolToSmiles(mol))
    return canonical_smiles(smiles) or smiles


def _group_reason(expected: str, found: str | None, outside: list[int], problems: list[str]) -> str:
    if len(set(outside)) < len(outside):
        return "two of its bonds lead to one atom, and a drawing shows one bond"
    if canonical_smiles(expected) is None:
        return "RDKit refuses the hidden atoms"
    if problems or found is None:
        return "the label cannot be read"
    if _formula(found) != _formula(expected):
        return "wrong public label: the hidden atoms have another formula than the label"
    return "the hidden atoms are those of the label, bound in another way"


def _formula(smiles: str) -> str:
    """Counts of atoms, hydrogens included, of a SMILES that RDKit may refuse to sanitise."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    mol.UpdatePropertyCache(strict=False)
    counts = Counter(atom.GetSymbol() for atom in mol.GetAtoms())
    counts["H"] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    return " ".join(f"{symbol}{count}" for symbol, count in sorted(counts.items()))


def file_case(mol: Chem.Mol, block: str, file: str) -> Case:
    """The whole molecule.

    Raises:
        MolfileError: RDKit does not sanitise it.
    """
    expected = molblock_to_smiles(block, source=file)
    graph = mol_to_graph(mol).transformed(80, 3000, 3000, flip=True).rounded()
    found, _ = graph_to_smiles(graph)
    reason = ""
    if found != expected:
        bad = [case.reason for case in sgroup_cases(mol, file) if case.reason]
        flat = found and canonical_smiles(found, stereo=False)
        if bad:
            reason = bad[0]
        elif flat == canonical_smiles(expected, stereo=False):
            reason = "only the stereo differs"
        else:
            reason = "another molecule"
    return Case(file, "", expected, found or "none", reason)


if __name__ == "__main__":
    main()
