"""What kind of error a wrong reading is, so that errors can be counted, filtered and looked at.

The two molecules (abbreviations expanded) are aligned by `eyesmol.evaluation.align`; what does not
agree then names the kinds. One reading may have several; they stand in the order of `ERROR_KINDS`,
the one that explains most first. Where an atom is missing or wrong, bonds around it change their
type as aromaticity comes and goes: such changes count only where nothing else explains them.
"""

from __future__ import annotations

from functools import lru_cache

from rdkit import Chem, rdBase

from eyesmol.chem.smiles import canonical_smiles
from eyesmol.evaluation.align import Alignment, Skeleton, align

__all__ = ["ERROR_KINDS", "aligned", "error_kinds"]

# Key and words of each kind, the most telling first.
ERROR_KINDS: dict[str, str] = {
    "no_answer": "no answer",
    "invalid": "no valid molecule",
    "fragment": "fragment missing or too many",
    "missing_atom": "missing atom",
    "extra_atom": "extra atom",
    "label": "wrong element or label",
    "connectivity": "ring closure or connectivity",
    "order": "wrong bond order",
    "charge": "charge, isotope or hydrogens",
    "stereo": "wedge or stereo",
}

_AROMATIC = int(Chem.BondType.AROMATIC)


@lru_cache(maxsize=4096)
def _skeleton(smiles: str) -> Skeleton | None:
    """Atoms and bonds of a SMILES, of one with a wrong valence too; None where it is no SMILES."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            mol = Chem.MolFromSmiles(smiles, sanitize=False)
            if mol is None:
                return None
            mol.UpdatePropertyCache(strict=False)
            Chem.FastFindRings(mol)
            Chem.SetAromaticity(mol)
    return Skeleton.of(mol)


@lru_cache(maxsize=4096)
def aligned(true: str, read: str) -> Alignment | None:
    """The alignment of two SMILES, wrong valences included; None where one is no SMILES at all."""
    first, second = _skeleton(true), _skeleton(read)
    return None if first is None or second is None else align(first, second)


def error_kinds(true: str, read: str | None) -> tuple[str, ...]:
    """Keys of `ERROR_KINDS` that tell a reading from the truth; empty where they agree.

    Args:
        true: canonical SMILES.
        read: canonical SMILES; None for no answer, any text that RDKit refuses for an invalid one.
    """
    if not read:
        return ("no_answer",)
    if read == true:
        return ()
    alignment = aligned(true, read)
    if alignment is None or canonical_smiles(read) is None:
        return ("invalid",)
    found = _atom_kinds(alignment) | _bond_kinds(alignment)
    if _states_differ(alignment):
        found.add("charge")
    if not found:
        # Same atoms, same bonds: what is left is how many hydrogens there are, or stereo.
        found.add("order" if _aromatic_changes(alignment) else _last_kind(true, read))
    return tuple(kind for kind in ERROR_KINDS if kind in found)


def _atom_kinds(alignment: Alignment) -> set[str]:
    true, read, pairs = alignment.true, alignment.read, alignment.pairs
    partners = set(pairs.values())
    found = set()
    for skeleton, paired, kind in (
        (true, pairs.keys(), "missing_atom"),
        (read, partners, "extra_atom"),
    ):
        for fragment in skeleton.fragments():
            lone = sum(atom not in paired for atom in fragment)
            if lone:
                found.add("fragment" if lone == len(fragment) else kind)
    if any(true.labels[a] != read.labels[b] for a, b in pairs.items()):
        found.add("label")
    return found


def _bond_kinds(alignment: Alignment) -> set[str]:
    """Bonds between partners that only one has, or that have another plain type."""
    true, read, pairs = alignment.true, alignment.read, alignment.pairs
    found = set()
    back = {b: a for a, b in pairs.items()}
    for skeleton, other, to_other in ((true, read, pairs), (read, true, back)):
        for begin, end, kind in skeleton.bonds():
            if begin not in to_other or end not in to_other:
                continue
            there = other.neighbours[to_other[begin]].get(to_other[end])
            if there is None:
                if not _bridged(other, to_other[begin], to_other[end], set(to_other.values())):
                    found.add("connectivity")
            elif there != kind and _AROMATIC not in (there, kind):
                found.add("order")
    return found


def _bridged(skeleton: Skeleton, begin: int, end: int, paired: set[int]) -> bool:
    """True where the two are joined by an atom without a partner: that atom is the error."""
    common = skeleton.neighbours[begin].keys() & skeleton.neighbours[end].keys()
    return any(atom not in paired for atom in common)


def _states_differ(alignment: Alignment) -> bool:
    true, read = alignment.true, alignment.read
    return any(
        true.states[a] != read.states[b]
        for a, b in alignment.pairs.items()
        if true.labels[a] == read.labels[b]
    )


def _aromatic_changes(alignment: Alignment) -> bool:
    return alignment.same_bonds < alignment.true.bond_count


def _last_kind(true: str, read: str) -> str:
    flat = [canonical_smiles(smiles, stereo=False) for smiles in (true, read)]
    return "stereo" if flat[0] == flat[1] else "charge"
