"""A walk through a structure in sentences: its ring systems, what joins them, what they carry."""

from __future__ import annotations

from collections import Counter

from rdkit import Chem

from data_preprocess.tasks.rings import named_systems
from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import counts, listed, with_article

__all__ = ["LINKS", "PIECES", "walk_through"]

# What one bond from a ring leads to, as SMILES with ``*`` for the ring, and its name; and what
# joins two rings.
PIECES = {
    "*F": "fluoro", "*Cl": "chloro", "*Br": "bromo", "*I": "iodo", "*C": "methyl", "*CC": "ethyl",
    "*CCC": "propyl", "*C(C)C": "isopropyl", "*CCCC": "butyl", "*CC(C)C": "isobutyl",
    "*C(C)(C)C": "tert-butyl", "*C(F)(F)F": "trifluoromethyl", "*C(F)F": "difluoromethyl",
    "*O": "hydroxy", "*OC": "methoxy", "*OCC": "ethoxy", "*OC(C)C": "isopropoxy",
    "*OC(F)(F)F": "trifluoromethoxy", "*S": "sulfanyl", "*SC": "methylsulfanyl",
    "*S(C)(=O)=O": "methylsulfonyl", "*S(N)(=O)=O": "sulfamoyl", "*N": "amino",
    "*NC": "methylamino", "*N(C)C": "dimethylamino", "*NC(C)=O": "acetamido",
    "*NS(C)(=O)=O": "methanesulfonamido", "*NC(=O)OC(C)(C)C": "Boc-amino",
    "*C(=O)OC(C)(C)C": "tert-butoxycarbonyl", "*[N+](=O)[O-]": "nitro", "*C#N": "cyano",
    "*C=O": "formyl", "*C(C)=O": "acetyl", "*C(=O)O": "carboxy", "*C(=O)OC": "methoxycarbonyl",
    "*C(=O)OCC": "ethoxycarbonyl", "*C(N)=O": "carbamoyl", "*C(=O)NC": "methylcarbamoyl",
    "*C(=O)N(C)C": "dimethylcarbamoyl", "*CO": "hydroxymethyl", "*CN": "aminomethyl",
    "*CC(=O)O": "carboxymethyl", "*C=C": "vinyl", "*C#C": "ethynyl", "*CC=C": "allyl",
    "*C#CC": "propynyl", "*COC": "methoxymethyl", "*CCO": "2-hydroxyethyl",
    "*CCN": "2-aminoethyl", "*CCOC": "2-methoxyethyl", "*=O": "oxo", "*=S": "thioxo",
}  # fmt: skip
LINKS = {
    "*O*": "an oxygen atom", "*S*": "a sulfur atom", "*N*": "an NH group", "*C*": "a CH2 group",
    "*C(*)=O": "a carbonyl group", "*S(*)(=O)=O": "a sulfonyl group",
    "*S(*)=O": "a sulfinyl group", "*NC(*)=O": "an amide group", "*CO*": "a CH2-O group",
    "*CN*": "a CH2-NH group", "*CS*": "a CH2-S group", "*CC*": "a CH2-CH2 group",
    "*NS(*)(=O)=O": "a sulfonamide group", "*NC(=O)N*": "a urea group",
    "*C#C*": "an alkyne group", "*NC(=O)O*": "a carbamate group", "*OC(*)=O": "an ester group",
    "*CNC(*)=O": "a CH2-amide group", "*CC(=O)N*": "a CH2-amide group",
    "*N(*)C": "an N-methyl group", "*C=C*": "a vinylene group",
}  # fmt: skip


def walk_through(facts: Facts) -> str | None:
    """Some sentences; None where a ring system has no name, or there is nothing to walk along."""
    mol = facts.mol
    systems = named_systems(mol)
    if not systems or len(systems) > _MOST or any(name is None for name, _ in systems):
        return None
    names = _told_apart([str(name) for name, _ in systems])
    rings = [atoms for _, atoms in systems]
    owner = {atom: number for number, atoms in enumerate(rings) for atom in atoms}
    if sum(map(len, rings)) != len(owner):
        return None  # spiro: an atom of two systems
    sentences = [_beginning([str(name) for name, _ in systems])]
    sentences += _direct(mol, names, owner)
    carried: dict[int, Counter[str]] = {number: Counter() for number in range(len(rings))}
    for piece, anchors in _pieces(mol, owner):
        if len(anchors) == 1:
            name = PIECES.get(_outlined(mol, piece, anchors))
            carried[owner[anchors[0][0]]][name or f"a group of {_atoms_of(mol, piece)}"] += 1
        else:
            ends = [names[owner[ring]] for ring, _ in anchors]
            link = LINKS.get(_outlined(mol, piece, anchors)) if len(anchors) == 2 else None
            link = link or f"a group of {_atoms_of(mol, piece)}"
            sentences.append(f"{_first_upper(listed(ends))} are joined by {link}.")
    for number, found in carried.items():
        if found:
            sentences.append(f"{_first_upper(names[number])} carries {_carried(found)}.")
    return " ".join(sentences)


_MOST = 6  # ring systems, more of which nobody follows
_Anchor = tuple[int, int]  # an atom of a ring system, and the atom outside that it is bonded to


def _first_upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _told_apart(names: list[str]) -> list[str]:
    """Each with its article, the second of a name as the second."""
    seen = Counter[str]()
    told = []
    for name in names:
        seen[name] += 1
        order = _ORDER[seen[name] - 1] if names.count(name) > 1 else ""
        told.append(f"the {order}{name} ring" if name not in _SYSTEMS else f"the {order}{name}")
    return told


_ORDER = ("first ", "second ", "third ", "fourth ", "fifth ", "sixth ")
_SYSTEMS = frozenset({"adamantane", "decalin"})


def _beginning(names: list[str]) -> str:
    if len(names) == 1:
        return f"The molecule is built on one ring system, {names[0].partition(' (')[0]}."
    return f"The molecule is built on {len(names)} ring systems: {counts(names)}."


def _direct(mol: Chem.Mol, names: list[str], owner: dict[int, int]) -> list[str]:
    """Bonds from one ring system to another."""
    return [
        f"{_first_upper(names[owner[begin]])} is bonded directly to {names[owner[end]]}."
        for begin, end in ((b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds())
        if begin in owner and end in owner and owner[begin] != owner[end]
    ]


def _pieces(mol: Chem.Mol, owner: dict[int, int]) -> list[tuple[set[int], list[_Anchor]]]:
    """What hangs together outside the ring systems, with where it is bonded to them."""
    pieces = []
    left = {atom.GetIdx() for atom in mol.GetAtoms()} - owner.keys()
    while left:
        piece, border = set[int](), [min(left)]
        while border:
            atom = border.pop()
            piece.add(atom)
            border += [
                other.GetIdx()
                for other in mol.GetAtomWithIdx(atom).GetNeighbors()
                if other.GetIdx() not in owner and other.GetIdx() not in piece
            ]
        left -= piece
        anchors = [
            (other.GetIdx(), atom)
            for atom in sorted(piece)
            for other in mol.GetAtomWithIdx(atom).GetNeighbors()
            if other.GetIdx() in owner
        ]
        pieces.append((piece, sorted(anchors, key=lambda anchor: owner[anchor[0]])))
    return pieces


def _outlined(mol: Chem.Mol, piece: set[int], anchors: list[_Anchor]) -> str:
    """The piece as SMILES, ``*`` for each ring atom that it is bonded to."""
    outline = Chem.RWMol()
    index = {}
    for old in sorted(piece):
        atom = mol.GetAtomWithIdx(old)
        new = Chem.Atom(atom.GetAtomicNum())
        new.SetFormalCharge(atom.GetFormalCharge())
        index[old] = outline.AddAtom(new)
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if begin in index and end in index:
            outline.AddBond(index[begin], index[end], bond.GetBondType())
    for ring, outer in anchors:
        star = outline.AddAtom(Chem.Atom(0))
        outline.AddBond(star, index[outer], mol.GetBondBetweenAtoms(ring, outer).GetBondType())
    return str(Chem.MolToSmiles(outline))


def _atoms_of(mol: Chem.Mol, piece: set[int]) -> str:
    found = Counter(mol.GetAtomWithIdx(atom).GetSymbol() for atom in piece)
    ordered = sorted(found.items(), key=lambda item: (item[0] != "C", item[0]))
    return listed([f"{count} {symbol}" for symbol, count in ordered])


def _carried(found: Counter[str]) -> str:
    """As people write it: a chloro group, two methoxy groups and an oxo group."""
    told = []
    for name, count in sorted(found.items()):
        if name.startswith("a group"):
            one, many = name, name[2:].replace("group", "groups", 1)
        else:
            one, many = with_article(f"{name} group"), f"{name} groups"
        told.append(one if count == 1 else f"{_NUMBERS.get(count, count)} {many}")
    return listed(told)


_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
