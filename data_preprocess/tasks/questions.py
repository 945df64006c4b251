"""Questions with an answer of their own: what the source says, and what RDKit computes.

Where the answer would not be determined the question is not asked: no formula where a position is
left open, no list of groups where the table does not know them all.
"""

from __future__ import annotations

import random
import re
from collections import Counter

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from data_preprocess.tasks.groups import has_aromatic_oxo
from data_preprocess.tasks.rings import ring_sizes
from data_preprocess.tasks.subject import Facts, Stereo
from data_preprocess.tasks.task import (
    COMMON,
    Filling,
    Task,
    atoms_in_words,
    counted,
    counts,
    element_name,
    listed,
    told,
)
from data_preprocess.tasks.walk import walk_through

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
    if not facts.is_plain:
        return None
    return {"atoms": atoms_in_words(facts.composition)} | told(facts.formula)


def _summary(facts: Facts, rng: random.Random) -> Filling | None:
    """One or two sentences of facts; of a molecule with open positions only what is certain."""
    if not facts.elements or (facts.r_groups and not facts.is_general):
        return None
    rest = (
        f"{counted(facts.heavy_atoms, 'heavy atom')} ({atoms_in_words(facts.elements)}) and "
        f"{counted(facts.rings, 'ring')}"
    )
    if facts.r_groups:
        positions = counted(facts.r_groups, "position")
        return told(f"A general structure with {positions} left open; the rest of it has {rest}.")
    formula = f"; its formula is {facts.formula}" if facts.is_plain else ""
    sentences = [f"A molecule with {rest}{formula}."]
    if facts.parts > 1:
        sentences = [f"{facts.parts} molecules or ions with {rest} together."]
    if facts.ring_names:
        sentences.append(f"Ring systems: {counts(facts.ring_names)}.")
    if (groups := facts.groups) is not None and groups.is_whole and groups.found:
        sentences.append(f"Functional groups: {counts(groups.found)}.")
    return told(" ".join(sentences))


def _walk(facts: Facts, rng: random.Random) -> Filling | None:
    return _said(walk_through(facts)) if facts.is_plain else None


def _open_places(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.r_groups) if facts.is_general else None


def _parts(facts: Facts, rng: random.Random) -> Filling | None:
    return told(facts.parts)


# ---- groups and rings ----


def _functional_groups(facts: Facts, rng: random.Random) -> Filling | None:
    groups = facts.groups
    if groups is None or not groups.is_whole:
        return None
    return told(counts(groups.found) if groups.found else "none")


def _ring_systems(facts: Facts, rng: random.Random) -> Filling | None:
    return _named_rings(facts) if facts.is_complete else None


def _core_rings(facts: Facts, rng: random.Random) -> Filling | None:
    """The same of a general structure, where an open position may hide more of them."""
    return _named_rings(facts) if facts.is_general else None


def _named_rings(facts: Facts) -> Filling | None:
    names = facts.ring_names
    if not names:
        return None
    return {"systems": str(len(names))} | told(counts(names))


def _ring_count(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    filling = {"rings": counted(facts.rings, "ring")} | told(facts.rings)
    if facts.rings > 1:
        filling["sizes"] = listed([str(size) for size in ring_sizes(facts.mol)])
    return filling


def _aromatic_rings(facts: Facts, rng: random.Random) -> Filling | None:
    """Not where chemists disagree: RDKit calls a pyridone aromatic."""
    if not facts.is_complete or has_aromatic_oxo(facts.mol):
        return None
    aromatic = int(rdMolDescriptors.CalcNumAromaticRings(facts.mol))
    return {
        "rings": counted(facts.rings, "ring"),
        "aromatic_rings": counted(aromatic, "aromatic ring"),
    } | told(aromatic)


def _ring_sizes(facts: Facts, rng: random.Random) -> Filling | None:
    sizes = ring_sizes(facts.mol) if facts.is_complete else []
    return told(", ".join(map(str, sizes))) if sizes else None


# ---- counts of atoms and bonds ----


def _heavy_atoms(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    return {
        "atoms": atoms_in_words(facts.elements),
        "heavy_atoms": counted(facts.heavy_atoms, "heavy atom"),
    } | told(facts.heavy_atoms)


def _hetero_atoms(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    hetero = {symbol: count for symbol, count in facts.elements.items() if symbol != "C"}
    number = sum(hetero.values())
    filling = {"hetero_atoms": counted(number, "heteroatom")} | told(number)
    return filling | ({"atoms": atoms_in_words(hetero)} if hetero else {})


def _elements(facts: Facts, rng: random.Random) -> Filling | None:
    return told(", ".join(facts.elements)) if facts.is_complete else None


def _element_count(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_complete:
        return None
    # One that is there three times out of four; asked at random, the answer would be 0 too often.
    # Rare elements are asked about by nobody who does not see them: the question would say so.
    present = [symbol for symbol in COMMON if symbol in facts.elements]
    symbol = rng.choice(present if present and rng.random() < 0.75 else COMMON)
    count = facts.elements.get(symbol, 0)
    return {
        "element": element_name(symbol),
        "element_atoms": counted(count, f"{element_name(symbol)} atom"),
        "atoms": atoms_in_words(facts.elements),
    } | told(count)


def _hydrogens(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    on = Counter[str]()
    for atom in facts.mol.GetAtoms():
        if atom.GetAtomicNum() > 1 and atom.GetTotalNumHs(True):
            on[atom.GetSymbol()] += atom.GetTotalNumHs(True)
    filling = {"hydrogens": counted(on.total(), "hydrogen")} | told(on.total())
    parts = [f"{count} on {symbol}" for symbol, count in sorted(on.items())]
    return filling | ({"where": listed(parts)} if parts else {})


def _bonds(facts: Facts, rng: random.Random) -> Filling | None:
    """Bonds between heavy atoms."""
    if not facts.is_complete:
        return None
    ends = ((b.GetBeginAtom(), b.GetEndAtom()) for b in facts.mol.GetBonds())
    number = sum(all(end.GetAtomicNum() > 1 for end in pair) for pair in ends)
    if facts.parts > 1:
        return told(number)
    return {
        "bonds": counted(number, "bond"),
        "heavy_atoms": counted(facts.heavy_atoms, "heavy atom"),
        "rings": counted(facts.rings, "ring"),
    } | told(number)


def _multiple_bonds(facts: Facts, rng: random.Random) -> Filling | None:
    """Double or triple bonds of a Kekule structure; with charges their number can be disputed."""
    if not facts.is_complete or facts.is_charged:
        return None
    order, kind = rng.choice(
        [("double", Chem.BondType.DOUBLE)] * 3 + [("triple", Chem.BondType.TRIPLE)]
    )
    number = facts.kekule_bonds[kind]
    return {"order": order, "order_bonds": counted(number, f"{order} bond")} | told(number)


# ---- stereo ----


def _stereocentres(facts: Facts, rng: random.Random) -> Filling | None:
    stereo = facts.stereo if facts.is_complete else None
    return _centres(stereo, stereo.centres) if stereo else None


def _drawn_stereocentres(facts: Facts, rng: random.Random) -> Filling | None:
    """Centres with a configuration; asked only where there is a centre at all."""
    stereo = facts.stereo if facts.is_complete else None
    return _centres(stereo, stereo.known) if stereo and stereo.centres else None


def _centres(stereo: Stereo, number: int) -> Filling:
    if not stereo.centres:
        return told(number)
    return {
        "centres": counted(stereo.centres, "tetrahedral stereocentre"),
        "known": str(stereo.known),
    } | told(number)


def _r_and_s(facts: Facts, rng: random.Random) -> Filling | None:
    return _labelled(facts, facts.stereo.labels if facts.stereo else None)


def _e_and_z(facts: Facts, rng: random.Random) -> Filling | None:
    return _labelled(facts, facts.stereo.double_bonds if facts.stereo else None)


def _labelled(facts: Facts, labels: tuple[str, ...] | None) -> Filling | None:
    if not facts.is_complete or not labels:
        return None
    counts = {label: labels.count(label) for label in labels}
    return told(", ".join(f"{count} {label}" for label, count in counts.items()))


# ---- properties ----


def _weight(facts: Facts, rng: random.Random) -> Filling | None:
    """In whole g/mol: nobody reads hundredths off a drawing."""
    if not facts.is_plain:
        return None
    return {"formula": facts.formula, "atoms": atoms_in_words(facts.composition)} | told(
        f"{facts.weight:.0f}"
    )


def _donors(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    on = {
        symbol: sum(a.GetTotalNumHs(True) for a in facts.mol.GetAtoms() if a.GetSymbol() == symbol)
        for symbol in ("N", "O")
    }
    return {"on_n": str(on["N"]), "on_o": str(on["O"])} | told(on["N"] + on["O"])


def _acceptors(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    nitrogens, oxygens = facts.elements.get("N", 0), facts.elements.get("O", 0)
    return {"nitrogens": str(nitrogens), "oxygens": str(oxygens)} | told(nitrogens + oxygens)


def _unsaturation(facts: Facts, rng: random.Random) -> Filling | None:
    """Rings and pi bonds by the formula, for elements whose valence is beyond doubt."""
    if (
        not facts.is_plain
        or facts.is_charged
        or facts.elements.keys() - set("CNOFI") - {"Cl", "Br"}
    ):
        return None
    bonds = facts.kekule_bonds
    pi = bonds[Chem.BondType.DOUBLE] + 2 * bonds[Chem.BondType.TRIPLE]
    return {"rings": counted(facts.rings, "ring"), "pi_bonds": counted(pi, "pi bond")} | told(
        facts.rings + pi
    )


def _charge(facts: Facts, rng: random.Random) -> Filling | None:
    if not facts.is_plain:
        return None
    charge = Chem.GetFormalCharge(facts.mol)
    return told(f"{charge:+d}" if charge else "0")


QUESTIONS = {
    "description": Task(_description),
    "visual_description": Task(_visual_description),
    "name": Task(_name),
    "smiles": Task(_smiles),
    "formula": Task(_formula, told=frozenset({"atoms"})),
    "summary": Task(_summary),
    "walk": Task(_walk),
    "open_places": Task(_open_places, is_balanced=True),
    "parts": Task(_parts, is_balanced=True),
    "functional_groups": Task(_functional_groups, is_balanced=True),
    "ring_systems": Task(_ring_systems, told=frozenset({"systems"}), is_balanced=True),
    "core_rings": Task(_core_rings, told=frozenset({"systems"}), is_balanced=True),
    "ring_count": Task(_ring_count, told=frozenset({"rings", "sizes"}), is_balanced=True),
    "aromatic_rings": Task(
        _aromatic_rings, told=frozenset({"rings", "aromatic_rings"}), is_balanced=True
    ),
    "ring_sizes": Task(_ring_sizes, is_balanced=True),
    "heavy_atoms": Task(_heavy_atoms, told=frozenset({"atoms", "heavy_atoms"}), is_balanced=True),
    "hetero_atoms": Task(
        _hetero_atoms, told=frozenset({"atoms", "hetero_atoms"}), is_balanced=True
    ),
    "elements": Task(_elements, is_balanced=True),
    "element_count": Task(
        _element_count,
        asked=frozenset({"element"}),
        told=frozenset({"element_atoms", "atoms"}),
        is_balanced=True,
    ),
    "hydrogens": Task(_hydrogens, told=frozenset({"hydrogens", "where"}), is_balanced=True),
    "bonds": Task(_bonds, told=frozenset({"bonds", "heavy_atoms", "rings"}), is_balanced=True),
    "multiple_bonds": Task(
        _multiple_bonds,
        asked=frozenset({"order"}),
        told=frozenset({"order_bonds"}),
        is_balanced=True,
    ),
    "stereocentres": Task(_stereocentres, told=frozenset({"centres", "known"}), is_balanced=True),
    "drawn_stereocentres": Task(
        _drawn_stereocentres, told=frozenset({"centres", "known"}), is_balanced=True
    ),
    "r_and_s": Task(_r_and_s, is_balanced=True),
    "e_and_z": Task(_e_and_z, is_balanced=True),
    "weight": Task(_weight, told=frozenset({"formula", "atoms"})),
    "donors": Task(_donors, told=frozenset({"on_n", "on_o"}), is_balanced=True),
    "acceptors": Task(_acceptors, told=frozenset({"nitrogens", "oxygens"}), is_balanced=True),
    "unsaturation": Task(_unsaturation, told=frozenset({"rings", "pi_bonds"}), is_balanced=True),
    "charge": Task(_charge, is_balanced=True),
}
