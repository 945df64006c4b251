"""Labels of a drawing replaced by the atoms that they stand for, laid out at the label's place."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

from eyesmol.chem.abbreviations import SPECIES, is_label
from eyesmol.chem.condensed import Fragment, read_condensed, table_mol
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph, is_element
from eyesmol.chem.molfile import block_to_mol, mol_to_graph

__all__ = ["expand_abbreviations", "read_label"]

_VALENCE = {BondOrder.DOUBLE: 2, BondOrder.CROSSED_DOUBLE: 2, BondOrder.TRIPLE: 3}
# (order, place in graph.bonds, neighbour), from the left of the drawing to the right
_Outward = list[tuple[int, int, int]]


def expand_abbreviations(graph: MolGraph) -> tuple[MolGraph, list[str]]:
    """Every label that can be read replaced by its atoms; the others stay, one problem each.

    A label with one attachment atom keeps its place for it (so wedges stay valid), and the rest is
    laid out behind it. A label with two ends is read as it is drawn: the neighbour that stands left
    is bound to the end that is written left.

    Args:
        graph: in picture coordinates (y down).
    """
    atoms, bonds = list(graph.atoms), list(graph.bonds)
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
            [order for order, _, _ in outward],
            from_right=_stands_right(graph, index, outward),
        )
        if fragment is None:
            problems.append(f"atom {index}: the label {atom.label!r} has no known expansion")
            continue
        drawn = _laid_out(fragment, atom, [graph.atoms[n] for _, _, n in outward], length)
        number = [index, *range(len(atoms), len(atoms) + len(drawn.atoms) - 1)]
        atoms[index] = drawn.atoms[0]
        atoms.extend(drawn.atoms[1:])
        bonds.extend(Bond(number[b.begin], number[b.end], b.order) for b in drawn.bonds)
        for (_, place, _), site in zip(outward, fragment.sites, strict=True):
            begin, end, order = bonds[place].begin, bonds[place].end, bonds[place].order
            bonds[place] = (
                Bond(number[site], end, order)
                if begin == index
                else Bond(begin, number[site], order)
            )
    return MolGraph(tuple(atoms), tuple(bonds)), problems


def _is_r_group(label: str) -> bool:
    return label == "*" or (label[0] == "R" and label[1:].isdigit() and len(label) <= 3)


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


# "• 2 HCl": a bullet, how many, what
_COUNTED = re.compile(r"[•·∙*.]?\s*(\d{0,2})\s*(.+)")


def read_label(label: str, orders: Sequence[int], *, from_right: bool = False) -> Fragment | None:
    """What a label stands for: a condensed formula, or one or more species that stand alone.

    Total: None for a label that cannot be read, or whose atoms RDKit refuses.

    Args:
        label: as drawn, with its charge.
        orders: of the bonds that lead to it, from the left of the drawing to the right.
        from_right: see `eyesmol.chem.condensed.read_condensed`.
    """
    fragment = read_condensed(label, orders, from_right=from_right) if orders else _species(label)
    return fragment if fragment is not None and _layout(fragment) is not None else None


@lru_cache(maxsize=256)
def _species(label: str) -> Fragment | None:
    match = _COUNTED.fullmatch(label.strip())
    if match is None:
        return None
    count, name = int(match[1] or 1), match[2]
    if name in SPECIES:
        one = Fragment(table_mol(SPECIES[name]))
    elif is_element(name):
        one = Fragment(table_mol(f"[{name}]"))
    elif (found := read_condensed(name, ())) is not None:
        one = found
    else:
        return None
    mol = Chem.RWMol()
    for _ in range(count):
        mol.InsertMol(one.mol)
    return Fragment(mol.GetMol()) if count else None


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
