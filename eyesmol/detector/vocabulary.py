"""What the detector can say: classes of labels and bonds, and the characters of spelt labels."""

from __future__ import annotations

from enum import IntEnum

from eyesmol.chem.graph import BondOrder

__all__ = [
    "BEGIN", "CARBON", "CHARACTERS", "END", "LABELS", "LABEL_CLASSES", "LONGEST_LABEL", "NONE",
    "PADDING", "SPELT", "BondClass", "bond_class", "characters_of", "label_class", "text_of",
]  # fmt: skip

# Labels with a class of their own, as `Atom.text` writes them; all others are spelt.
LABELS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "H", "P", "B", "Si", "[N+]", "[O-]")
CARBON = 0
SPELT = len(LABELS)  # a label that has to be spelt
NONE = SPELT + 1  # no atom at all: a caption's letter, a corner of a frame
LABEL_CLASSES = NONE + 1

PADDING, BEGIN, END = 0, 1, 2
# Every character that a spelt label may hold. New ones go to the end: weights know their place.
CHARACTERS = (
    "CNOSHFBPRMeltrBuiacdDEGJLTUVWXYZQAKIhknopmvxyzbfgsqjw0123456789()'+-*,./=[] "
    '\u2022\u2261\u03b1\u03b2\u03b3\u03c9"'
)
CHARACTERS = "".join(dict.fromkeys(CHARACTERS))
_FIRST = END + 1
_INDEX = {character: index for index, character in enumerate(CHARACTERS, start=_FIRST)}
LONGEST_LABEL = 20  # characters, without the end


class BondClass(IntEnum):
    """What may be between two atoms; wedges and hashes by the end at which they are narrow."""

    NONE = 0
    SINGLE = 1
    DOUBLE = 2
    TRIPLE = 3
    AROMATIC = 4
    WEDGE = 5  # narrow at the first atom
    WEDGE_BACK = 6  # narrow at the second
    HASH = 7
    HASH_BACK = 8
    WAVY = 9
    CROSSED = 10

    @property
    def reverse(self) -> BondClass:
        """The class of the same bond looked at from its other end."""
        return _REVERSE.get(self, self)

    @property
    def order(self) -> BondOrder | None:
        """What `MolGraph` calls it; None for no bond."""
        return _ORDER.get(self)

    @property
    def begins_at_second(self) -> bool:
        """True where the narrow end is the second atom."""
        return self in (BondClass.WEDGE_BACK, BondClass.HASH_BACK)


_REVERSE = {
    BondClass.WEDGE: BondClass.WEDGE_BACK,
    BondClass.WEDGE_BACK: BondClass.WEDGE,
    BondClass.HASH: BondClass.HASH_BACK,
    BondClass.HASH_BACK: BondClass.HASH,
}
_CLASS = {
    BondOrder.SINGLE: BondClass.SINGLE,
    BondOrder.DOUBLE: BondClass.DOUBLE,
    BondOrder.TRIPLE: BondClass.TRIPLE,
    BondOrder.AROMATIC: BondClass.AROMATIC,
    BondOrder.SOLID_WEDGE: BondClass.WEDGE,
    BondOrder.DASHED_WEDGE: BondClass.HASH,
    BondOrder.WAVY: BondClass.WAVY,
    BondOrder.CROSSED_DOUBLE: BondClass.CROSSED,
}
_ORDER = {found: order for order, found in _CLASS.items()} | {
    BondClass.WEDGE_BACK: BondOrder.SOLID_WEDGE,
    BondClass.HASH_BACK: BondOrder.DASHED_WEDGE,
}


def bond_class(order: BondOrder) -> BondClass:
    """The class of a bond looked at from its `begin`."""
    return _CLASS[order]


def label_class(text: str) -> int:
    """The class of a label as `Atom.text` writes it; `SPELT` where it has none of its own."""
    return LABELS.index(text) if text in LABELS else SPELT


def characters_of(text: str) -> list[int]:
    """A label as character indices, without its outer brackets, cut to `LONGEST_LABEL`.

    Characters that the vocabulary lacks are left out.
    """
    bare = text[1:-1] if len(text) > 2 and text[0] == "[" and text[-1] == "]" else text
    return [_INDEX[c] for c in bare if c in _INDEX][:LONGEST_LABEL]


def text_of(indices: list[int]) -> str:
    """The characters of a spelling, up to its end."""
    if END in indices:
        indices = indices[: indices.index(END)]
    return "".join(CHARACTERS[i - _FIRST] for i in indices if i >= _FIRST)
