"""From probabilities to a molecule: the likeliest, changed at the least cost until it is valid.

Labels, bonds and whether there is an atom at all are decided together: where a valence,
a label's number of bonds or a wedge is impossible, the cheapest change nearby is made, and said.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from eyesmol.chem.expansion import read_label
from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.detector.detection import Detection
from eyesmol.detector.vocabulary import BondClass

__all__ = ["Assembly", "assembled"]

_LEAST = 1e-5  # probability of what nobody saw
_MOST_CHANGES = 16
_JOIN = 0.06  # probability of a bond that is taken where it joins two parts of the drawing
_DUBIOUS_ATOMS = 4  # a part of so few atoms has to be sure, where there is a larger one
_LONE_SURE = 0.5  # existence of a label without bonds
_COUNTED_ION = re.compile(r"\[([2-9])([A-Z][a-z]?(?:[+-]\d?))\]")  # else an isotope
_SPECIES_SEEN, _SPECIES_SURE = 0.06, 0.35  # of a species: probability, and share of what it may be
_LETTER_WIDTH = 0.4  # bonds
_ANION_SEEN = 0.02  # probability of O- from which an O may balance an ion
_BARE_ELEMENT = re.compile(r"\[?[A-Z][a-z]?\]?")
_TRIPLE_SEEN = 0.001  # probability of a triple bond from which a straight line tells that it is one
_STRAIGHT = -0.965  # cosine between the halves of a line that goes on


@dataclass(frozen=True)
class Assembly:
    """A molecule put together.

    Attributes:
        graph: places in the image's pixels.
        smiles: canonical; None where no valid molecule was found.
        atom_confidence, bond_confidence: probability of each choice.
        changes: what was not the likeliest reading, one sentence each.
        log_probability: of all choices together.
        atom_options: of each atom every label that it may have, with its probability.
        bond_options: of each bond every one that it may be, with its probability; None for no bond.
    """

    graph: MolGraph
    smiles: str | None
    atom_confidence: tuple[float, ...] = ()
    bond_confidence: tuple[float, ...] = ()
    changes: tuple[str, ...] = ()
    log_probability: float = -math.inf
    atom_options: tuple[dict[str, float], ...] = ()
    bond_options: tuple[dict[Bond | None, float], ...] = ()


def assembled(detection: Detection) -> Assembly:
    """The likeliest valid molecule of a detection."""
    draft = _Draft(detection)
    draft.straighten()
    draft.uncross()
    draft.join_parts()
    draft.take_species()
    draft.balance_charge()
    draft.settle_parts()
    draft.turn_wedges()
    draft.make_valid()
    graph, kept = draft.graph()
    smiles, problems = graph_to_smiles(graph) if graph.atoms else (None, [])
    while smiles is None and graph.atoms and draft.repair_what_rdkit_refuses(problems, kept):
        graph, kept = draft.graph()
        smiles, problems = graph_to_smiles(graph)
    return draft.assembly(graph, kept, smiles)


# The most that an element binds, by charge; those that are not here are free.
_MOST_BONDS = {
    ("C", 0): 4, ("C", 1): 3, ("C", -1): 3, ("N", 0): 3, ("N", 1): 4, ("N", -1): 2,
    ("O", 0): 2, ("O", -1): 1, ("O", 1): 3, ("S", 0): 6, ("S", 1): 5, ("S", -1): 1,
    ("F", 0): 1, ("Cl", 0): 1, ("Br", 0): 1, ("I", 0): 5, ("H", 0): 1, ("P", 0): 5, ("P", 1): 4,
    ("B", 0): 3, ("B", -1): 4, ("Si", 0): 4, ("Se", 0): 6,
}  # fmt: skip
_VALENCE = {
    BondClass.NONE: 0.0, BondClass.DOUBLE: 2.0, BondClass.CROSSED: 2.0, BondClass.TRIPLE: 3.0,
    BondClass.AROMATIC: 1.5,
}  # fmt: skip
_HIGHEST_FIRST = sorted(BondClass, key=lambda kind: -_VALENCE.get(kind, 1.0))  # of equal costs
_STEREO = (BondClass.WEDGE, BondClass.WEDGE_BACK, BondClass.HASH, BondClass.HASH_BACK)


@lru_cache(maxsize=4096)
def _atom(text: str) -> Atom:
    return Atom.from_text(text)


def _charge(atom: Atom) -> int:
    """Of an atom or an ion, several where a number stands before it: 4Na+."""
    counted = _COUNTED_ION.fullmatch(atom.text)
    return int(counted[1]) * Atom.from_text(f"[{counted[2]}]").charge if counted else atom.charge


@lru_cache(maxsize=4096)
def _reads(text: str, orders: tuple[int, ...]) -> bool:
    atom = _atom(text)
    sign = ("+" if atom.charge > 0 else "-") * abs(atom.charge)
    return read_label(atom.label + sign, orders) is not None


# Letters that stand for a variable far oftener than others that look like an O, a C or an I do.
_VARIABLE = re.compile(r"\[(R|Ra|Rb|X|Y|Z|Q|A|W|L|M|Ar|Het|(R|X|Y|Z|A|L|Ar)\d{1,2}[a-z']?|R'+)\]")


# Groups with a metal are rarer than a CH3 that was spelt badly (ClHg).
_METAL_GROUP = re.compile(
    r"\[.*(Hg|Zn|Cu|Pd|Pt|Sn|Mg|Al|Ti|Fe|Ni|Ru|Rh|Ag|Au|Cd|Pb|Bi|Mn|Cr)(?![a-z]).*\]"
)


@lru_cache(maxsize=4096)
def _prior(text: str, orders: tuple[int, ...]) -> float:
    """How much likelier than another a chemist writes this label, other things being equal."""
    if text == "*":
        return 0.4  # nobody knows: any reading that makes sense is better
    if _atom(text).is_element or _reads(text, orders):
        return 0.1 if orders and _METAL_GROUP.fullmatch(text) else 1.0
    if _VARIABLE.fullmatch(text):
        return 0.7
    return 0.15 if len(text.strip("[]")) == 1 else 0.1


def _excess(text: str, kinds: tuple[BondClass, ...]) -> float:
    """How much more an atom binds than it can; 0 where all is well."""
    atom = _atom(text)
    bound = sum(_VALENCE.get(kind, 1.0) for kind in kinds)
    if kinds.count(BondClass.AROMATIC) == 3:
        bound = 4.0  # a fused ring: one of three is double
    if atom.is_element:
        most = _MOST_BONDS.get((atom.label, atom.charge))
        return max(0.0, math.floor(bound) - most) if most is not None else 0.0
    if len(kinds) < 2 or text == "*" or not text.startswith("["):
        return 0.0
    orders = tuple(int(_VALENCE.get(kind, 1.0)) for kind in kinds)
    return float(len(kinds) - 1) if not _reads(text, orders) and _reads(text, (1,)) else 0.0


@dataclass
class _Change:
    """One choice made otherwise: its cost in log probability, and how it is made."""

    cost: float
    atom: int | None = None
    text: str | None = None
    pair: int | None = None
    kind: BondClass = BondClass.NONE


class _Draft:
    """Choices about a detection: `texts` (None: no atom) and `kinds` of the pairs."""

    def __init__(self, detection: Detection) -> None:
        self.detection = detection
        self.places = detection.places
        self.pairs = [(int(a), int(b)) for a, b in detection.pairs]
        self.probability = detection.bonds
        self.texts: list[str | None] = [_likeliest(options) for options in detection.labels]
        self.kinds = [_kind(row) for row in detection.bonds]
        self.changes: list[str] = []
        self.species: set[int] = set()  # labels without bonds that were taken though they are faint
        self.tried: set[tuple[object, ...]] = set()
        self._index()
        self._choose_labels()

    def _index(self) -> None:
        self.at: list[list[int]] = [[] for _ in self.texts]
        for number, (a, b) in enumerate(self.pairs):
            self.at[a].append(number)
            self.at[b].append(number)

    def _choose_labels(self) -> None:
        """The likeliest labels again, now with what chemists write: their bonds are known."""
        for atom, options in enumerate(self.detection.labels):
            if self.texts[atom] in (None, "C") or len(options) < 2:
                continue
            orders = tuple(max(1, int(_VALENCE.get(self.kinds[n], 1.0))) for n in self.bonded(atom))
            self.texts[atom] = max(options, key=lambda t: options[t] * _prior(t, orders))

    # What is there

    def bonded(self, atom: int) -> list[int]:
        """Pairs at an atom that are bonds between atoms that are there."""
        return [n for n in self.at[atom] if self.is_bond(n)]

    def is_bond(self, number: int) -> bool:
        """True where both ends are there and a bond is chosen."""
        a, b = self.pairs[number]
        return (
            self.kinds[number] != BondClass.NONE
            and self.texts[a] is not None
            and self.texts[b] is not None
        )

    def other(self, number: int, atom: int) -> int:
        """The other end of a pair."""
        a, b = self.pairs[number]
        return b if a == atom else a

    def _parts(self) -> list[list[int]]:
        """Atoms that are there, by connected part, the largest first."""
        seen: set[int] = set()
        parts = []
        for start, text in enumerate(self.texts):
            if text is None or start in seen:
                continue
            part, waiting = [], [start]
            seen.add(start)
            while waiting:
                atom = waiting.pop()
                part.append(atom)
                for number in self.bonded(atom):
                    neighbour = self.other(number, atom)
                    if neighbour not in seen:
                        seen.add(neighbour)
                        waiting.append(neighbour)
            parts.append(sorted(part))
        return sorted(parts, key=len, reverse=True)

    # Geometry and parts

    def straighten(self) -> None:
        """A bare carbon between a single and a double bond in one line: the double is a triple."""
        for atom, text in enumerate(self.texts):
            bonds = self.bonded(atom)
            kinds = sorted(self.kinds[n] for n in bonds)
            if text != "C" or kinds != [BondClass.SINGLE, BondClass.DOUBLE]:
                continue
            ways = [self.places[self.other(n, atom)] - self.places[atom] for n in bonds]
            cosine = float(ways[0] @ ways[1]) / float(
                np.linalg.norm(ways[0]) * np.linalg.norm(ways[1])
            )
            double = next(n for n in bonds if self.kinds[n] == BondClass.DOUBLE)
            if cosine < _STRAIGHT and self.probability[double, BondClass.TRIPLE] > _TRIPLE_SEEN:
                self.kinds[double] = BondClass.TRIPLE
                self.changes.append("a double bond was read as triple: it goes straight on")

    def uncross(self) -> None:
        """A bare carbon of four bonds, two by two in line with short halves: lines that cross."""
        lengths = [self._length(n) for n in range(len(self.pairs)) if self.is_bond(n)]
        if len(lengths) < 6:
            return
        median = float(np.median(lengths))
        for atom, text in enumerate(self.texts):
            if text == "C" and len(bonds := self.bonded(atom)) == 4:
                for crossing in self._crossings(atom, bonds, median):
                    self._remove_crossing(atom, crossing)
                    break

    def _length(self, number: int) -> float:
        a, b = self.pairs[number]
        return float(np.linalg.norm(self.places[a] - self.places[b]))

    def _crossings(
        self, atom: int, bonds: list[int], median: float
    ) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        ends = [self.other(n, atom) for n in bonds]
        ways = [self.places[e] - self.places[atom] for e in ends]
        sizes = [float(np.linalg.norm(w)) for w in ways]
        for a, b, c, d in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)):
            straight = all(
                float(ways[p] @ ways[q]) / (sizes[p] * sizes[q]) < _STRAIGHT
                for p, q in ((a, b), (c, d))
            )
            short, long = sorted((sizes[a] + sizes[b], sizes[c] + sizes[d]))
            if straight and short < 1.68 * median and long < 2.1 * median:
                yield (ends[a], ends[b]), (ends[c], ends[d])

    def _remove_crossing(self, atom: int, lines: tuple[tuple[int, int], tuple[int, int]]) -> None:
        self.texts[atom] = None
        for a, b in lines:
            pair = (min(a, b), max(a, b))
            if pair in self.pairs:
                number = self.pairs.index(pair)
                if self.kinds[number] == BondClass.NONE:
                    row = self.probability[number].copy()
                    row[BondClass.NONE] = 0
                    self.kinds[number] = BondClass(int(row.argmax()))
            else:
                row = np.full(len(BondClass), _LEAST, np.float32)
                row[BondClass.SINGLE], row[BondClass.NONE] = 0.9, 0.1
                self.pairs.append(pair)
                self.probability = np.vstack([self.probability, row])
                self.kinds.append(BondClass.SINGLE)
        self._index()
        self.changes.append("a corner of four bonds was read as two lines that cross")

    def join_parts(self) -> None:
        """Take the likeliest bond between two parts of the drawing where it is likely at all."""
        while len(parts := [p for p in self._parts() if len(p) > 1]) > 1:
            part_of = {atom: k for k, part in enumerate(parts) for atom in part}
            best, chosen = _JOIN, None
            for number, (a, b) in enumerate(self.pairs):
                if a in part_of and b in part_of and part_of[a] != part_of[b]:
                    likely = 1 - float(self.probability[number, BondClass.NONE])
                    if likely > best:
                        best, chosen = likely, number
            if chosen is None:
                return
            row = self.probability[chosen].copy()
            row[BondClass.NONE] = 0
            self.kinds[chosen] = BondClass(int(row.argmax()))
            self.changes.append(f"a faint bond (probability {best:.2f}) was taken: it joins parts")

    def take_species(self) -> None:
        """Labels without bonds that spell a salt, an ion or a solvent are taken, if likely at all.

        The network takes most text for captions; but a caption that spells CH3SO3H is rare.
        """
        for atom, options in enumerate(self.detection.labels):
            if self.texts[atom] is not None or any(self._may_be_bond(n) for n in self.at[atom]):
                continue
            existing = sum(options.values())
            for text, p in sorted(options.items(), key=lambda option: -option[1]):
                if p < max(_SPECIES_SEEN, _SPECIES_SURE * existing):
                    break
                if _BARE_ELEMENT.fullmatch(text) or text == "*" or not _reads(text, ()):
                    continue
                if not self._stands_near(atom, text):  # each letter of one text may be a junction
                    self.texts[atom] = text
                    self.species.add(atom)
                    self.changes.append(f"{text.strip('[]')} was taken for a species (p {p:.2f})")
                break

    def _stands_near(self, atom: int, text: str) -> bool:
        """Whether a label without bonds says the same within the width of its text."""
        near = _LETTER_WIDTH * len(text) * self.detection.bond_length
        return any(
            self.texts[other] == text
            and not self.bonded(other)
            and float(np.linalg.norm(self.places[other] - self.places[atom])) < near
            for other in range(len(self.texts))
            if other != atom
        )

    def _may_be_bond(self, number: int) -> bool:
        return float(self.probability[number, BondClass.NONE]) < 0.5

    def balance_charge(self) -> None:
        """Where ions stand beside, the likeliest oxygens are the anions that balance them.

        The little minus of O- is easily lost; a drawing whose charges do not add up is rare.
        """
        texts = [_atom(text) for text in self.texts if text is not None]
        charge = sum(_charge(atom) for atom in texts)
        lone = [a for a, text in enumerate(self.texts) if text is not None and not self.bonded(a)]
        if charge <= 0 or not any(_charge(_atom(self.texts[a] or "C")) > 0 for a in lone):
            return
        weak = [
            (options.get("[O-]", 0.0), atom)
            for atom, options in enumerate(self.detection.labels)
            if self.texts[atom] == "O" and options.get("[O-]", 0.0) > _ANION_SEEN
            and [self.kinds[n] for n in self.bonded(atom)] == [BondClass.SINGLE]
        ]  # fmt: skip
        if len(weak) < charge:
            return
        for p, atom in sorted(weak, reverse=True)[:charge]:
            self.texts[atom] = "[O-]"
            self.changes.append(f"O was read as O- (p {p:.2f}): it balances an ion")

    def settle_parts(self) -> None:
        """Drop small parts that are not sure, and labels without bonds that mean nothing."""
        parts = self._parts()
        bonded = [p for p in parts if len(p) > 1]
        for part in bonded[1:]:
            if len(part) <= _DUBIOUS_ATOMS and len(part) < len(bonded[0]) and self._dubious(part):
                for atom in part:
                    self.texts[atom] = None
        charge = sum(_atom(self.texts[a] or "C").charge for p in bonded for a in p)
        for part in parts:
            if len(part) == 1 and not self._means_something(part[0], charge, bool(bonded)):
                self.texts[part[0]] = None

    def _dubious(self, part: list[int]) -> bool:
        sure = [self._sure(atom) for atom in part]
        sure += [float(self.probability[n].max()) for a in part for n in self.bonded(a)]
        return min(sure) < 0.6 or float(np.mean(sure)) < 0.75

    def _sure(self, atom: int) -> float:
        text = self.texts[atom]
        return self.detection.labels[atom].get(text, 0.0) if text is not None else 0.0

    def _means_something(self, atom: int, charge: int, bonded: bool) -> bool:
        """Whether a label without bonds is a species: HCl, Na+ beside an anion, 2 H2O."""
        text = self.texts[atom]
        sure = self._sure(atom)
        if text is None or text == "*":
            return False
        if bonded and sure < _LONE_SURE and atom not in self.species:
            return False
        one = _atom(text)
        if one.is_element and not one.charge:
            return one.label in ("Cl", "Br", "I") and sure > 0.8 and bonded
        if not one.is_element and not _reads(text, ()):
            return False
        if one.charge and bonded:
            return charge * one.charge < 0
        return True

    def turn_wedges(self) -> None:
        """A wedge whose narrow end is a lone end is meant from its other end."""
        for number, kind in enumerate(self.kinds):
            if kind in _STEREO and self.is_bond(number):
                a, b = self.pairs[number]
                narrow, wide = (b, a) if kind.begins_at_second else (a, b)
                if len(self.bonded(narrow)) == 1 and len(self.bonded(wide)) > 2:
                    self.kinds[number] = kind.reverse
                    self.changes.append("a wedge was turned round: its narrow end was a lone end")

    # Validity

    def make_valid(self) -> None:
        """The cheapest changes until no atom binds more than it can."""
        for _ in range(_MOST_CHANGES):
            wrong = [a for a in range(len(self.texts)) if self._excess_of(a) > 0]
            if not wrong:
                return
            changes = [c for a in wrong for c in self._changes_at(a) if self._helps(c)]
            if not changes:
                return
            self._make(min(changes, key=lambda c: c.cost), "an impossible valence")

    def _excess_of(self, atom: int) -> float:
        text = self.texts[atom]
        if text is None:
            return 0.0
        return _excess(text, tuple(self.kinds[n] for n in self.bonded(atom)))

    def _changes_at(self, atom: int) -> Iterator[_Change]:
        text = self.texts[atom]
        options = self.detection.labels[atom]
        now = math.log(max(options.get(text or "", 0.0), _LEAST))
        for other, p in options.items():
            if other != text and other != "*" and p > _LEAST:
                yield _Change(now - math.log(p), atom=atom, text=other)
        absent = max(1 - sum(options.values()), _LEAST)
        yield _Change(now - math.log(absent), atom=atom, text=None)
        for number in self.bonded(atom):
            row = np.maximum(self.probability[number], _LEAST)
            kind = self.kinds[number]
            for lower in _HIGHEST_FIRST:
                if _VALENCE.get(lower, 1.0) < _VALENCE.get(kind, 1.0):
                    yield _Change(math.log(row[kind] / row[lower]), pair=number, kind=lower)

    def _helps(self, change: _Change) -> bool:
        """True where a change lessens what is wrong, all atoms that it touches taken together."""
        if (change.atom, change.text, change.pair, change.kind) in self.tried:
            return False
        touched = {change.atom} if change.atom is not None else set(self.pairs[change.pair or 0])
        if change.atom is not None:
            touched |= {self.other(n, change.atom) for n in self.bonded(change.atom)}
        before = sum(self._excess_of(a) for a in touched if a is not None)
        undo = self._apply(change)
        after = sum(self._excess_of(a) for a in touched if a is not None)
        self._apply(undo)
        return after < before

    def _apply(self, change: _Change) -> _Change:
        """Make a change; the change that undoes it."""
        if change.atom is not None:
            undo = _Change(0.0, atom=change.atom, text=self.texts[change.atom])
            self.texts[change.atom] = change.text
            return undo
        assert change.pair is not None
        undo = _Change(0.0, pair=change.pair, kind=self.kinds[change.pair])
        self.kinds[change.pair] = change.kind
        return undo

    def _make(self, change: _Change, reason: str) -> None:
        undo = self._apply(change)
        self.tried.add((undo.atom, undo.text, undo.pair, undo.kind))
        if change.atom is not None:
            what = f"{undo.text} was read as {change.text or 'no atom'}"
        else:
            what = f"a {undo.kind.name.lower()} bond was read as {change.kind.name.lower()}"
        self.changes.append(f"{what}: {reason} (cost {change.cost:.1f})")

    def repair_what_rdkit_refuses(self, problems: list[str], kept: list[int]) -> bool:
        """One change at the atom that RDKit names; False where nothing is left to try."""
        if len(self.changes) > _MOST_CHANGES:
            return False
        named = [int(n) for n in re.findall(r"atom # (\d+)", problems[-1])] if problems else []
        named += [
            int(n)
            for match in re.findall(r"Unkekulized atoms:((?: \d+)+)", " ".join(problems))
            for n in match.split()
        ]
        atoms = [kept[n] for n in named if n < len(kept)]
        changes = [
            c for a in atoms for c in self._changes_at(a)
            if (c.atom, c.text, c.pair, c.kind) not in self.tried
        ]  # fmt: skip
        if not changes:
            return False
        self._make(min(changes, key=lambda c: c.cost), "RDKit refused the molecule")
        return True

    # The result

    def graph(self) -> tuple[MolGraph, list[int]]:
        """The graph of what is chosen, and the junction of each of its atoms."""
        kept = [a for a, text in enumerate(self.texts) if text is not None]
        new = {old: index for index, old in enumerate(kept)}
        atoms, bonds = [], []
        for junction in list(kept):
            first, *others = self._atoms_at(junction)
            atoms.append(first)
            kept += [junction] * len(others)
        atoms += [other for a in new for other in self._atoms_at(a)[1:]]
        for number in self._bonds():
            kind, (a, b) = self.kinds[number], self.pairs[number]
            begin, end = (b, a) if kind.begins_at_second else (a, b)
            order = kind.order
            assert order is not None
            if order == BondOrder.WAVY and len(self.bonded(begin)) < len(self.bonded(end)):
                begin, end = end, begin
            bonds.append(Bond(new[begin], new[end], order))
        return MolGraph(tuple(atoms), tuple(bonds)), kept

    def _atoms_at(self, junction: int) -> list[Atom]:
        """The atom of a junction; several where a number stands before an ion: 2Na+."""
        text = self.texts[junction] or "*"
        x, y = (float(v) for v in self.places[junction])
        counted = None if self.bonded(junction) else _COUNTED_ION.fullmatch(text)
        if counted is None:
            return [Atom.from_text(text, x, y)]
        step = 0.4 * self.detection.bond_length
        ion = f"[{counted[2]}]"
        return [Atom.from_text(ion, x + step * n, y) for n in range(int(counted[1]))]

    def _bonds(self) -> list[int]:
        return [n for n in range(len(self.pairs)) if self.is_bond(n)]

    def assembly(self, graph: MolGraph, kept: list[int], smiles: str | None) -> Assembly:
        """All of it, with probabilities."""
        atoms = tuple(self._sure(a) for a in kept)
        bonds = tuple(float(self.probability[n, self.kinds[n]]) for n in self._bonds())
        doubt = sum(math.log(max(p, _LEAST)) for p in atoms + bonds)
        there = set(kept)
        for number, (a, b) in enumerate(self.pairs):
            if a in there and b in there and not self.is_bond(number):
                doubt += math.log(max(float(self.probability[number, BondClass.NONE]), _LEAST))
        for atom, text in enumerate(self.texts):
            if text is None:
                absent = 1 - sum(self.detection.labels[atom].values())
                doubt += math.log(max(absent, _LEAST))
        return Assembly(
            graph,
            smiles,
            atoms,
            bonds,
            tuple(self.changes),
            doubt,
            tuple(self.detection.labels[a] for a in kept),
            tuple(
                self._options(n, bond) for n, bond in zip(self._bonds(), graph.bonds, strict=True)
            ),
        )

    def _options(self, number: int, chosen: Bond) -> dict[Bond | None, float]:
        """Every bond that may stand where one was chosen, its ends named as in the graph."""
        first, second = sorted((chosen.begin, chosen.end))  # pairs and atoms stand in one order
        options: dict[Bond | None, float] = {}
        for kind, probability in zip(BondClass, self.probability[number].tolist(), strict=True):
            ends = (second, first) if kind.begins_at_second else (first, second)
            options[None if kind.order is None else Bond(*ends, kind.order)] = probability
        return options


def _likeliest(options: dict[str, float]) -> str | None:
    existing = sum(options.values())
    if existing < 0.5 or not options:
        return None
    return max(options, key=lambda text: options[text])


def _kind(row: NDArray[np.float32]) -> BondClass:
    if row[BondClass.NONE] > 0.5:
        return BondClass.NONE
    return BondClass(1 + int(row[1:].argmax()))
