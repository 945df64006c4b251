"""A reader of condensed formulas: CH2CH3, SO2NH2, EtO2C, (CH2)3, CH=CHCO2Me, CONH(CH2)6NHBoc.

A formula is read in two steps. `eyesmol.chem.condensed_parts` cuts it into pieces, in each way that
it can be cut. A depth-first search then ties the pieces into a molecule in which every valence is
used, apart from those that the drawing's own bonds need. There are no rules about functional groups
in here: valence alone decides that the O of COCH3 is a ketone and the O of COCH is not.

More than one molecule may fit, so a reading has a cost, and the least wins. What costs is what
chemists do not write: an atom before the one that carries it, a bond at the far end, a peroxide, a
sulfenate, a cumulene, a double bond without its sign (`_BOND_COSTS`). Formulas are written from
either end (CO2Me, MeO2C), so the search runs along the text and against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from rdkit import Chem

from eyesmol.chem.condensed_parts import (
    Fragment,
    Piece,
    Unit,
    cuttings,
    normalised,
    used_inside,
)

__all__ = ["Fragment", "read_condensed"]

_MAX_STEPS = 1_500  # of all searches for one label; real ones take 200 at most
# Cost of a reading that is still believed. Of 262 labels of patents, none that is read right with
# all its hydrogens costs more than 2; what nobody would write stays a label.
_MAX_COST = 9
# Hydrogens that give way to bonds of the drawing, and what the rest may cost then.
_MAX_SPARE, _MAX_SPARE_COST = 2, 1


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
    found = _read(normalised(text), tuple(orders), from_right)
    return found[0] if found is not None else None


@lru_cache(maxsize=4096)
def _read(text: str, orders: tuple[int, ...], from_right: bool) -> tuple[Fragment, int] | None:
    """The likeliest fragment and its cost."""
    budget = _Budget()

    def branch(part: str) -> tuple[Fragment, int] | None:
        part = part[1:-1] if part[0] == "(" and part[-1] == ")" else part
        return _read(part, (1,), False)

    units = [
        unit
        for unit in cuttings(text, branch, lambda unit: _composite(unit, budget))
        if _has_an_element(unit) and _ends_fit(unit, orders)
    ]
    return _assembled(units, orders, from_right, budget)


def _has_an_element(unit: Unit) -> bool:
    return any(
        atom.GetAtomicNum()
        for piece in unit.pieces
        if piece.mol is not None
        for atom in piece.mol.GetAtoms()
    )


def _ends_fit(unit: Unit, orders: tuple[int, ...]) -> bool:
    """The bonds that are written at a formula's ends are bonds of the drawing."""
    return all(not order or (order == 1 and orders) or order in orders
               for order in (unit.lead, unit.trail))  # fmt: skip


def _composite(unit: Unit, budget: _Budget) -> Piece | None:
    """What stands in parentheses: a branch (=O, OMe), or a link of a chain (two free valences)."""
    inside = unit.pieces
    if all(piece.mol is None for piece in inside):
        return Piece(None, hydrogens=sum(piece.hydrogens for piece in inside))
    if len(inside) == 1 and inside[0].symbol and not unit.lead:
        piece = inside[0]
        is_oxo = piece.symbol in ("O", "S") and not piece.charge  # P(O), C(S)
        return _oxo(piece) if is_oxo else piece
    shapes = ((unit.lead,),) if unit.lead > 1 else ((1,), (1, 1), (1, 1, 1))
    for orders in shapes:
        found = _assembled([unit], orders, False, budget, spare_hydrogens=False)
        if found is None:
            continue
        fragment, cost = found
        outward = [0] * fragment.mol.GetNumAtoms()
        for site, order in zip(fragment.sites, orders, strict=True):
            outward[site] += order
        valences = tuple((used_inside(fragment.mol, i) + n,) for i, n in enumerate(outward))
        return Piece(
            fragment.mol,
            valences,
            fragment.sites[0],
            fragment.sites[-1],
            branch=bool(unit.lead),
            cost=cost,
        )
    return None


def _oxo(piece: Piece) -> Piece:
    """A single atom that can only be a branch, by a double bond: the (O) of S(O)."""
    return Piece(piece.mol, ((2,),), symbol=piece.symbol, isotope=piece.isotope, branch=True)


# --- what a bond costs --------------------------------------------------------------------------

_HALOGENS = ("F", "Cl", "Br", "I")
# (elements in the order of the alphabet, order) -> how unlikely a chemist is to write such a bond
# without its sign. What is not listed costs nothing as a single bond, and much as a multiple one.
_BOND_COSTS: dict[tuple[str, str, int], int] = {
    ("O", "O", 1): 5, ("N", "N", 1): 1, ("S", "S", 1): 1, ("B", "N", 1): 1,
    ("B", "P", 1): 5, ("P", "P", 1): 4, ("P", "S", 1): 1,
    ("C", "O", 2): 0, ("O", "S", 2): 0, ("O", "P", 2): 0, ("P", "S", 2): 0, ("O", "Se", 2): 0,
    # these are weighed at the end: a nitro group, an oxime, an isocyanate cost nothing
    ("N", "O", 1): 0, ("N", "O", 2): 0, ("C", "S", 2): 0, ("C", "N", 2): 0,
    ("C", "C", 2): 1, ("N", "N", 2): 2, ("N", "S", 2): 2,
    ("N", "P", 2): 3, ("C", "P", 2): 3, ("C", "N", 3): 0, ("C", "C", 3): 2,
}  # fmt: skip
_UNHEARD_OF = 10


def _bond_cost(a: str, b: str, order: int) -> int:
    first, second = sorted((a, b))
    if a in _HALOGENS and b in _HALOGENS:
        return 8
    if (a in _HALOGENS and b in "NO") or (b in _HALOGENS and a in "NO"):  # iodine(III) is known
        return 2 if "I" in (a, b) else 4
    return _BOND_COSTS.get((first, second, order), 0 if order == 1 else _UNHEARD_OF)


# --- the search ---------------------------------------------------------------------------------


@dataclass
class _Budget:
    steps: int = _MAX_STEPS


def _assembled(
    units: list[Unit],
    orders: tuple[int, ...],
    from_right: bool,
    budget: _Budget,
    *,
    spare_hydrogens: bool = True,
) -> tuple[Fragment, int] | None:
    """The likeliest molecule with the free valences that `orders` need, and its cost.

    The limit of the cost is raised until something fits; of readings that cost the same, the
    likelier cutting comes first, then the one that follows the drawing's direction. Last, a
    hydrogen or two may give way to the drawing's bonds: the label says CH2CH2 where a ring bond is
    double.
    """
    directions = (True, False) if from_right else (False, True)
    for spare in range(_MAX_SPARE + 1 if spare_hydrogens and sum(orders) > 1 else 1):
        most = _MAX_SPARE_COST if spare else _MAX_COST
        possible = [unit for unit in units if _adds_up(unit.pieces, sum(orders) - spare)]
        limit = min((unit.cost for unit in possible), default=_MAX_COST + 1)
        while limit <= most:
            following = _MAX_COST + 1
            for unit in possible:
                if unit.cost > limit:
                    following = min(following, unit.cost)
                    continue
                for backward in directions:
                    search = _Search(
                        unit.pieces, orders, backward, spare, limit - unit.cost, budget
                    )
                    if (fragment := search.run()) is not None:
                        return fragment, limit + spare
                    if budget.steps <= 0:
                        return None
                    following = min(following, search.least_over + unit.cost)
            limit = following
    return None


def _adds_up(pieces: tuple[Piece, ...], free: int) -> bool:
    """True where the valences of the pieces can tie them all and leave so many free."""
    least = sum(piece.outward[0] for piece in pieces) - free
    most = sum(piece.outward[1] for piece in pieces) - free
    ties = sum(piece.mol is not None for piece in pieces) - 1
    return least % 2 == 0 and most >= 2 * ties


@dataclass
class _Search:
    """One depth-first search: pieces in reading order, tied to the current atom of the chain."""

    pieces: tuple[Piece, ...]
    orders: tuple[int, ...]
    backward: bool
    spare: int  # hydrogens that give way
    limit: int  # cost that a reading may have
    budget: _Budget
    least_over: int = _MAX_COST + 1  # the least cost that was over the limit
    _atoms: list[tuple[Piece, int]] = field(default_factory=list)  # its piece, its number therein
    _bonds: list[tuple[int, int, int, bool]] = field(default_factory=list)  # the last: as written
    _used: list[int] = field(default_factory=list)
    _hydrogens: list[int] = field(default_factory=list)
    _cost: int = 0

    def run(self) -> Fragment | None:
        order = self.pieces[::-1] if self.backward else self.pieces
        return self._place(order, 0, (), (), 0)

    def _place(
        self,
        order: tuple[Piece, ...],
        at: int,
        chain: tuple[int, ...],
        waiting: tuple[Piece, ...],
        written: int,
    ) -> Fragment | None:
        """Tie the piece at a place in each way that valence allows; the first success.

        `chain` holds the atoms that lead to the current one; an atom whose valence is used up is
        left behind, so that the O of CHOHCH3 is a branch. `written` is the order of the bond that
        is written before the next link of the chain, where hydrogens and branches come in between.
        """
        self.budget.steps -= 1
        if self.budget.steps < 0:
            return None
        if at == len(order):
            return None if waiting or written else self._finished(chain)
        while len(chain) > 1 and self._used[chain[-1]] >= self._valences(chain[-1])[-1]:
            chain = chain[:-1]
        here = chain[-1] if chain else None
        piece = order[at]
        written = (piece.after if self.backward else piece.before) or written
        for step in self._steps_for(piece, here, written):
            mark = self._mark()
            then, next_waiting, next_written = chain, waiting, 0
            if step == 0:
                assert here is not None
                fits = self._hang(piece, here, is_written=bool(written))
            elif step < 0:
                fits = self._pay(self._waiting_cost(piece, here, waiting))
                next_waiting, next_written = (*waiting, piece), written
            else:
                reached = self._chain(piece, here, step, waiting, is_written=bool(written))
                fits = reached is not None
                then, next_waiting = (*chain, reached or 0), ()
            if fits:
                found = self._place(order, at + 1, then, next_waiting, next_written)
                if found is not None:
                    return found
            self._undo(mark)
        return None

    def _steps_for(self, piece: Piece, here: int | None, written: int) -> Iterator[int]:
        """0: hang it on the current atom; 1 to 3: go on along it by that bond; -1: let it wait."""
        can_hang = piece.mol is None or piece.leaf_order is not None
        if here is not None and can_hang and (not written or written == piece.leaf_order):
            yield 0
        if piece.mol is not None and not piece.branch:
            if written and here is not None:
                yield written
            else:
                yield 1
                if here is not None and piece.symbol:
                    yield from (2, 3)
        if can_hang:
            yield -1

    def _waiting_cost(self, piece: Piece, here: int | None, waiting: tuple[Piece, ...]) -> int:
        """Of standing before the atom that carries it; the hydrogen of CH belongs to its carbon."""
        if waiting and waiting[-1] is piece:  # O2 of O2S is one step back, not two
            return 0
        is_passed_on = (
            piece.mol is None and here is not None and self._used[here] < self._valences(here)[0]
        )
        return 2 if is_passed_on else 1

    def _pay(self, cost: int) -> bool:
        """False where a reading becomes too unlikely."""
        self._cost += cost
        if self._cost > self.limit:
            self.least_over = min(self.least_over, self._cost)
            return False
        return True

    def _hang(self, piece: Piece, carrier: int, *, is_written: bool = False) -> bool:
        """A leaf on an atom: hydrogens, F, =O, a group; False where the valence is used up."""
        if piece.mol is None:
            self._used[carrier] += piece.hydrogens
            self._hydrogens[carrier] += piece.hydrogens
            return self._fits(carrier)
        order = piece.leaf_order
        if not order or order > 3:
            return False
        first = self._add(piece)
        return self._bond(carrier, first + piece.first, order, is_written or piece.branch)

    def _chain(
        self,
        piece: Piece,
        here: int | None,
        order: int,
        waiting: tuple[Piece, ...],
        *,
        is_written: bool,
    ) -> int | None:
        """The piece as the next link, with what has waited for it; its far atom, or None."""
        offset = self._add(piece)
        near, far = piece.first, piece.last
        if self.backward:
            near, far = far, near
        if here is not None and not self._bond(here, offset + near, order, is_written):
            return None
        if all(self._hang(leaf, offset + near) for leaf in waiting):
            return offset + far
        return None

    def _add(self, piece: Piece) -> int:
        """Copy a piece's atoms and bonds in; the number of its first atom."""
        offset = len(self._atoms)
        self._atoms += [(piece, index) for index in range(len(piece.inside))]
        self._used += piece.inside
        self._hydrogens += [0] * len(piece.inside)
        return offset

    def _bond(self, a: int, b: int, order: int, is_written: bool) -> bool:
        self._bonds.append((a, b, order, is_written))
        self._used[a] += order
        self._used[b] += order
        if not (self._fits(a) and self._fits(b)):
            return False
        if is_written:
            return True
        return self._pay(_bond_cost(self._element(a), self._element(b), order))

    def _symbol(self, atom: int) -> str:
        """Of an atom that the formula writes itself; empty inside a group."""
        return self._atoms[atom][0].symbol

    def _element(self, atom: int) -> str:
        piece, index = self._atoms[atom]
        return piece.elements[index]

    def _valences(self, atom: int) -> tuple[int, ...]:
        """Those that the atom may show; with hydrogens on it, sulfur is no sulfone."""
        piece, index = self._atoms[atom]
        valences = piece.valences[index]
        if self._hydrogens[atom] and piece.symbol in ("N", "S", "Se"):
            return valences[:1]
        return valences

    def _fits(self, atom: int) -> bool:
        return self._used[atom] <= self._valences(atom)[-1]

    def _mark(self) -> tuple[int, int, list[int], list[int], int]:
        return len(self._atoms), len(self._bonds), self._used[:], self._hydrogens[:], self._cost

    def _undo(self, mark: tuple[int, int, list[int], list[int], int]) -> None:
        del self._atoms[mark[0] :], self._bonds[mark[1] :]
        self._used[:], self._hydrogens[:], self._cost = mark[2:]

    def _finished(self, chain: tuple[int, ...]) -> Fragment | None:
        """The molecule, if its free valences are just those that the drawing's bonds need.

        A formula that is bound at its far end (CF3CH2) costs as much as a piece that has waited.
        """
        free = self._free_valences(sum(self.orders))
        if free is None:
            return None
        is_far = bool(self.orders) and not free[chain[0]]
        if not self._pay(is_far + sum(map(self._atom_cost, range(len(free)), free))):
            return None
        # The text's own order is the drawing's: left bonds lead to atoms that are written first.
        text_order = sorted((i for i, n in enumerate(free) if n), reverse=self.backward)
        sites = _matched(self.orders, [(i, free[i]) for i in text_order])
        mol = self._molecule() if sites is not None else None
        return Fragment(mol, sites) if mol is not None and sites is not None else None

    def _atom_cost(self, atom: int, free: int) -> int:
        """What only the whole molecule shows: odd valences, cumulenes, charges on carbon."""
        symbol = self._symbol(atom)
        if symbol not in ("C", "N", "O", "S", "Se", "Te", "P", "As", "I"):
            return 0
        bonds = [
            (self._element(b if a == atom else a), order, written)
            for a, b, order, written in self._bonds
            if atom in (a, b)
        ]
        doubles = [other for other, order, _ in bonds if order == 2]
        valence = self._used[atom] + free
        charge = self._atoms[atom][0].charge
        if symbol == "C":
            guessed = sorted(other for other, order, written in bonds if order == 2 and not written)
            if len(guessed) == 2:  # an isocyanate, or a cumulene
                return 0 if guessed in (["N", "O"], ["N", "S"]) else 6
            return sum({"N": 3, "S": 1}.get(other, 0) for other in guessed) + 4 * (charge < 0)
        if symbol == "N":
            if valence > 3 and not charge:  # a nitro group
                return 0
            oxygens = sum(other == "O" for other, _, _ in bonds)
            return 2 * oxygens * (doubles in ([], ["O"])) + 2 * (charge < 0)
        if symbol == "O":
            others = {other for other, _, _ in bonds}
            return 5 * (charge > 0) + 5 * ("O" in others and bool(others & {"N", "P", "S"}))
        if symbol == "I":
            return 2 * (valence > 1)
        if symbol in ("P", "As"):
            return 5 * (valence == 5 and not doubles and free < 2) + (
                valence == 3 and any(other == "O" for other, _, _ in bonds)
            )
        if charge:
            return 0
        if valence == 2:  # a sulfenate, a sulfenamide
            return sum(
                3 if other in ("O", *_HALOGENS) else 2 if other == "N" else 0
                for other, order, _ in bonds
                if order == 1
            )
        if all(other == "F" for other, _, _ in bonds):  # SF5
            return 0
        sulfinate = 2 * (valence == 4 and any(o == "O" and order == 1 for o, order, _ in bonds))
        return sulfinate + 5 * (len(doubles) + free // 2 < (valence - 2) // 2)

    def _free_valences(self, needed: int) -> list[int] | None:
        """Free valences of each atom that add up to `needed`; None where they do not."""
        free = [0] * len(self._used)
        missing = needed
        for atom, used in enumerate(self._used):
            valences = self._valences(atom)
            if used != valences[0]:
                free[atom] = next(v for v in valences if v >= used) - used
                missing -= free[atom]
                if missing < 0:
                    return None
        for atom, used in enumerate(self._used):  # the sulfur of SO2 goes from four to six
            valences = self._valences(atom)
            # A nitrogen of five is that of a nitro group alone.
            if missing and len(valences) > 1 and self._symbol(atom) != "N":
                for valence in valences:
                    if missing > 0 and valence - used > free[atom]:
                        missing -= valence - used - free[atom]
                        free[atom] = valence - used
        if missing != self.spare:
            return None
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
        for a, b, order, _ in self._bonds:
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
