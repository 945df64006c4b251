"""From a drawn graph to chemistry: abbreviations expanded, canonical SMILES, and back to a graph.

SMILES and molblock of a graph always describe the same molecule: the one is made from the other. A
SMILES knows no repeat unit, no relative stereo, no axis and no hydrogen bond; CXSMILES does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from eyesmol.chem.abbreviations import is_label
from eyesmol.chem.brackets import multiplied, not_multiplied, sgroups
from eyesmol.chem.expansion import expand_abbreviations
from eyesmol.chem.graph import Atom, BondOrder, MolGraph
from eyesmol.chem.molfile import (
    MolfileError,
    block_to_mol,
    check_held_by_smiles,
    graph_to_molblock,
    has_open_labels,
    mol_to_graph,
    with_quoted_marks,
)

__all__ = [
    "canonical_smiles",
    "cxsmiles",
    "expand_abbreviations",
    "graph_from_smiles",
    "graph_to_cxsmiles",
    "graph_to_smiles",
    "molblock_to_smiles",
]


def canonical_smiles(smiles: str, *, stereo: bool = True) -> str | None:
    """RDKit's canonical SMILES, or None where the text is no SMILES of a sane molecule.

    Without `stereo`, only tetrahedral and double-bond stereo goes; isotopes and R groups stay.
    """
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles) if smiles else None
    if mol is None:
        return None
    if not stereo:
        # Not isomericSmiles=False, which also drops isotopes and the numbers of R groups.
        Chem.RemoveStereochemistry(mol)
    return str(Chem.MolToSmiles(mol))


def molblock_to_smiles(
    block: str,
    *,
    source: str = "molblock",
    mol: Chem.Mol | None = None,
    repeat_once: bool = False,
) -> str:
    """Canonical SMILES of a molfile as RDKit reads it, the hidden atoms of abbreviations included.

    Labels with no atoms behind them are the exception. RDKit reads an alias (``X`` on a carbon) as
    carbon and the variable ``Y`` as yttrium; here they are what the file says: expanded where the
    label can be read, else ``*``. Multiple groups are written out.

    Args:
        block: the molfile.
        source: its name, for messages.
        mol: the same, parsed without sanitising, where it is at hand: parsing takes the time.
        repeat_once: a repeat unit (SRU) is in the SMILES once, as `graph_to_smiles` has it; else
            it is refused.

    Raises:
        MolfileError: RDKit cannot parse or sanitise it.
        UnheldError: it says what no SMILES does (query bonds, repeat units).
    """
    mol = mol or block_to_mol(block, sanitize=False, source=source)
    check_held_by_smiles(mol, repeat_once=repeat_once)
    # RDKit would read stereo from copies that lie on top of one another.
    is_multiple = any(group.kind == "MUL" for group in sgroups(mol))
    if not is_multiple and not has_open_labels(mol):
        return _smiles(block_to_mol(block, sanitize=True, source=source))
    graph = mol_to_graph(mol, collapse=False).transformed(1, 0, 0, flip=True)
    smiles, problems = graph_to_smiles(graph)
    if smiles is None:
        raise MolfileError(f"{source}: {problems[-1]}")
    return smiles


def _smiles(mol: Chem.Mol) -> str:
    return _once_round(Chem.MolToSmiles(mol))


@lru_cache(maxsize=256)  # a drawing and what is read back from it say the same, one after the other
def _once_round(smiles: str) -> str:
    """RDKit drops stereo marks that only the parsed SMILES shows to be none."""
    return canonical_smiles(smiles) or smiles


def graph_to_smiles(graph: MolGraph) -> tuple[str | None, list[str]]:
    """Canonical SMILES of a graph in picture coordinates, and what stands in its way.

    R groups read as ``[1*]``, labels that do not expand as ``*``; both are still a SMILES, the
    second with a problem. Multiple groups are written out, repeat units are in it once. A graph
    that RDKit refuses (a carbon with five bonds) has no SMILES, and the reason is the problem.
    """
    expanded, problems = expand_abbreviations(graph)
    problems += not_multiplied(expanded)
    try:
        mol = block_to_mol(_plain_molblock(multiplied(expanded)), sanitize=True, source="graph")
    except ValueError as error:
        return None, [*problems, str(error)]
    smiles = _smiles(mol)
    if "~" in smiles and canonical_smiles(smiles) is None:
        problem = "RDKit cannot read back the SMILES that it writes of the bond of any order"
        return None, [*problems, problem]
    return smiles, problems


def _plain_molblock(graph: MolGraph) -> str:
    return graph_to_molblock(replace(graph, brackets=(), stereo_groups=()))


def graph_to_cxsmiles(graph: MolGraph) -> str | None:
    """CXSMILES of a graph in picture coordinates, its labels as they are drawn; None where RDKit
    refuses it.

    Multiple groups are written out. A hollow wedge and a bold bond are what they mean: a wedge, and
    a single bond.
    """
    whole, labels = _numbered(multiplied(graph))
    bonds = [(b.begin, b.end) for b in whole.bonds if b.order == BondOrder.HYDROGEN]
    try:
        block = graph_to_molblock(whole)
        if bonds:
            return _with_hydrogen_bonds(block, bonds, labels)
        return cxsmiles(block_to_mol(block, sanitize=True), labels)
    except ValueError:
        return None


def _numbered(graph: MolGraph) -> tuple[MolGraph, dict[int, str]]:
    """The graph with an R group of its own number for each label, and what those say.

    RDKit takes two dummies for the same atom, whatever their labels say, and would drop the stereo
    that lies between them; R groups of two numbers it tells apart.
    """
    degree = [len(row) for row in graph.neighbours()]
    texts = [
        atom.text.removeprefix("[").removesuffix("]")
        if is_label(atom, bonds) and not re.fullmatch(r"\*|R\d{1,3}", atom.label)
        else None
        for atom, bonds in zip(graph.atoms, degree, strict=True)
    ]
    taken = {atom.label for atom in graph.atoms}
    free = (number for number in range(998, 0, -1) if f"R{number}" not in taken)
    number = dict(zip(sorted({text for text in texts if text}), free, strict=False))
    atoms = tuple(
        replace(atom, label=f"R{number[text]}", isotope=0, radical=0) if text in number else atom
        for atom, text in zip(graph.atoms, texts, strict=True)
    )
    return replace(graph, atoms=atoms), {n: text for text, n in number.items()}


_CX_FIELDS = (
    Chem.CXSmilesFields.CX_ATOM_LABELS
    | Chem.CXSmilesFields.CX_POLYMER
    | Chem.CXSmilesFields.CX_ENHANCEDSTEREO
    | Chem.CXSmilesFields.CX_BOND_ATROPISOMER
    | Chem.CXSmilesFields.CX_COORDINATE_BONDS
    | Chem.CXSmilesFields.CX_ZERO_BONDS
)
# Names that RDKit gives to dummies itself, from their isotope or their R number.
_NO_LABEL = re.compile(r"R#|\*|")


def cxsmiles(mol: Chem.Mol, labels: Mapping[int, str] = MappingProxyType({})) -> str:
    """Canonical CXSMILES of a sanitised molecule: what a SMILES cannot say stands behind it.

    That is the labels of dummy atoms (``_R1``, ``_AP1``, what is written there), repeat units,
    relative stereo, axes and dative bonds.

    Args:
        mol: as `block_to_mol` or RDKit gives it.
        labels: what stands for dummies, by their isotopes; others have their own labels.
    """
    mol = Chem.RWMol(mol)
    for atom in mol.GetAtoms():
        named = not atom.GetAtomicNum() and labels.get(atom.GetIsotope())
        if label := named or _cx_label(atom):
            atom.SetProp("atomLabel", label)
    _tell_labels_apart(mol)
    with rdBase.BlockLogs():
        text = str(Chem.MolToCXSmiles(mol, Chem.SmilesWriteParams(), _CX_FIELDS))
    smiles, extension, rest = text.partition(" |")  # behind it a mark may say the same
    smiles = re.sub(rf"\[{_FIRST_ISOTOPE // 1000}\d{{3}}\*", "[*", smiles).replace("[*]", "*")
    text = smiles + extension + rest
    # RDKit leaves the atoms of brackets and the brackets themselves in the order of its input.
    sorted_brackets = iter(sorted(map(_with_sorted_atoms, _CX_BRACKET.finditer(text))))
    return _CX_BRACKET.sub(lambda _: next(sorted_brackets), text)


def _cx_label(atom: Chem.Atom) -> str:
    """What CXSMILES says of a dummy: ``_R1``, or what is written there; empty for other atoms."""
    if atom.GetAtomicNum():
        return ""
    names = (atom.GetProp(n) for n in ("molFileAlias", "dummyLabel") if atom.HasProp(n))
    label = next((name for name in names if not _NO_LABEL.fullmatch(name)), "")
    r_group = re.fullmatch(r"R(\d+)", label or f"R{atom.GetIsotope() or ''}")
    return f"_R{r_group[1]}" if r_group else label


_FIRST_ISOTOPE = 7000


def _tell_labels_apart(mol: Chem.RWMol) -> None:
    """An isotope for each label: RDKit takes dummies for the same atom whatever their labels say,
    which costs the stereo between two of them, and makes their order that of the input."""
    dummies = [a for a in mol.GetAtoms() if not a.GetAtomicNum() and a.HasProp("atomLabel")]
    labels = sorted({atom.GetProp("atomLabel") for atom in dummies})
    for atom in dummies:
        atom.SetIsotope(_FIRST_ISOTOPE + labels.index(atom.GetProp("atomLabel")))


_CX_BRACKET = re.compile(r"(?<=[|,])Sg:(n|gen):([\d,]+):([^:|]*:[^:|,]*:*)")


def _with_sorted_atoms(match: re.Match[str]) -> str:
    atoms = sorted(map(int, match[2].split(",")))
    return f"Sg:{match[1]}:{','.join(map(str, atoms))}:{match[3]}"


def _with_hydrogen_bonds(
    block: str, bonds: list[tuple[int, int]], labels: Mapping[int, str]
) -> str:
    """CXSMILES with ``H:atom.bond`` for each hydrogen bond, which RDKit reads but does not write.

    It is between the heavy atoms where the hydrogen is none of the SMILES.
    """
    mol = Chem.RWMol(block_to_mol(block, sanitize=True, keep_hydrogens=True))
    partner = {}
    for atom in mol.GetAtoms():
        atom.SetIntProp("place", atom.GetIdx())
        heavy = [other.GetIdx() for other in atom.GetNeighbors()]
        partner[atom.GetIdx()] = heavy[0] if atom.GetAtomicNum() == 1 and heavy else atom.GetIdx()
    mol = Chem.RWMol(Chem.RemoveHs(mol))
    there = {atom.GetIntProp("place"): atom.GetIdx() for atom in mol.GetAtoms()}
    for ends in bonds:
        begin, end = (there.get(n, there.get(partner[n], -1)) for n in ends)
        if min(begin, end) >= 0 and begin != end and not mol.GetBondBetweenAtoms(begin, end):
            mol.AddBond(begin, end, Chem.BondType.ZERO)
    text = cxsmiles(mol, labels)
    with rdBase.BlockLogs():
        read = Chem.MolFromSmiles(text, sanitize=False)
    loose = (bond for bond in read.GetBonds() if bond.GetBondType() == Chem.BondType.ZERO)
    named = ",".join(f"{bond.GetBeginAtomIdx()}.{bond.GetIdx()}" for bond in loose)
    return re.sub(r"Z:[\d,]*\d", f"H:{named}", text)


def graph_from_smiles(smiles: str) -> MolGraph:
    """A graph with RDKit's layout: places in angstrom with y up, wedges where stereo is known.

    Args:
        smiles: SMILES or CXSMILES.

    Raises:
        ValueError: RDKit cannot read the SMILES.
        UnheldError: it says what no graph holds.
    """
    mol = _labelled_mol(smiles) if "|" in smiles else _mol(smiles)
    if mol is None:
        raise ValueError(f"{smiles!r} is not a SMILES that RDKit can read")
    rdDepictor.Compute2DCoords(mol)
    # The molblock writer kekulises and draws the wedges.
    block = with_quoted_marks(Chem.MolToMolBlock(mol))
    graph = mol_to_graph(block_to_mol(block, sanitize=False, source=smiles))
    return _labelled(graph, mol)


def _mol(smiles: str) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def _labelled_mol(smiles: str) -> Chem.Mol | None:
    """The molecule of a CXSMILES, with the stereo that only its labels make."""
    with rdBase.BlockLogs():
        raw = Chem.MolFromSmiles(smiles, sanitize=False)
        if raw is None or not any(atom.HasProp("atomLabel") for atom in raw.GetAtoms()):
            return Chem.MolFromSmiles(smiles)
        mol = Chem.RWMol(raw)
        _tell_labels_apart(mol)
        try:
            Chem.SanitizeMol(mol)
        except ValueError:
            return None
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
        for atom in mol.GetAtoms():
            if atom.HasProp("atomLabel"):
                atom.SetIsotope(0)
        return Chem.RemoveHs(mol)


def _labelled(graph: MolGraph, mol: Chem.Mol) -> MolGraph:
    """The graph of a CXSMILES with what RDKit writes into no molblock: labels, hydrogen bonds."""
    atoms, open_ends = list(graph.atoms), set()
    for index, atom in enumerate(mol.GetAtoms()):
        if atom.HasProp("atomLabel"):
            label, here = atom.GetProp("atomLabel"), graph.atoms[index]
            if re.fullmatch(r"_AP\d*", label):
                open_ends.add(index)
            atoms[index] = Atom.from_text(
                "*" if index in open_ends else label.removeprefix("_"), here.x, here.y
            )
    loose = {
        frozenset((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))
        for bond in mol.GetBonds()
        if bond.GetBondType() == Chem.BondType.HYDROGEN
    }
    if not (open_ends or loose):
        return replace(graph, atoms=tuple(atoms))
    bonds = tuple(
        replace(bond, order=BondOrder.HYDROGEN)
        if frozenset((bond.begin, bond.end)) in loose
        else replace(bond, order=BondOrder.ATTACHMENT)
        if open_ends & {bond.begin, bond.end}
        else bond
        for bond in graph.bonds
    )
    return replace(graph, atoms=tuple(atoms), bonds=bonds)
