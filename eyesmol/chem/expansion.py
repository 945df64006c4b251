"""Labels of a drawing replaced by the atoms that they stand for, laid out at the label's place."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from eyesmol.chem.abbreviations import is_label
from eyesmol.chem.condensed import Fragment, read_condensed
from eyesmol.chem.condensed_parts import normalised, table_mol
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph, is_element
from eyesmol.chem.group_table import GROUPS, SPECIES
from eyesmol.chem.molfile import block_to_mol, mol_to_graph

__all__ = ["expand_abbreviations", "read_label"]

_VALENCE = {
    BondOrder.DOUBLE: 2,
    BondOrder.CROSSED_DOUBLE: 2,
    BondOrder.TRIPLE: 3,
    BondOrder.DATIVE: 0,
    BondOrder.HYDROGEN: 0,
}
# (order, place in graph.bonds, neighbour), from the left of the drawing to the right
_Outward = list[tuple[int, int, int]]


def expand_abbreviations(graph: MolGraph) -> tuple[MolGraph, list[str]]:
    """Every label that can be read replaced by its atoms; the others stay, one problem each.

    A label with one attachment atom keeps its place for it (so wedges stay valid), and the rest is
    laid out behind it. A label with two ends is read as it is drawn: the neighbour that stands left
    is bound to the end that is written left. A dative or a hydrogen bond takes no valence: it leads
    to the donor, the metal or the attachment atom of its label. Brackets round a label enclose all
    of its atoms.

    Args:
        graph: in picture coordinates (y down).
    """
    atoms, bonds = list(graph.atoms), list(graph.bonds)
    grown: dict[int, range] = {}
    outward_of = _outward_bonds(graph)
    length = graph.median_bond_length() or 1.0
    problems: list[str] = []
    for index, atom in enumerate(graph.atoms):
        outward = outward_of[index]
        if _is_r_group(atom.label) or not is_label(atom, len(outward)):
            continue
        label = atom.label + ("+" if atom.charge > 0 else "-") * abs(atom.charge)
        label += "•" * atom.radical
        fragment = read_label(
            label,
            [order for order, _, _ in outward if order],
            from_right=_stands_right(graph, index, outward),
        )
        if fragment is None:
            problems.append(f"atom {index}: the label {atom.label!r} has no known expansion")
            continue
        sites = _sites(fragment, index, [graph.bonds[place] for _, place, _ in outward])
        if sites != fragment.sites:
            fragment = replace(fragment, sites=sites)
        if not outward and not _is_exact(label):
            problems.append(
                f"atom {index}: {atom.label!r} counts as one, for want of a whole number"
            )
        drawn = _laid_out(fragment, atom, [graph.atoms[n] for _, _, n in outward], length)
        grown[index] = range(len(atoms), len(atoms) + len(drawn.atoms) - 1)
        number = [index, *grown[index]]
        atoms[index] = drawn.atoms[0]
        atoms.extend(drawn.atoms[1:])
        bonds.extend(Bond(number[b.begin], number[b.end], b.order) for b in drawn.bonds)
        for (_, place, _), site in zip(outward, sites, strict=True):
            begin, end, order = bonds[place].begin, bonds[place].end, bonds[place].order
            bonds[place] = (
                Bond(number[site], end, order)
                if begin == index
                else Bond(begin, number[site], order)
            )
    brackets = tuple(
        replace(b, atoms=(*b.atoms, *(new for atom in b.atoms for new in grown.get(atom, ()))))
        for b in graph.brackets
    )
    return MolGraph(tuple(atoms), tuple(bonds), brackets, graph.stereo_groups), problems


def _sites(fragment: Fragment, label: int, bonds: Sequence[Bond]) -> tuple[int, ...]:
    """The atom of a fragment for each bond of its label, in the order of the bonds."""
    ends = iter(fragment.sites)
    return tuple(
        next(ends) if _VALENCE.get(bond.order, 1) else _loose_site(fragment, bond.begin == label)
        for bond in bonds
    )


_DONORS = frozenset({"N", "P", "As", "O", "S", "Se"})


def _loose_site(fragment: Fragment, is_begin: bool) -> int:
    """Where a dative bond begins (a lone pair) or ends; the same for a hydrogen bond."""
    if fragment.sites:
        return fragment.sites[0]
    atoms = fragment.mol.GetAtoms()
    fitting = (
        atom.GetIdx()
        for atom in atoms
        if (atom.GetSymbol() in _DONORS if is_begin else atom.GetSymbol() not in ("C", "H"))
    )
    return next(fitting, 0)


_R_GROUP = re.compile(r"R[ _-]?\d{0,3}[a-z]?'{0,3}")


def _is_r_group(label: str) -> bool:
    return label == "*" or _R_GROUP.fullmatch(normalised(label)) is not None


def _outward_bonds(graph: MolGraph) -> list[_Outward]:
    """For each atom its bonds, from the left-most neighbour to the right-most."""
    table: list[_Outward] = [[] for _ in graph.atoms]
    for place, bond in enumerate(graph.bonds):
        order = _VALENCE.get(bond.order, 1)
        table[bond.begin].append((order, place, bond.end))
        table[bond.end].append((order, place, bond.begin))
    for row in table:
        row.sort(key=lambda item: (graph.atoms[item[2]].x, item[1]))
    return table


def _stands_right(graph: MolGraph, index: int, outward: _Outward) -> bool:
    """True where a label's only neighbour stands on its right, so it is read from its right end."""
    if len(outward) != 1:
        return False
    here, other = graph.atoms[index], graph.atoms[outward[0][2]]
    return other.x - here.x > 0.3 * math.hypot(other.x - here.x, other.y - here.y)


def read_label(label: str, orders: Sequence[int], *, from_right: bool = False) -> Fragment | None:
    """What a label stands for: a condensed formula, or one or more species that stand alone.

    A label may name both, as NH2·HCl and NH3+Cl- do: the acid or the ion is in the fragment too.

    Total: None for a label that cannot be read, or whose atoms RDKit refuses.

    Args:
        label: as drawn, with its charge.
        orders: of the bonds that lead to it, from the left of the drawing to the right.
        from_right: see `eyesmol.chem.condensed.read_condensed`.
    """
    text = normalised(label)
    fragment = _salt(text, tuple(orders), from_right) if orders else _species(text)
    return fragment if fragment is not None and _layout(fragment) is not None else None


_BULLET = re.compile(r"[•·∙⋅*]|(?<=[A-Za-z0-9])\.(?=[A-Z\d])")
# NH3+Cl-, SO3-Na+: the ion after the charge that it balances.
_ION_PAIR = re.compile(
    r"(?P<plus>.*\+.*?)(?P<minus>(?:F|Cl|Br|I|BF4|PF6|SbF6|ClO4|NO3|HSO4|I3|OTf|TfO|OTs|TsO|OMs|MsO"
    r"|OAc|AcO|OH|HO|CF3CO2|CF3COO|CF3SO3|BPh4)-)"
    r"|(?P<minus2>.*-.*?)(?P<plus2>(?:Li|Na|K|Cs|NH4|NMe4|Me4N|NEt4|Et4N|NBu4|Bu4N|Et3NH|HNEt3)\+)"
)


def _salt(text: str, orders: tuple[int, ...], from_right: bool) -> Fragment | None:
    """A label that is bound, with the acid or the counter-ion that it names."""
    parts = [part for part in _BULLET.split(text) if part]
    if match := _ION_PAIR.fullmatch(text):
        parts = [match["plus"] or match["minus2"], match["minus"] or match["plus2"]]
    for bound in range(len(parts) if len(parts) > 1 else 0):
        here = read_condensed(parts[bound], orders, from_right=from_right)
        others = [_species(part) for at, part in enumerate(parts) if at != bound]
        if here is not None and all(others):
            mol = Chem.RWMol(here.mol)
            for other in filter(None, others):
                mol.InsertMol(other.mol)
            return Fragment(mol.GetMol(), here.sites)
    return read_condensed(text, orders, from_right=from_right)


# "2 HCl", "1/2 H2SO4", "0.5 H2O", "n H2O": how many, what. Not "3H", and not the 13 of "13CO2".
_AMOUNT = re.compile(r"(?:(\d{1,2})|(\d+/\d|\d*\.\d+|[nxm](?=[A-Z])))[x\u00d7]?([A-Z(\[].*|[+-].*)")


def _is_exact(label: str) -> bool:
    """False where a label says how much of a species there is, and it is no whole number."""
    amounts = map(_AMOUNT.fullmatch, _species_parts(normalised(label)))
    return not any(amount and amount[2] for amount in amounts)


def _species_parts(text: str) -> list[str]:
    text = text.strip("•·∙⋅*")
    return [part for part in re.split(r"[•·∙⋅*]|(?<=[A-Za-z0-9])\.(?=[A-Z])", text) if part]


@lru_cache(maxsize=256)
def _species(text: str) -> Fragment | None:
    """What stands alone: HCl, 2 HCl, HCl·H2O. Of what is no whole number, one."""
    mol = Chem.RWMol()
    parts = _species_parts(text)
    for part in parts:
        match = None if part in SPECIES else _AMOUNT.fullmatch(part)
        one = _one_species(match[3] if match else part)
        if one is None or (match and match[1] == "0"):
            return None
        for _ in range(int(match[1] or 1) if match else 1):
            mol.InsertMol(one.mol)
    return Fragment(mol.GetMol()) if parts else None


def _one_species(name: str) -> Fragment | None:
    if name in SPECIES:
        return Fragment(table_mol(SPECIES[name]))
    if is_element(name):
        return Fragment(table_mol(f"[{name}]"))
    ion = re.fullmatch(r"([A-Z][a-z]?)(\d?)([+-]+)|([A-Z][a-z]?)([+-])(\d)", name)
    if ion and is_element(ion[1] or ion[4]):
        size = int(ion[2] or ion[6] or len(ion[3] or "+"))
        return Fragment(table_mol(f"[{ion[1] or ion[4]}{(ion[3] or ion[5])[0]}{size}]"))
    if name[-1:] == "2" and name[:-1] in GROUPS:  # Nf2 is a variable of its text, no disulfone
        return None
    return read_condensed(name, ())


@lru_cache(maxsize=1024)
def _layout(fragment: Fragment) -> MolGraph | None:
    """A fragment drawn by RDKit, y up, bond length 1, wedges included; None where it refuses."""
    mol = Chem.Mol(fragment.mol)
    try:
        with rdBase.BlockLogs():
            Chem.SanitizeMol(mol)
            rdDepictor.Compute2DCoords(mol)
            graph = mol_to_graph(block_to_mol(Chem.MolToMolBlock(mol), sanitize=False))
    except ValueError:  # what RDKit raises for a valence that it does not know
        return None
    return graph.transformed(1 / (graph.median_bond_length() or 1.0), 0, 0)


def _laid_out(
    fragment: Fragment, label: Atom, neighbours: Sequence[Atom], length: float
) -> MolGraph:
    """The fragment's atoms and bonds in the picture (y down), without changing its handedness."""
    drawn = _layout(fragment)
    assert drawn is not None
    picture = drawn.transformed(1, 0, 0, flip=True)
    ends = [picture.atoms[site] for site in fragment.sites] or [picture.atoms[0]]
    if len(set(fragment.sites)) > 1:
        # Between its neighbours: the line from end to end lies along them, centred on the label.
        direction = _angle(neighbours[0], neighbours[-1])
        turn = direction - _angle(ends[0], ends[-1])
        centre = replace(label, x=(ends[0].x + ends[-1].x) / 2, y=(ends[0].y + ends[-1].y) / 2)
        gap = math.hypot(neighbours[-1].x - neighbours[0].x, neighbours[-1].y - neighbours[0].y)
        span = math.hypot(ends[-1].x - ends[0].x, ends[-1].y - ends[0].y)
        scale = min(length, gap / (span + 2))
    else:
        # Behind the attachment atom, away from the neighbours.
        others = [a for i, a in enumerate(picture.atoms) if i not in fragment.sites] or ends
        turn = _angle(_middle(neighbours), label) - _angle(ends[0], _middle(others))
        centre, scale = ends[0], length
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    return picture.placed(
        (
            label.x + (a.x - centre.x) * cos - (a.y - centre.y) * sin,
            label.y + (a.x - centre.x) * sin + (a.y - centre.y) * cos,
        )
        for a in picture.atoms
    )


def _middle(atoms: Sequence[Atom]) -> Atom:
    count = max(len(atoms), 1)
    return Atom("*", sum(a.x for a in atoms) / count, sum(a.y for a in atoms) / count)


def _angle(begin: Atom, end: Atom) -> float:
    return math.atan2(end.y - begin.y, end.x - begin.x)
