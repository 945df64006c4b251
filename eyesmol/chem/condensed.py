"""A reader of condensed formulas: CH2CH3, SO2NH2, EtO2C, (CH2)3, N(CH2CH3)2, CONH(CH2)6NHBoc.

A formula is read in two steps. A recursive-descent parser cuts it into pieces: atoms with their
hydrogens, groups of the table (`eyesmol.chem.abbreviations`), formulas in parentheses. A
depth-first search then ties the pieces into a molecule in which every valence is used, apart from
those that the drawing's own bonds need. Valence alone decides that the O of COCH3 is a ketone and
the O of COCH is not, so there are no rules about functional groups in here.

Formulas are written from either end (CO2Me, MeO2C). The search therefore runs along the text and
against it; what makes a reading unlikely, atoms that stand before the one that carries them, is
counted, and the reading with the fewest wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from rdkit import Chem

from eyesmol.chem.abbreviations import GROUPS, LINKS, UNITS

__all__ = ["Fragment", "read_condensed", "table_mol"]

# Valences that an atom of a formula may show, by charge. A metal or a noble gas is in no formula.
_VALENCES: dict[tuple[str, int], tuple[int, ...]] = {
    ("H", 0): (1,), ("F", 0): (1,), ("Cl", 0): (1,), ("Br", 0): (1,), ("I", 0): (1,),
    ("Li", 0): (1,), ("Na", 0): (1,), ("K", 0): (1,),
    ("B", 0): (3,), ("C", 0): (4,), ("Si", 0): (4,), ("Sn", 0): (4,),
    ("N", 0): (3, 5), ("P", 0): (3, 5), ("O", 0): (2,), ("S", 0): (2, 4, 6), ("Se", 0): (2, 4, 6),
    ("N", 1): (4,), ("P", 1): (4,), ("O", 1): (3,), ("S", 1): (3,),
    ("O", -1): (1,), ("S", -1): (1,), ("N", -1): (2,), ("C", -1): (3,), ("B", -1): (4,),
}  # fmt: skip

# A label is short; a runaway answer is not.
_MAX_TEXT, _MAX_PIECES, _MAX_ATOMS, _MAX_STEPS = 80, 200, 200, 5_000


@dataclass(frozen=True)
class Fragment:
    """What a label stands for.

    Attributes:
        mol: its atoms and bonds, unsanitised, hydrogens left to the valence.
        sites: for each bond of the label, from the left of the drawing to the right, the atom that
            the bond leads to.
    """

    mol: Chem.Mol
    sites: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Piece:
    """A part of a formula: one atom, a group of the table, or what stands in parentheses.

    `valences` are those that each atom may show, bonds inside the piece included; `first` and
    `last` are the atoms that tie it to what stands before and after it.
    """

    mol: Chem.Mol | None  # None for hydrogens, which are no atoms of the result
    valences: tuple[tuple[int, ...], ...] = ()
    first: int = 0
    last: int = 0
    hydrogens: int = 0
    symbol: str = ""  # of a single atom

    @property
    def leaf_order(self) -> int | None:
        """The order of the bond by which it can hang on one atom and be done; None for a chain."""
        if self.mol is None or self.first != self.last:
            return None
        return self.valences[self.first][0] - _used_inside(self.mol, self.first)


def _used_inside(mol: Chem.Mol, atom: int) -> int:
    return round(sum(b.GetBondTypeAsDouble() for b in mol.GetAtomWithIdx(atom).GetBonds()))


def read_condensed(
    text: str, orders: Sequence[int] = (1,), *, from_right: bool = False
) -> Fragment | None:
    """The fragment that a condensed formula stands for; None where it cannot be read.

    Total: any text gives a fragment or None, in bounded time.

    Args:
        text: the formula as drawn, either way round.
        orders: orders of the bonds that lead to the label, from the left of the drawing to the
            right; none for a formula that stands alone (``H2O``).
        from_right: of two readings that are as good (``NCS``), take the one that is bound at its
            right end, because that is where the neighbour is.
    """
    return _read(text, tuple(orders), from_right)


@lru_cache(maxsize=4096)
def _read(text: str, orders: tuple[int, ...], from_right: bool) -> Fragment | None:
    pieces = _pieces(text)
    if not pieces or not any(_has_an_element(piece) for piece in pieces):
        return None
    return _assemble(pieces, orders, from_right)


def _has_an_element(piece: _Piece) -> bool:
    return piece.mol is not None and any(atom.GetAtomicNum() for atom in piece.mol.GetAtoms())


# --- the parser ---------------------------------------------------------------------------------

_NAMES = sorted({*GROUPS, *LINKS, *(symbol for symbol, _ in _VALENCES)}, key=len, reverse=True)
_TOKEN = re.compile(
    # C6H13 and H13C6: an alkyl group, an alkylene, or a ring of the table
    r"(?P<alkyl>C(?P<c>\d{1,2})H(?P<h>\d{1,2})|H(?P<h2>\d{1,2})C(?P<c2>[2-9]|[1-9]\d))"
    rf"|(?P<name>{'|'.join(map(re.escape, _NAMES))})"
    r"|R(?P<r>\d{0,2})(?![a-z])"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<sign>\+|-(?=$))|(?P<link>[-=≡#])|(?P<count>\d{1,2})"
)


def _pieces(text: str) -> list[_Piece] | None:
    """The pieces of a formula, counts written out; None where a part of it is not known."""
    text = "".join(text.split()).translate({0x2212: "-", 0x2013: "-", 0x00AF: "-"})
    tokens: list[re.Match[str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or place > _MAX_TEXT:
            return None
        tokens.append(match)
        place = match.end()
    parser = _Parser(tokens)
    pieces = parser.formula()
    return pieces if parser.at == len(tokens) else None


@dataclass
class _Parser:
    """formula := (unit count?)*, unit := name | alkyl | sign | "(" formula ")"."""

    tokens: list[re.Match[str]]
    at: int = 0

    def formula(self) -> list[_Piece] | None:
        pieces: list[_Piece] = []
        while self.at < len(self.tokens) and self.tokens[self.at].lastgroup != "close":
            token = self.tokens[self.at]
            self.at += 1
            if token["link"]:
                continue
            if token["sign"]:
                if not _charge(pieces, 1 if token["sign"] == "+" else -1):
                    return None
                continue
            unit = self.unit(token)
            if unit is None:
                return None
            pieces += _repeated(unit, self.count())
            atoms = sum(piece.mol.GetNumAtoms() for piece in pieces if piece.mol is not None)
            if len(pieces) > _MAX_PIECES or atoms > _MAX_ATOMS:
                return None
        return pieces

    def unit(self, token: re.Match[str]) -> _Piece | None:
        if token["open"]:
            inside = self.formula()
            if not inside or self.at >= len(self.tokens):
                return None
            self.at += 1  # the closing parenthesis
            return _composite(inside)
        if token["alkyl"]:
            return _hydrocarbon(int(token["c"] or token["c2"]), int(token["h"] or token["h2"]))
        if token["r"] is not None:
            return _r_group(int(token["r"] or 0))
        return _named(token["name"]) if token["name"] else None

    def count(self) -> int:
        if self.at < len(self.tokens) and self.tokens[self.at]["count"]:
            self.at += 1
            return int(self.tokens[self.at - 1]["count"])
        return 1


def _repeated(piece: _Piece, count: int) -> list[_Piece]:
    if piece.mol is None:
        return [replace(piece, hydrogens=piece.hydrogens * count)]
    return [piece] * count


def _charge(pieces: list[_Piece], sign: int) -> bool:
    """Give a sign to the nearest atom before it that can carry one: the O of CO2-, the N of NH3+.

    False where there is none.
    """
    for index in reversed(range(len(pieces))):
        symbol = pieces[index].symbol
        if symbol and (symbol, sign) in _VALENCES:
            pieces[index] = _atom(symbol, sign)
            return True
    return False


@lru_cache(maxsize=128)
def _atom(symbol: str, charge: int = 0) -> _Piece:
    mol = Chem.RWMol()
    atom = Chem.Atom(symbol)
    atom.SetFormalCharge(charge)
    mol.AddAtom(atom)
    return _Piece(mol.GetMol(), (_VALENCES[symbol, charge],), symbol=symbol)


@lru_cache(maxsize=128)
def _r_group(number: int) -> _Piece:
    mol = Chem.RWMol()
    atom = Chem.Atom(0)
    atom.SetIsotope(number)
    mol.AddAtom(atom)
    return _Piece(mol.GetMol(), ((1,),))


@lru_cache(maxsize=512)
def _named(name: str) -> _Piece:
    if name == "H":
        return _Piece(None, hydrogens=1)
    if (smiles := GROUPS.get(name)) is not None:
        return _group(smiles, first=0, last=0)
    if (smiles := LINKS.get(name)) is not None:
        return _group(smiles, first=0, last=Chem.MolFromSmiles(smiles).GetNumAtoms() - 2)
    return _atom(name)


def table_mol(smiles: str) -> Chem.Mol:
    """A molecule of the table, kekulised; a free valence in brackets (``[Si]``) is no radical."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumRadicalElectrons(0)
    return mol


def _group(smiles: str, first: int, last: int) -> _Piece:
    """A group with one bond to the outside at `first`, and one at `last` where that is another."""
    mol = table_mol(smiles)
    outward = {first: 1, last: 1}
    valences = tuple((_used_inside(mol, i) + outward.get(i, 0),) for i in range(mol.GetNumAtoms()))
    return _Piece(mol, valences, first, last)


def _hydrocarbon(carbons: int, hydrogens: int) -> _Piece | None:
    """C6H13 (straight chain) or C3H6 (a link); others are rings or ambiguous, see the table."""
    if hydrogens == 2 * carbons + 1:
        return _group("C" * carbons, first=0, last=0)
    if hydrogens == 2 * carbons and carbons > 1:
        return _group("C" * carbons, first=0, last=carbons - 1)
    if (smiles := UNITS.get(f"C{carbons}H{hydrogens}")) is not None:
        return _group(smiles, first=0, last=0)
    return None


def _composite(inside: list[_Piece]) -> _Piece | None:
    """What stands in parentheses: a branch (one free valence), or a link or =O (two)."""
    if all(piece.mol is None for piece in inside):
        return _Piece(None, hydrogens=sum(piece.hydrogens for piece in inside))
    if len(inside) == 1 and inside[0].symbol:
        return inside[0]
    for orders in ((1,), (1, 1)):
        fragment = _assemble(inside, orders, from_right=False, spare_hydrogens=False)
        if fragment is None:
            continue
        outward = [fragment.sites.count(i) for i in range(fragment.mol.GetNumAtoms())]
        valences = tuple((_used_inside(fragment.mol, i) + n,) for i, n in enumerate(outward))
        return _Piece(fragment.mol, valences, fragment.sites[0], fragment.sites[-1])
    return None


# --- the search ---------------------------------------------------------------------------------


def _assemble(
    pieces: list[_Piece], orders: tuple[int, ...], from_right: bool, spare_hydrogens: bool = True
) -> Fragment | None:
    """The most likely molecule made of the pieces, with the free valences that `orders` need.

    Readings with fewer pieces that stand before their carrier come first, then those that follow
    the drawing's direction. Last, a hydrogen or two may give way to the drawing's bonds: the label
    says CH2CH2 where a ring bond is double.
    """
    directions = (True, False) if from_right else (False, True)
    budget = _Budget()
    for spare in range(3 if spare_hydrogens else 1):
        for waiting in range(len(pieces) + 1):
            for backward in directions:
                search = _Search(pieces, orders, backward, spare, waiting, budget)
                if (fragment := search.run()) is not None:
                    return fragment
            if not search.was_limited or budget.steps <= 0:
                break
    return None


@dataclass
class _Budget:
    steps: int = _MAX_STEPS


@dataclass
class _Search:
    """One depth-first search: pieces in reading order, tied to the current atom of the chain."""

    pieces: list[_Piece]
    orders: tuple[int, ...]
    backward: bool
    spare: int  # hydrogens that may give way
    max_waiting: int  # pieces that may stand before the atom that carries them
    budget: _Budget
    was_limited: bool = False
    _atoms: list[tuple[_Piece, int]] = field(default_factory=list)  # its piece, its number therein
    _bonds: list[tuple[int, int, int]] = field(default_factory=list)
    _used: list[int] = field(default_factory=list)
    _hydrogens: list[int] = field(default_factory=list)

    def run(self) -> Fragment | None:
        order = list(reversed(self.pieces)) if self.backward else self.pieces
        return self._place(order, (), [], 0)

    def _place(
        self, rest: list[_Piece], chain: tuple[int, ...], waiting: list[_Piece], waited: int
    ) -> Fragment | None:
        """Tie the first piece of the rest in each way that valence allows; the first success.

        `chain` holds the atoms that lead to the current one; an atom whose valence is used up is
        left behind, so that the O of CHOHCH3 is a branch.
        """
        self.budget.steps -= 1
        if self.budget.steps < 0:
            return None
        if not rest:
            return None if waiting else self._finished(chain, waited)
        while len(chain) > 1 and self._used[chain[-1]] >= self._valences(chain[-1])[-1]:
            chain = chain[:-1]
        here = chain[-1] if chain else None
        piece, rest = rest[0], rest[1:]
        for step in self._steps_for(piece, here):
            mark = self._mark()
            then = chain
            if step == "leaf":
                assert here is not None
                if not self._hang(piece, here):
                    self._undo(mark)
                    continue
                next_waiting, next_waited = waiting, waited
            elif step == "wait":
                if waited >= self.max_waiting:
                    self.was_limited = True
                    continue
                next_waiting, next_waited = [*waiting, piece], waited + 1
            else:
                reached = self._chain(piece, here, int(step), waiting)
                if reached is None:
                    self._undo(mark)
                    continue
                then, next_waiting, next_waited = (*chain, reached), [], waited
            found = self._place(rest, then, next_waiting, next_waited)
            if found is not None:
                return found
            self._undo(mark)
        return None

    def _steps_for(self, piece: _Piece, here: int | None) -> Iterator[str]:
        """Hang it on the current atom, go on along it by a bond of order 1 to 3, or let it wait."""
        can_hang = piece.mol is None or piece.leaf_order is not None
        if here is not None and can_hang:
            yield "leaf"
        if piece.mol is not None:
            yield "1"
            if here is not None and piece.symbol:
                yield from "23"
        if can_hang:
            yield "wait"

    def _hang(self, piece: _Piece, carrier: int) -> bool:
        """A leaf on an atom: hydrogens, F, =O, a group; False where the valence is used up."""
        if piece.mol is None:
            self._used[carrier] += piece.hydrogens
            self._hydrogens[carrier] += piece.hydrogens
            return self._fits(carrier)
        order = piece.leaf_order
        if not order or order > 3:
            return False
        first = self._add(piece)
        return self._bond(carrier, first + piece.first, order)

    def _chain(
        self, piece: _Piece, here: int | None, order: int, waiting: list[_Piece]
    ) -> int | None:
        """The piece as the next link, with what has waited for it; its far atom, or None."""
        offset = self._add(piece)
        near, far = piece.first, piece.last
        if self.backward:
            near, far = far, near
        if here is not None and not self._bond(here, offset + near, order):
            return None
        if all(self._hang(leaf, offset + near) for leaf in waiting):
            return offset + far
        return None

    def _add(self, piece: _Piece) -> int:
        """Copy a piece's atoms and bonds in; the number of its first atom."""
        assert piece.mol is not None
        offset = len(self._atoms)
        for index in range(piece.mol.GetNumAtoms()):
            self._atoms.append((piece, index))
            self._used.append(_used_inside(piece.mol, index))
            self._hydrogens.append(0)
        return offset

    def _bond(self, a: int, b: int, order: int) -> bool:
        self._bonds.append((a, b, order))
        self._used[a] += order
        self._used[b] += order
        return self._fits(a) and self._fits(b)

    def _symbol(self, atom: int) -> str:
        return self._atoms[atom][0].symbol

    def _valences(self, atom: int) -> tuple[int, ...]:
        """Those that the atom may show; with hydrogens on it, sulfur is no sulfone."""
        piece, index = self._atoms[atom]
        valences = piece.valences[index]
        return (
            valences[:1] if self._hydrogens[atom] and piece.symbol in ("N", "S", "Se") else valences
        )

    def _fits(self, atom: int) -> bool:
        return self._used[atom] <= self._valences(atom)[-1]

    def _mark(self) -> tuple[int, int, list[int], list[int]]:
        return len(self._atoms), len(self._bonds), self._used[:], self._hydrogens[:]

    def _undo(self, mark: tuple[int, int, list[int], list[int]]) -> None:
        del self._atoms[mark[0] :], self._bonds[mark[1] :]
        self._used[:], self._hydrogens[:] = mark[2], mark[3]

    def _finished(self, chain: tuple[int, ...], waited: int) -> Fragment | None:
        """The molecule, if its free valences are just those that the drawing's bonds need.

        A formula that is bound at its far end (CF3CH2) counts as one piece more that has waited,
        and so does a peroxide.
        """
        free = self._free_valences(sum(self.orders))
        if free is None:
            return None
        unlikely = waited + bool(self.orders and not free[chain[0]]) + self._peroxides()
        if unlikely > self.max_waiting:
            self.was_limited = True
            return None
        # The text's own order is the drawing's: left bonds lead to atoms that are written first.
        text_order = sorted((i for i, n in enumerate(free) if n), reverse=self.backward)
        sites = _matched(self.orders, [(i, free[i]) for i in text_order])
        mol = self._molecule() if sites is not None else None
        return Fragment(mol, sites) if mol is not None and sites is not None else None

    def _peroxides(self) -> int:
        return sum(self._symbol(a) == self._symbol(b) == "O" for a, b, _ in self._bonds)

    def _free_valences(self, needed: int) -> list[int] | None:
        """Free valences of each atom that add up to `needed`; None where they do not."""
        free = [
            next((v for v in self._valences(i) if v >= used), used) - used
            for i, used in enumerate(self._used)
        ]
        for atom, used in enumerate(self._used):  # the sulfur of SO2 goes from four to six
            if self._symbol(atom) == "N":  # five is that of a nitro group alone
                continue
            for valence in self._valences(atom):
                if sum(free) < needed and valence - used > free[atom]:
                    free[atom] = valence - used
        missing = needed - sum(free)
        if 0 < missing <= self.spare:
            for atom in sorted(range(len(free)), key=lambda i: min(i, len(free) - 1 - i)):
                given = min(missing, self._hydrogens[atom])
                free[atom] += given
                missing -= given
        return free if missing == 0 else None

    def _molecule(self) -> Chem.Mol | None:
        mol = Chem.RWMol()
        start = 0
        while start < len(self._atoms):
            part = self._atoms[start][0].mol
            assert part is not None  # hydrogens are never added
            mol.InsertMol(part)
            start += part.GetNumAtoms()
        for a, b, order in self._bonds:
            mol.AddBond(a, b, Chem.BondType.values[order])
        return mol.GetMol() if _separate_nitro_charges(mol, self._used) else None


def _matched(orders: tuple[int, ...], free: list[tuple[int, int]]) -> tuple[int, ...] | None:
    """An atom for each bond, in the order of the text wherever the bond orders allow it."""

    def assign(index: int, left: list[int]) -> tuple[int, ...] | None:
        if index == len(orders):
            return ()
        for place, (atom, _) in enumerate(free):
            if left[place] < orders[index]:
                continue
            left[place] -= orders[index]
            if (others := assign(index + 1, left)) is not None:
                return (atom, *others)
            left[place] += orders[index]
        return None

    return assign(0, [n for _, n in free]) if len(orders) <= 6 else None


def _separate_nitro_charges(mol: Chem.RWMol, used: list[int]) -> bool:
    """Write five-valent nitrogen, as NO2 is counted, with charges; False where it is no nitro."""
    for atom, valence in zip(mol.GetAtoms(), used, strict=True):
        if atom.GetAtomicNum() != 7 or atom.GetFormalCharge() or valence <= 3:
            continue
        oxo = [
            bond
            for bond in atom.GetBonds()
            if bond.GetOtherAtom(atom).GetAtomicNum() == 8
            and bond.GetBondType() == Chem.BondType.DOUBLE
        ]
        if len(oxo) != 2:
            return False
        oxo[0].SetBondType(Chem.BondType.SINGLE)
        oxo[0].GetOtherAtom(atom).SetFormalCharge(-1)
        atom.SetFormalCharge(1)
    return True
