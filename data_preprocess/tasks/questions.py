"""Questions with an answer of their own: what the source says, and what RDKit computes.

Where the answer would not be determined the question is not asked: no formula where a position is
left open, no list of groups where the table does not know them all.
"""

from __future__ import annotations

import random
import re

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from data_preprocess.tasks.groups import functional_groups, has_aromatic_oxo
from data_preprocess.tasks.rings import ring_sizes, ring_systems
from data_preprocess.tasks.subject import Facts
from data_preprocess.tasks.task import (
    COMMON,
    Filling,
    Task,
    counted,
    counts,
    decimal,
    element_name,
    listed,
    told,
)

__all__ = ["QUESTIONS"]

# ---- what the source says ----


def _said(text: str | None) -> Filling | None:
    return told(text.strip()) if text and text.strip() else None


def _description(facts: Facts, rng: random.Random) -> Filling | None:
    return _said(facts.subject.description)


def _visual_description(facts: Facts, rng: random.Random) -> Filling | None:
    return _said(facts.subject.visual_description)


def _name(facts: Facts, rng: random.Random) -> Filling | None:
    name = (facts.subject.name or "").strip()
    return None if _NUMBER_FOR_NAME.fullmatch(name) else _said(name)


# Registry numbers and the like, which nobody can see in a drawing: CID 2244, 50-78-2, AKOS003.
_NUMBER_FOR_NAME = re.compile(
    r"[A-Z]*[\s:_-]*\d[\d\s_-]*|(CID|CHEBI|CHEMBL|SCHEMBL|ZINC|MFCD|UNII|DTXSID)[\s:_-]*\w*", re.I
)


# ---- the whole molecule ----


def _smiles(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.smiles)


def _formula(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.formula) if facts.is_plain else None


def _summary(facts: Facts, rng: random.Random) -> Filling | None:
    """One or two sentences of facts; of a molecule with open positions only what is certain."""
    if not facts.elements or (facts.r_groups and not facts.is_general):
        return None
    atoms = listed([f"{n} {element_name(symbol)}" for symbol, n in facts.elements.items()])
    rest = (
        f"{counted(facts.heavy_atoms, 'heavy atom')} ({atoms}) and {counted(facts.rings, 'ring')}"
    )
    if facts.r_groups:
        positions = counted(facts.r_groups, "place")
        return told(f"A general structure with {positions} left open; the rest of it has {rest}.")
    formula = f"; its formula is {facts.formula}" if facts.is_plain else ""
    sentences = [f"A molecule with {rest}{formula}."]
    if facts.parts > 1:
        sentences = [f"{facts.parts} molecules or ions with {rest} together."]
    groups = functional_groups(facts.mol) if facts.is_plain else None
    if groups is not None and groups.is_whole and groups.found:
        sentences.append(f"Its functional groups: {counts(groups.found)}.")
    return told(" ".join(sentences))


def _open_places(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.r_groups) if facts.is_general else None


def _parts(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.parts)


# ---- groups and rings ----


def _functional_groups(facts: Facts, rng: random.Random) -> Filling | None:
    groups = functional_groups(facts.mol) if facts.is_plain else None
    if groups is None or not groups.is_whole:
        return None
    return told(counts(groups.found) if groups.found else "none")


def _ring_systems(facts: Facts, rng: random.Random) -> Filling | None:
    return _named_rings(facts) if facts.is_complete else None


def _core_rings(facts: Facts, rng: random.Random) -> Filling | None:
    """The same of a general structure, where an open position may hide more of them."""
    return _named_rings(facts) if facts.is_general else None


def _named_rings(facts: Facts) -> Filling | None:
    names = ring_systems(facts.mol)
    if not names:
        return None
    return told(counts({name: names.count(name) for name in names}))


def _ring_count(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.rings) if facts.is_complete else None


def _aromatic_rings(facts: Facts, rng: random.Random) -> Filling | None:
    """Not where chemists disagree: RDKit calls a pyridone aromatic."""
    if not facts.is_complete or has_aromatic_oxo(facts.mol):
        return None
    return told(rdMolDescriptors.CalcNumAromaticRings(facts.mol))


def _ring_sizes(facts: Facts, rng: random.Random) -> Filling | None:
    sizes = ring_sizes(facts.mol) if facts.is_complete else []
    return told(", ".join(map(str, sizes))) if sizes else None


# ---- counts of atoms and bonds ----


def _heavy_atoms(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.heavy_atoms) if facts.is_complete else None


def _hetero_atoms(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.heavy_atoms - facts.elements.get("C", 0)) if facts.is_complete else None


def _elements(facts: Facts, rng: random.Random) -> Filling | None:
    return told(", ".join(facts.elements)) if facts.is_complete else None


def _element_count(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    # One that is there three times out of four; asked at random, the answer would be 0 too often.
    symbol = rng.choice(list(facts.elements) if rng.random() < 0.75 else COMMON)
    return {"element": element_name(symbol)} | told(facts.elements.get(symbol, 0))


def _hydrogens(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    return told(
        sum(atom.GetTotalNumHs(True) for atom in facts.mol.GetAtoms() if atom.GetAtomicNum() > 1)
    )


def _bonds(facts: Facts, rng: random.Random) -> Filling | None:
    """Bonds between heavy atoms."""
    if not facts.is_complete:
        return None
    ends = ((b.GetBeginAtom(), b.GetEndAtom()) for b in facts.mol.GetBonds())
    return told(sum(all(end.GetAtomicNum() > 1 for end in pair) for pair in ends))


def _multiple_bonds(facts: Facts, rng: random.Random) -> Filling | None:
    """Double or triple bonds of a Kekule structure; with charges their number can be disputed."""
    if not facts.is_complete or facts.is_charged:
        return None
    order, kind = rng.choice(
        [("double", Chem.BondType.DOUBLE)] * 3 + [("triple", Chem.BondType.TRIPLE)]
    )
    return {"order": order} | told(facts.kekule_bonds[kind])


# ---- stereo ----


def _stereocentres(facts: Facts, rng: random.Random) -> Filling | None:
    """Mostly where there are any: most molecules have none, and the answer would be 0 too often."""
    if not facts.is_complete or (not facts.stereo.centres and rng.random() < 0.75):
        return None
    return told(facts.stereo.centres)


def _drawn_stereocentres(facts: Facts, rng: random.Random) -> Filling | None:
    """Centres with a configuration; asked only where there is a centre at all."""
    return told(facts.stereo.known) if facts.is_complete and facts.stereo.centres else None


def _r_and_s(facts: Facts, rng: random.Random) -> Filling | None:
    return _labelled(facts, facts.stereo.labels)


def _e_and_z(facts: Facts, rng: random.Random) -> Filling | None:
    return _labelled(facts, facts.stereo.double_bonds)


def _labelled(facts: Facts, labels: tuple[str, ...] | None) -> Filling | None:
    if not facts.is_complete or not labels:
        return None
    counts = {label: labels.count(label) for label in labels}
    return told(", ".join(f"{count} {label}" for label, count in counts.items()))


# ---- properties ----


def _weight(facts: Facts, rng: random.Random) -> Filling | None:
    return told(decimal(facts.weight, 2)) if facts.is_plain else None


def _exact_mass(facts: Facts, rng: random.Random) -> Filling | None:
    return told(decimal(rdMolDescriptors.CalcExactMolWt(facts.mol), 4)) if facts.is_plain else None


def _logp(facts: Facts, rng: random.Random) -> Filling | None:
    return (
        told(decimal(rdMolDescriptors.CalcCrippenDescriptors(facts.mol)[0], 2))
        if facts.is_plain
        else None
    )


def _tpsa(facts: Facts, rng: random.Random) -> Filling | None:
    return told(decimal(rdMolDescriptors.CalcTPSA(facts.mol), 1)) if facts.is_plain else None


def _donors(facts: Facts, rng: random.Random) -> Filling | None:
    return told(rdMolDescriptors.CalcNumLipinskiHBD(facts.mol)) if facts.is_plain else None


def _acceptors(facts: Facts, rng: random.Random) -> Filling | None:
    return told(rdMolDescriptors.CalcNumLipinskiHBA(facts.mol)) if facts.is_plain else None


def _unsaturation(facts: Facts, rng: random.Random) -> Filling | None:
    """Rings and pi bonds by the formula, for elements whose valence is beyond doubt."""
    if (
        not facts.is_plain
        or facts.is_charged
        or facts.elements.keys() - set("CNOFI") - {"Cl", "Br"}
    ):
        return None
    bonds = facts.kekule_bonds
    return told(facts.rings + bonds[Chem.BondType.DOUBLE] + 2 * bonds[Chem.BondType.TRIPLE])


def _charge(facts: Facts, rng: random.Random) -> Filling | None:
    """Mostly where there is one, for the same reason as with stereocentres."""
    charge = Chem.GetFormalCharge(facts.mol)
    if not facts.is_plain or (not charge and rng.random() < 0.75):
        return None
    return told(f"{charge:+d}" if charge else "0")


QUESTIONS = {
    "description": Task(_description),
    "visual_description": Task(_visual_description),
    "name": Task(_name),
    "smiles": Task(_smiles),
    "formula": Task(_formula),
    "summary": Task(_summary),
    "open_places": Task(_open_places),
    "parts": Task(_parts),
    "functional_groups": Task(_functional_groups),
    "ring_systems": Task(_ring_systems),
    "core_rings": Task(_core_rings),
    "ring_count": Task(_ring_count),
    "aromatic_rings": Task(_aromatic_rings),
    "ring_sizes": Task(_ring_sizes),
    "heavy_atoms": Task(_heavy_atoms),
    "hetero_atoms": Task(_hetero_atoms),
    "elements": Task(_elements),
    "element_count": Task(_element_count, frozenset({"element"})),
    "hydrogens": Task(_hydrogens),
    "bonds": Task(_bonds),
    "multiple_bonds": Task(_multiple_bonds, frozenset({"order"})),
    "stereocentres": Task(_stereocentres),
    "drawn_stereocentres": Task(_drawn_stereocentres),
    "r_and_s": Task(_r_and_s),
    "e_and_z": Task(_e_and_z),
    "weight": Task(_weight),
    "exact_mass": Task(_exact_mass),
    "logp": Task(_logp),
    "tpsa": Task(_tpsa),
    "donors": Task(_donors),
    "acceptors": Task(_acceptors),
    "unsaturation": Task(_unsaturation),
    "charge": Task(_charge),
}
