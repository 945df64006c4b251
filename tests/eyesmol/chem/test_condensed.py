"""The reader of condensed formulas on labels as they are drawn: each row stands for a kind."""

from __future__ import annotations

import pytest
from rdkit import Chem

from eyesmol.chem.expansion import expand_abbreviations, read_label
from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.group_table import COMMON_GROUPS, GROUPS, LINKS, SPECIES
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles

from .conftest import written


def rows(table: str) -> list[tuple[str, str]]:
    """Label and SMILES of each line; ``_`` in a label is a blank."""
    pairs = (line.split("  ") for line in table.splitlines() if line)
    return [(label.replace("_", " "), smiles) for label, smiles in pairs]


# One bond, the neighbour on the left.
LEFT = """
CH=CHCO2Me  [1*]C=CC(=O)OC
CH=CHCH2OH  [1*]C=CCO
C≡CCH2OH  [1*]C#CCO
CH=CHSO2Ph  [1*]C=CS(=O)(=O)c1ccccc1
PhSO2  [1*]S(=O)(=O)c1ccccc1
C6F5  [1*]c1c(F)c(F)c(F)c(F)c1F
PNB  [1*]Cc1ccc([N+](=O)[O-])cc1
OCH2C6H5  [1*]OCc1ccccc1
O13CH3  [1*]O[13CH3]
13CH3  [1*][13CH3]
15NH2  [1*][15NH2]
CO\\s2\\nH  [1*]C(=O)O
But  [1*]C(C)(C)C
Bui  [1*]CC(C)C
Pri  [1*]C(C)C
allyl  [1*]CC=C
vinyl  [1*]C=C
Ad  [1*]C12CC3CC(CC(C3)C1)C2
NPhth  [1*]N1C(=O)c2ccccc2C1=O
Dipp  [1*]c1c(C(C)C)cccc1C(C)C
o-Tol  [1*]c1ccccc1C
n-C6H13  [1*]CCCCCC
c-C6H11  [1*]C1CCCCC1
OTFA  [1*]OC(=O)C(F)(F)F
MgBr  [1*][Mg]Br
4-ClC6H4  [1*]c1ccc(Cl)cc1
NCS  [1*]N=C=S
SCN  [1*]SC#N
NCO  [1*]N=C=O
CO2H  [1*]C(=O)O
HO2C  [1*]C(=O)O
F3C  [1*]C(F)(F)F
OTBS  [1*]O[Si](C)(C)C(C)(C)C
SO2Me  [1*]S(C)(=O)=O
MeO2S  [1*]S(C)(=O)=O
N(CH3)2  [1*]N(C)C
NMe3+I-  [1*][N+](C)(C)C.[I-]
NH3+Cl-  [1*][NH3+].[Cl-]
NH2·HCl  [1*]N.Cl
CO2-Na+  [1*]C(=O)[O-].[Na+]
N2+BF4-  [1*][N+]#N.F[B-](F)(F)F
CO2Na  [1*]C(=O)O[Na]
SO3-  [1*]S(=O)(=O)[O-]
OPO3H2  [1*]OP(=O)(O)O
OPO32-  [1*]OP(=O)([O-])[O-]
OPO3-2  [1*]OP(=O)([O-])[O-]
OPO3--  [1*]OP(=O)([O-])[O-]
PO(OEt)2  [1*]P(=O)(OCC)OCC
S(=O)(=O)NH2  [1*]S(N)(=O)=O
S(O)Me  [1*]S(C)=O
S(O)2Me  [1*]S(C)(=O)=O
C(=O)NHMe  [1*]C(=O)NC
C(=NH)NH2  [1*]C(=N)N
C(NH)NH2  [1*]C(=N)N
C(S)NH2  [1*]C(N)=S
C(=S)NH2  [1*]C(N)=S
NHC(=NH)NH2  [1*]NC(=N)N
CH=CH2  [1*]C=C
CH2CH=CH2  [1*]CC=C
CH2C≡CH  [1*]CC#C
C≡CH  [1*]C#C
C≡N  [1*]C#N
C≡CTMS  [1*]C#C[Si](C)(C)C
C≡CSiMe3  [1*]C#C[Si](C)(C)C
CN  [1*]C#N
NO2  [1*][N+](=O)[O-]
ONO2  [1*]O[N+](=O)[O-]
NO  [1*]N=O
NHOH  [1*]NO
OOH  [1*]OO
CO3H  [1*]C(=O)OO
N=NPh  [1*]N=Nc1ccccc1
NHNH2  [1*]NN
SH  [1*]S
OH  [1*]O
SF5  [1*]S(F)(F)(F)(F)F
OSO3H  [1*]OS(=O)(=O)O
SO3H  [1*]S(=O)(=O)O
SO3Na  [1*]S(=O)(=O)O[Na]
AcO  [1*]OC(C)=O
CO2-t-Bu  [1*]C(=O)OC(C)(C)C
O-t-Bu  [1*]OC(C)(C)C
O-tBu  [1*]OC(C)(C)C
Ot-Bu  [1*]OC(C)(C)C
OBut  [1*]OC(C)(C)C
OtBu  [1*]OC(C)(C)C
NH-Boc  [1*]NC(=O)OC(C)(C)C
NR2  *N(*)[1*]
NR1R2  [1*]N([1*])[2*]
CO2R1  [1*]OC([1*])=O
OR'  *O[1*]
ORa  *O[1*]
NRaRb  *N(*)[1*]
OAr  *O[1*]
CH2X  *C[1*]
CH2-4-ClC6H4  [1*]Cc1ccc(Cl)cc1
p-MeC6H4  [1*]c1ccc(C)cc1
p-MeOC6H4  [1*]c1ccc(OC)cc1
4-Me2NC6H4  [1*]c1ccc(N(C)C)cc1
4-(Me2N)C6H4  [1*]c1ccc(N(C)C)cc1
3,5-(CF3)2C6H3  [1*]c1cc(C(F)(F)F)cc(C(F)(F)F)c1
2,4,6-Me3C6H2  [1*]c1c(C)cc(C)cc1C
2-F-4-MeOC6H3  [1*]c1ccc(OC)cc1F
C6H4-4-Cl  [1*]c1ccc(Cl)cc1
C6H4-p-OMe  [1*]c1ccc(OC)cc1
C6H4OMe-p  [1*]c1ccc(OC)cc1
C6H4(4-Cl)  [1*]c1ccc(Cl)cc1
C6H3-3,5-(CF3)2  [1*]c1cc(C(F)(F)F)cc(C(F)(F)F)c1
C6H3Cl2-2,4  [1*]c1ccc(Cl)cc1Cl
p-C6H4OMe  [1*]c1ccc(OC)cc1
SO2C6H4-p-Me  [1*]S(=O)(=O)c1ccc(C)cc1
SO2C6H4CH3-p  [1*]S(=O)(=O)c1ccc(C)cc1
OC6H4-4-NO2  [1*]Oc1ccc([N+](=O)[O-])cc1
N(C6H4-p-OMe)2  [1*]N(c1ccc(OC)cc1)c1ccc(OC)cc1
4-FPh  [1*]c1ccc(F)cc1
p-NO2Ph  [1*]c1ccc([N+](=O)[O-])cc1
4-F-Ph  [1*]c1ccc(F)cc1
4-O2NC6H4  [1*]c1ccc([N+](=O)[O-])cc1
4-NCC6H4  [1*]c1ccc(C#N)cc1
4-HOC6H4  [1*]c1ccc(O)cc1
C6H13  [1*]CCCCCC
C4H9-n  [1*]CCCC
t-C4H9  [1*]C(C)(C)C
C4H9-t  [1*]C(C)(C)C
i-C3H7  [1*]C(C)C
C4F9  [1*]C(F)(F)C(F)(F)C(F)(F)C(F)(F)F
B(OH)2  [1*]B(O)O
AlaOMe  [1*]N[C@@H](C)C(=O)OC
Gly-OH  [1*]NCC(=O)O
SiMe3  [1*][Si](C)(C)C
SnBu3  [1*][Sn](CCCC)(CCCC)CCCC
SiMe2tBu  [1*][Si](C)(C)C(C)(C)C
PPh3+  [1*][P+](c1ccccc1)(c1ccccc1)c1ccccc1
P+Ph3  [1*][P+](c1ccccc1)(c1ccccc1)c1ccccc1
-CO2H  [1*]C(=O)O
-OMe  [1*]OC
CO2^-  [1*]C(=O)[O-]
CO_2Et  [1*]C(=O)OCC
CO₂Et  [1*]C(=O)OCC
CO<sub>2</sub>Et  [1*]C(=O)OCC
NH₃⁺  [1*][NH3+]
CD3  [1*]C([2H])([2H])[2H]
OCD3  [1*]OC([2H])([2H])[2H]
11CH3  [1*][11CH3]
O11CH3  [1*]O[11CH3]
18F  [1*][18F]
[18F]  [1*][18F]
CH2CH218F  [1*]CC[18F]
14CO2H  [1*][14C](=O)O
(CH2)11CH3  [1*]CCCCCCCCCCCC
(CH2)2OH  [1*]CCO
OCH2CH2OH  [1*]OCCO
NHSO2CF3  [1*]NS(=O)(=O)C(F)(F)F
OSO2CF3  [1*]OS(=O)(=O)C(F)(F)F
COCF3  [1*]C(=O)C(F)(F)F
COPh  [1*]C(=O)c1ccccc1
CONHOH  [1*]C(=O)NO
CON(OMe)Me  [1*]C(=O)N(C)OC
CONMeOMe  [1*]C(=O)N(C)OC
N(Me)OMe  [1*]N(C)OC
NHOBn  [1*]NOCc1ccccc1
OCONH2  [1*]OC(N)=O
NHCONH2  [1*]NC(N)=O
NHCSNH2  [1*]NC(N)=S
CSNH2  [1*]C(N)=S
OCSNMe2  [1*]OC(=S)N(C)C
SCONMe2  [1*]SC(=O)N(C)C
SCSOEt  [1*]SC(=S)OCC
CS2Me  [1*]C(=S)SC
CS2H  [1*]C(=S)S
SAc  [1*]SC(C)=O
COSEt  [1*]C(=O)SCC
SSMe  [1*]SSC
S2Me  [1*]SSC
SO2NHMe  [1*]S(=O)(=O)NC
SO2N(CH3)2  [1*]S(=O)(=O)N(C)C
CHO  [1*]C=O
CH(OMe)2  [1*]C(OC)OC
CH(OH)CH3  [1*]C(C)O
CHOHCH3  [1*]C(C)O
C(CH3)2OH  [1*]C(C)(C)O
C(OH)Me2  [1*]C(C)(C)O
CH2CO2H  [1*]CC(=O)O
CH2CN  [1*]CC#N
NEt2  [1*]N(CC)CC
N(iPr)2  [1*]N(C(C)C)C(C)C
N(i-Pr)2  [1*]N(C(C)C)C(C)C
NiPr2  [1*]N(C(C)C)C(C)C
NHCOtBu  [1*]NC(=O)C(C)(C)C
NHC(O)Me  [1*]NC(C)=O
NHC(=O)CH3  [1*]NC(C)=O
OC(O)Me  [1*]OC(C)=O
OC(=O)Me  [1*]OC(C)=O
COOtBu  [1*]C(=O)OC(C)(C)C
OPO(OH)2  [1*]OP(=O)(O)O
PO(OH)2  [1*]P(=O)(O)O
P(O)Ph2  [1*]P(=O)(c1ccccc1)c1ccccc1
POPh2  [1*]P(=O)(c1ccccc1)c1ccccc1
PtBu2  [1*]P(C(C)(C)C)C(C)(C)C
NHCH2CH2N(CH3)2  [1*]NCCN(C)C
CONHCH2CH2OCH3  [1*]C(=O)NCCOC
CHCHCO2Me  [1*]C=CC(=O)OC
CCH  [1*]C#C
CHCH2  [1*]C=C
CHNOH  [1*]C=NO
C(Me)=NOH  [1*]C(C)=NO
C(NOH)NH2  [1*]C(N)=NO
N(Me)Boc  [1*]N(C)C(=O)OC(C)(C)C
NMeBoc  [1*]N(C)C(=O)OC(C)(C)C
N(H)Boc  [1*]NC(=O)OC(C)(C)C
NHC(O)OtBu  [1*]NC(=O)OC(C)(C)C
C(O)NH2  [1*]C(N)=O
C(O)OH  [1*]C(=O)O
C(O)OMe  [1*]C(=O)OC
COOMe  [1*]C(=O)OC
O-  [1*][O-]
NMe2H+  [1*][NH+](C)C
N=C=O  [1*]N=C=O
N=C=S  [1*]N=C=S
HNMe  [1*]NC
"""

# One bond, the neighbour on the right.
RIGHT = """
Ph2P(O)  [1*]P(=O)(c1ccccc1)c1ccccc1
EtOC(=O)  [1*]C(=O)OCC
tBuOC(O)NH  [1*]NC(=O)OC(C)(C)C
PhSO2  [1*]S(=O)(=O)c1ccccc1
MeSO2  [1*]S(C)(=O)=O
TolSO2  [1*]S(=O)(=O)c1ccc(C)cc1
H2NSO2  [1*]S(N)(=O)=O
C6H5CH2O  [1*]OCc1ccccc1
H2NCO  [1*]C(N)=O
H2NCONH  [1*]NC(N)=O
-O2C  [1*]C(=O)[O-]
+H3N  [1*][NH3+]
pinB  [1*]B1OC(C)(C)C(C)(C)O1
SCN  [1*]N=C=S
OCN  [1*]N=C=O
HO2C  [1*]C(=O)O
HOOC  [1*]C(=O)O
CF3  [1*]C(F)(F)F
NHBoc  [1*]NC(=O)OC(C)(C)C
BocHN  [1*]NC(=O)OC(C)(C)C
BocNH  [1*]NC(=O)OC(C)(C)C
TBSO  [1*]O[Si](C)(C)C(C)(C)C
MeO2S  [1*]S(C)(=O)=O
(CH3)2N  [1*]N(C)C
(H3C)2N  [1*]N(C)C
(EtO)2P(O)  [1*]P(=O)(OCC)OCC
(EtO)2OP  [1*]P(=O)(OCC)OCC
(EtO)2P(=O)  [1*]P(=O)(OCC)OCC
HC≡C  [1*]C#C
N≡C  [1*]C#N
NC  [1*]C#N
HO  [1*]O
F5S  [1*]S(F)(F)(F)(F)F
HO3S  [1*]S(=O)(=O)O
H3COCHNH2CH2C  [1*]CCNC(=O)C
CH2CH2OMe  [1*]CCOC
H3COCHN  [1*]NC(C)=O
CH3CONH  [1*]NC(C)=O
CH3CO2  [1*]OC(C)=O
H3CCO2  [1*]OC(C)=O
AcO  [1*]OC(C)=O
OAc  [1*]OC(C)=O
t-BuO2C  [1*]C(=O)OC(C)(C)C
t-BuO  [1*]OC(C)(C)C
F5C6  [1*]c1c(F)c(F)c(F)c(F)c1F
(HO)2B  [1*]B(O)O
Me3Si  [1*][Si](C)(C)C
Bu3Sn  [1*][Sn](CCCC)(CCCC)CCCC
tBuMe2SiO  [1*]O[Si](C)(C)C(C)(C)C
Ph3P+  [1*][P+](c1ccccc1)(c1ccccc1)c1ccccc1
MeO-  [1*]OC
CF3SO2O  [1*]OS(=O)(=O)C(F)(F)F
F3CO2SO  [1*]OS(=O)(=O)C(F)(F)F
MeSO2O  [1*]OS(C)(=O)=O
TsHN  [1*]NS(=O)(=O)c1ccc(C)cc1
CF3CO  [1*]C(=O)C(F)(F)F
CF3CONH  [1*]NC(=O)C(F)(F)F
PhCO  [1*]C(=O)c1ccccc1
PhCONH  [1*]NC(=O)c1ccccc1
PhCH2O  [1*]OCc1ccccc1
PhCH2  [1*]Cc1ccccc1
OHC  [1*]C=O
(MeO)2CH  [1*]C(OC)OC
(MeO)2HC  [1*]C(OC)OC
HO2CCH2  [1*]CC(=O)O
HO2CH2C  [1*]CC(=O)O
HOOCCH2  [1*]CC(=O)O
EtO2CCH2  [1*]CC(=O)OCC
NCCH2  [1*]CC#N
NCH2C  [1*]CC#N
BrCH2  [1*]CBr
BrH2C  [1*]CBr
ClCH2CO  [1*]C(=O)CCl
Et2N  [1*]N(CC)CC
(iPr)2N  [1*]N(C(C)C)C(C)C
MeC(O)NH  [1*]NC(C)=O
MeC(O)O  [1*]OC(C)=O
tBuOOC  [1*]C(=O)OC(C)(C)C
(HO)2OP  [1*]P(=O)(O)O
H2O3PO  [1*]OP(=O)(O)O
Ph2OP  [1*]P(=O)(c1ccccc1)c1ccccc1
Ph2P  [1*]P(c1ccccc1)c1ccccc1
AcOCH2  [1*]COC(C)=O
AcOH2C  [1*]COC(C)=O
DMTO  [1*]OC(c1ccccc1)(c1ccc(OC)cc1)c1ccc(OC)cc1
BocMeN  [1*]N(C)C(=O)OC(C)(C)C
MeBocN  [1*]N(C)C(=O)OC(C)(C)C
Boc(Me)N  [1*]N(C)C(=O)OC(C)(C)C
Boc(H)N  [1*]NC(=O)OC(C)(C)C
H2N(O)C  [1*]C(N)=O
H2NC(O)  [1*]C(N)=O
H2NOC  [1*]C(N)=O
HO(O)C  [1*]C(=O)O
MeO(O)C  [1*]C(=O)OC
MeOC(O)  [1*]C(=O)OC
MeOOC  [1*]C(=O)OC
H3COOC  [1*]C(=O)OC
H3COC  [1*]C(C)=O
CH3CO  [1*]C(C)=O
ClO2S  [1*]S(=O)(=O)Cl
ClOC  [1*]C(=O)Cl
ON  [1*]N=O
H2NHN  [1*]NN
HONH  [1*]NO
HOHN  [1*]NO
H3N+  [1*][NH3+]
-O3S  [1*]S(=O)(=O)[O-]
O3S-  [1*]S(=O)(=O)[O-]
S=C=N  [1*]N=C=S
CH3SO2NH  [1*]NS(C)(=O)=O
H3CSO2NH  [1*]NS(C)(=O)=O
CH3OCH2  [1*]COC
HOCH2CH2  [1*]CCO
H2NCH2  [1*]CN
H2NH2C  [1*]CN
H2NCH2CH2NH  [1*]NCCN
PhCH=CH  [1*]C=Cc1ccccc1
CH2=CH  [1*]C=C
H2C=CH  [1*]C=C
H2C=HC  [1*]C=C
H2C=CHCH2O  [1*]OCC=C
H2C=HCH2CO  [1*]OCC=C
MeO2CCH=CH  [1*]C=CC(=O)OC
TMSC≡C  [1*]C#C[Si](C)(C)C
PhCO2  [1*]OC(=O)c1ccccc1
PhO2C  [1*]C(=O)Oc1ccccc1
MeCO2  [1*]OC(C)=O
CF3CO2  [1*]OC(=O)C(F)(F)F
Cl3CH2CO  [1*]OCC(Cl)(Cl)Cl
HO2CH2CS  [1*]SCC(=O)O
"""

# Between a left neighbour [1*] and a right one [2*].
BRIDGES = """
CH=NNH  [1*]C=NN[2*]
NCO2Et  [1*]N([2*])C(=O)OCC
NCOMe  [1*]N([2*])C(C)=O
OCHN  [1*]C(=O)N[2*]
N-Boc  [1*]N([2*])C(=O)OC(C)(C)C
NBoc  [1*]N([2*])C(=O)OC(C)(C)C
BocN  [1*]N([2*])C(=O)OC(C)(C)C
NMe  [1*]N([2*])C
p-C6H4  [1*]c1ccc([2*])cc1
1,3-C6H4  [1*]c1cccc([2*])c1
COO  [1*]C(=O)O[2*]
OOC  [1*]OC([2*])=O
CO2  [1*]C(=O)O[2*]
O2C  [1*]OC([2*])=O
SO2NH  [1*]S(=O)(=O)N[2*]
HNO2S  [1*]NS([2*])(=O)=O
NHSO2  [1*]NS([2*])(=O)=O
NHCONH  [1*]NC(=O)N[2*]
CH2CH2  [1*]CC[2*]
C(O)  [1*]C([2*])=O
C(=O)  [1*]C([2*])=O
S(O)  [1*]S([2*])=O
S(O)2  [1*]S([2*])(=O)=O
C=O  [1*]C([2*])=O
CF2  [1*]C([2*])(F)F
CMe2  [1*]C([2*])(C)C
C(CH3)2  [1*]C([2*])(C)C
(CH3)2C  [1*]C([2*])(C)C
N=N  [1*]N=N[2*]
CH=CH  [1*]C=C[2*]
C≡C  [1*]C#C[2*]
HC=CH  [1*]C=C[2*]
CH=N  [1*]C=N[2*]
SiMe2  [1*][Si]([2*])(C)C
BnN  [1*]N([2*])Cc1ccccc1
P(O)OH  [1*]P([2*])(=O)O
"""

# On a double bond.
DOUBLE = """
N2  [1*]=[N+]=[N-]
O  [1*]=O
NOH  [1*]=NO
NOMe  [1*]=NOC
CH2  [1*]=C
CHPh  [1*]=Cc1ccccc1
CMe2  [1*]=C(C)C
PPh3  [1*]=P(c1ccccc1)(c1ccccc1)c1ccccc1
NNHTs  [1*]=NNS(=O)(=O)c1ccc(C)cc1
NBoc  [1*]=NC(=O)OC(C)(C)C
=O  [1*]=O
=CH2  [1*]=C
HON  [1*]=NO
MeON  [1*]=NOC
S  [1*]=S
NH  [1*]=N
HN  [1*]=N
"""

# What stands alone.
ALONE = """
Ca2+  [Ca+2]
HCl  Cl
TFA  O=C(O)C(F)(F)F
2_HCl  Cl.Cl
H2O  O
½_H2SO4  O=S(=O)(O)O
1/2_H2SO4  O=S(=O)(O)O
HCl·H2O  Cl.O
2HCl·H2O  Cl.Cl.O
•HCl  Cl
NaCl  [Na+].[Cl-]
Na+  [Na+]
Cl-  [Cl-]
NH4+  [NH4+]
Et3NH+  CC[NH+](CC)CC
TsO-  Cc1ccc(S(=O)(=O)[O-])cc1
OTf-  O=S(=O)([O-])C(F)(F)F
CF3CO2-  O=C([O-])C(F)(F)F
MeOH  CO
EtOH  CCO
AcOH  CC(=O)O
HOAc  CC(=O)O
CF3CO2H  O=C(O)C(F)(F)F
CF3COOH  O=C(O)C(F)(F)F
HBr  Br
HI  I
H3PO4  O=P(O)(O)O
MsOH  CS(=O)(=O)O
TsOH  Cc1ccc(S(=O)(=O)O)cc1
NH3  N
CO2  O=C=O
SO2  O=S=O
CH4  C
xHCl  Cl
x_HCl  Cl
n_H2O  O
1.5_H2O  O
2H2O  O.O
3_HCl  Cl.Cl.Cl
2_Na+  [Na+].[Na+]
Br-  [Br-]
I-  [I-]
OH-  [OH-]
HO-  [OH-]
K+  [K+]
Mg2+  [Mg+2]
SO42-  O=S(=O)([O-])[O-]
BPh4-  c1ccc([B-](c2ccccc2)(c2ccccc2)c2ccccc2)cc1
NBu4+  CCCC[N+](CCCC)(CCCC)CCCC
Bu4N+  CCCC[N+](CCCC)(CCCC)CCCC
NMe4+  C[N+](C)(C)C
HCO2H  O=CO
HCOOH  O=CO
(COOH)2  O=C(O)C(=O)O
"""

# What no one can read stays a label: unknown counts, places that are not named, two meanings.
UNREADABLE = [
    ("(CH2)n", (1, 1)),
    ("(CH2)n", (1,)),
    ("N-Boc", (1,)),
    ("N-Ts", (1,)),
    ("R", (1,)),
    ("X", (1,)),
    ("Ar", (1,)),
    ("(R)", (1,)),
    ("(S)", (1,)),
    ("C1-6alkyl", (1,)),
    ("C1-C6", (1,)),
    ("(CH2)1-4", (1, 1)),
    ("(OCH2CH2)nOMe", (1,)),
    ("C6H4Cl", (1,)),
    ("C3H5", (1,)),
    ("=O", (1,)),
    ("NH3Cl", ()),
    ("Nf2", ()),
    ("NMe3Cl", (1,)),
    ("=NH2", (1,)),  # the bond that it writes is not the one that is drawn
    ("PO3H-", (1,)),  # but for a peroxide
    ("H2CO", (1,)),  # a hydrogen too many
    ("CONH(CH2)2NHCOCH(CH2)3N-t-BOC", (1, 1)),
]


@pytest.mark.parametrize(("label", "smiles"), rows(LEFT))
def test_bound_on_the_left(label: str, smiles: str) -> None:
    assert written(read_label(label, [1])) == canonical_smiles(smiles)


@pytest.mark.parametrize(("label", "smiles"), rows(RIGHT))
def test_bound_on_the_right(label: str, smiles: str) -> None:
    assert written(read_label(label, [1], from_right=True)) == canonical_smiles(smiles)


@pytest.mark.parametrize(("label", "smiles"), rows(BRIDGES))
def test_between_two_neighbours(label: str, smiles: str) -> None:
    assert written(read_label(label, [1, 1]), (1, 1)) == canonical_smiles(smiles)


@pytest.mark.parametrize(("label", "smiles"), rows(DOUBLE))
def test_on_a_double_bond(label: str, smiles: str) -> None:
    assert written(read_label(label, [2]), (2,)) == canonical_smiles(smiles)


@pytest.mark.parametrize(("label", "smiles"), rows(ALONE))
def test_alone(label: str, smiles: str) -> None:
    assert written(read_label(label, []), ()) == canonical_smiles(smiles)


@pytest.mark.parametrize(("label", "orders"), UNREADABLE)
def test_what_cannot_be_read_stays_a_label(label: str, orders: tuple[int, ...]) -> None:
    assert read_label(label, orders) is None


def bound(smiles: str, before: str) -> str | None:
    """A group of the table tied by its first atom to the last atom of `before`."""
    mol = Chem.RWMol(Chem.MolFromSmiles(f"{before}.{smiles}", sanitize=False))
    first = Chem.MolFromSmiles(before).GetNumAtoms()
    mol.AddBond(first - 1, first, Chem.BondType.SINGLE)
    mol.GetAtomWithIdx(first).SetNoImplicit(False)
    return canonical_smiles(Chem.MolToSmiles(mol))


def test_every_name_of_the_table_reads_as_its_group_alone_and_in_a_formula() -> None:
    """No name hides another or falls apart into letters, in either direction."""
    wrong = []
    for name, smiles in GROUPS.items():
        if smiles[0] == "=":
            continue
        cases = [(name, False, "[1*]"), (name, True, "[1*]"), (f"CH2{name}", False, "[1*]C"),
                 (f"{name}CH2", True, "[1*]C"), (f"{name}H2C", True, "[1*]C"),
                 (f"CH2-{name}", False, "[1*]C")]  # fmt: skip
        for label, from_right, before in cases:
            found = written(read_label(label, [1], from_right=from_right))
            if found != bound(smiles, before):
                wrong.append((label, from_right, found))
    assert not wrong
    assert len(GROUPS) > 700 > 300 > len(COMMON_GROUPS)


def test_the_tables_hold_molecules_and_residues_end_in_a_carbonyl_group() -> None:
    for smiles in (*SPECIES.values(), *LINKS.values()):
        assert canonical_smiles(smiles), smiles
    assert all(smiles.endswith("C=O") for smiles in LINKS.values())
    assert written(read_label("D-Ala", [1, 1]), (1, 1)) == canonical_smiles(
        "[1*]N[C@H](C)C([2*])=O"
    )


def test_an_amount_that_is_no_whole_number_is_one_and_is_said() -> None:
    for label, count in (("½ H2SO4", 1), ("n H2O", 1), ("2 HCl", 0), ("HCl", 0)):
        _, problems = expand_abbreviations(MolGraph((Atom(label),)))
        assert len(problems) == count, label
        assert all(repr(label) in problem for problem in problems)


def test_r_groups_with_a_letter_are_no_elements() -> None:
    for label in ("Ra", "Rb", "Rf", "Rg", "R", "R'", "R1a"):
        graph = MolGraph((Atom("C"), Atom(label, 40, 0)), (Bond(0, 1),))
        assert graph_to_smiles(graph) == ("*C", []), label
    assert graph_to_smiles(MolGraph((Atom("Rb", charge=1),)))[0] == "[Rb+]"
    rhodium = MolGraph(
        (Atom("Rh"), *(Atom("Cl", 40, i) for i in range(3))), tuple(Bond(0, i) for i in (1, 2, 3))
    )
    assert "Rh" in str(graph_to_smiles(rhodium)[0])


def test_np_is_a_naphthyl_group_of_either_kind_and_said() -> None:
    smiles, problems = graph_to_smiles(MolGraph((Atom("C"), Atom("Np", 40, 0)), (Bond(0, 1),)))
    assert smiles == "*C"
    assert "'Np'" in problems[0]


def test_a_salt_keeps_its_counter_ion_in_the_drawing() -> None:
    graph = MolGraph((Atom("C"), Atom("NH3+Cl", 40, 0, charge=-1)), (Bond(0, 1),))
    assert graph_to_smiles(graph) == ("C[NH3+].[Cl-]", [])
