"""The named groups of chemical drawings: a table of SMILES and the names that stand for each.

A line of a table is a SMILES and its names, the usual spellings of each. The first atom of the
SMILES is the one that is bonded to the rest. Most names are those that ChemDraw, the journals'
lists of abbreviations (JOC, Org. Lett.) and Greene's protective groups use.

Names are words of condensed formulas too: OTBS, BocHN and CO2allyl need no line of their own. A
name that chemists use for more than one group (Np and Nap for either naphthyl, Py, Xyl, C3H5) is
not in here: such a label stays as it is drawn. A group's name that needs more than one line has a
second one.
"""

from __future__ import annotations

__all__ = ["COMMON_GROUPS", "GROUPS", "LINKS", "SPECIES"]


def _by_name(table: str) -> dict[str, str]:
    """Name -> SMILES of a table's lines; a line that begins with ``//`` is a heading."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, table.splitlines())):
        if line.startswith("//"):
            continue
        smiles, *names = line.split()
        for name in names:
            if name in found:
                raise ValueError(f"the group {name!r} stands twice, the second time as {smiles!r}")
            found[name] = smiles
    return found


# What is drawn most, in its most usual spellings.
COMMON_GROUPS: dict[str, str] = _by_name("""
// alkyl and aryl
C                               Me
CC                              Et
CCC                             Pr nPr n-Pr
C(C)C                           iPr i-Pr
CCCC                            Bu nBu n-Bu
C(C)CC                          sBu s-Bu sec-Bu
CC(C)C                          iBu i-Bu
C(C)(C)C                        tBu t-Bu tert-Bu
CC(C)(C)C                       neoPent
C1CC1                           cPr c-Pr cyclopropyl
C1CCC1                          cBu c-Bu
C1CCCC1                         cPent c-Pent cPen
C1CCCCC1                        Cy cHex c-Hex Chx
c1ccccc1                        Ph
Cc1ccccc1                       Bn
c1ccc(C)cc1                     Tol p-Tol pTol
c1c(C)cc(C)cc1C                 Mes
C(c1ccccc1)(c1ccccc1)c1ccccc1   Tr Trt
C(c1ccccc1)(c1ccccc1)c1ccc(OC)cc1           MMTr MMT
C(c1ccccc1)(c1ccc(OC)cc1)c1ccc(OC)cc1       DMTr DMT
// ethers and acetals that protect
Cc1ccc(OC)cc1                   PMB MPM
c1ccc(OC)cc1                    PMP
Cc1ccc(OC)cc1OC                 DMB
COC                             MOM
COCCOC                          MEM
COCC[Si](C)(C)C                 SEM
COCc1ccccc1                     BOM
CSC                             MTM
C(C)OCC                         EE
C1CCCCO1                        THP
// acyl, carbonate and carbamate
C(C)=O                          Ac
C(=O)c1ccccc1                   Bz
C(=O)C(C)(C)C                   Piv
C(=O)C(F)(F)F                   TFAc
C(=O)OC(C)(C)C                  Boc BOC t-Boc t-BOC tBoc
C(=O)OCc1ccccc1                 Cbz CBZ CBz
C(=O)OCC1c2ccccc2-c2ccccc21     Fmoc FMOC
C(=O)OCC=C                      Alloc Aloc
C(=O)OCC(Cl)(Cl)Cl              Troc TROC
C(=O)OCC[Si](C)(C)C             Teoc
// sulfonyl
S(C)(=O)=O                      Ms
S(=O)(=O)c1ccc(C)cc1            Ts Tos
S(=O)(=O)C(F)(F)F               Tf
S(=O)(=O)c1ccc([N+](=O)[O-])cc1 Ns Nos
S(=O)(=O)c1ccc(Br)cc1           Bs
// silyl and boron
[Si](C)(C)C                     TMS
[Si](CC)(CC)CC                  TES
[Si](C)(C)C(C)(C)C              TBS TBDMS
[Si](C(C)C)(C(C)C)C(C)C         TIPS
[Si](c1ccccc1)(c1ccccc1)C(C)(C)C            TBDPS
B1OC(C)(C)C(C)(C)O1             Bpin BPin
// what letters alone would misread, and heavy hydrogen
N=[N+]=[N-]                     N3
[N+]#N                          N2+
P(=O)(O)O                       PO3H2 H2O3P
[2H]                            D
[3H]                            T
""")

# Rarer groups, and rarer spellings of the common ones.
_RARER_GROUPS: dict[str, str] = _by_name("""
// alkyl
C                               methyl Methyl
CC                              ethyl Ethyl
CCC                             propyl Propyl n-propyl Prn Pr-n
C(C)C                           isopropyl Isopropyl i-propyl iso-propyl Pri Pr-i iso-Pr isoPr ipr
CCCC                            butyl Butyl n-butyl Bun Bu-n
C(C)CC                          sec-butyl s-butyl secBu Bu-s
CC(C)C                          isobutyl Isobutyl i-butyl iso-butyl Bui Bu-i iso-Bu isoBu
C(C)(C)C                        tert-butyl t-butyl tert-Butyl But Bu-t tertBu tbu t-bu
CCCCC                           Pent Pentyl pentyl n-pentyl nPent n-Pent n-Pen nPen Amyl amyl n-Am
CCC(C)C                         iPent i-Pent isopentyl isoamyl i-amyl iAm i-Am iPen
C(C)(C)CC                       tAm t-Am t-Amyl t-amyl tPent t-Pent tert-amyl tert-pentyl tPen
CC(C)(C)C                       neopentyl neo-Pent neo-pentyl neoPen neo-C5H11
CCCCCC                          Hex hexyl Hexyl n-hexyl nHex n-Hex
CCCCCCC                         Hept heptyl Heptyl n-heptyl nHept n-Hept Hep
CCCCCCCC                        Oct octyl Octyl n-octyl nOct n-Oct
CCCCCCCCC                       nonyl Nonyl n-nonyl n-Non
CCCCCCCCCC                      Dec decyl Decyl n-decyl nDec n-Dec
CCCCCCCCCCCC                    dodecyl Dodecyl n-dodecyl lauryl
CCCCCCCCCCCCCCCC                hexadecyl cetyl
CCCCCCCCCCCCCCCCCC              octadecyl stearyl
CC(CC)CCCC                      2-ethylhexyl 2-Ethylhexyl EtHex EH
C(C)(C)CC(C)(C)C                tOct t-Oct t-octyl tert-octyl
C(C)(C)C(C)C                    thexyl Thexyl
C1CC1                           c-C3H5 cC3H5 cyclo-C3H5 c-propyl
C1CCC1                          cyclobutyl c-C4H7 cC4H7 cyclo-C4H7
C1CCCC1                         cyclopentyl Cyp c-C5H9 cC5H9 cyclo-C5H9 cyPent cyclo-Pent c-Pen
C1CCCCC1                        cyclohexyl Cyclohexyl c-C6H11 cC6H11 cyclo-C6H11 cyHex Cyh cyclo-Hex
C1CCCCCC1                        cycloheptyl cHept c-Hept c-C7H13
C1CCCCCCC1                      cyclooctyl cOct c-Oct c-C8H15
C12CC3CC(C1)CC(C3)C2            Ad 1-Ad adamantyl Adamantyl 1-adamantyl 1-Adamantyl
C1C2CC3CC1CC(C2)C3              2-Ad 2-adamantyl 2-Adamantyl
CCO                             2-hydroxyethyl hydroxyethyl
CO                              hydroxymethyl
C(F)(F)F                        trifluoromethyl
CC(F)(F)F                       TFE trifluoroethyl 2,2,2-trifluoroethyl
C(C(F)(F)F)C(F)(F)F             HFIP
CC(Cl)(Cl)Cl                    TCE Tce
CC[Si](C)(C)C                   TMSE Tmse
CCC#N                           CNE cyanoethyl 2-cyanoethyl
// alkenyl and alkynyl
C=C                             vinyl Vinyl ethenyl
CC=C                            allyl Allyl All
C(C)=C                          isopropenyl Isopropenyl
CC(C)=C                         methallyl Methallyl
CC=CC                           crotyl Crotyl
CC=C(C)C                        prenyl Prenyl
C/C=C(\\C)CCC=C(C)C             geranyl Geranyl
C/C=C(\\C)CC/C=C(\\C)CCC=C(C)C  farnesyl Farnesyl
C/C=C/c1ccccc1                  cinnamyl Cinnamyl
C#C                             ethynyl Ethynyl
CC#C                            propargyl Propargyl
C#CC                            propynyl 1-propynyl
C1=CCCCC1                       1-cyclohexenyl cyclohexenyl
// aryl
c1ccccc1                        phenyl Phenyl
Cc1ccccc1                       benzyl Benzyl Bzl
CCc1ccccc1                      phenethyl Phenethyl phenylethyl
C(C)(C)c1ccccc1                 cumyl Cumyl
c1ccc(C)cc1                     p-tolyl p-Tolyl 4-Tol 4-tolyl Tolyl tolyl
c1cccc(C)c1                     m-Tol mTol m-tolyl 3-Tol 3-tolyl
c1ccccc1C                       o-Tol oTol o-tolyl 2-Tol 2-tolyl
c1c(C)cc(C)cc1C                 mesityl Mesityl
c1c(C(C)C)cccc1C(C)C            Dipp DIPP Dip
c1c(C(C)C)cc(C(C)C)cc1C(C)C     Tripp Trip Tipp
c1c(C(C)(C)C)cc(C(C)(C)C)cc1C(C)(C)C        Mes*
c1ccc([N+](=O)[O-])cc1          PNP pNP Pnp
c1ccc([N+](=O)[O-])cc1[N+](=O)[O-]          DNP Dnp
c1c(F)c(F)c(F)c(F)c1F           PFP Pfp
c1cccc2ccccc12                  1-Np 1-Nap 1-Naph 1-naphthyl 1-Naphthyl a-naphthyl 1-C10H7
c1cccc2ccccc12                  naphthalen-1-yl
c1ccc2ccccc2c1                  2-Np 2-Nap 2-Naph 2-naphthyl 2-Naphthyl b-naphthyl 2-C10H7
c1ccc2ccccc2c1                  naphthalen-2-yl
c1c2ccccc2cc2ccccc12            9-Anth 9-anthryl 9-Anthryl 9-anthracenyl
c1cc2ccccc2c2ccccc12            9-phenanthryl 9-Phen
c1ccc2ccc3cccc4ccc1c2c34        1-pyrenyl
c1ccc(-c2ccccc2)cc1             4-biphenyl 4-biphenylyl p-biphenyl biphenyl-4-yl 4-PhC6H4
c1ccccc1-c1ccccc1               2-biphenyl o-biphenyl 2-biphenylyl
C1c2ccccc2-c2ccccc21            fluorenyl 9-fluorenyl
CC1c2ccccc2-c2ccccc21           Fm
// heterocycles
c1ccccn1                        2-Py 2-py 2-pyridyl 2-Pyridyl pyridin-2-yl 2-pyridinyl 2-C5H4N
c1cccnc1                        3-Py 3-py 3-pyridyl 3-Pyridyl pyridin-3-yl 3-pyridinyl 3-C5H4N
c1ccncc1                        4-Py 4-py 4-pyridyl 4-Pyridyl pyridin-4-yl 4-pyridinyl 4-C5H4N
c1ccco1                         2-furyl 2-Furyl 2-Fur 2-furanyl furan-2-yl
c1ccoc1                         3-furyl 3-Furyl 3-Fur 3-furanyl furan-3-yl
Cc1ccco1                        furfuryl
c1cccs1                         2-thienyl 2-Thienyl 2-Th 2-thiophenyl thiophen-2-yl 2-thiophene
c1ccsc1                         3-thienyl 3-Thienyl 3-Th 3-thiophenyl thiophen-3-yl 3-thiophene
c1ccc[nH]1                      2-pyrrolyl pyrrol-2-yl
N1C=CC=C1                         1-pyrrolyl N-pyrrolyl pyrrol-1-yl
c1c[nH]c2ccccc12                3-indolyl 3-Indolyl indol-3-yl
c1cc2ccccc2[nH]1                2-indolyl indol-2-yl
N1C=Cc2ccccc21                   1-indolyl N-indolyl indol-1-yl
N1C=CN=C1                         Im 1-imidazolyl N-imidazolyl imidazol-1-yl
c1ncc[nH]1                      2-imidazolyl imidazol-2-yl
N1C=CC=N1                         Pz pz 1-pyrazolyl N-pyrazolyl pyrazol-1-yl
N1C=NC=N1                         1,2,4-triazol-1-yl
c1nnn[nH]1                      5-tetrazolyl tetrazol-5-yl
c1nnnn1-c1ccccc1                PT
N1N=Nc2ccccc21                   Bt benzotriazol-1-yl
ON1N=Nc2cccnc21                  OAt
c1nccs1                         2-thiazolyl thiazol-2-yl
c1ncco1                         2-oxazolyl oxazol-2-yl
c1nc2ccccc2s1                   benzothiazol-2-yl 2-benzothiazolyl
c1ncccn1                        2-pyrimidinyl 2-pyrimidyl pyrimidin-2-yl
c1cnccn1                        2-pyrazinyl pyrazin-2-yl
c1ccc2ccccc2n1                  2-quinolyl 2-quinolinyl quinolin-2-yl
c1cccc2cccnc12                  8-quinolyl 8-quinolinyl quinolin-8-yl
N1CCOCC1                        morpholino Morpholino N-morpholino morpholin-4-yl 4-morpholinyl
N1CCOCC1                        N-morpholinyl
N1CCSCC1                        thiomorpholino thiomorpholin-4-yl
N1CCCCC1                        piperidino N-piperidino piperidin-1-yl 1-piperidinyl N-piperidinyl
N1CCCCC1                        1-piperidyl
N1CCCC1                         pyrrolidino N-pyrrolidino pyrrolidin-1-yl 1-pyrrolidinyl
N1CCCC1                         N-pyrrolidinyl
N1CCNCC1                        piperazino piperazin-1-yl 1-piperazinyl N-piperazinyl
N1CCN(C)CC1                     4-methylpiperazin-1-yl N-methylpiperazinyl
N1CCC1                          azetidin-1-yl 1-azetidinyl
C1CCCO1                         THF 2-tetrahydrofuranyl
C1CO1                           oxiranyl
CC1CO1                          glycidyl Glycidyl
// imides
N1C(=O)c2ccccc2C1=O             NPhth PhthN NPht PhtN NPhTh PhThN Nphth phthN phthalimido
N1C(=O)c2ccccc2C1=O             Phthalimido N-phthalimido
N1C(=O)CCC1=O                   Su succinimido N-succinimidyl succinimidyl
N1C(=O)C=CC1=O                  maleimido N-maleimido
// simple groups by their names
O                               hydroxy hydroxyl
OC                              methoxy Methoxy
OCC                             ethoxy Ethoxy
OC(C)C                          isopropoxy
OC(C)(C)C                       tert-butoxy t-butoxy
Oc1ccccc1                       phenoxy Phenoxy
OCc1ccccc1                      benzyloxy Benzyloxy
OC(C)=O                         acetoxy Acetoxy
N                               amino Amino
N(C)C                           dimethylamino
N(CC)CC                         diethylamino
[N+](=O)[O-]                    nitro Nitro
C#N                             cyano Cyano
C=O                             formyl Formyl For
C(=O)O                          carboxy Carboxy carboxyl
F                               fluoro
Cl                              chloro
Br                              bromo
I                               iodo
N=[N+]=[N-]                     azido Azido
// benzyl and its kin that protect
Cc1ccc(OC)cc1                   PMBn pMB p-MeOBn p-methoxybenzyl
Cc1ccc(OC)cc1OC                 DMPM Dmb
Cc1cc(OC)cc(OC)c1               3,5-DMB
Cc1ccc(Br)cc1                   PBB p-BrBn
Cc1ccc(Cl)cc1                   PCB p-ClBn
Cc1ccc([N+](=O)[O-])cc1         PNB pNB Pnb p-NB p-NO2Bn p-nitrobenzyl
Cc1ccccc1[N+](=O)[O-]           oNB o-NB oNBn o-NO2Bn o-nitrobenzyl
Cc1ccc2ccccc2c1                 NAP 2-NAP
C(c1ccccc1)c1ccccc1             Bzh Dpm DPM benzhydryl Benzhydryl
C(c1ccccc1)(c1ccccc1)c1ccccc1   trityl Trityl
C(c1ccccc1)(c1ccccc1)c1ccc(OC)cc1           Mmt MMTrt
C(c1ccccc1)(c1ccc(OC)cc1)c1ccc(OC)cc1       DMTrt DmTr
C(c1ccc(OC)cc1)(c1ccc(OC)cc1)c1ccc(OC)cc1   TMTr
C(c1ccccc1)(c1ccccc1)c1ccc(C)cc1            Mtt
C(c1ccccc1)(c1ccccc1)c1ccccc1Cl             2-ClTrt
C1(c2ccccc2)c2ccccc2Oc2ccccc21  Px Pixyl
C1c2ccccc2Oc2ccccc21            Xan
// acetals that protect
COC                             Mom methoxymethyl
COCC                            EOM
COCCOC                          Mem
COCC[Si](C)(C)C                 Sem
COCc1ccccc1                     Bom
COCc1ccc(OC)cc1                 PMBM PMBOM
COC(=O)C(C)(C)C                 POM
CO[Si](C(C)C)(C(C)C)C(C)C       TOM
COC(C)(C)C                      Bum
C(C)(C)OC                       MIP
CNC(C)=O                        Acm
C(C)OCC                         1-ethoxyethyl
C1CCCCO1                        Thp 2-THP
// acyl
C(C)=O                          acetyl Acetyl
C(=O)CC                         propionyl
C(=O)CCC                        butyryl
C(=O)c1ccccc1                   benzoyl Benzoyl
C(=O)C(C)(C)C                   Pv pivaloyl Pivaloyl
C(=O)C(F)(F)F                   TFA Tfa trifluoroacetyl
C(=O)CCl                        ClAc chloroacetyl
C(=O)CBr                        BrAc
C(=O)CCC(C)=O                   Lev
C(=O)C=C                        acryloyl Acryloyl
C(=O)C(C)=C                     methacryloyl Methacryloyl
C(=O)/C(C)=C/C                  Tig tigloyl
C(=O)/C(C)=C\\C                 Ang angeloyl
C(=O)c1ccc([N+](=O)[O-])cc1     PNBz pNBz p-NO2Bz p-nitrobenzoyl
C(=O)c1ccc(Br)cc1               p-BrBz
C(=O)c1cc(O)c(O)c(O)c1          galloyl Galloyl
C(=O)c1cccnc1                   nicotinoyl
C(=O)C(OC)(C(F)(F)F)c1ccccc1    MTPA
C(=O)/C=C/c1ccccc1              cinnamoyl Cinnamoyl
CC(=O)c1ccccc1                  phenacyl
C(N)=O                          carbamoyl
// carbonate and carbamate
C(=O)OC(C)(C)C                  tBOC boc
C(=O)OC                         Moc methoxycarbonyl
C(=O)OCC                        ethoxycarbonyl
C(=O)OCc1ccccc1                 cbz
C(=O)OCC1c2ccccc2-c2ccccc21     fmoc
C(=O)OCC=C                      ALLOC alloc
C(=O)OCC[Si](C)(C)C             TEOC
C(=O)OC=C                       Voc
C(=O)OC12CC3CC(C1)CC(C3)C2      Adoc Adc
C(=O)OC(C)(C)c1ccc(-c2ccccc2)cc1            Bpoc
C(=O)OC(C)(C)c1cc(OC)cc(OC)c1   Ddz
C(=O)OCc1ccc([N+](=O)[O-])cc1   PNZ pNZ Pnz
C(=O)OCc1ccc(OC)cc1             Moz MOZ
C(=O)OC(C)(C)C(Cl)(Cl)Cl        TcBoc TCBoc TCBOC
C(=O)OCc1cc(OC)c(OC)cc1[N+](=O)[O-]         Nvoc NVOC
C(=O)OCCS(=O)(=O)c1ccc([N+](=O)[O-])cc1     Nsc
C(=O)OCc1ccccc1Cl               2-ClCbz 2-ClZ
// sulfonyl and sulfenyl
S(C)(=O)=O                      mesyl Mesyl
S(=O)(=O)c1ccc(C)cc1            tosyl Tosyl
S(=O)(=O)C(F)(F)F               triflyl
S(=O)(=O)c1ccc([N+](=O)[O-])cc1 p-Ns pNs 4-Ns p-Nos
S(=O)(=O)c1ccccc1[N+](=O)[O-]   o-Ns oNs 2-Ns o-Nos
S(=O)(=O)c1ccc([N+](=O)[O-])cc1[N+](=O)[O-] DNs dNs
S(=O)(=O)C(F)(F)C(F)(F)C(F)(F)C(F)(F)F      Nf
S(=O)(=O)CC[Si](C)(C)C          SES
S(=O)(=O)c1c(C)cc(C)cc1C        Mts
S(=O)(=O)c1c(C)c(C)c(OC)cc1C    Mtr
S(=O)(=O)c1c(C)c(C)c2c(c1C)CC(C)(C)O2       Pbf PBF
S(=O)(=O)c1c(C)c(C)c2c(c1C)CCC(C)(C)O2      Pmc PMC
S(=O)(=O)c1cccc2c(N(C)C)cccc12  Dns dansyl Dansyl
Sc1ccccc1[N+](=O)[O-]           Nps
Sc1ncccc1[N+](=O)[O-]           Npys
// silyl
[Si](C)(C)C                     trimethylsilyl Tms
[Si](CC)(CC)CC                  triethylsilyl
[Si](C)(C)C(C)(C)C              Tbs tBDMS t-BDMS TBDMSi
[Si](C(C)C)(C(C)C)C(C)C         Tips
[Si](c1ccccc1)(c1ccccc1)C(C)(C)C            t-BDPS tBDPS Tbdps
[Si](c1ccccc1)(c1ccccc1)c1ccccc1            TPS
[Si](C)(C)c1ccccc1              DMPS
[Si](C)(c1ccccc1)c1ccccc1       DPMS MDPS
[Si](C)(C)C(C)(C)C(C)C          TDS ThDMS
[Si](CC)(CC)C(C)C               DEIPS
[Si](C)(C)C(C)C                 DMIPS IPDMS
[Si](C)(C(C)(C)C)C(C)(C)C       DTBMS
[Si](CC(C)C)(C(C)(C)C)C(C)(C)C  BIBS
// boron
B1OC(C)(C)C(C)(C)O1             pinB PinB B(pin) (pin)B B(Pin) (Pin)B
B1Oc2ccccc2O1                   Bcat BCat catB B(cat)
B1OCC(C)(C)CO1                  Bneop Bneo Bnep neopB B(neo) B(nep)
B1Nc2cccc3cccc(c23)N1           Bdan BDan danB B(dan)
B1C2CCCC1CCC2                   9-BBN BBN 9BBN
[B-]12OC(=O)C[N+]1(C)CC(=O)O2   BMIDA B(MIDA) MIDAB
[B-](F)(F)F.[K+]                BF3K KF3B
[B-](F)(F)F.[Na+]               BF3Na NaF3B
// phosphorus
OP(=O)(O)OP(=O)(O)O             OPP PPO
OP(=O)(O)O                      phosphate
P(=O)(OCC)OCC                   PO3Et2 Et2O3P PO3(Et)2
P(=O)(OC)OC                     PO3Me2 Me2O3P PO3(Me)2
P(=O)(O)O                       PO(OH)2 phosphono
// with a double bond to the rest
=[N+]=[N-]                      N2
""")

GROUPS: dict[str, str] = {**COMMON_GROUPS, **_RARER_GROUPS}

# Residues of L-amino acids, with two bonds to the outside: the nitrogen (first atom) takes what is
# written on the left of the name, the carbonyl carbon (last but one) what is written on its right.
_RESIDUES: dict[str, str] = _by_name("""
NCC=O                           Gly
N[C@@H](C)C=O                   Ala
N[C@@H](C(C)C)C=O               Val
N[C@@H](CC(C)C)C=O              Leu
N[C@@H]([C@@H](C)CC)C=O         Ile
N[C@@H](Cc1ccccc1)C=O           Phe
N[C@@H](Cc1ccc(O)cc1)C=O        Tyr
N[C@@H](Cc1c[nH]c2ccccc12)C=O   Trp
N[C@@H](CO)C=O                  Ser
N[C@@H]([C@H](O)C)C=O           Thr
N[C@@H](CS)C=O                  Cys
N[C@@H](CCSC)C=O                Met
N[C@@H](CC(=O)O)C=O             Asp
N[C@@H](CCC(=O)O)C=O            Glu
N[C@@H](CC(N)=O)C=O             Asn
N[C@@H](CCC(N)=O)C=O            Gln
N[C@@H](CCCCN)C=O               Lys
N[C@@H](CCCNC(=N)N)C=O          Arg
N[C@@H](Cc1c[nH]cn1)C=O         His
N1CCC[C@H]1C=O                  Pro
N(C)CC=O                        Sar
NC(C)(C)C=O                     Aib
NCCC=O                          bAla β-Ala βAla
NCCCC=O                         GABA
N[C@@H](CCC)C=O                 Nva
N[C@@H](CCCC)C=O                Nle
N[C@@H](CC)C=O                  Abu
N[C@@H](C(C)(C)C)C=O            Tle
N[C@@H](CCCN)C=O                Orn
N[C@@H](CCN)C=O                 Dab
N[C@@H](CN)C=O                  Dap
N[C@@H](CCCNC(N)=O)C=O          Cit
N[C@@H](c1ccccc1)C=O            Phg
N[C@@H](CC1CCCCC1)C=O           Cha
N[C@@H](CCc1ccccc1)C=O          hPhe Hph
""")


def _mirrored(smiles: str) -> str:
    return smiles.replace("@@", "\0").replace("@", "@@").replace("\0", "@")


LINKS: dict[str, str] = {
    **_RESIDUES,
    **{f"L-{name}": smiles for name, smiles in _RESIDUES.items() if "@" in smiles},
    **{f"D-{name}": _mirrored(smiles) for name, smiles in _RESIDUES.items() if "@" in smiles},
}

# What stands alone: acids, counter-ions, solvents, reagents.
SPECIES: dict[str, str] = _by_name("""
// acids, and the salts that are named after them
OC(=O)C(F)(F)F                  TFA trifluoroacetate
OS(=O)(=O)O                     H2SO4 sulfate
O[N+](=O)[O-]                   HNO3
OP(=O)(O)O                      H3PO4
O[Cl](=O)(=O)=O                 HClO4
[H+].F[B-](F)(F)F               HBF4
[H+].F[P-](F)(F)(F)(F)F         HPF6
OC(=O)C(=O)O                    C2H2O4 (CO2H)2 (COOH)2 HO2CCO2H oxalate
OC(=O)/C=C/C(=O)O               fumarate
OC(=O)/C=C\\C(=O)O              maleate
OC(=O)CC(O)(CC(=O)O)C(=O)O      citrate
OC(=O)CCC(=O)O                  succinate
CS(=O)(=O)O                     mesylate
Cc1ccc(S(=O)(=O)O)cc1           PTSA pTSA p-TSA p-TsOH pTsOH tosylate
Cl                              hydrochloride
Br                              hydrobromide
O                               hydrate
// ions
[NH4+]                          NH4+
[O-][Cl](=O)(=O)=O              ClO4-
[O-][N+](=O)[O-]                NO3-
F[B-](F)(F)F                    BF4-
F[P-](F)(F)(F)(F)F              PF6-
F[As-](F)(F)(F)(F)F             AsF6-
F[Sb-](F)(F)(F)(F)F             SbF6-
Cl[Sb-](Cl)(Cl)(Cl)(Cl)Cl       SbCl6-
Cl[Al-](Cl)(Cl)Cl               AlCl4-
[BH4-]                          BH4-
[AlH4-]                         AlH4-
[O-]S(=O)(=O)O                  HSO4-
[O-]S(=O)(=O)[O-]               SO42- SO4-2 SO4--
[O-]C(=O)O                      HCO3-
[O-]C(=O)[O-]                   CO32- CO3-2 CO3--
[O-]P(=O)(O)O                   H2PO4-
[O-]P(=O)([O-])O                HPO42- HPO4-2 HPO4--
[O-]P(=O)([O-])[O-]             PO43- PO4-3 PO4---
[O-][I](=O)(=O)=O               IO4-
[O-][Mn](=O)(=O)=O              MnO4-
I[I-]I                          I3-
[N-]=[N+]=[N-]                  N3-
[C-]#N                          CN- NC-
[S-]C#N                         SCN- NCS-
[O-]C#N                         OCN- NCO-
// salts
[Na+].[Cl-]                     NaCl
[Na+].[Br-]                     NaBr
[Na+].[I-]                      NaI
[K+].[Cl-]                      KCl
[K+].[Br-]                      KBr
[K+].[I-]                       KI
[Li+].[Cl-]                     LiCl
[Li+].[Br-]                     LiBr
[Na+].[OH-]                     NaOH
[K+].[OH-]                      KOH
[Li+].[OH-]                     LiOH
[NH4+].[Cl-]                    NH4Cl
[Na+].[N-]=[N+]=[N-]            NaN3
[Na+].[C-]#N                    NaCN
[K+].[C-]#N                     KCN
[Na+].[BH4-]                    NaBH4
[Li+].[AlH4-]                   LiAlH4
[Na+].[Na+].[O-]C([O-])=O       Na2CO3
[K+].[K+].[O-]C([O-])=O         K2CO3
[Cs+].[Cs+].[O-]C([O-])=O       Cs2CO3
[Na+].[O-]C(=O)O                NaHCO3
// solvents and bases
CS(C)=O                         DMSO
CN(C)C=O                        DMF
CN(C)C(C)=O                     DMA DMAc
C1CCOC1                         THF
CN1CCCC1=O                      NMP
ClCCl                           DCM
ClCCCl                          DCE
CC#N                            ACN MeCN CH3CN
COC(C)(C)C                      MTBE
COCCOC                          DME
C1COCCO1                        dioxane
c1ccncc1                        py Py pyridine
c1ccccc1                        benzene C6H6 PhH
Cc1ccccc1                       toluene
CCN(CC)CC                       TEA
CC(C)N(CC)C(C)C                 DIPEA DIEA
C1CCC2=NCCCN2CC1                DBU
C1CN2CCN1CC2                    DABCO
CN(C)c1ccncc1                   DMAP
""")
