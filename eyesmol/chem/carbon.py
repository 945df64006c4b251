"""CARBON, the notation of MolRecBench-Wild (arXiv 2605.05832): drawings beyond what SMILES says.

A record is one JSON object: a list for each property of the atoms (``symbols``, ``charges``,
``radicals``, ``valences``, ``isotopes``, ``attach_points``, ``coords``; null where nothing is
drawn), ``bonds`` as ``[i, j, kind]``, and ``brackets`` as ``{"alias", "atoms"}``. A pseudo-atom
stands in square brackets (``[Ph]``, ``[R]``); a bond that ends nowhere leads to ``[?]``.

Between it and a `MolGraph`:

- a label is a pseudo-atom and the other way round; ``*`` is ``[Rα]``, ``[Rβ]`` ..., as the
  benchmark names open places, and ``?`` and these are labels of their own
- an attachment point is a number at its atom there, and a ``*`` at the end of an attachment bond
  here
- two dots are a triplet (3), as in molfiles; singlets (2) come back as two dots
- coordinates have y up there, as in molfiles
- kinds of bond that a graph lacks become the nearest that it has; `Carbon` itself keeps them
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, MolGraph, is_element

__all__ = ["BOND_KINDS", "Carbon", "CarbonError", "is_carbon"]

# As the benchmark numbers them.
BOND_KINDS: dict[str, int] = {
    "single": 1,
    "double": 2,
    "triple": 3,
    "aromatic": 4,
    "solid wedge": 5,
    "dashed wedge": 6,
    "any": 7,
    "single or double": 8,
    "single or aromatic": 9,
    "double or aromatic": 10,
    "dative": 11,
    "hydrogen": 12,
    "wavy": 13,
    "double either": 14,
    "bold": 15,
    "dashed bold": 16,
    "hollow wedge": 17,
    "bold double": 18,
    "dashed double": 19,
    "dashed triple": 20,
    "dashed dative": 21,
    "triple with single dash": 22,
    "triple with double dash": 23,
}
_ATTACHMENT = "attachment point"  # of predictions only: its second atom is no atom

DIRECTED = frozenset(
    {5, 6, 11, 13, 17, 21}
)  # kinds whose first atom is the narrow end, or the donor

_ORDER_OF_KIND = {
    1: BondOrder.SINGLE,
    2: BondOrder.DOUBLE,
    3: BondOrder.TRIPLE,
    4: BondOrder.AROMATIC,
    5: BondOrder.SOLID_WEDGE,
    6: BondOrder.DASHED_WEDGE,
    7: BondOrder.ANY,
    8: BondOrder.ANY,
    9: BondOrder.ANY,
    10: BondOrder.ANY,
    11: BondOrder.DATIVE,
    12: BondOrder.HYDROGEN,
    13: BondOrder.WAVY,
    14: BondOrder.CROSSED_DOUBLE,
    15: BondOrder.BOLD,
    16: BondOrder.BOLD,
    17: BondOrder.HOLLOW_WEDGE,
    18: BondOrder.DOUBLE,
    19: BondOrder.DOUBLE,
    20: BondOrder.TRIPLE,
    21: BondOrder.DATIVE,
    22: BondOrder.TRIPLE,
    23: BondOrder.TRIPLE,
}
_KIND_OF_ORDER = {
    **{order: kind for kind, order in reversed(_ORDER_OF_KIND.items())},
    BondOrder.ATTACHMENT: 1,
}
# What the benchmark's simplified graph and its SMILES make of the kinds; 1 to 6 stay.
_SIMPLE = {7: 1, 8: 1, 9: 2, 10: 2, 11: 1, 12: 1, 13: 1, 14: 2, 15: 1, 16: 1, 17: 1, 18: 2, 19: 2,
           20: 3, 21: 1, 22: 3, 23: 1}  # fmt: skip

_GREEK = "αβγδεζηθικλμνξοπρστυφχψω"
_LISTS = ("charges", "radicals", "valences", "isotopes", "attach_points", "coords")


class CarbonError(ValueError):
    """A record that is none; says which field."""


def is_carbon(row: Mapping[str, Any]) -> bool:
    """True for a record, be it an empty one; a row with nothing but a SMILES is none."""
    return isinstance(row.get("symbols"), list) and isinstance(row.get("bonds"), list)


@dataclass(frozen=True)
class Carbon:
    """A drawing as a CARBON record; see above.

    Attributes:
        symbols: of each atom, square brackets of pseudo-atoms left off.
        charges, radicals, valences, isotopes, attach_points: of each atom; None where nothing is
            drawn.
        bonds: first atom, second atom, kind (a value of `BOND_KINDS`).
        brackets: what stands at the lower right corner, and the atoms inside.
        coords: of each atom, y up, in any unit; of no account in any score.
    """

    symbols: tuple[str, ...] = ()
    charges: tuple[float | None, ...] = ()
    radicals: tuple[int | None, ...] = ()
    valences: tuple[int | None, ...] = ()
    isotopes: tuple[int | None, ...] = ()
    attach_points: tuple[int | None, ...] = ()
    bonds: tuple[tuple[int, int, int], ...] = ()
    brackets: tuple[tuple[str, tuple[int, ...]], ...] = ()
    coords: tuple[tuple[float, float], ...] = field(default=(), compare=False)

    # ---- JSON ----

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Carbon:
        """From a record; kinds of bond may be numbers or names.

        Raises:
            CarbonError: a field that is missing or of another length, or a bond that is none.
        """
        if not is_carbon(row):
            raise CarbonError("no CARBON record: expected lists symbols and bonds")
        count = len(row["symbols"])
        lists = {name: _per_atom(row, name, count) for name in _LISTS}
        dropped, bonds = [], []
        for number, entry in enumerate(row["bonds"]):
            first, second, kind = _bond(entry, number, count)
            if kind == _ATTACHMENT:
                lists["attach_points"][first] = (lists["attach_points"][first] or 0) + 1
                dropped.append(second)
            else:
                bonds.append((first, second, BOND_KINDS[kind]))
        found = cls(
            symbols=tuple(map(_bare, row["symbols"])),
            bonds=tuple(bonds),
            brackets=tuple(map(_bracket, row.get("brackets") or ())),
            coords=tuple((float(xy[0]), float(xy[1])) if xy else (0.0, 0.0)
                         for xy in lists.pop("coords")),
            **{name: tuple(value or None for value in values) for name, values in lists.items()},
        )  # fmt: skip
        return found._without(dropped) if dropped else found

    def to_dict(self) -> dict[str, Any]:
        """As a record; `from_dict` gives the same back."""
        return {
            "symbols": [s if is_element(s) or s == "D" else f"[{s}]" for s in self.symbols],
            "charges": list(self.charges),
            "radicals": list(self.radicals),
            "valences": list(self.valences),
            "isotopes": list(self.isotopes),
            "attach_points": list(self.attach_points),
            "coords": [list(xy) for xy in self.coords],
            "bonds": [list(bond) for bond in self.bonds],
            "brackets": [
                {"alias": alias, "atoms": list(atoms), "display_rects": []}
                for alias, atoms in self.brackets
            ],
        }

    # ---- graphs ----

    @classmethod
    def of_graph(cls, graph: MolGraph) -> Carbon:
        """Of a graph with y down."""
        ends = {b.end: b.begin for b in graph.bonds if b.order is BondOrder.ATTACHMENT
                and graph.atoms[b.end].label == "*"}  # fmt: skip
        points = [sum(atom == begin for begin in ends.values()) for atom in range(len(graph.atoms))]
        open_places = [n for n, a in enumerate(graph.atoms) if a.label == "*" and n not in ends]
        names = dict(zip(open_places, _open_names(graph), strict=False))
        found = cls(
            symbols=tuple(names.get(n, atom.label) for n, atom in enumerate(graph.atoms)),
            charges=tuple(atom.charge or None for atom in graph.atoms),
            radicals=tuple((None, 1, 3)[min(atom.radical, 2)] for atom in graph.atoms),
            valences=(None,) * len(graph.atoms),
            isotopes=tuple(atom.isotope or None for atom in graph.atoms),
            attach_points=tuple(count or None for count in points),
            bonds=tuple((b.begin, b.end, _KIND_OF_ORDER[b.order]) for b in graph.bonds),
            brackets=tuple((bracket.mark, bracket.atoms) for bracket in graph.brackets),
            coords=tuple((round(atom.x, 2), round(-atom.y, 2)) for atom in graph.atoms),
        )
        return found._without(ends) if ends else found

    def graph(self) -> MolGraph:
        """As a graph, y down; kinds of bond that it lacks become the nearest that it has."""
        atoms = [
            Atom(symbol, x, -y, int(charge or 0), isotope or 0, min(radical or 0, 2))
            for symbol, (x, y), charge, isotope, radical in zip(
                self.symbols, self._places(), self.charges, self.isotopes, self.radicals,
                strict=True,
            )
        ]  # fmt: skip
        bonds = [Bond(first, second, _ORDER_OF_KIND[kind]) for first, second, kind in self.bonds]
        for atom, points in enumerate(self.attach_points):
            for point in range(points or 0):
                # Beside its atom: an attachment point has no place of its own.
                end = replace(atoms[atom], label="*", x=atoms[atom].x + 1 + point)
                atoms.append(replace(end, charge=0, isotope=0, radical=0))
                bonds.append(Bond(atom, len(atoms) - 1, BondOrder.ATTACHMENT))
        brackets = tuple(Bracket.marked(atoms, alias) for alias, atoms in self.brackets)
        return MolGraph(tuple(atoms), tuple(_once(bonds)), brackets)

    def simplified(self) -> Carbon:
        """What the benchmark's simplified graph keeps: symbols and kinds 1 to 6 of bonds."""
        nothing = (None,) * len(self.symbols)
        bonds = self.with_simple_bonds().bonds
        return Carbon(self.symbols, *(nothing,) * 5, bonds=bonds, coords=self.coords)

    def with_simple_bonds(self) -> Carbon:
        """The same with kinds 1 to 6 of bonds alone."""
        return replace(self, bonds=tuple((a, b, _SIMPLE.get(k, k)) for a, b, k in self.bonds))

    def _places(self) -> Sequence[tuple[float, float]]:
        return self.coords or [(0.0, 0.0)] * len(self.symbols)

    def _without(self, atoms: Iterable[int]) -> Carbon:
        """The same less some atoms, their bonds with them."""
        gone = set(atoms)
        kept = [n for n in range(len(self.symbols)) if n not in gone]
        number = {old: new for new, old in enumerate(kept)}

        def chosen(values: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(values[n] for n in kept)

        lists = {name: chosen(getattr(self, name)) for name in ("symbols", *_LISTS[:-1])}
        return replace(
            self,
            **lists,
            bonds=tuple((number[a], number[b], kind) for a, b, kind in self.bonds
                        if a in number and b in number),
            brackets=tuple((alias, tuple(number[n] for n in inside if n in number))
                           for alias, inside in self.brackets),
            coords=chosen(self._places()),
        )  # fmt: skip


def _open_names(graph: MolGraph) -> Iterable[str]:
    """Names of open places that no label of the graph has: Rα, Rβ, ..."""
    taken = {atom.label for atom in graph.atoms}
    count = 0
    while True:
        name = "R" + _GREEK[count % len(_GREEK)] * (1 + count // len(_GREEK))
        count += 1
        if name not in taken:
            yield name


def _once(bonds: Iterable[Bond]) -> list[Bond]:
    """Bonds without those that tie an atom to itself or two atoms anew."""
    found: dict[frozenset[int], Bond] = {}
    for bond in bonds:
        if bond.begin != bond.end:
            found.setdefault(frozenset((bond.begin, bond.end)), bond)
    return list(found.values())


# ---- reading a record ----


def _bare(symbol: Any) -> str:
    """A symbol without the square brackets of a pseudo-atom."""
    text = str(symbol or "?").strip()
    bare = text[1:-1].strip() if len(text) > 2 and text[0] == "[" and text[-1] == "]" else text
    return bare or "?"


def _per_atom(row: Mapping[str, Any], name: str, count: int) -> list[Any]:
    values = row.get(name)
    if not values:
        return [None] * count
    if not isinstance(values, list) or len(values) != count:
        raise CarbonError(
            f"{name}: found {str(values)[:60]}, expected a list of {count}, as symbols"
        )
    return list(values)


def _bond(entry: Any, number: int, count: int) -> tuple[int, int, str]:
    """Ends and kind; the kind by its name."""
    try:
        first, second, kind = entry
        first, second = int(first), int(second)
        name = _NAMES[int(kind)] if not isinstance(kind, str) else kind.replace("_", " ").strip()
    except (TypeError, ValueError, KeyError):
        raise CarbonError(
            f"bond {number}: found {str(entry)[:60]}, expected [atom, atom, kind], a kind from 1 "
            f"to {len(BOND_KINDS)} or its name"
        ) from None
    if name != _ATTACHMENT and name not in BOND_KINDS:
        raise CarbonError(
            f"bond {number}: found the kind {name!r}, expected one of {', '.join(BOND_KINDS)}"
        )
    if not (0 <= first < count and 0 <= second < count):
        raise CarbonError(
            f"bond {number}: found {first}, {second}, expected atoms 0 to {count - 1}"
        )
    return first, second, name


_NAMES = {number: name for name, number in BOND_KINDS.items()}


def _bracket(entry: Any) -> tuple[str, tuple[int, ...]]:
    try:
        alias = entry.get("alias", entry.get("mark"))
        return str(alias if alias is not None else ""), tuple(sorted(map(int, entry["atoms"])))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CarbonError(
            f'bracket: found {str(entry)[:60]}, expected {{"alias", "atoms"}}'
        ) from None
