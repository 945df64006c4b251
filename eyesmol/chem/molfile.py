"""Molfiles to MolGraph and back.

RDKit parses; this file turns what it parsed back into what is drawn: an abbreviation S-group
becomes one atom, an alias becomes the label, a wedge keeps its narrow end first, a multiple group
is drawn once in its brackets. What a graph cannot hold (query bonds, haptic bonds, copolymers) is
refused with its reason, never drawn as something else. Patent molfiles (ChemDraw, V2000) taught the
details; the counts are in the comments of each rule.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, rdBase

from eyesmol.chem.abbreviations import AMBIGUOUS_SYMBOLS, is_label
from eyesmol.chem.brackets import SGroup, drawn_once, sgroups, stacked, unheld_brackets
from eyesmol.chem.condensed_parts import without_markup
from eyesmol.chem.graph import (
    Atom,
    Bond,
    BondOrder,
    Bracket,
    MolGraph,
    StereoGroup,
    StereoKind,
)

__all__ = [
    "AbbreviationGroup",
    "MolfileError",
    "UnheldError",
    "abbreviation_groups",
    "as_v3000",
    "graph_to_molblock",
    "has_open_labels",
    "mol_to_graph",
    "parse_molblock",
    "read_molblock",
    "with_quoted_marks",
]


class MolfileError(ValueError):
    """A molfile that cannot be read; the message names the file and says what to do."""


class UnheldError(MolfileError):
    """A molfile that says more than a graph holds.

    Attributes:
        reason: what it is, in words that are the same for each such file.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the molecule has {reason}, which a drawn graph does not hold; leave it out"
        )
        self.reason = f"the molecule has {reason}"


def read_molblock(path: Path | str) -> str:
    """The text of a molfile: UTF-8, or cp1252 where it is not (a few patent files).

    Raises:
        MolfileError: the file is empty.
        OSError: the file cannot be opened.
    """
    return decode_molblock(Path(path).read_bytes(), source=str(path))


def decode_molblock(data: bytes, *, source: str = "molblock") -> str:
    """The text of a molfile's bytes: UTF-8, UTF-16 with its mark, or cp1252; gzip is unpacked.

    Raises:
        MolfileError: nothing but blanks, or a broken gzip file.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise MolfileError(f"{source}: the gzip file is broken ({error})") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        data = data.decode("utf-16", errors="replace").encode()
    if not data.strip():
        raise MolfileError(f"{source}: the molfile is empty; expected a V2000 or V3000 molblock")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


# S-group display lines carry nothing that we use, and broken ones make the whole file unreadable.
_UNUSED_LINE = re.compile(r"M  (SBV|SAP|SCL|SDS) ")


def block_to_mol(
    block: str, *, sanitize: bool, source: str = "molblock", keep_hydrogens: bool = False
) -> Chem.Mol:
    """Parse a molblock with RDKit.

    With `sanitize`, explicit hydrogens are removed and stereo is perceived: the molecule that the
    canonical SMILES is made of, without its hydrogen bonds. Without, every drawn atom stays in file
    order, the open ends of attachment points behind them. `keep_hydrogens` is for the first kind.

    Raises:
        MolfileError: RDKit cannot parse (or sanitise) it; its own words are in the message.
    """
    text = "\n".join([*(line for line in _lines(block) if not _UNUSED_LINE.match(line)), ""])
    with rdBase.BlockLogs():
        problem = ""
        if sanitize:
            # Parsed anew: RDKit perceives stereo from wedges only while it reads the file.
            try:
                bonded = _without_hydrogen_bonds(text)
                mol = Chem.MolFromMolBlock(bonded, removeHs=not keep_hydrogens, strictParsing=False)
                if mol is not None:
                    return _completed(mol, bonded)
            except (Chem.MolSanitizeException, RuntimeError) as error:
                problem = f"RDKit refuses it: {_first_line(error)}"
        try:
            mol = Chem.MolFromMolBlock(text, sanitize=False, removeHs=False, strictParsing=False)
        except RuntimeError as error:
            raise MolfileError(f"{source}: not a molfile: {_first_line(error)}") from None
        if mol is None:
            raise MolfileError(
                f"{source}: not a molfile that RDKit can parse; expected a V2000 or V3000 molblock "
                "(header of three lines, counts line, atoms, bonds, M  END)"
            )
        mol = _completed(mol, text)
        if sanitize:
            if not problem and (repaired := _with_ring_hydrogen(mol)) is not None:
                return repaired
            problem = problem or f"{_chemistry_problem(mol)}; correct the valence or leave it out"
            raise MolfileError(f"{source}: {problem}")
    return _with_open_ends(mol)


_HYDROGEN_BOND, _ANY_BOND = 10, 8  # their types in a molfile


def _without_hydrogen_bonds(text: str) -> str:
    """The molfile without them: RDKit reads V2000's as any bond, which closes rings.

    What counts bonds (the crossing bonds of S-groups) goes too; RDKit counts them anew.
    """
    lines = text.split("\n")
    if len(lines) < 5:
        return text
    if "V3000" in lines[3]:
        bond = re.compile(r"^M  V30 +\d+ +10 +\d+ +\d+.*\n", re.MULTILINE)
        kept, found = bond.subn("", text)
        if not found:
            return text
        kept = re.sub(r" [XC]BONDS=\([^)]*\)", "", kept)
        return re.sub(
            r"^(M  V30 COUNTS +\d+ +)(\d+)",
            lambda counts: f"{counts[1]}{int(counts[2]) - found}",
            kept,
            count=1,
            flags=re.MULTILINE,
        )
    try:
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
    except ValueError:
        return text
    first = 4 + atoms
    rows = lines[first : first + bonds]
    kept_rows = [row for row in rows if row[6:9].strip() != str(_HYDROGEN_BOND)]
    if len(kept_rows) == len(rows):
        return text
    lines[3] = f"{lines[3][:3]}{len(kept_rows):3d}{lines[3][6:]}"
    rest = [line for line in lines[first + bonds :] if not line.startswith("M  SBL")]
    return "\n".join([*lines[:first], *kept_rows, *rest])


def _with_open_ends(mol: Chem.Mol) -> Chem.Mol:
    """The open end of each attachment point (``M  APO``) as a dummy atom, as it is drawn."""
    if not any(atom.HasProp("molAttchpt") for atom in _atoms(mol)):
        return mol
    edited = Chem.RWMol(mol)
    Chem.ExpandAttachmentPoints(edited, addAsQueries=False)
    return edited.GetMol()


def _completed(mol: Chem.Mol, text: str) -> Chem.Mol:
    """What the file says and RDKit leaves out: letters of variables, metals without hydrogens."""
    symbols: list[str] | None = None
    for atom in _atoms(mol):
        if not atom.GetAtomicNum() and not atom.HasProp("dummyLabel"):
            symbols = _symbols(text) if symbols is None else symbols
            # RDKit keeps the order of the file unless it has taken hydrogens away.
            if len(symbols) == mol.GetNumAtoms() and symbols[atom.GetIdx()] not in ("*", "R#"):
                atom.SetProp("dummyLabel", symbols[atom.GetIdx()])
        elif not atom.GetDegree() and _is_bare_metal(atom):
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(0)
    # A mark beside a drawing (a bracket, "Chiral", a full stop) is the alias of a carbon that is
    # bonded to nothing: 30 of 4,001 USPTO files would have methane beside the molecule.
    marks = [a.GetIdx() for a in _atoms(mol) if not a.GetDegree() and _has_junk_alias(a)]
    if marks:
        edited = Chem.RWMol(mol)
        for index in reversed(marks):
            edited.RemoveAtom(index)
        mol = edited.GetMol()
    return mol


def _symbols(text: str) -> list[str]:
    """The symbol of each atom of a molblock, in order."""
    lines = text.split("\n")
    if "V3000" in lines[3]:
        block = text.partition("BEGIN ATOM")[2].partition("END ATOM")[0]
        return re.findall(r"^M  V30 +\d+ +(\S+)", block, re.MULTILINE)
    return [line[31:34].strip() for line in lines[4 : 4 + int(lines[3][:3])]]


_NONMETALS = frozenset({
    "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As", "Se", "Br",
    "Kr", "Te", "I", "Xe", "At", "Rn",
})  # fmt: skip


def _is_bare_metal(atom: Chem.Atom) -> bool:
    """Sodium that stands alone is sodium; RDKit would make a hydride of it."""
    return bool(atom.GetAtomicNum()) and atom.GetSymbol() not in _NONMETALS


def _with_ring_hydrogen(mol: Chem.Mol) -> Chem.Mol | None:
    """The molecule with a hydrogen on a nitrogen of an aromatic five-ring; None where none helps.

    A ring drawn with a circle, or of bonds of order 4, does not say which nitrogen has it; of two
    that may, the first is taken.
    """
    Chem.FastFindRings(mol)
    nitrogens = [
        atom.GetIdx()
        for atom in _atoms(mol)
        if atom.GetSymbol() in ("N", "P")
        and atom.IsInRingSize(5)
        and atom.GetDegree() == 2
        and not atom.GetFormalCharge()
        and all(bond.GetBondType() == Chem.BondType.AROMATIC for bond in atom.GetBonds())
    ]
    if not nitrogens:
        return None
    Chem.ReapplyMolBlockWedging(mol)
    chosen: list[int] = []
    # One ring at a time: each hydrogen has to leave fewer atoms that cannot be kekulised.
    while (left := _unkekulised(mol, chosen)) and len(chosen) < 4:
        better = [n for n in nitrogens if n not in chosen
                  and len(_unkekulised(mol, [*chosen, n])) < len(left)]  # fmt: skip
        if not better:
            return None
        chosen.append(better[0])
    found = _hydrogenated(mol, chosen)
    try:
        Chem.SanitizeMol(found)
    except ValueError:
        return None
    Chem.AssignChiralTypesFromBondDirs(found)
    Chem.DetectBondStereochemistry(found)
    Chem.AssignStereochemistry(found, cleanIt=True, force=True)
    return Chem.RemoveHs(found)


def _hydrogenated(mol: Chem.Mol, nitrogens: list[int]) -> Chem.RWMol:
    edited = Chem.RWMol(mol)
    for index in nitrogens:
        edited.GetAtomWithIdx(index).SetNumExplicitHs(1)
        edited.GetAtomWithIdx(index).SetNoImplicit(True)
    return edited


def _unkekulised(mol: Chem.Mol, nitrogens: list[int]) -> tuple[int, ...]:
    """The atoms that RDKit cannot kekulise once these nitrogens have a hydrogen."""
    for problem in Chem.DetectChemistryProblems(_hydrogenated(mol, nitrogens)):
        if problem.GetType() == "KekulizeException":
            return tuple(problem.GetAtomIndices())
    return ()


def _lines(block: str) -> list[str]:
    """Lines of a molblock; the bare CR inside a label stacked as ``S`` over ``O2`` ends none."""
    if "\n" not in block:
        return block.splitlines()
    return [line.replace("\r", "") for line in block.split("\n")]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def _chemistry_problem(mol: Chem.Mol) -> str:
    try:
        problems = [problem.Message() for problem in Chem.DetectChemistryProblems(mol)]
    except RuntimeError:  # RDKit counts an atom's bonds in eight bits
        return "an atom with more bonds than RDKit can count"
    return problems[0] if problems else "RDKit cannot sanitise the molecule"


def parse_molblock(block: str, *, source: str = "molblock") -> MolGraph:
    """The graph that a molblock draws: abbreviations collapsed, aliases as labels.

    Places are the file's own units with y up; see `MolGraph.transformed` for the way to pixels.
    Of two bonds that collapse onto the same pair of atoms the first stays.

    Raises:
        MolfileError: RDKit cannot parse the block.
        UnheldError: it says what a graph does not hold (`unheld`).
    """
    return mol_to_graph(block_to_mol(block, sanitize=False, source=source))


def mol_to_graph(mol: Chem.Mol, *, collapse: bool = True) -> MolGraph:
    """The drawing that an RDKit molecule (unsanitised, from a molblock) stands for.

    Args:
        mol: with a 2D conformer.
        collapse: draw an abbreviation S-group as one atom; else its hidden atoms are drawn.

    Raises:
        MolfileError: the molecule has atoms but no coordinates.
        UnheldError: it has what a graph does not hold (`unheld`).
    """
    if reason := unheld(mol):
        raise UnheldError(reason)
    if mol.GetNumAtoms() and not mol.GetNumConformers():
        raise MolfileError("the molecule has no coordinates; expected a 2D conformer")
    places = mol.GetConformer().GetPositions().tolist() if mol.GetNumAtoms() else []
    groups = sgroups(mol)
    original = drawn_once(groups, places)
    collapsed = abbreviation_groups(mol) if collapse else []
    hidden_in = {
        atom: group for group in collapsed if group.anchor not in original for atom in group.members
    }
    new_index: dict[int, int] = {}
    atoms: list[Atom] = []
    for index, (rd_atom, (x, y, _)) in enumerate(zip(_atoms(mol), places, strict=True)):
        group = hidden_in.get(index)
        if index not in original and (group is None or index == group.anchor):
            new_index[index] = len(atoms)
            if group is not None:
                atoms.append(Atom.from_text(group.label, x, y))
            else:
                atoms.append(_drawn_atom(rd_atom, x, y))
    for index, group in hidden_in.items():
        new_index[index] = new_index[group.anchor]
    for index, first in original.items():
        new_index[index] = new_index[first]

    multiple = [
        (set(g.atoms), set(g.atoms) - set(g.drawn)) for g in groups if len(g.atoms) > len(g.drawn)
    ]
    open_ends = {atom.GetIdx() for atom in _atoms(mol) if _is_open_end(atom)}
    bonds: dict[tuple[int, int], Bond] = {}
    for rd_bond in map(mol.GetBondWithIdx, range(mol.GetNumBonds())):
        ends = {rd_bond.GetBeginAtomIdx(), rd_bond.GetEndAtomIdx()}
        # A bond from copy to copy of a multiple group would, drawn once, close a ring.
        if any(ends <= inside and ends & copies for inside, copies in multiple):
            continue
        begin, end = new_index[rd_bond.GetBeginAtomIdx()], new_index[rd_bond.GetEndAtomIdx()]
        if begin != end:
            order = BondOrder.ATTACHMENT if ends & open_ends else _order(rd_bond)
            bonds.setdefault((min(begin, end), max(begin, end)), Bond(begin, end, order))
    return MolGraph(
        tuple(atoms),
        tuple(bonds.values()),
        _brackets(groups, collapsed, new_index),
        _stereo_groups(mol, new_index),
    )


def _brackets(
    groups: list[SGroup], labels: list[AbbreviationGroup], new_index: dict[int, int]
) -> tuple[Bracket, ...]:
    """The brackets of a drawing; those that a collapsed label spells, as in ``(CH2)nOH``, are its.

    The copies of a bracket inside a multiple group are one.
    """
    drawn = (g for g in groups if not any(set(g.atoms) < label.members for label in labels))
    found = {Bracket(tuple(new_index[a] for a in g.atoms), g.mark, g.kind) for g in drawn}
    return tuple(sorted(found))


_STEREO: dict[Chem.StereoGroupType, StereoKind] = {
    Chem.StereoGroupType.STEREO_ABSOLUTE: "ABS",
    Chem.StereoGroupType.STEREO_AND: "AND",
    Chem.StereoGroupType.STEREO_OR: "OR",
}


def _stereo_groups(mol: Chem.Mol, new_index: dict[int, int]) -> tuple[StereoGroup, ...]:
    found = sorted(
        StereoGroup(tuple(new_index[a.GetIdx()] for a in group.GetAtoms()), kind)
        for group in mol.GetStereoGroups()
        if (kind := _STEREO[group.GetGroupType()]) and len(group.GetAtoms())
    )
    centres = [atom for group in found for atom in group.atoms]
    if len(centres) > len(set(centres)):
        raise UnheldError("an atom in two groups of relative stereo")
    return tuple(found)


_BOND_TYPES_HELD = frozenset({
    Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC,
    Chem.BondType.DATIVE, Chem.BondType.HYDROGEN,
})  # fmt: skip
_REPEAT_UNIT = "a repeat unit in brackets (SRU)"


def check_held_by_smiles(mol: Chem.Mol, *, repeat_once: bool = False) -> None:
    """Refuse a molecule of a molfile (unsanitised) whose SMILES would be another molecule's.

    Args:
        mol: the molecule.
        repeat_once: let repeat units pass.

    Raises:
        UnheldError: it has a repeat unit, or what no graph holds either. Relative stereo is at
            least one of the molecules that are meant, and hydrogen bonds are no part of a SMILES.
    """
    if reason := unheld(mol):
        raise UnheldError(reason)
    if not repeat_once and any(group.kind == "SRU" for group in sgroups(mol)):
        raise UnheldError(_REPEAT_UNIT)


def unheld(mol: Chem.Mol) -> str:
    """What a molecule of a molfile (unsanitised) has that a graph does not hold; empty for none."""
    for bond in map(mol.GetBondWithIdx, range(mol.GetNumBonds())):
        if bond.HasProp("_MolFileBondEndPts"):
            return "a bond to several atoms at once (V3000 ENDPTS)"
        if _order_of_type(bond) is None and (
            bond.HasQuery() or bond.GetBondType() not in _BOND_TYPES_HELD
        ):
            return "a query bond (one of several orders, in a ring or not, of order zero)"
    if reason := unheld_brackets(mol):
        return reason
    if any(group.GetBonds() for group in mol.GetStereoGroups()):
        return "relative stereo of an axis"
    if any(atom.HasQuery() and _is_list(atom) for atom in _atoms(mol)):
        return "a query atom (a list of elements, a count of hydrogens)"
    return ""


def _is_list(atom: Chem.Atom) -> bool:
    """True for a query that is no variable with a letter (A, Q, X, M), which a graph does hold."""
    label = atom.GetProp("dummyLabel") if atom.HasProp("dummyLabel") else ""
    return bool(atom.GetAtomicNum() or (label == "L" and "AtomOr" in atom.DescribeQuery()))


def _atoms(mol: Chem.Mol) -> Iterator[Chem.Atom]:
    """As `mol.GetAtoms()`, whose loop asks for the length again at every step."""
    return map(mol.GetAtomWithIdx, range(mol.GetNumAtoms()))


@dataclass(frozen=True)
class AbbreviationGroup:
    """An abbreviation S-group: its label, its atoms, and the one of them where the label stands."""

    label: str
    members: frozenset[int]
    anchor: int


def abbreviation_groups(mol: Chem.Mol) -> list[AbbreviationGroup]:
    """SUP S-groups as (label, members, anchor).

    The anchor is the member that is bonded to the outside, where the label is drawn. It is the
    first, the last or a middle member (2,454, 519 and 70 of 3,043 in USPTO files), so it is
    computed; a group with no bond to the outside (a counter-ion, "2HCl") hangs on its first member.
    Of groups that overlap, the largest is what is drawn.
    """
    groups = []
    for sgroup in Chem.GetMolSubstanceGroups(mol):
        if not sgroup.HasProp("TYPE") or sgroup.GetProp("TYPE") != "SUP":
            continue
        label = without_markup(sgroup.GetProp("LABEL")).strip() if sgroup.HasProp("LABEL") else ""
        members = list(sgroup.GetAtoms())
        if label and members:
            groups.append((label, members))
    found: list[AbbreviationGroup] = []
    taken: set[int] = set()
    for label, members in sorted(groups, key=lambda g: -len(g[1])):
        inside = frozenset(members)
        if inside & taken:
            continue
        taken |= inside
        outward = [
            index
            for index in members
            if any(n.GetIdx() not in inside for n in mol.GetAtomWithIdx(index).GetNeighbors())
        ]
        found.append(AbbreviationGroup(label, inside, (outward or members)[0]))
    return found


_OPEN_END = re.compile(r"_AP\d*")  # what CXSMILES calls the open end of an attachment point


def _is_open_end(atom: Chem.Atom) -> bool:
    """True for a dummy where a larger molecule goes on: of ``M  APO``, or named in its place."""
    if atom.GetAtomicNum() or atom.GetDegree() != 1:
        return False
    if atom.HasProp("_fromAttchpt"):
        return True
    names = ("molFileAlias", "dummyLabel", "atomLabel")
    return any(atom.HasProp(n) and _OPEN_END.fullmatch(atom.GetProp(n)) for n in names)


def _is_junk_alias(text: str, bonds: int) -> bool:
    """Aliases that are not labels: brackets round a repeat unit, stereo marks, captions.

    A label may end with a full stop as a caption does: O. on a bond is no carbon.
    """
    is_label = bonds and re.fullmatch(r"[A-Z][A-Za-z\d]{0,3}\.", text)
    return (
        not re.search(r"[A-Za-z]", text)
        or (text.endswith(".") and not is_label)
        or text in {"Chiral", "(R)", "(S)", "(E)", "(Z)"}
    )


def _alias(atom: Chem.Atom) -> str:
    """The text that stands in an atom's place; empty where there is none, or junk."""
    text = _alias_text(atom)
    return "" if _is_junk_alias(text, atom.GetDegree()) else text


def _alias_text(atom: Chem.Atom) -> str:
    if not atom.HasProp("molFileAlias"):
        return ""
    return " ".join(without_markup(atom.GetProp("molFileAlias")).split())


def _has_junk_alias(atom: Chem.Atom) -> bool:
    text = _alias_text(atom)
    return atom.GetSymbol() == "C" and bool(text) and _is_junk_alias(text, atom.GetDegree())


def has_open_labels(mol: Chem.Mol) -> bool:
    """True where a label has no atoms behind it, so that RDKit's own SMILES says something else.

    That is an alias on a carbon (X, Q, NHR8), a label in the place of a symbol (Ph, OMe), a
    variable that is an element's symbol (Y, Ar), or the open end of an attachment point.
    """
    return any(
        _alias(atom)
        or _is_open_end(atom)
        or _is_word(atom)
        or (
            atom.GetSymbol() in AMBIGUOUS_SYMBOLS
            and is_label(_drawn_atom(atom, 0, 0), atom.GetDegree())
        )
        for atom in _atoms(mol)
    )


def _is_word(atom: Chem.Atom) -> bool:
    """True for a dummy atom that is named otherwise than an R group is."""
    if atom.GetAtomicNum() or not atom.HasProp("dummyLabel"):
        return False
    return not re.fullmatch(r"R\d*|R#|\*|", atom.GetProp("dummyLabel"))


def _drawn_atom(atom: Chem.Atom, x: float, y: float) -> Atom:
    if _is_open_end(atom):
        return Atom("*", x, y)
    if alias := _alias(atom):
        return Atom.from_text(alias, x, y)
    if atom.GetAtomicNum():
        radical = min(atom.GetNumRadicalElectrons(), 2)
        return Atom(atom.GetSymbol(), x, y, atom.GetFormalCharge(), atom.GetIsotope(), radical)
    label = atom.GetProp("dummyLabel") if atom.HasProp("dummyLabel") else atom.GetSymbol()
    label = label.replace("R#", "R")
    if label in ("R", "*") and atom.GetIsotope():
        label = f"R{atom.GetIsotope()}"  # RDKit keeps the number of an R group as its isotope
    return Atom.from_text(label, x, y)


_RDKIT_ORDER = {
    Chem.BondType.DOUBLE: BondOrder.DOUBLE,
    Chem.BondType.TRIPLE: BondOrder.TRIPLE,
    Chem.BondType.AROMATIC: BondOrder.AROMATIC,
    Chem.BondType.DATIVE: BondOrder.DATIVE,
    Chem.BondType.HYDROGEN: BondOrder.HYDROGEN,
}


def _order_of_type(bond: Chem.Bond) -> BondOrder | None:
    """Any bond and hydrogen bond by their type in the file: RDKit reads V2000's as one query."""
    if bond.GetBondType() != Chem.BondType.UNSPECIFIED:
        return None
    kind = bond.GetUnsignedProp("_MolFileBondType") if bond.HasProp("_MolFileBondType") else 0
    return {_HYDROGEN_BOND: BondOrder.HYDROGEN, _ANY_BOND: BondOrder.ANY}.get(kind)


# The stereo column of a V2000 bond line, and the CFG value of a V3000 one.
_V2000_WEDGE = {1: BondOrder.SOLID_WEDGE, 6: BondOrder.DASHED_WEDGE, 4: BondOrder.WAVY}
_V3000_WEDGE = {1: BondOrder.SOLID_WEDGE, 3: BondOrder.DASHED_WEDGE, 2: BondOrder.WAVY}


def _is_crossed(bond: Chem.Bond) -> bool:
    """A double bond drawn crossed: stereo 3 in V2000, CFG 2 in V3000."""
    for name, crossed in (("_MolFileBondStereo", 3), ("_MolFileBondCfg", 2)):
        if bond.HasProp(name) and bond.GetUnsignedProp(name) == crossed:
            return True
    return False


def _order(bond: Chem.Bond) -> BondOrder:
    if (order := _order_of_type(bond)) is not None:
        return order
    if bond.GetBondType() == Chem.BondType.DOUBLE and _is_crossed(bond):
        return BondOrder.CROSSED_DOUBLE
    if bond.GetBondType() != Chem.BondType.SINGLE:
        return _RDKIT_ORDER.get(bond.GetBondType(), BondOrder.SINGLE)
    # RDKit reads the file's wedge into a property: the bond direction is NONE after parsing.
    if bond.HasProp("_MolFileBondStereo"):
        return _V2000_WEDGE.get(bond.GetUnsignedProp("_MolFileBondStereo"), BondOrder.SINGLE)
    if bond.HasProp("_MolFileBondCfg"):
        return _V3000_WEDGE.get(bond.GetUnsignedProp("_MolFileBondCfg"), BondOrder.SINGLE)
    return BondOrder.SINGLE


_BOND_LENGTH = 1.5  # of the molblock that we write, in the usual unit (angstrom)
# Type and stereo column. A hollow wedge and a bold bond are written as what they mean.
_V2000_CODE = {order: (1, code) for code, order in _V2000_WEDGE.items()} | {
    BondOrder.CROSSED_DOUBLE: (2, 3),
    BondOrder.HOLLOW_WEDGE: (1, 1),
    BondOrder.BOLD: (1, 0),
    BondOrder.ANY: (_ANY_BOND, 0),
    BondOrder.ATTACHMENT: (1, 0),
}


def graph_to_molblock(graph: MolGraph, *, name: str = "") -> str:
    """A V2000 molblock of a graph in picture coordinates (y down), at the drawn places.

    Abbreviations and other labels that are no element become dummy atoms with an alias line
    (``A  nnn``), so ChemDraw and RDKit show the label; expand them first where the chemistry
    matters. R groups (``R1`` to ``R999``) keep their number, the open end of an attachment point is
    called ``_AP1``, ``_AP2``, ... as in CXSMILES, and brackets become S-groups. Relative stereo
    needs V3000, so a graph that has some is written as that.

    Raises:
        ValueError: more than 999 atoms or bonds, which V2000 cannot hold.
    """
    whole, groups = stacked(graph)
    if len(whole.atoms) > 999 or len(whole.bonds) > 999:
        raise ValueError(
            f"{len(whole.atoms)} atoms and {len(whole.bonds)} bonds: V2000 holds at most 999 each"
        )
    scale = _BOND_LENGTH / (graph.median_bond_length() or _BOND_LENGTH)
    drawn = whole.transformed(scale, 0, 0, flip=True)
    lines = [name.splitlines()[0][:80] if name else "", "  EyesMol           2D", ""]
    lines.append(f"{len(drawn.atoms):3d}{len(drawn.bonds):3d}  0  0  0  0  0  0  0  0999 V2000")
    aliases, properties = [], []
    degree = [len(row) for row in drawn.neighbours()]
    open_ends = _open_ends(drawn, degree)
    for number, atom in enumerate(drawn.atoms, start=1):
        symbol, r_group = _symbol(atom, degree[number - 1])
        lines.append(f"{atom.x:10.4f}{atom.y:10.4f}{0:10.4f} {symbol:<3}" + " 0" + "  0" * 11)
        if number - 1 in open_ends:
            aliases += [f"A  {number:3d}", f"_AP{open_ends[number - 1]}"]
        elif symbol in ("*", "R#") and r_group is None:
            aliases += [f"A  {number:3d}", atom.text.removeprefix("[").removesuffix("]")]
        if r_group is not None:
            properties.append(f"M  RGP  1 {number:3d} {r_group:3d}")
        if atom.charge:
            properties.append(f"M  CHG  1 {number:3d} {atom.charge:3d}")
        if atom.isotope and symbol != "*":
            properties.append(f"M  ISO  1 {number:3d} {atom.isotope:3d}")
        if atom.radical and symbol != "*":  # 2 is a doublet, 3 a triplet
            properties.append(f"M  RAD  1 {number:3d} {atom.radical + 1:3d}")
    for bond in drawn.bonds:
        order, stereo = _V2000_CODE.get(bond.order, (int(bond.order), 0))
        lines.append(f"{bond.begin + 1:3d}{bond.end + 1:3d}{order:3d}{stereo:3d}")
    for number, group in enumerate(groups, start=1):
        properties += _sgroup_lines(number, group, drawn)
    block = "\n".join([*lines, *aliases, *properties, "M  END", ""])
    return as_v3000(block, graph.stereo_groups) if graph.stereo_groups else block


def _open_ends(graph: MolGraph, degree: list[int]) -> dict[int, int]:
    """The open end of each attachment point, and its number."""
    ends = (
        next((a for a in (b.end, b.begin) if degree[a] == 1 and graph.atoms[a].text == "[*]"), None)
        for b in graph.bonds
        if b.order == BondOrder.ATTACHMENT
    )
    return {end: number for number, end in enumerate(sorted(e for e in ends if e is not None), 1)}


def _sgroup_lines(number: int, group: SGroup, graph: MolGraph) -> list[str]:
    """The V2000 lines of one pair of brackets, which stand half a bond left and right of it."""
    inside = set(group.atoms)
    crossing = [n for n, b in enumerate(graph.bonds) if (b.begin in inside) != (b.end in inside)]
    lines = [f"M  STY  1 {number:3d} {group.kind}"]
    if group.kind == "SRU":
        lines.append(f"M  SCN  1 {number:3d} HT ")
    lines += _listed("SAL", number, group.atoms)
    lines += _listed("SBL", number, crossing)
    if group.kind == "MUL":
        lines += _listed("SPA", number, group.drawn)
    if group.mark:
        lines.append(f"M  SMT {number:3d} {group.mark}")
    box = [graph.atoms[atom] for atom in group.drawn]
    low, high = min(a.y for a in box) - 0.5, max(a.y for a in box) + 0.5
    left, right = min(a.x for a in box) - 0.75, max(a.x for a in box) + 0.75
    for x, y, other in ((left, low, high), (right, high, low)):
        lines.append(f"M  SDI {number:3d}  4{x:10.4f}{y:10.4f}{x:10.4f}{other:10.4f}")
    return lines


def _listed(key: str, number: int, items: Sequence[int]) -> list[str]:
    """Atoms or bonds of an S-group, at most 15 a line."""
    return [
        f"M  {key} {number:3d}{len(row):3d}" + "".join(f" {item + 1:3d}" for item in row)
        for row in (items[at : at + 15] for at in range(0, len(items), 15))
    ]


_STEREO_TYPE = {kind: group_type for group_type, kind in _STEREO.items()}


def with_quoted_marks(block: str) -> str:
    """RDKit's molblock, a bracket's mark in quotation marks where it ends its line with a minus.

    There a bare minus says that the line goes on, and RDKit reads another mark than it wrote.
    """
    return re.sub(r'LABEL=([^" ]*-)$', r'LABEL="\1"', block, flags=re.MULTILINE)


def as_v3000(block: str, stereo_groups: Sequence[StereoGroup] = ()) -> str:
    """A V2000 molblock in V3000, its wedges as they were drawn, with groups of relative stereo.

    Raises:
        MolfileError: RDKit cannot parse the block.
        RuntimeError: RDKit's V3000 cannot hold it.
    """
    mol = Chem.RWMol(block_to_mol(block, sanitize=False))
    Chem.ReapplyMolBlockWedging(mol)
    for atom in _atoms(mol):  # V3000 has no alias lines: a label stands in the symbol's place
        if not atom.GetAtomicNum() and atom.HasProp("molFileAlias"):
            atom.SetProp("dummyLabel", atom.GetProp("molFileAlias"))
    mol.SetStereoGroups(
        [
            Chem.CreateStereoGroup(_STEREO_TYPE[group.kind], mol, list(group.atoms), [])
            for group in stereo_groups
        ]
    )
    text = with_quoted_marks(Chem.MolToV3KMolBlock(mol, kekulize=False))
    for bond in map(mol.GetBondWithIdx, range(mol.GetNumBonds())):
        if _order_of_type(bond) == BondOrder.HYDROGEN:  # RDKit writes it as any bond
            number = bond.GetIdx() + 1
            text = text.replace(
                f"M  V30 {number} {_ANY_BOND} ", f"M  V30 {number} {_HYDROGEN_BOND} ", 1
            )
    return text


def _symbol(atom: Atom, degree: int) -> tuple[str, int | None]:
    """The symbol column of an atom line, and the number where it is an R group."""
    if match := re.fullmatch(r"R(\d{1,3})", atom.label):
        return "R#", int(match[1])
    return ("*" if is_label(atom, degree) else atom.label), None
