"""A drawing that is still being changed: nodes and bonds at their places, no Subject yet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from data_preprocess.drawing.abbreviate import BACKWARD, FORWARD
from data_preprocess.drawing.depiction import Depiction
from data_preprocess.drawing.subject import CUT_LINE, HYDROGENS_RIGHT, Subject
from detector_training.words import Word
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph

__all__ = [
    "LETTER",
    "Draft",
    "Node",
    "element_of",
    "ring_nodes",
]

LETTER = 0.36  # width of a letter, in bond lengths
_BACKWARD = 0.342  # a label whose bond points further right than this is written towards the left
_NEAR = 0.42  # of a bond length: nodes nearer to each other cannot be told apart

# Symbols that a drawing means as elements; Ac, Pr, Ts, Y, W, V, U and others are words here.
_ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        """
        H Li Be B C N O F Na Mg Al Si P S Cl K Ca Ti Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Zr Mo
        Ru Rh Pd Ag Cd In Sn Sb Te I Cs Ba Re Os Ir Pt Au Hg Tl Pb Bi At La Gd Eu Tb Sm
        """,
    )
)
_ELEMENT = re.compile(r"(\d{1,3})?([A-Z][a-z]?)(?:H(\d)?)?([+-]\d?)?")


def element_of(text: str) -> tuple[Atom, int] | None:
    """The atom and the hydrogens of a text such as NH2, O- or 13CH3; None for all other words."""
    match = _ELEMENT.fullmatch(text)
    if match is None or match[2] not in _ELEMENTS:
        return None
    hydrogens = int(match[3] or 1) if "H" in text[match.end(2) :] else 0
    return Atom.from_text(f"[{match[1] or ''}{match[2]}{match[4] or ''}]"), hydrogens


@dataclass
class Node:
    """An atom or a label.

    Attributes:
        atom: label, charge, isotope; its place is not used.
        x, y: in bond lengths, y down.
        hydrogens: that are not nodes.
        word: both texts of a label; None for an element.
        written: a carbon that is written out.
        hydrogens_right: its hydrogens stand at its right though a bond does too.
    """

    atom: Atom
    x: float
    y: float
    hydrogens: int = 0
    word: Word | None = None
    written: bool = False
    hydrogens_right: bool = False

    @property
    def is_bare_carbon(self) -> bool:
        return self.word is None and not self.written and self.atom.text == "C"

    @property
    def width(self) -> float:
        """Of its text, in bond lengths; 0 for a bare carbon."""
        if self.is_bare_carbon:
            return 0.0
        if self.word is not None:
            return LETTER * len(self.atom.label)
        extra = (self.hydrogens > 0) + 0.7 * (self.hydrogens > 1) + 0.7 * bool(self.atom.charge)
        return LETTER * (len(self.atom.label) + extra)


@dataclass
class Draft:
    """Nodes and bonds that can be changed; `subject` is what comes out."""

    nodes: list[Node] = field(default_factory=list)
    bonds: list[Bond] = field(default_factory=list)
    circles: tuple[tuple[int, ...], ...] = ()
    crossing: set[tuple[int, int]] = field(default_factory=set)
    cut_lines: dict[tuple[int, int], str] = field(default_factory=dict)

    @classmethod
    def of(cls, depiction: Depiction) -> Draft:
        """What a depiction says, its bonds scaled to 1."""
        unit = depiction.graph.median_bond_length() or 1.5
        nodes = []
        for index, (atom, chem) in enumerate(
            zip(depiction.graph.atoms, depiction.mol.GetAtoms(), strict=True)
        ):
            word = None
            if chem.HasProp("molFileAlias"):
                texts = [atom.text.strip("[]")] * 2
                if chem.HasProp(FORWARD):
                    texts = [chem.GetProp(FORWARD), chem.GetProp(BACKWARD)]
                word = Word(*texts)
            nodes.append(
                Node(
                    Atom(atom.label, 0, 0, atom.charge, atom.isotope, atom.radical),
                    atom.x / unit,
                    atom.y / unit,
                    chem.GetTotalNumHs(),
                    word,
                    index in depiction.carbons,
                )
            )
        return cls(nodes, list(depiction.graph.bonds), depiction.circles)

    def join(self, other: Draft, dx: float, dy: float) -> None:
        """Set another draft, of nodes and bonds alone, beside what is here."""
        first = len(self.nodes)
        for node in other.nodes:
            self.nodes.append(replace(node, x=node.x + dx, y=node.y + dy))
        self.bonds += [Bond(b.begin + first, b.end + first, b.order) for b in other.bonds]

    def subject(self, *, sheet: bool = False) -> Subject:
        """The finished subject; its molecule is made from the nodes, as they are drawn."""
        mol = Chem.RWMol()
        for node in self.nodes:
            mol.AddAtom(_chem_atom(node))
        for bond in self.bonds:
            mol.AddBond(bond.begin, bond.end, _BOND_TYPES.get(bond.order, Chem.BondType.SINGLE))
        for (begin, end), how in self.cut_lines.items():
            mol.GetBondBetweenAtoms(begin, end).SetProp(CUT_LINE, how)
        mol.UpdatePropertyCache(strict=False)
        Chem.GetSymmSSSR(mol)
        atoms = tuple(
            Atom(a.label, n.x, n.y, a.charge, a.isotope, a.radical)
            for n, a in ((node, node.atom) for node in self.nodes)
        )
        return Subject(
            MolGraph(atoms, tuple(self.bonds)),
            mol.GetMol(),
            frozenset(i for i, node in enumerate(self.nodes) if node.written),
            self.circles,
            frozenset(self.crossing),
            sheet,
        )

    def neighbours(self) -> list[list[tuple[int, Bond]]]:
        """For each node its (other node, bond) pairs."""
        table: list[list[tuple[int, Bond]]] = [[] for _ in self.nodes]
        for bond in self.bonds:
            table[bond.begin].append((bond.end, bond))
            table[bond.end].append((bond.begin, bond))
        return table

    def points(self) -> NDArray[np.float64]:
        """(N, 2) places."""
        return np.array([(node.x, node.y) for node in self.nodes]).reshape(-1, 2)

    def mark_crossings(self) -> None:
        """Of two bonds that cross, name the later one as the one that may be drawn in front."""
        if len(self.bonds) < 2:
            return
        points = self.points()
        ends = np.array([(bond.begin, bond.end) for bond in self.bonds])
        p, q = points[ends[:, 0]], points[ends[:, 1]]
        begins = _turns(p[:, None], q[:, None], p[None])
        stops = _turns(p[:, None], q[:, None], q[None])
        apart = begins * stops < -1e-6  # the other bond's ends lie on both sides of this bond
        for first, second in np.argwhere(np.triu(apart & apart.T)):
            if not set(ends[first].tolist()) & set(ends[second].tolist()):
                self.crossing.add((self.bonds[second].begin, self.bonds[second].end))

    def is_free(
        self, x: float, y: float, besides: tuple[int, ...] = (), distance: float = _NEAR
    ) -> bool:
        """Whether a node could stand there, apart from all others but those named."""
        return not any(
            index not in besides and math.hypot(node.x - x, node.y - y) < distance
            for index, node in enumerate(self.nodes)
        )

    def writes_backward(self, index: int, other: int) -> bool:
        """Whether a label at `index`, bonded to `other`, is written towards the left."""
        here, there = self.nodes[index], self.nodes[other]
        dx, dy = there.x - here.x, there.y - here.y
        return dx / (math.hypot(dx, dy) or 1.0) > _BACKWARD

    def room(self, index: int, width: float, *, backward: bool) -> bool:
        """Whether a text of this width finds no node and no bond's middle in its way."""
        here = self.nodes[index]
        points = self.points()
        ends = np.array([(b.begin, b.end) for b in self.bonds if index not in (b.begin, b.end)])
        if len(ends):
            begins, stops = points[ends[:, 0]], points[ends[:, 1]]
            points = np.concatenate(
                [points, *(begins * (1 - t) + stops * t for t in (0.25, 0.5, 0.75))]
            )
        reach = (points[:, 0] - here.x) * (-1 if backward else 1)
        across = np.abs(points[:, 1] - here.y)
        hit = (reach > 0.15) & (reach < width) & (across < 0.4)
        for other, node in enumerate(self.nodes):  # and no other label that reaches here
            if node.width > 0.6 and other != index and abs(node.y - here.y) < 0.55:
                left, right = (node.x - node.width, node.x + node.width)
                begin, stop = (here.x - width, here.x) if backward else (here.x, here.x + width)
                if left < stop and begin < right:
                    return False
        return not hit.any()

    def write(self, index: int, text: str, word: Word | None = None) -> None:
        """Make a node say `text`: an element with its hydrogens, or a label."""
        node = self.nodes[index]
        element = element_of(text)
        node.written = False
        if element is None:
            node.atom, node.hydrogens = Atom.from_text(f"[{text}]"), 0
            node.word = word or Word(text, text)
            return
        node.atom, node.hydrogens = element
        node.word = None
        node.written = node.atom.text == "C"

    def add(self, node: Node, to: int, order: BondOrder = BondOrder.SINGLE) -> int:
        """A new node, bonded to `to`, which is the narrow end; returns its index."""
        self.nodes.append(node)
        self.bonds.append(Bond(to, len(self.nodes) - 1, order))
        return len(self.nodes) - 1

    def side(self, start: int, without: int) -> set[int] | None:
        """The nodes that hang on `start` when `without` is taken away; None if it is in a ring
        with `start`, so that nothing can be moved on its own."""
        table = self.neighbours()
        seen, waiting = {start}, [start]
        while waiting:
            here = waiting.pop()
            for other, _ in table[here]:
                if other == without:
                    if here != start:
                        return None
                elif other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    def shift(self, members: set[int], dx: float, dy: float) -> bool:
        """Move some nodes; undone, and False, where they would come upon others."""
        moved = sorted(members)
        rest = [index for index in range(len(self.nodes)) if index not in members]
        points = self.points()
        points[moved] += (dx, dy)
        if rest and moved:
            apart = points[moved][:, None] - points[rest][None]
            if float((apart**2).sum(-1).min()) < (1.3 * _NEAR) ** 2:
                return False
        for index in moved:
            self.nodes[index].x += dx
            self.nodes[index].y += dy
        return True


def _turns(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Twice the signed areas of the triangles abc."""
    ab, ac = b - a, c - a
    return np.asarray(ab[..., 0] * ac[..., 1] - ab[..., 1] * ac[..., 0])


_BOND_TYPES = {
    BondOrder.DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.CROSSED_DOUBLE: Chem.BondType.DOUBLE,
    BondOrder.TRIPLE: Chem.BondType.TRIPLE,
}


def _chem_atom(node: Node) -> Chem.Atom:
    if node.word is not None:
        atom = Chem.Atom(0)
        atom.SetProp("molFileAlias", node.atom.label)
        atom.SetProp(FORWARD, node.word.forward)
        atom.SetProp(BACKWARD, node.word.backward)
        return atom
    atom = Chem.Atom(node.atom.label if node.atom.is_element else 0)
    atom.SetFormalCharge(node.atom.charge)
    atom.SetIsotope(node.atom.isotope)
    atom.SetNoImplicit(True)
    atom.SetNumExplicitHs(node.hydrogens)
    if node.hydrogens_right:
        atom.SetBoolProp(HYDROGENS_RIGHT, True)
    return atom


def ring_nodes(draft: Draft) -> set[int]:
    """Nodes of rings: the ends of all bonds that are no bridges (Tarjan's test)."""
    table = draft.neighbours()
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    bridges: set[frozenset[int]] = set()
    for start in range(len(table)):
        if start in order:
            continue
        order[start] = low[start] = len(order)
        stack = [(start, -1, iter(table[start]))]
        while stack:
            here, parent, rest = stack[-1]
            for other, _ in rest:
                if other not in order:
                    order[other] = low[other] = len(order)
                    stack.append((other, here, iter(table[other])))
                    break
                if other != parent:
                    low[here] = min(low[here], order[other])
            else:
                stack.pop()
                if parent >= 0:
                    low[parent] = min(low[parent], low[here])
                    if low[here] > order[parent]:
                        bridges.add(frozenset((parent, here)))
    return {
        end
        for bond in draft.bonds
        if frozenset((bond.begin, bond.end)) not in bridges
        for end in (bond.begin, bond.end)
    }
