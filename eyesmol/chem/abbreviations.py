"""Texts of a drawing that are an element's symbol, and what they mean where they stand."""

from __future__ import annotations

from eyesmol.chem.graph import Atom

__all__ = ["AMBIGUOUS_SYMBOLS", "is_label"]

# Symbols of elements that in an organic drawing are a group of the table ...
_ELEMENT_OR_GROUP = frozenset({"Ac", "Fm", "Pr", "Ts"})
# ... a variable that the text defines ("Ar is aryl", "Y is O or S"), a naphthyl of either kind ...
_ELEMENT_OR_VARIABLE = frozenset({"Ar", "Np", "U", "V", "W", "Y"})
# ... or an R group with a letter: no drawing binds radon, and none rubidium, to carbon.
_ELEMENT_OR_R_GROUP = frozenset({"Ra", "Rb", "Rf", "Rg", "Rn"})
# Metals of complexes that are an R group where one bond is all that they have.
_METAL_OR_R_GROUP = frozenset({"Re", "Rh"})
# Boron has three bonds, and its hydrogens are written; with one or two bonds B is a variable.
_BORON_OR_VARIABLE = frozenset({"B"})
AMBIGUOUS_SYMBOLS = (
    _ELEMENT_OR_GROUP
    | _ELEMENT_OR_VARIABLE
    | _ELEMENT_OR_R_GROUP
    | _METAL_OR_R_GROUP
    | _BORON_OR_VARIABLE
)


def is_label(atom: Atom, bonds: int) -> bool:
    """True where an atom's text is no element: an abbreviation, an R group, a variable.

    Some texts are both: Ac, Fm, Pr and Ts, the variables Ar, U, V, W and Y, the R groups Ra, Rb and
    Rf. They are elements where they stand alone, carry a charge or an isotope, or have the four
    bonds and more of a metal complex; with one to three bonds and nothing else they are what a
    patent means by them. B is boron from three bonds on.

    Args:
        atom: an atom as drawn.
        bonds: the number of its bonds.
    """
    if not atom.is_element:
        return True
    if atom.label not in AMBIGUOUS_SYMBOLS:
        return False
    most = 1 if atom.label in _METAL_OR_R_GROUP else 2 if atom.label in _BORON_OR_VARIABLE else 3
    return not (atom.charge or atom.isotope or atom.radical) and 1 <= bonds <= most
