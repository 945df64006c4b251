"""Condensed formulas, first half: a text cut into pieces, in each way that it can be cut.

A piece is an atom, a run of hydrogens, a group of the table, a formula in parentheses, a
substituted phenyl ring. Many texts can be cut in more than one way: NCO2Et is N and CO2Et, not NCO
twice; the 2 of NR2 counts, the 2 of NHR2 is a name; the minus of CO-NH is a bond and that of CO2- a
charge; the 13 of O13CH3 is an isotope. `cuttings` gives them all, the likeliest first;
`eyesmol.chem.condensed` finds out which of them is a molecule.
"""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from rdkit import Chem, rdBase

from eyesmol.chem.group_table import GROUPS, LINKS

__all__ = [
    "Fragment",
    "Piece",
    "Unit",
    "cuttings",
    "normalised",
    "table_mol",
    "used_inside",
    "without_markup",
]

# Valences that an atom of a formula may show, by charge. A transition metal is in no formula.
VALENCES: dict[tuple[str, int], tuple[int, ...]] = {
    ("H", 0): (1,), ("F", 0): (1,), ("Cl", 0): (1,), ("Br", 0): (1,), ("I", 0): (1, 3),
    ("Li", 0): (1,), ("Na", 0): (1,), ("K", 0): (1,), ("Cs", 0): (1,), ("Ag", 0): (1,),
    ("Mg", 0): (2,), ("Zn", 0): (2,), ("Hg", 0): (2,), ("Al", 0): (3,),
    ("B", 0): (3,), ("C", 0): (4,), ("Si", 0): (4,), ("Ge", 0): (4,), ("Sn", 0): (4,),
    ("Pb", 0): (4,), ("N", 0): (3, 5), ("P", 0): (3, 5), ("As", 0): (3, 5), ("O", 0): (2,),
    ("S", 0): (2, 4, 6), ("Se", 0): (2, 4, 6), ("Te", 0): (2, 4, 6),
    ("N", 1): (4,), ("P", 1): (4,), ("O", 1): (3,), ("S", 1): (3,), ("I", 1): (2,),
    ("O", -1): (1,), ("S", -1): (1,), ("N", -1): (2,), ("C", -1): (3,), ("B", -1): (4,),
}  # fmt: skip

# A label is short; a runaway answer is not.
_MAX_TEXT, _MAX_PIECES, _MAX_ATOMS = 80, 200, 200
_MAX_CUTTINGS, _MAX_CUTTING_COST, _MAX_EXPANSIONS = 24, 6, 3_000
_MAX_DEPTH = 6  # parentheses in parentheses


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
class Piece:
    """A part of a formula: one atom, a group of the table, or what stands in parentheses.

    Attributes:
        mol: None for hydrogens, which are no atoms of the result.
        valences: those that each atom may show, bonds inside the piece included.
        first, last: the atoms that tie it to what stands before and after it.
        hydrogens: how many, where it is hydrogens.
        symbol: of a single atom, else empty.
        charge, isotope: of a single atom.
        before, after: order of the bond that is written before and after it; 0 where none is.
        branch: it can only hang on another piece: the (O) of P(O) is no link of a chain.
        cost: how unlikely the reading of its inside is.
    """

    mol: Chem.Mol | None
    valences: tuple[tuple[int, ...], ...] = ()
    first: int = 0
    last: int = 0
    hydrogens: int = 0
    symbol: str = ""
    charge: int = 0
    isotope: int = 0
    before: int = 0
    after: int = 0
    branch: bool = False
    cost: int = 0

    @cached_property
    def inside(self) -> tuple[int, ...]:
        """For each atom the sum of the orders of its bonds in the piece."""
        if self.mol is None:
            return ()
        return tuple(used_inside(self.mol, index) for index in range(self.mol.GetNumAtoms()))

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """The symbol of each atom."""
        return tuple(atom.GetSymbol() for atom in self.mol.GetAtoms()) if self.mol else ()

    @cached_property
    def leaf_order(self) -> int | None:
        """The order of the bond by which it can hang on one atom and be done; None for a chain."""
        if self.mol is None or self.first != self.last:
            return None
        return self.valences[self.first][0] - self.inside[self.first]

    @cached_property
    def outward(self) -> tuple[int, int]:
        """How many bonds it has to others, at least and at most; hydrogens have minus that."""
        if self.mol is None:
            return -self.hydrogens, -self.hydrogens
        used = sum(self.inside)
        return sum(v[0] for v in self.valences) - used, sum(v[-1] for v in self.valences) - used


@dataclass(frozen=True)
class Unit:
    """A formula or the inside of parentheses, cut: its pieces, what it costs, bonds at its ends."""

    pieces: tuple[Piece, ...]
    cost: int
    lead: int = 0
    trail: int = 0


def used_inside(mol: Chem.Mol, atom: int) -> int:
    """The sum of the orders of an atom's bonds."""
    return round(sum(b.GetBondTypeAsDouble() for b in mol.GetAtomWithIdx(atom).GetBonds()))


# --- spelling -----------------------------------------------------------------------------------

_MARKUP = re.compile(
    r"</?su[bp]>"  # HTML
    r"|\\[SsnBbIi](?![A-Za-z]{2})"  # ISIS/Draw: superscript, subscript, normal, bold, italic
    r"|[_^](?=\{)|[_^$]"  # LaTeX, and the caret of plain text
)
_SAME = str.maketrans(
    {0x2212: "-", 0x2010: "-", 0x2011: "-", 0x2013: "-", 0x2014: "-", 0x00AF: "-",
     0x2032: "'", 0x2019: "'", 0x2044: "/", 0x2261: "#", 0x22EE: ":"}
)  # fmt: skip


def without_markup(text: str) -> str:
    """A label without the commands that set its letters high, low or bold."""
    return _MARKUP.sub("", text)


def normalised(text: str) -> str:
    """A label in plain letters: no blanks, no markup, sub- and superscripts on the line."""
    text = without_markup(text)
    return "".join(unicodedata.normalize("NFKC", text).split()).translate(_SAME)


# --- single pieces ------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _atom(symbol: str, charge: int = 0, isotope: int = 0) -> Piece:
    mol = Chem.RWMol()
    atom = Chem.Atom(symbol)
    atom.SetFormalCharge(charge)
    atom.SetIsotope(isotope)
    mol.AddAtom(atom)
    valences = (VALENCES[symbol, charge],)
    return Piece(mol.GetMol(), valences, symbol=symbol, charge=charge, isotope=isotope)


@lru_cache(maxsize=128)
def _dummy(number: int) -> Piece:
    """An R group in a formula; 0 for one without a number."""
    mol = Chem.RWMol()
    atom = Chem.Atom(0)
    atom.SetIsotope(number)
    mol.AddAtom(atom)
    return Piece(mol.GetMol(), ((1,),))


@lru_cache(maxsize=1024)
def _named(name: str) -> Piece:
    if name == "H":
        return Piece(None, hydrogens=1)
    if (smiles := GROUPS.get(name)) is not None:
        return _group(smiles.removeprefix("="), 0, 0, order=2 if smiles[0] == "=" else 1)
    if (smiles := LINKS.get(name)) is not None:
        return _group(smiles, 0, table_mol(smiles).GetNumAtoms() - 2)
    if name in _VARIABLES:
        return _dummy(0)
    return _atom(name)


@lru_cache(maxsize=1024)
def table_mol(smiles: str) -> Chem.Mol:
    """A molecule of the table, kekulised; a free valence in brackets (``[Si]``) is no radical."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(mol, clearAromaticFlags=True)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(False)
        atom.SetNumRadicalElectrons(0)
    return mol


def _group(smiles: str, first: int, last: int, *, order: int = 1) -> Piece:
    """A group with a bond to the outside at `first`, and one at `last` where that is another."""
    mol = table_mol(smiles)
    outward = {first: order, last: order}
    valences = tuple((used_inside(mol, i) + outward.get(i, 0),) for i in range(mol.GetNumAtoms()))
    return Piece(mol, valences, first, last)


# Hydrocarbons that are written by their formula and are no chain.
_RINGS = {(6, 5): "c1ccccc1", (6, 11): "C1CCCCC1"}
_BRANCHED = {
    (3, "i"): "C(C)C", (4, "i"): "CC(C)C", (4, "s"): "C(C)CC", (4, "t"): "C(C)(C)C",
    (5, "i"): "CCC(C)C", (5, "t"): "C(C)(C)CC",
}  # fmt: skip


@lru_cache(maxsize=256)
def _hydrocarbon(carbons: int, hydrogens: int, kind: str = "") -> Piece | None:
    """C6H13 (straight chain) or C3H6 (a link); others are rings or ambiguous, see the table."""
    if hydrogens == 2 * carbons + 1:
        smiles = "C" * carbons if kind in ("", "n") else _BRANCHED.get((carbons, kind))
        return _group(smiles, 0, 0) if smiles else None
    if kind or carbons < 2:
        return None
    if hydrogens == 2 * carbons:
        return _group("C" * carbons, 0, carbons - 1)
    smiles = _RINGS.get((carbons, hydrogens))
    return _group(smiles, 0, 0) if smiles else None


@lru_cache(maxsize=64)
def _fluorocarbon(carbons: int, fluorines: int) -> Piece | None:
    """C4F9 and C2F4, straight chains as of hydrocarbons; C6F5 is the ring."""
    if (carbons, fluorines) == (6, 5):
        return _group("c1c(F)c(F)c(F)c(F)c1F", 0, 0)
    if carbons > 1 and fluorines == 2 * carbons + 1:
        return _group("C(F)(F)" * (carbons - 1) + "C(F)(F)F", 0, 0)
    if carbons > 1 and fluorines == 2 * carbons:
        return _group("C(F)(F)" * carbons, 0, 3 * (carbons - 1))
    return None


# --- substituted phenyl -------------------------------------------------------------------------

_LOCANT = r"[2-6](?:,[2-6])*|[omp]"
_SUBSTITUENT = r"(?:\((?:[^()]|\([^()]*\))+\)[2-5]?|[A-Z](?:[A-Za-z0-9+]|\([^()]*\)\d?)*?)"
_ARENE = re.compile(
    # 4-ClC6H4, 3,5-(CF3)2C6H3, 2-F-4-MeOC6H3, p-NO2Ph
    rf"(?:(?<=[-(])|^)(?P<head>(?:(?:{_LOCANT})-?{_SUBSTITUENT}-?)+)(?:C6H(?P<k>[1-4])|Ph|phenyl)"
    # C6H4-4-Cl, C6H4-p-OMe, C6H3-3,5-(CF3)2, C6H4(4-Cl)
    rf"|C6H(?P<k2>[1-4])(?:-(?P<tail>(?:{_LOCANT})-?{_SUBSTITUENT})|"
    rf"\((?P<tail2>(?:{_LOCANT})-?(?:[^()]|\([^()]*\))+)\))(?=$|\))"
    # C6H4OMe-p, C6H3Cl2-2,4
    rf"|C6H(?P<k3>[1-4])-?(?P<sub>{_SUBSTITUENT})-(?P<loc>{_LOCANT})(?=$|\))"
    # p-C6H4OMe, 1,4-C6H4
    rf"|(?:(?<=[-(])|^)(?P<loc4>(?:{_LOCANT})|1,[2-4])-?C6H(?P<k4>[1-4])-?"
    rf"(?P<sub4>{_SUBSTITUENT})?(?=$|\)|-)"
)
_PART = re.compile(rf"(?P<loc>{_LOCANT})-?(?P<sub>{_SUBSTITUENT})(?:-|$)(?=$|[2-6omp])")
_MAX_BRANCH_COST = 2
_PLACE = {"o": 2, "m": 3, "p": 4}

ReadBranch = Callable[[str], "tuple[Fragment, int] | None"]


def _places(text: str) -> list[int]:
    return [_PLACE.get(part) or int(part) for part in text.split(",")]


def _arene(match: re.Match[str], read: ReadBranch) -> Piece | None:
    """A phenyl group whose substituents are named with their positions."""
    sub, locants = match["sub"] or match["sub4"], match["loc"] or match["loc4"]
    if locants and not sub:
        inner = [place for place in _places(locants) if place != 1]
        return _phenylene(inner[0]) if len(inner) == 1 and match["k4"] == "4" else None
    text = f"{locants}-{sub}" if sub else match["head"] or match["tail"] or match["tail2"]
    parts = list(_PART.finditer(text))
    if "".join(part[0] for part in parts) != text:
        return None
    hydrogens = match["k"] or match["k2"] or match["k3"] or match["k4"]
    taken: set[int] = set()
    mol = Chem.RWMol(table_mol("c1ccccc1"))
    for part in parts:
        places, name = _places(part["loc"]), part["sub"]
        if len(places) > 1:  # 3,5-Cl2: one of the two
            if name[-1] != str(len(places)):
                return None
            name = name[:-1]
        found = read(name)
        if found is None or found[1] > _MAX_BRANCH_COST:
            return None
        for place in places:
            if place in taken:
                return None
            taken.add(place)
            offset = mol.GetNumAtoms()
            mol.InsertMol(found[0].mol)
            mol.AddBond(place - 1, offset + found[0].sites[0], Chem.BondType.SINGLE)
    if hydrogens and int(hydrogens) + len(taken) != 5:
        return None
    done = mol.GetMol()
    valences = tuple((used_inside(done, i) + (i == 0),) for i in range(done.GetNumAtoms()))
    return Piece(done, valences)


def _phenylene(place: int) -> Piece:
    mol = table_mol("c1ccccc1")
    valences = tuple((used_inside(mol, i) + (i in (0, place - 1)),) for i in range(6))
    return Piece(mol, valences, 0, place - 1)


# --- tokens -------------------------------------------------------------------------------------

# An R group, aryl, halogen or heteroatom that the text defines, as part of a formula.
_VARIABLES = frozenset({"Ar", "Het", "HetAr", "Hal", "X", "Rf", "Rb", "Ra"})
_NAMES: dict[str, list[str]] = {}
for _name in sorted(
    {*GROUPS, *LINKS, *_VARIABLES, *(symbol for symbol, _ in VALENCES)}, key=len, reverse=True
):
    _NAMES.setdefault(_name[0], []).append(_name)

_ALKYL = re.compile(
    r"(?P<kind>n|i|s|t|sec|tert|iso)-?C(?P<c1>\d{1,2})H(?P<h1>\d{1,2})"
    r"|C(?P<c2>\d{1,2})H(?P<h2>\d{1,2})(?:-?(?P<kind2>[nist])(?![a-z]))"
    r"|C(?P<c3>\d{1,2})H(?P<h3>\d{1,2})"
    r"|H(?P<h4>\d{1,2})C(?P<c4>[2-9]|[1-9]\d)"
)
_FLUORO = re.compile(r"C(?P<c>[2-9]|1\d)F(?P<f>\d{1,2})|F(?P<f2>\d{1,2})C(?P<c2>[2-9]|1\d)(?!\d|H)")
_R_GROUP = re.compile(r"R(?:(\d{1,2})|[a-h](?![a-z])|('{1,3}))?")
_ISOTOPE = re.compile(
    r"(1[134]C|1[35]N|1[578]O|18F|3[123]P|3[3-5]S|3[5-7]Cl|7[567]Br|82Br|12[345]I|131I|1[01]B)(?![a-z])"
)
_HEAVY_HYDROGEN = re.compile(r"([23])H")
_CHARGE = re.compile(r"(?P<sign>[+-])(?P<size>[2-4])(?=$|[)\]])|(?P<size2>[2-4]?)(?P<sign2>[+-])")
_OPEN, _CLOSE = "([{", ")]}"
_SIGNS = {"-": 1, "=": 2, "#": 3}


@dataclass(frozen=True)
class _Token:
    kind: str  # piece, open, close, bond, charge, charge next, count
    end: int
    cost: int = 0
    piece: Piece | None = None
    value: int = 0


def _tokens_at(text: str, at: int, arenes: dict[int, tuple[int, Piece]]) -> Iterator[_Token]:
    """Each token that may stand at a place, the likeliest first."""
    char = text[at]
    after_unit = at > 0 and (text[at - 1].isalnum() or text[at - 1] in _CLOSE + "'*+-")
    if at in arenes:
        end, piece = arenes[at]
        yield _Token("piece", end, 0, piece)
    if char in _OPEN:
        yield _Token("open", at + 1)
    elif char in _CLOSE:
        yield _Token("close", at + 1)
    yield from _charges_and_bonds(text, at, after_unit)
    if char.isdigit():
        yield from _numbers(text, at, after_unit)
    elif char == "R":
        yield from _r_groups(text, at)
    yield from _words(text, at)


def _charges_and_bonds(text: str, at: int, after_unit: bool) -> Iterator[_Token]:
    at_end = lambda end: end == len(text) or text[end] in _CLOSE + "+-"  # noqa: E731
    match = _CHARGE.match(text, at)
    if match is not None:
        size = match["size"] or match["size2"]
        charge = int(size or 1) * (1 if (match["sign"] or match["sign2"]) == "+" else -1)
        # A minus between two units is a bond; CO2-Na+ is cut before its ion, not here.
        if after_unit and (charge > 0 or at_end(match.end())):
            yield _Token("charge", match.end(), 2 if match["size2"] else 0, value=charge)
        if not size and (charge > 0 or not after_unit):
            yield _Token("charge next", match.end(), 1 if after_unit else 0, value=charge)
    if text[at] in _SIGNS:
        yield _Token("bond", at + 1, value=_SIGNS[text[at]])


def _numbers(text: str, at: int, after_unit: bool) -> Iterator[_Token]:
    if after_unit and _is_long_count(text, at):
        yield _Token("count", at + 2, 0, value=int(text[at : at + 2]))
    if after_unit and text[at] > "1":
        yield _Token("count", at + 1, int(text[at + 1 : at + 2].isdigit()), value=int(text[at]))
    if match := _ISOTOPE.match(text, at):
        mass, symbol = re.fullmatch(r"(\d+)(\D+)", match[0]).groups()  # type: ignore[union-attr]
        yield _Token("piece", match.end(), int(after_unit), _atom(symbol, 0, int(mass)))
    elif not after_unit and (match := _HEAVY_HYDROGEN.match(text, at)):
        yield _Token("piece", match.end(), 0, _named("D" if match[1] == "2" else "T"))


def _is_long_count(text: str, at: int) -> bool:
    """Two digits that count hydrogens, fluorines, parentheses; the 32 of O32- does not."""
    digits = text[at : at + 2]
    if len(digits) < 2 or not digits.isdigit() or digits < "10":
        return False
    return text[at - 1] in "HFD" + _CLOSE


def _r_groups(text: str, at: int) -> Iterator[_Token]:
    match = _R_GROUP.match(text, at)
    assert match is not None
    if match.end() < len(text) and text[match.end()].islower():
        return
    yield _Token("piece", match.end(), 0, _dummy(int(match[1] or 0)))
    if match[1]:  # NR2: two of them
        yield _Token("piece", at + 1, 1, _dummy(0))


def _words(text: str, at: int) -> Iterator[_Token]:
    """Alkyl groups by their formula, then names of the table, then elements."""
    is_cut = False
    if match := _ALKYL.match(text, at):
        kind = (match["kind"] or match["kind2"] or "")[:1]
        c = int(match["c1"] or match["c2"] or match["c3"] or match["c4"])
        h = int(match["h1"] or match["h2"] or match["h3"] or match["h4"])
        if (piece := _hydrocarbon(c, h, kind)) is not None:
            is_cut = match["c4"] is None  # H2C6H5 is as well an H2 and a C6H5
            yield _Token("piece", match.end(), 0, piece)
    if match := _FLUORO.match(text, at):
        fluorinated = _fluorocarbon(int(match["c"] or match["c2"]), int(match["f"] or match["f2"]))
        if fluorinated is not None:
            is_cut = match["c2"] is None
            yield _Token("piece", match.end(), 0, fluorinated)
    for name in _NAMES.get(text[at], ()):
        if text.startswith(name, at):
            yield _Token("piece", at + len(name), 3 if is_cut else 0, _named(name))
            is_cut = True


# --- cutting ------------------------------------------------------------------------------------


def cuttings(text: str, read: ReadBranch, assemble: Callable[[Unit], Piece | None]) -> list[Unit]:
    """Each way to cut a normalised text into pieces, the likeliest first, none where there is none.

    Args:
        text: see `normalised`.
        read: reads the substituent of a phenyl ring, one bond: the fragment and its cost.
        assemble: makes one piece of the inside of parentheses.
    """
    if not 0 < len(text) <= _MAX_TEXT:
        return []
    arenes: dict[int, tuple[int, Piece]] = {}
    if "C6H" in text or "Ph" in text or "phenyl" in text:
        for match in _ARENE.finditer(text):
            if (piece := _arene(match, read)) is not None:
                arenes[match.start()] = (match.end(), piece)
    at = [list(_tokens_at(text, place, arenes)) for place in range(len(text))]
    units: list[Unit] = []
    for cost, tokens in _paths(at):
        unit = _Parser(tokens, assemble).formula()
        if unit is not None:
            units.append(replace(unit, cost=unit.cost + cost))
    units.sort(key=lambda unit: unit.cost)
    return units


def _paths(at: list[list[_Token]]) -> Iterator[tuple[int, list[_Token]]]:
    """Token by token from the text's begin to its end, the least cost first, then the longest."""
    size = len(at)
    reaches = [False] * size + [True]
    for place in reversed(range(size)):
        reaches[place] = any(reaches[token.end] for token in at[place])
    heap: list[tuple[int, tuple[int, ...], int, tuple[_Token, ...]]] = [(0, (), 0, ())]
    found = 0
    for _ in range(_MAX_EXPANSIONS):
        if not heap or found >= _MAX_CUTTINGS:
            return
        cost, ranks, place, tokens = heapq.heappop(heap)
        if place == size:
            found += 1
            yield cost, list(tokens)
            continue
        for rank, token in enumerate(at[place]):
            if reaches[token.end] and cost + token.cost <= _MAX_CUTTING_COST:
                entry = (cost + token.cost, (*ranks, rank), token.end, (*tokens, token))
                heapq.heappush(heap, entry)


class _Parser:
    """formula := bond? (unit count? charge? bond?)*, unit := piece | "(" formula ")"."""

    def __init__(self, tokens: list[_Token], assemble: Callable[[Unit], Piece | None]) -> None:
        self._tokens = tokens
        self._assemble = assemble
        self._at = 0
        self._depth = 0

    def formula(self) -> Unit | None:
        """The whole text; None where it is no formula."""
        unit = self._inside()
        return unit if self._at == len(self._tokens) else None

    def _peek(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else "end"

    def _next(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _inside(self) -> Unit | None:
        pieces: list[Piece] = []
        lead = bond = charge_next = cost = 0
        while self._peek() not in ("close", "end"):
            token = self._next()
            if token.kind == "bond":
                if bond:
                    return None
                bond = token.value
                if not pieces:
                    lead, bond = bond, 0
                continue
            if token.kind == "charge":
                if bond or not _charge(pieces, token.value):
                    return None
                continue
            if token.kind == "charge next":
                charge_next += token.value
                continue
            unit = self._unit(token)
            if unit is None or (bond and unit.branch):
                return None
            count = self._next().value if self._peek() == "count" else 1
            added = _repeated(unit, count)
            cost += unit.cost
            if bond:
                pieces[-1] = replace(pieces[-1], after=bond)
                added[0] = replace(added[0], before=bond)
                bond = 0
            if charge_next and _charge(added, charge_next, first=True):
                charge_next = 0
            pieces += added
            atoms = sum(piece.mol.GetNumAtoms() for piece in pieces if piece.mol is not None)
            if len(pieces) > _MAX_PIECES or atoms > _MAX_ATOMS:
                return None
        return None if charge_next or not pieces else Unit(tuple(pieces), cost, lead, bond)

    def _unit(self, token: _Token) -> Piece | None:
        if token.kind != "open":
            return token.piece  # None for a count that counts nothing
        self._depth += 1
        inside = self._inside() if self._depth <= _MAX_DEPTH else None
        self._depth -= 1
        if inside is None or self._peek() != "close":
            return None
        self._next()
        return self._assemble(inside)


def _repeated(piece: Piece, count: int) -> list[Piece]:
    if piece.mol is None:
        return [replace(piece, hydrogens=piece.hydrogens * count)]
    return [piece] * count


def _charge(pieces: list[Piece], charge: int, *, first: bool = False) -> bool:
    """Give charges to the nearest atoms that can carry them: the O of CO2-, the N of NH3+.

    Args:
        pieces: changed in place.
        charge: of so many atoms, each of one unit.
        first: the nearest is the first piece, else the last.

    Returns:
        False where there are not enough such atoms.
    """
    sign = 1 if charge > 0 else -1
    left = abs(charge)
    for index in range(len(pieces)) if first else reversed(range(len(pieces))):
        piece = pieces[index]
        if piece.symbol == "S" and sign < 0 and index and pieces[index - 1].symbol == "O":
            continue  # O3S-
        if left and piece.symbol and not piece.charge and (piece.symbol, sign) in VALENCES:
            charged = _atom(piece.symbol, sign, piece.isotope)
            pieces[index] = replace(charged, before=piece.before, after=piece.after)
            left -= 1
    return left == 0
