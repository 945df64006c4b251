"""The acronyms of patent drawings: what no reader of formulas can work out from the letters.

Everything that can be read letter by letter (CO2Et, N(CH2CH3)2, SO2NH2) is read so, by
`eyesmol.chem.condensed`, which takes these names as its words: BocHN is Boc, H and N.
"""

from __future__ import annotations

from eyesmol.chem.graph import Atom

__all__ = ["AMBIGUOUS_SYMBOLS", "GROUPS", "LINKS", "SPECIES", "UNITS", "is_label"]


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: smiles for smiles, names in table.items() for name in names.split()}


# One bond to the outside, at the first atom.
GROUPS: dict[str, str] = _by_name(
    {
        # alkyl and aryl
        "C": "Me",
        "CC": "Et",
        "CCC": "Pr nPr n-Pr",
        "C(C)C": "iPr i-Pr",
        "CCCC": "Bu nBu n-Bu",
        "C(C)CC": "sBu s-Bu sec-Bu",
        "CC(C)C": "iBu i-Bu",
        "C(C)(C)C": "tBu t-Bu tert-Bu",
        "CC(C)(C)C": "neoPent",
        "C1CC1": "cPr c-Pr cyclopropyl",
        "C1CCC1": "cBu c-Bu",
        "C1CCCC1": "cPent c-Pent cPen",
        "C1CCCCC1": "Cy cHex c-Hex Chx",
        "c1ccccc1": "Ph",
        "Cc1ccccc1": "Bn",
        "c1ccc(C)cc1": "Tol p-Tol pTol",
        "c1c(C)cc(C)cc1C": "Mes",
        "C(c1ccccc1)(c1ccccc1)c1ccccc1": "Tr Trt",
        "C(c1ccccc1)(c1ccccc1)c1ccc(OC)cc1": "MMTr MMT",
        "C(c1ccccc1)(c1ccc(OC)cc1)c1ccc(OC)cc1": "DMTr DMT",
        # ethers and acetals that protect
        "Cc1ccc(OC)cc1": "PMB MPM",
        "c1ccc(OC)cc1": "PMP",
        "Cc1ccc(OC)cc1OC": "DMB",
        "COC": "MOM",
        "COCCOC": "MEM",
        "COCC[Si](C)(C)C": "SEM",
        "COCc1ccccc1": "BOM",
        "CSC": "MTM",
        "C(C)OCC": "EE",
        "C1CCCCO1": "THP",
        # acyl, carbonate and carbamate
        "C(C)=O": "Ac",
        "C(=O)c1ccccc1": "Bz",
        "C(=O)C(C)(C)C": "Piv",
        "C(=O)C(F)(F)F": "TFAc",
        "C(=O)OC(C)(C)C": "Boc BOC t-Boc t-BOC tBoc",
        "C(=O)OCc1ccccc1": "Cbz CBZ CBz",
        "C(=O)OCC1c2ccccc2-c2ccccc21": "Fmoc FMOC",
        "C(=O)OCC=C": "Alloc Aloc",
        "C(=O)OCC(Cl)(Cl)Cl": "Troc TROC",
        "C(=O)OCC[Si](C)(C)C": "Teoc",
        # sulfonyl
        "S(C)(=O)=O": "Ms",
        "S(=O)(=O)c1ccc(C)cc1": "Ts Tos",
        "S(=O)(=O)C(F)(F)F": "Tf",
        "S(=O)(=O)c1ccc([N+](=O)[O-])cc1": "Ns Nos",
        "S(=O)(=O)c1ccc(Br)cc1": "Bs",
        # silyl and boron
        "[Si](C)(C)C": "TMS",
        "[Si](CC)(CC)CC": "TES",
        "[Si](C)(C)C(C)(C)C": "TBS TBDMS",
        "[Si](C(C)C)(C(C)C)C(C)C": "TIPS",
        "[Si](c1ccccc1)(c1ccccc1)C(C)(C)C": "TBDPS",
        "B1OC(C)(C)C(C)(C)O1": "Bpin BPin",
        # what letters alone would misread, and heavy hydrogen
        "N=[N+]=[N-]": "N3",
        "[N+]#N": "N2+",
        "N=C=O": "NCO",
        "P(=O)(O)O": "PO3H2 H2O3P",
        "[2H]": "D",
        "[3H]": "T",
    }
)

# Residues of L-amino acids, with two bonds to the outside: the nitrogen (first atom) takes what is
# written on the left of the name, the carbonyl carbon (last but one) what is written on its right.
LINKS: dict[str, str] = {
    "Gly": "NCC=O",
    "Ala": "N[C@@H](C)C=O",
    "Val": "N[C@@H](C(C)C)C=O",
    "Leu": "N[C@@H](CC(C)C)C=O",
    "Ile": "N[C@@H]([C@@H](C)CC)C=O",
    "Phe": "N[C@@H](Cc1ccccc1)C=O",
    "Tyr": "N[C@@H](Cc1ccc(O)cc1)C=O",
    "Trp": "N[C@@H](Cc1c[nH]c2ccccc12)C=O",
    "Ser": "N[C@@H](CO)C=O",
    "Thr": "N[C@@H]([C@H](O)C)C=O",
    "Cys": "N[C@@H](CS)C=O",
    "Met": "N[C@@H](CCSC)C=O",
    "Asp": "N[C@@H](CC(=O)O)C=O",
    "Glu": "N[C@@H](CCC(=O)O)C=O",
    "Asn": "N[C@@H](CC(N)=O)C=O",
    "Gln": "N[C@@H](CCC(N)=O)C=O",
    "Lys": "N[C@@H](CCCCN)C=O",
    "Arg": "N[C@@H](CCCNC(=N)N)C=O",
    "His": "N[C@@H](Cc1c[nH]cn1)C=O",
    "Pro": "N1CCC[C@H]1C=O",
}

# Hydrocarbons that are written by their formula and are no chain.
UNITS: dict[str, str] = {"C6H5": "c1ccccc1", "C6H11": "C1CCCCC1"}

# What stands alone: acids and counter-ions.
SPECIES: dict[str, str] = {
    "TFA": "OC(=O)C(F)(F)F",
    "H2SO4": "OS(=O)(=O)O",
    "HNO3": "O[N+](=O)[O-]",
    "H3PO4": "OP(=O)(O)O",
    "HClO4": "O[Cl](=O)(=O)=O",
    "ClO4-": "[O-][Cl](=O)(=O)=O",
    "NO3-": "[O-][N+](=O)[O-]",
    "BF4-": "F[B-](F)(F)F",
    "PF6-": "F[P-](F)(F)(F)(F)F",
    "SbF6-": "F[Sb-](F)(F)(F)(F)F",
}

# Symbols of elements that in a patent's organic drawing are a group of the table ...
_ELEMENT_OR_GROUP = frozenset({"Ac", "Pr", "Ts"})
# ... or a variable that the text defines ("Ar is aryl", "Y is O or S").
_ELEMENT_OR_VARIABLE = frozenset({"Ar", "U", "V", "W", "Y"})
AMBIGUOUS_SYMBOLS = _ELEMENT_OR_GROUP | _ELEMENT_OR_VARIABLE


def is_label(atom: Atom, bonds: int) -> bool:
    """True where an atom's text is no element: an abbreviation, an R group, a variable.

    Some texts are both: Ac, Pr and Ts, and the variables Ar, U, V, W and Y. They are elements
    where they stand alone, carry a charge or an isotope, or have the four bonds and more of a metal
    complex; with one to three bonds and nothing else they are what a patent means by them.

    Args:
        atom: an atom as drawn.
        bonds: the number of its bonds.
    """
    if not atom.is_element:
        return True
    if atom.label not in AMBIGUOUS_SYMBOLS:
        return False
    return not (atom.charge or atom.isotope or atom.radical) and 1 <= bonds <= 3
