"""The tracks of MolRecBench-Wild: when a drawing agrees with a gold in CARBON.

- SMILES: exact match without cis/trans, of the golds that have a SMILES (see
  `eyesmol.evaluation.gold.carbon_smiles`)
- simplified graph: symbols and kinds of bond, which are single, double, triple, aromatic, solid and
  dashed wedge; charges, brackets and whatever else is left out
- graph: symbols, charges, radicals, valences, isotopes, attachment points, all kinds of bond, and
  what brackets enclose and are marked with

Places count in none. The names of open places (Rα, Rβ, ...) may be exchanged for each other, all of
one name for all of another. Differences from the benchmark's own evaluator: labels have to agree
letter for letter (it knows some spellings as equal), its SMILES keep the names of labels that do
not expand, and which golds have a SMILES is decided by this project's abbreviations.
"""

from __future__ import annotations

import re

from eyesmol.chem.carbon import DIRECTED, Carbon
from eyesmol.evaluation.isomorphism import LabelledGraph, isomorphic
from eyesmol.recognition import Recognition

__all__ = ["read_carbon", "same_carbon"]

_OPEN_PLACE = re.compile("(R\\d*)[\u0391-\u03a9\u03b1-\u03c9]+")  # an R and a Greek letter


def same_carbon(first: Carbon, second: Carbon, *, simplified: bool) -> bool:
    """Whether two records agree: the simplified graph or the graph; see above."""
    if simplified:
        first, second = first.simplified(), second.simplified()
    return bool(first.symbols) and isomorphic(_labelled(first), _labelled(second))


def _labelled(carbon: Carbon) -> LabelledGraph:
    """Open places carry their stem, and a group each name that they share."""
    names: dict[str, list[int]] = {}
    nodes = []
    properties = (carbon.charges, carbon.radicals, carbon.valences, carbon.isotopes,
                  carbon.attach_points)  # fmt: skip
    for atom, symbol in enumerate(carbon.symbols):
        if match := _OPEN_PLACE.fullmatch(symbol):
            names.setdefault(symbol, []).append(atom)
            symbol = f"open place {match[1]}"
        nodes.append(" ".join([symbol, *(str(values[atom]) for values in properties)]))
    return LabelledGraph(
        tuple(nodes),
        tuple((a, b, str(kind), kind in DIRECTED) for a, b, kind in carbon.bonds),
        (
            *((f"bracket {alias}", atoms) for alias, atoms in carbon.brackets),
            *(("open place", tuple(atoms)) for atoms in names.values()),
        ),
    )


def read_carbon(read: Recognition) -> Carbon | None:
    """What was read as a record: the tool's own, else the graph's; None where there is neither."""
    if read.carbon is None and read.graph is not None:
        return Carbon.of_graph(read.graph)
    return read.carbon
