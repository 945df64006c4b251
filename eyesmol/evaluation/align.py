"""Which atom of the molecule that was read is which atom of the true one.

Scores and the search for errors need this where two molecules differ. The exact answer (a maximum
common edge subgraph) takes exponential time, so the alignment is grown: from a pair of atoms whose
surroundings agree, pair by pair along the bonds, the pair with most support and the most similar
surroundings first. Several seeds are tried, the alignment that agrees in most atoms and bonds is
kept, and partners are exchanged as long as that helps. The result is a lower bound of the exact
figure; a test compares the two. Surroundings are compared by the colours of Weisfeiler and Lehman
(Nauchno-Tech. Inf. 1968, 2, 12), 0 to 3 bonds wide.

Time is a small power of the atoms, whatever the molecules, so that no time limit is needed.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from rdkit import Chem

__all__ = ["Alignment", "Skeleton", "align"]

_ROUNDS = 3  # bonds that a colour sees
_SEEDS = 12
_PASSES = 4  # of exchanges; one or two do in nearly all cases
_MOST_EXCHANGES = 2500  # of a pass; beyond, the two molecules have too little in common to bother


@dataclass(frozen=True)
class Skeleton:
    """A molecule as atoms and bonds, hydrogens and stereo left off.

    Attributes:
        labels: of each atom: its element, or ``R1``, ``*``.
        states: of each atom: charge, isotope, unpaired electrons.
        neighbours: of each atom: the bond type by the other atom's index.
    """

    labels: tuple[str, ...]
    states: tuple[tuple[int, int, int], ...]
    neighbours: tuple[dict[int, int], ...]

    @classmethod
    def of(cls, mol: Chem.Mol) -> Skeleton:
        """From an RDKit molecule; the isotope of a dummy atom is the number of its R group."""
        labels, states = [], []
        for atom in mol.GetAtoms():
            isotope = atom.GetIsotope()
            dummy = not atom.GetAtomicNum()
            labels.append(f"R{isotope or ''}" if dummy else atom.GetSymbol())
            state = (atom.GetFormalCharge(), 0 if dummy else isotope, atom.GetNumRadicalElectrons())
            states.append(state)
        neighbours: tuple[dict[int, int], ...] = tuple({} for _ in labels)
        for bond in mol.GetBonds():
            begin, end, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), int(bond.GetBondType())
            neighbours[begin][end] = neighbours[end][begin] = kind
        return cls(tuple(labels), tuple(states), neighbours)

    def bonds(self) -> Iterable[tuple[int, int, int]]:
        """Each bond once: first atom, second atom, type."""
        for atom, row in enumerate(self.neighbours):
            for other, kind in row.items():
                if atom < other:
                    yield atom, other, kind

    @property
    def bond_count(self) -> int:
        """Number of bonds."""
        return sum(map(len, self.neighbours)) // 2

    def fragments(self) -> list[list[int]]:
        """Atoms of each connected part."""
        seen: set[int] = set()
        parts = []
        for start in range(len(self.labels)):
            if start in seen:
                continue
            seen.add(start)
            part = [start]
            for atom in part:  # grows while it is walked
                fresh = [other for other in self.neighbours[atom] if other not in seen]
                seen.update(fresh)
                part += fresh
            parts.append(part)
        return parts


@dataclass(frozen=True)
class Alignment:
    """Two molecules laid onto each other.

    Attributes:
        true, read: the two.
        pairs: index in `read` by index in `true`; atoms without a partner are left out.
    """

    true: Skeleton
    read: Skeleton
    pairs: dict[int, int]

    @property
    def same_atoms(self) -> int:
        """Pairs that agree in element (or R group), charge, isotope and radical."""
        true, read = self.true, self.read
        return sum(
            true.labels[a] == read.labels[b] and true.states[a] == read.states[b]
            for a, b in self.pairs.items()
        )

    @property
    def same_bonds(self) -> int:
        """True bonds that the read molecule has between the partners, of the same type."""
        return sum(
            (partner := self.pairs.get(other)) is not None
            and self.read.neighbours[self.pairs[atom]].get(partner) == kind
            for atom, other, kind in self.true.bonds()
            if atom in self.pairs
        )

    @property
    def atom_f1(self) -> float:
        """Atoms right among those that are there and those that were read, 0 to 1."""
        return _dice(self.same_atoms, len(self.true.labels), len(self.read.labels))

    @property
    def bond_f1(self) -> float:
        """The same of bonds; 1 where neither molecule has one."""
        return _dice(self.same_bonds, self.true.bond_count, self.read.bond_count)


def _dice(common: int, first: int, second: int) -> float:
    return 2 * common / (first + second) if first + second else 1.0


def align(true: Skeleton, read: Skeleton) -> Alignment:
    """The best of the alignments that were grown; see above."""
    colours = _colours((true, read))
    best, best_value = Alignment(true, read, {}), -1.0
    full = 1.2 * min(len(true.labels), len(read.labels)) + min(true.bond_count, read.bond_count)
    seeds: list[tuple[int, int] | None] = [*_seeds(*colours)]
    for seed in seeds or [None]:
        for strict in (True, False):
            found = Alignment(true, read, _Growth(true, read, colours, strict=strict).grown(seed))
            value = _worth(found, found.pairs, found.pairs.keys())
            if value > best_value:
                best, best_value = found, value
            if best_value >= full:
                return best
    return _exchanged(best)


def _exchanged(alignment: Alignment) -> Alignment:
    """Partners exchanged among the atoms whose bonds do not all agree, as long as that helps."""
    pairs, read = dict(alignment.pairs), alignment.read
    loose = [a for a in range(len(alignment.true.labels)) if not _settled(alignment, a)]
    held = {partner: atom for atom, partner in pairs.items()}
    free = [b for b in range(len(read.labels)) if b not in held or held[b] in loose]
    if len(loose) * len(free) > _MOST_EXCHANGES:
        return alignment
    for _ in range(_PASSES):
        better = False
        for atom, partner in itertools.product(loose, free):
            if pairs.get(atom) == partner:
                continue
            other = held.get(partner)
            changed = {atom} if other is None else {atom, other}
            before = _worth(alignment, pairs, changed)
            trial = {a: b for a, b in pairs.items() if a not in changed}
            trial[atom] = partner
            if other is not None and atom in pairs:
                trial[other] = pairs[atom]
            if _worth(alignment, trial, changed) > before + 1e-9:
                pairs, better = trial, True
                held = {b: a for a, b in pairs.items()}
        if not better:
            break
    return Alignment(alignment.true, read, pairs)


def _settled(alignment: Alignment, atom: int) -> bool:
    """True where an atom, its label and all its bonds have their like."""
    true, read, pairs = alignment.true, alignment.read, alignment.pairs
    if atom not in pairs or true.labels[atom] != read.labels[pairs[atom]]:
        return False
    there = read.neighbours[pairs[atom]]
    here = true.neighbours[atom]
    return len(here) == len(there) and all(pairs.get(other) in there for other in here)


def _worth(alignment: Alignment, pairs: dict[int, int], atoms: Set[int]) -> float:
    """What some pairs and their bonds are worth.

    A label is worth a little more than a bond, a bond of another type (which still shows who
    belongs to whom) a little less, a pair of unlike atoms next to nothing.
    """
    true, read = alignment.true, alignment.read
    total = 0.0
    for atom in atoms:
        partner = pairs.get(atom)
        if partner is None:
            continue
        total += 0.05 + 1.2 * (true.labels[atom] == read.labels[partner])
        for other, kind in true.neighbours[atom].items():
            if other in pairs and not (other in atoms and other < atom):
                there = read.neighbours[partner].get(pairs[other])
                total += 0 if there is None else 0.6 + 0.4 * (there == kind)
    return total


# ---- surroundings ----

# Of each atom: its colour with labels after 0, 1, 2, 3 rounds, then the same without labels.
_Colours = list[tuple[int, ...]]


def _colours(graphs: Sequence[Skeleton]) -> list[_Colours]:
    """Colours that agree between the graphs exactly where surroundings do."""
    known: dict[object, int] = {}

    def number(key: object) -> int:
        return known.setdefault(key, len(known))

    columns: list[list[list[int]]] = [[] for _ in graphs]
    for labelled in (True, False):
        now = [
            [number((labelled, labelled and label)) for label in graph.labels] for graph in graphs
        ]
        for step in range(_ROUNDS + 1):
            for column, colours in zip(columns, now, strict=True):
                column.append(colours)
            now = [
                [
                    number((step, colours[atom], tuple(sorted(
                        ((kind if labelled else 0), colours[other]) for other, kind in row.items()
                    ))))
                    for atom, row in enumerate(graph.neighbours)
                ]
                for graph, colours in zip(graphs, now, strict=True)
            ]  # fmt: skip
    return [list(zip(*column, strict=True)) for column in columns]


def _likeness(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """How far the surroundings of two atoms agree; with labels counts double."""
    agree = [a == b for a, b in zip(first, second, strict=True)]
    half = len(agree) // 2
    return 2 * sum(agree[:half]) + sum(agree[half:])


def _seeds(true: _Colours, read: _Colours) -> list[tuple[int, int]]:
    """Pairs to start from: the widest surroundings that agree, and of those the rarest."""
    found: dict[tuple[int, int], None] = {}
    for depth in range(_ROUNDS, -1, -1):
        here: defaultdict[int, list[int]] = defaultdict(list)
        there: defaultdict[int, list[int]] = defaultdict(list)
        for table, colours in ((here, true), (there, read)):
            for atom, row in enumerate(colours):
                table[row[depth]].append(atom)
        common = sorted(here.keys() & there.keys(), key=lambda c: len(here[c]) * len(there[c]))
        for colour in common[:_SEEDS]:
            for pair in itertools.islice(itertools.product(here[colour][:1], there[colour]), 3):
                found.setdefault(pair)
                if len(found) == _SEEDS:
                    return list(found)
    return list(found)


# ---- growing ----


class _Growth:
    """One alignment under way.

    Args:
        true, read: the two molecules.
        colours: of both.
        strict: atoms of unlike labels are paired only when nothing else is left. That finds an
            atom that is missing inside a chain; the other way finds one that has the wrong element.
    """

    def __init__(
        self, true: Skeleton, read: Skeleton, colours: list[_Colours], *, strict: bool
    ) -> None:
        self.true, self.read, self.strict = true, read, strict
        self.colours = colours
        self.pairs: dict[int, int] = {}
        self.taken: set[int] = set()
        self.support: defaultdict[tuple[int, int], int] = defaultdict(int)
        self.heap: list[tuple[int, int, int, int]] = []
        self.unlike: list[tuple[int, int, int, int]] = []

    def grown(self, seed: tuple[int, int] | None) -> dict[int, int]:
        """All pairs that can be had from a seed; without one, from atoms that are unlike."""
        while seed is not None:
            self._pair(*seed)
            self._follow(self.heap)
            seed = self._next_seed()
        heapq.heapify(self.unlike)
        self._follow(self.unlike)
        while (unlike := self._unlike_seed()) is not None:
            self._pair(*unlike)
            self._follow(self.heap)
            heapq.heapify(self.unlike)
            self._follow(self.unlike)
        return self.pairs

    def _follow(self, heap: list[tuple[int, int, int, int]]) -> None:
        """Pair along the bonds until no neighbour of a paired atom is left."""
        while heap:
            support, _, here, there = heapq.heappop(heap)
            # An entry with less support than there is by now has a better one in the heap.
            if here in self.pairs or there in self.taken or -support != self.support[here, there]:
                continue
            self._pair(here, there)
            while heap is not self.heap and self.heap:
                heapq.heappush(heap, heapq.heappop(self.heap))

    def _pair(self, here: int, there: int) -> None:
        self.pairs[here] = there
        self.taken.add(there)
        free = [(o, kind) for o, kind in self.read.neighbours[there].items() if o not in self.taken]
        for other, kind in self.true.neighbours[here].items():
            if other in self.pairs:
                continue
            for partner, partner_kind in free:
                # Two points for a neighbour in common, a third where the bond is the same.
                self.support[other, partner] += 2 + (kind == partner_kind)
                self._propose(other, partner)

    def _propose(self, here: int, there: int) -> None:
        like = self.true.labels[here] == self.read.labels[there]
        likeness = _likeness(self.colours[0][here], self.colours[1][there])
        entry = (-self.support[here, there], -likeness, here, there)
        if like or not self.strict:
            heapq.heappush(self.heap, entry)
        else:
            self.unlike.append(entry)

    def _unlike_seed(self) -> tuple[int, int] | None:
        """Of fragments that found no partner on either side, the atoms that stand most alike."""
        here = [f for f in self.true.fragments() if not any(a in self.pairs for a in f)]
        there = [f for f in self.read.fragments() if not any(a in self.taken for a in f)]
        options = (
            (_likeness(self.colours[0][atom], self.colours[1][other]), -atom, -other)
            for fragment, partner in itertools.product(here, there)
            for atom, other in itertools.product(fragment, partner)
        )
        best = max(options, default=None)
        return None if best is None else (-best[1], -best[2])

    def _next_seed(self) -> tuple[int, int] | None:
        """Of the atoms left on both sides, the pair of equal labels that is most alike."""
        left: defaultdict[str, list[int]] = defaultdict(list)
        for atom, label in enumerate(self.read.labels):
            if atom not in self.taken:
                left[label].append(atom)
        options = (
            (_likeness(self.colours[0][atom], self.colours[1][other]), -atom, -other)
            for atom, label in enumerate(self.true.labels)
            if atom not in self.pairs
            for other in left[label]
        )
        best = max(options, default=None)
        return None if best is None else (-best[1], -best[2])
