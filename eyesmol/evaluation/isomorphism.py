"""Whether two labelled graphs are the same but for the numbering, by RDKit's canonical ranking.

RDKit ranks molecules, so a graph becomes one whose only property is the isotope: each node carries
the number of its label, each edge becomes a node of its own with the number of its kind (two in a
row where it has a direction, so that its begin shows), and a group becomes a node that is bound to
its members.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from rdkit import Chem

__all__ = ["LabelledGraph", "isomorphic"]


@dataclass(frozen=True)
class LabelledGraph:
    """Nodes by index, with what has to agree.

    Attributes:
        nodes: the label of each.
        edges: begin, end, kind, and whether it matters which is which.
        groups: a label, and the nodes that belong together.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str, bool], ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def size(self) -> tuple[int, int, int]:
        """Numbers of nodes, edges and groups."""
        return len(self.nodes), len(self.edges), len(self.groups)


def isomorphic(first: LabelledGraph, second: LabelledGraph) -> bool:
    """True where a numbering makes the two equal, labels, kinds, directions and groups included."""
    if first.size() != second.size():
        return False
    texts = {
        text
        for graph in (first, second)
        for text in (
            *(f"node {label}" for label in graph.nodes),
            *(f"edge {kind}" for _, _, kind, _ in graph.edges),
            *(f"group {label}" for label, _ in graph.groups),
        )
    }
    colour = {text: number for number, text in enumerate(sorted(texts), start=2)}
    return _key(first, colour) == _key(second, colour)


_END = 1  # the colour that follows a directed edge's own


def _key(graph: LabelledGraph, colour: dict[str, int]) -> str:
    mol = Chem.RWMol()

    def add(isotope: int) -> int:
        atom = Chem.Atom(6)
        atom.SetNoImplicit(True)
        atom.SetIsotope(isotope)
        return int(mol.AddAtom(atom))

    nodes = [add(colour[f"node {label}"]) for label in graph.nodes]
    for begin, end, kind, is_directed in graph.edges:
        chain = [nodes[begin], add(colour[f"edge {kind}"])]
        if is_directed:
            chain.append(add(_END))
        chain.append(nodes[end])
        for here, there in itertools.pairwise(chain):
            mol.AddBond(here, there, Chem.BondType.SINGLE)
    for label, members in graph.groups:
        group = add(colour[f"group {label}"])
        for member in members:
            mol.AddBond(group, nodes[member], Chem.BondType.SINGLE)
    Chem.FastFindRings(mol)
    return str(Chem.MolToSmiles(mol))
