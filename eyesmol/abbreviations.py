"""What the abbreviations of patent drawings stand for.

Each fragment is a SMILES whose first atom is the one that the label is bonded by. Both reading
directions of a label are listed, since the graph keeps the one that is drawn.
"""

from __future__ import annotations

import re

from eyesmol.graph import is_element

__all__ = ["fragment_smiles"]

# fragment -> the ways in which it is written
_TABLE: dict[str, str] = {
    "C": "Me CH3 H3C",
    "CC": "Et C2H5 CH2CH3 CH3CH2 H5C2 H3CH2C",
    "CCC": "Pr nPr n-Pr C3H7 CH2CH2CH3 CH3CH2CH2",
    "C(C)C": "iPr i-Pr CH(CH3)2 (CH3)2CH",
    "CCCC": "Bu nBu n-Bu C4H9",
    "C(C)(C)C": "tBu t-Bu C(CH3)3 (CH3)3C",
    "CC(C)C": "iBu i-Bu",
    "c1ccccc1": "Ph C6H5",
    "Cc1ccccc1": "Bn CH2Ph PhCH2",
    "OC": "OMe MeO OCH3 H3CO CH3O",
    "OCC": "OEt EtO OC2H5 C2H5O H5C2O",
    "OC(C)C": "OiPr iPrO",
    "OC(C)(C)C": "OtBu tBuO",
    "Oc1ccccc1": "OPh PhO",
    "OCc1ccccc1": "OBn BnO OCH2Ph PhCH2O",
    "OC(C)=O": "OAc AcO",
    "OC(=O)c1ccccc1": "OBz BzO",
    "OS(C)(=O)=O": "OMs MsO",
    "OS(=O)(=O)c1ccc(C)cc1": "OTs TsO",
    "OS(=O)(=O)C(F)(F)F": "OTf TfO",
    "OC(F)(F)F": "OCF3 F3CO",
    "OC(F)F": "OCF2H OCHF2 F2HCO",
    "C(F)(F)F": "CF3 F3C",
    "C(F)F": "CHF2 CF2H F2HC",
    "C(Cl)(Cl)Cl": "CCl3 Cl3C",
    "C(C)=O": "Ac COCH3 COMe",
    "C(=O)c1ccccc1": "Bz COPh",
    "C=O": "CHO OHC",
    "C(=O)O": "CO2H COOH HO2C HOOC",
    "C(=O)[O-]": "CO2- COO-",
    "C(=O)OC": "CO2Me COOMe CO2CH3 COOCH3 MeO2C MeOOC H3CO2C",
    "C(=O)OCC": "CO2Et COOEt EtO2C EtOOC COOC2H5",
    "C(=O)OC(C)(C)C": "Boc BOC CO2tBu CO2C(CH3)3 t-BOC",
    "C(=O)OCc1ccccc1": "Cbz CO2Bn COOCH2Ph",
    "C(N)=O": "CONH2 H2NOC",
    "C#N": "CN NC",
    "CO": "CH2OH HOCH2 HOH2C",
    "COC": "CH2OMe MeOCH2 MeOH2C",
    "N": "NH2 H2N",
    "NC": "NHMe MeNH MeHN NHCH3 H3CHN",
    "N(C)C": "NMe2 Me2N N(CH3)2 (H3C)2N",
    "NCC": "NHEt EtHN EtNH",
    "N(CC)CC": "NEt2 Et2N N(CH2CH3)2 (CH3CH2)2N N(C2H5)2 (C2H5)2N",
    "NN": "NHNH2 H2NHN",
    "NC(C)=O": "NHAc AcHN NHCOCH3",
    "NC(=O)OC(C)(C)C": "NHBoc BocHN",
    "NC(=O)OCc1ccccc1": "NHCbz CbzHN",
    "Nc1ccccc1": "NHPh PhHN",
    "NS(C)(=O)=O": "NHMs NHSO2Me NHSO2CH3",
    "[N+](=O)[O-]": "NO2 O2N",
    "N=[N+]=[N-]": "N3",
    "N=O": "NO ON",
    "N=C=O": "NCO OCN",
    "N=C=S": "NCS SCN",
    "O": "OH HO",
    "S": "SH HS",
    "SC": "SMe MeS SCH3 H3CS",
    "Sc1ccccc1": "SPh PhS",
    "S(C)(=O)=O": "SO2Me SO2CH3 Ms MeO2S H3CO2S",
    "S(N)(=O)=O": "SO2NH2 H2NO2S",
    "S(=O)(=O)O": "SO3H HO3S",
    "S(=O)(=O)Cl": "SO2Cl",
    "S(=O)(=O)c1ccc(C)cc1": "Ts Tos",
    "S(=O)(=O)C(F)(F)F": "Tf SO2CF3",
    "S(F)(F)(F)(F)F": "SF5 F5S",
    "SC(F)(F)F": "SCF3 F3CS",
    "[Si](C)(C)C": "TMS",
    "[Si](C)(C)C(C)(C)C": "TBS TBDMS",
    "P(c1ccccc1)c1ccccc1": "PPh2 Ph2P",
    "[2H]": "D",
    "[3H]": "T",
}
_SMILES_OF = {label: smiles for smiles, labels in _TABLE.items() for label in labels.split()}

# An element with its hydrogens, either way round: NH, OH, H2N, CH2. RDKit puts them back.
_HYDRIDE = re.compile(r"(?:H\d?)?([A-Z][a-z]?)(?:H\d?)?")


def fragment_smiles(label: str) -> str | None:
    """The fragment that a label stands for, attachment atom first; None for what is not known."""
    if (known := _SMILES_OF.get(label)) is not None:
        return known
    match = _HYDRIDE.fullmatch(label)
    if match and is_element(match[1]) and match[1] != "H":
        return f"[{match[1]}]" if match[1] not in _ORGANIC else match[1]
    return None


_ORGANIC = {"B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I"}
