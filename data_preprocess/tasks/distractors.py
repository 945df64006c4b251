"""Wrong answers that are nearly right: molecules and formulas a step or two away from the true one.

A step is what a careless reader gets wrong: a CH2 or H2 too many or too few, an element taken for
another, a substituent at the next atom, a stereo centre or double bond the other way round.

Were every wrong answer one step from the true one, the true one would be the one that is most like
the others, and nobody would need the image. So one of the answers, any of them, is the centre, and
the others are one step from it: where the centre is wrong, two wrong answers are two steps from the
true one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from rdkit import Chem, rdBase

from eyesmol.chem.smiles import canonical_smiles

__all__ = [
    "near_formulas",
    "near_molecules",
    "wrong_formulas",
    "wrong_molecules",
    "wrong_stereoisomers",
]

Edit = Callable[[Chem.RWMol, random.Random], bool]

_TRIES = 8  # of each kind of step: some make no molecule, some the same one
_SINGLE = Chem.BondType.SINGLE
_AROMATIC = "aromatic in the molecule"  # a mark on bonds that survives the Kekule form


def wrong_molecules(
    mol: Chem.Mol, count: int, rng: random.Random, steps: Sequence[str] = ()
) -> list[str]:
    """Up to `count` molecules around a centre, see above; the rest as `near_molecules`."""

    def near(smiles: str, wanted: int, apart_from: Sequence[str]) -> list[str]:
        return near_molecules(Chem.MolFromSmiles(smiles), wanted, rng, steps, apart_from)

    return _around_a_centre(str(Chem.MolToSmiles(mol)), count, near, rng)


def wrong_stereoisomers(mol: Chem.Mol, count: int, rng: random.Random) -> list[str]:
    """Like `wrong_molecules`: one or two centres or double bonds turned round."""
    return wrong_molecules(mol, count, rng, ["stereo", "stereo twice"])


def wrong_formulas(mol: Chem.Mol, count: int, rng: random.Random) -> list[str]:
    """Up to `count` formulas around a centre, see above; the rest as `near_formulas`."""
    charge = Chem.GetFormalCharge(mol)
    atoms = _composition(mol)
    composition = {_hill(atoms, charge): atoms}

    def near(formula: str, wanted: int, apart_from: Sequence[str]) -> list[str]:
        found = {
            _hill(atoms, charge): (atoms, weight)
            for atoms, weight in _changed(composition[formula])
        }
        composition.update({other: atoms for other, (atoms, _) in found.items()})
        weights = {other: found[other][1] for other in sorted(found) if other not in apart_from}
        return _drawn(weights, rng)[:wanted]

    return _around_a_centre(next(iter(composition)), count, near, rng)


def _around_a_centre(
    true: str,
    count: int,
    near: Callable[[str, int, Sequence[str]], list[str]],
    rng: random.Random,
) -> list[str]:
    """Wrong answers, of which the true one is the centre no more often than any of them is.

    Args:
        true: the right answer.
        count: how many wrong ones, at most.
        near: so many answers one step from the first argument, none of those in the last.
        rng: chooses the centre.
    """
    if rng.randrange(count + 1) == 0:
        return near(true, count, [])
    centre = near(true, 1, [])
    return centre + near(centre[0], count - 1, [true]) if centre else []


def near_molecules(
    mol: Chem.Mol,
    count: int,
    rng: random.Random,
    steps: Sequence[str] = (),
    apart_from: Sequence[str] = (),
) -> list[str]:
    """Canonical SMILES of up to `count` different molecules one step away, none of them the same.

    The same is judged by canonical SMILES and, where no position is open, by standard InChI too: a
    tautomer of the true molecule is no wrong answer.

    Args:
        mol: sanitised; R groups as ``*``.
        count: how many.
        rng: chooses the steps and their positions.
        steps: keys of `STEPS` to choose from; all by default.
        apart_from: SMILES of molecules that are none of them either.
    """
    taken = {canonical_smiles(Chem.MolToSmiles(mol)), _inchi(mol)}
    for other in apart_from:
        taken |= {canonical_smiles(other), _inchi(Chem.MolFromSmiles(other))}
    found: list[str] = []
    # In turn, so that the wrong answers differ in kind.
    for kind in _drawn({kind: STEPS[kind][1] for kind in steps or STEPS}, rng) * _TRIES:
        if len(found) == count:
            break
        smiles = _stepped(mol, STEPS[kind][0], rng)
        if smiles is None or smiles in taken:
            continue
        inchi = _inchi(Chem.MolFromSmiles(smiles))
        if inchi is None or inchi not in taken:
            taken |= {smiles, inchi}
            found.append(smiles)
    return found


def near_formulas(mol: Chem.Mol, count: int, rng: random.Random) -> list[str]:
    """Up to `count` different formulas in Hill order, none of them the molecule's.

    CH2 or H2 more or less, an oxygen or nitrogen taken for carbon with its hydrogens, one halogen
    for another; never more hydrogen than a molecule can carry.
    """
    atoms, charge = _composition(mol), Chem.GetFormalCharge(mol)
    weights = {_hill(other, charge): weight for other, weight in _changed(atoms)}
    return _drawn(weights, rng)[:count]


def _drawn(weights: Mapping[str, float], rng: random.Random) -> list[str]:
    """All names in a random order, the heavy ones first more often."""
    order = {name: rng.random() ** (1 / weight) for name, weight in weights.items()}
    return sorted(order, key=order.__getitem__, reverse=True)


def _changed(atoms: dict[str, int]) -> Iterator[tuple[dict[str, int], float]]:
    """The compositions one step from another, and how often such a step should be taken."""
    for change, weight in _CHANGES:
        other = {symbol: atoms.get(symbol, 0) + change.get(symbol, 0) for symbol in atoms | change}
        if min(other.values()) >= 0 and _unsaturation(other) >= 0:
            yield other, weight


# What changes, and its weight. Rare elements come and go seldom: a formula with one more sulfur
# than molecules usually have would give itself away.
_CHANGES = (
    ({"C": 1, "H": 2}, 3.0), ({"C": -1, "H": -2}, 3.0), ({"H": 2}, 3.0), ({"H": -2}, 3.0),
    ({"O": -1, "C": 1, "H": 2}, 1.5), ({"O": 1, "C": -1, "H": -2}, 1.5),
    ({"N": -1, "C": 1, "H": 1}, 1.5), ({"N": 1, "C": -1, "H": -1}, 1.5),
    ({"O": 1, "N": -1, "H": -1}, 1.0), ({"O": -1, "N": 1, "H": 1}, 1.0),
    ({"F": -1, "Cl": 1}, 1.0), ({"Cl": -1, "F": 1}, 1.0), ({"Cl": -1, "Br": 1}, 0.4),
    ({"Br": -1, "Cl": 1}, 1.0), ({"Br": -1, "I": 1}, 0.1), ({"I": -1, "Br": 1}, 1.0),
    ({"S": -1, "O": 1}, 0.5), ({"S": 1, "O": -1}, 0.1),
)  # fmt: skip


def _unsaturation(atoms: dict[str, int]) -> float:
    """Rings and double bonds that the formula asks for; less than 0 where no molecule has it."""
    tetravalent = atoms.get("C", 0) + atoms.get("Si", 0)
    trivalent = sum(atoms.get(symbol, 0) for symbol in ("N", "P", "B"))
    monovalent = sum(atoms.get(symbol, 0) for symbol in ("H", "F", "Cl", "Br", "I"))
    return tetravalent + 1 + (trivalent - monovalent) / 2 if tetravalent else -1


def _composition(mol: Chem.Mol) -> dict[str, int]:
    atoms: dict[str, int] = {}
    for atom in Chem.AddHs(mol).GetAtoms():
        atoms[atom.GetSymbol()] = atoms.get(atom.GetSymbol(), 0) + 1
    return atoms


def _hill(atoms: dict[str, int], charge: int) -> str:
    """The formula as RDKit's CalcMolFormula writes it."""
    carbon = bool(atoms.get("C"))
    order = sorted(atoms, key=lambda s: (not (carbon and s == "C"), not (carbon and s == "H"), s))
    text = "".join(
        symbol + (str(atoms[symbol]) if atoms[symbol] > 1 else "")
        for symbol in order
        if atoms[symbol]
    )
    sign = ("+" if charge > 0 else "-") + (str(abs(charge)) if abs(charge) > 1 else "")
    return text + (sign if charge else "")


def _inchi(mol: Chem.Mol) -> str | None:
    if any(not atom.GetAtomicNum() for atom in mol.GetAtoms()):
        return None
    with rdBase.BlockLogs():
        return Chem.MolToInchi(mol) or None


# ---- steps: each changes the molecule in place, and says whether it found a place to do so ----


def _stepped(mol: Chem.Mol, edit: Edit, rng: random.Random) -> str | None:
    changed = Chem.RWMol(mol)
    for bond in changed.GetBonds():
        bond.SetBoolProp(_AROMATIC, bond.GetIsAromatic())
    Chem.Kekulize(changed, clearAromaticFlags=True)
    if not edit(changed, rng):
        return None
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(changed)
        except ValueError:  # a valence that the step broke
            return None
    # A step must not tear a molecule apart.
    if len(Chem.GetMolFrags(changed)) != len(Chem.GetMolFrags(mol)):
        return None
    return canonical_smiles(Chem.MolToSmiles(changed))


def _swap_end(mol: Chem.RWMol, rng: random.Random) -> bool:
    """A halogen or methyl on an aromatic ring for another of them."""
    ends = [
        atom
        for atom in _free_atoms(mol)
        if atom.GetSymbol() in _ENDS_OF_RINGS
        and atom.GetDegree() == 1
        and atom.GetBonds()[0].GetBondType() == _SINGLE
        and any(bond.GetBoolProp(_AROMATIC) for bond in atom.GetNeighbors()[0].GetBonds())
        and atom.GetNeighbors()[0].GetSymbol() == "C"
    ]
    if not ends:
        return False
    atom = rng.choice(ends)
    others = {name: w for name, w in _ENDS_OF_RINGS.items() if name != atom.GetSymbol()}
    atom.SetAtomicNum(Chem.GetPeriodicTable().GetAtomicNumber(_drawn(others, rng)[0]))
    return True


_ENDS_OF_RINGS = {"F": 3.0, "Cl": 3.0, "Br": 1.0, "C": 4.0}  # about as frequent as there


def _move_nitrogen(mol: Chem.RWMol, rng: random.Random) -> bool:
    """The nitrogen of an aromatic ring to another place of the ring, as 3-pyridyl for 4-pyridyl."""
    places = [
        (one, other)
        for ring in mol.GetRingInfo().AtomRings()
        for one in map(mol.GetAtomWithIdx, ring)
        for other in map(mol.GetAtomWithIdx, ring)
        if one.GetSymbol() == "N"
        and not one.GetFormalCharge()
        and other.GetSymbol() == "C"
        and other.GetTotalNumHs() == 1
        and all(
            atom.GetDegree() == 2 and all(bond.GetBoolProp(_AROMATIC) for bond in atom.GetBonds())
            for atom in (one, other)
        )
        and not one.GetTotalNumHs()
    ]
    if not places:
        return False
    nitrogen, carbon = rng.choice(places)
    nitrogen.SetAtomicNum(6)
    carbon.SetAtomicNum(7)
    return True


def _swap_element(mol: Chem.RWMol, rng: random.Random) -> bool:
    """One element for a similar one with the same or a fitting valence."""
    atoms = [atom for atom in _free_atoms(mol) if _has_lookalike(atom)]
    if not atoms:
        return False
    atom = rng.choice(atoms)
    atom.SetAtomicNum(rng.choice(_LOOKALIKES[atom.GetSymbol()]))
    return True


def _has_lookalike(atom: Chem.Atom) -> bool:
    if atom.GetSymbol() == "C":  # no nitrogen beside another hetero atom: that misleads nobody
        return all(neighbour.GetSymbol() == "C" for neighbour in atom.GetNeighbors())
    return atom.GetSymbol() in _LOOKALIKES


_LOOKALIKES = {
    "F": (17, 35), "Cl": (9, 35), "Br": (17, 53), "I": (35, 17),
    "O": (16,), "S": (8,), "N": (6,), "C": (7,),
}  # fmt: skip


def _insert_carbon(mol: Chem.RWMol, rng: random.Random) -> bool:
    """CH2 into a single bond outside rings."""
    bonds = [
        bond
        for bond in mol.GetBonds()
        if bond.GetBondType() == _SINGLE
        and not bond.IsInRing()
        and _is_flat(bond)
        and not any(end.GetSymbol() in ("F", "Cl", "Br", "I") for end in _ends(bond))
    ]
    if not bonds:
        return False
    bond = rng.choice(bonds)
    begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(begin, end)
    carbon = mol.AddAtom(Chem.Atom(6))
    mol.AddBond(begin, carbon, _SINGLE)
    mol.AddBond(carbon, end, _SINGLE)
    return True


def _remove_carbon(mol: Chem.RWMol, rng: random.Random) -> bool:
    """CH2 out of a chain, or CH3 off an end."""
    carbons = [
        atom
        for atom in _free_atoms(mol)
        if atom.GetSymbol() == "C"
        and atom.GetTotalNumHs() in (2, 3)
        and atom.GetDegree() == 4 - atom.GetTotalNumHs()
        and not atom.IsInRing()
        and all(_is_flat(bond) for bond in atom.GetBonds())
        and all(bond.GetBondType() == _SINGLE for bond in atom.GetBonds())
    ]
    if not carbons:
        return False
    carbon = rng.choice(carbons)
    neighbours = [atom.GetIdx() for atom in carbon.GetNeighbors()]
    if len(neighbours) == 2 and mol.GetBondBetweenAtoms(*neighbours) is None:
        mol.AddBond(neighbours[0], neighbours[1], _SINGLE)
    mol.RemoveAtom(carbon.GetIdx())
    return True


def _change_saturation(mol: Chem.RWMol, rng: random.Random) -> bool:
    """H2 more or less: a double bond outside aromatic rings made single, or the reverse."""
    bonds = [bond for bond in mol.GetBonds() if _saturates(bond) or _desaturates(bond)]
    if not bonds:
        return False
    bond = rng.choice(bonds)
    bond.SetBondType(_SINGLE if _saturates(bond) else Chem.BondType.DOUBLE)
    return True


def _saturates(bond: Chem.Bond) -> bool:
    """A double bond that can become single."""
    return (
        bond.GetBondType() == Chem.BondType.DOUBLE
        and not bond.GetBoolProp(_AROMATIC)
        and not bond.GetIsConjugated()
        and _is_flat(bond)
        and all(end.GetSymbol() in ("C", "N", "O") for end in _ends(bond))
    )


def _desaturates(bond: Chem.Bond) -> bool:
    """A single bond that can become double."""
    return (
        bond.GetBondType() == _SINGLE
        and _is_flat(bond)
        and all(
            end.GetSymbol() == "C"  # no enols and enamines, which nobody would draw
            and end.GetTotalNumHs() > 0
            and all(other.GetBondType() == _SINGLE for other in end.GetBonds())
            for end in _ends(bond)
        )
    )


def _move_substituent(mol: Chem.RWMol, rng: random.Random) -> bool:
    """A substituent to another carbon of its ring: an isomer, such as meta for para."""
    rings = mol.GetRingInfo().AtomRings()
    positions = [
        (here.GetIdx(), bond.GetOtherAtomIdx(here.GetIdx()), other)
        for bond in mol.GetBonds()
        if not bond.IsInRing() and bond.GetBondType() == _SINGLE and _is_flat(bond)
        for here in _ends(bond)
        if here.GetSymbol() == "C"  # the hydrogen left on nitrogen would have to be written
        for ring in rings
        if here.GetIdx() in ring
        for other in ring
        if _takes_substituent(mol.GetAtomWithIdx(other))
    ]
    if not positions:
        return False
    here, substituent, other = rng.choice(positions)
    mol.RemoveBond(here, substituent)
    mol.AddBond(other, substituent, _SINGLE)
    return True


def _takes_substituent(atom: Chem.Atom) -> bool:
    return (
        atom.GetSymbol() == "C"
        and atom.GetTotalNumHs() > 0
        and not atom.GetNumExplicitHs()
        and atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
    )


def _turn_stereo(mol: Chem.RWMol, rng: random.Random, times: int = 1) -> bool:
    """Centres or double bonds the other way round."""
    positions: list[Chem.Atom | Chem.Bond] = [
        atom for atom in mol.GetAtoms() if atom.GetChiralTag() in _TETRAHEDRAL
    ]
    positions += [bond for bond in mol.GetBonds() if bond.GetStereo() in _OTHER_WAY]
    if len(positions) < times:
        return False
    for position in rng.sample(positions, times):
        if isinstance(position, Chem.Atom):
            position.InvertChirality()
        else:
            position.SetStereo(_OTHER_WAY[position.GetStereo()])
    for bond in mol.GetBonds():  # the marks that say so in SMILES, made again
        bond.SetBondDir(Chem.BondDir.NONE)
    Chem.SetDoubleBondNeighborDirections(mol)
    return True


_TETRAHEDRAL = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
# Relative to the stereo atoms, which RDKit's E and Z are too: those with CIP's higher priority.
_OTHER_WAY = {
    Chem.BondStereo.STEREOE: Chem.BondStereo.STEREOCIS,
    Chem.BondStereo.STEREOZ: Chem.BondStereo.STEREOTRANS,
    Chem.BondStereo.STEREOCIS: Chem.BondStereo.STEREOTRANS,
    Chem.BondStereo.STEREOTRANS: Chem.BondStereo.STEREOCIS,
}


def _ends(bond: Chem.Bond) -> tuple[Chem.Atom, Chem.Atom]:
    return bond.GetBeginAtom(), bond.GetEndAtom()


def _free_atoms(mol: Chem.RWMol) -> list[Chem.Atom]:
    """Atoms that can change without more: no charge, isotope, written hydrogen or stereo."""
    return [
        atom
        for atom in mol.GetAtoms()
        if not (atom.GetFormalCharge() or atom.GetIsotope() or atom.GetNumExplicitHs())
        and not atom.GetNumRadicalElectrons()
        and atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
    ]


def _is_flat(bond: Chem.Bond) -> bool:
    """No stereo at it or next to it: a change there would turn a centre round as well."""
    return bond.GetStereo() == Chem.BondStereo.STEREONONE and not any(
        end.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED
        or any(b.GetStereo() != Chem.BondStereo.STEREONONE for b in end.GetBonds())
        for end in _ends(bond)
    )


# Each with its weight. What makes molecules that chemists would make as well comes first: a rare
# group among the options would give them away as wrong.
STEPS: dict[str, tuple[Edit, float]] = {
    "isomer": (_move_substituent, 4.0),
    "end": (_swap_end, 3.0),
    "nitrogen": (_move_nitrogen, 2.0),
    "CH2 more": (_insert_carbon, 2.0),
    "CH2 less": (_remove_carbon, 2.0),
    "stereo": (_turn_stereo, 2.0),
    "stereo twice": (lambda mol, rng: _turn_stereo(mol, rng, 2), 1.0),
    "element": (_swap_element, 0.2),
    "H2": (_change_saturation, 0.2),
}
