"""What labels say: groups, R groups, variables, condensed formulas, links; in both directions.

The detector learns to spell what is written, whatever the chemistry, so most of these texts are
put together at random. A word is a label with one bond. Its backward text is the one for a bond at
its right: ``OCH3`` and ``H3CO``.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from data_preprocess.drawing.abbreviate import _drawn_labels

__all__ = [
    "CHARACTERS",
    "Word",
    "balanced_word",
    "condensed",
    "double_end",
    "group",
    "link",
    "r_group",
    "variable",
    "word",
]

CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789()[]'\"+-,.*=≡•/αβγδω"


class Word(NamedTuple):
    """A label's text where the bond is at its left, and where it is at its right."""

    forward: str
    backward: str


def _texts(text: str) -> list[str]:
    """What stands between blanks; what is common stands several times."""
    return text.split()


def _pairs(text: str) -> list[Word]:
    """Words from lines of ``forward backward|forward backward``; one text serves both ways."""
    parts = (pair.split() for pair in text.replace("\n", "|").split("|"))
    return [Word(part[0], part[-1]) for part in parts if part]


# Often drawn; what is common stands several times.
_GROUPS = _pairs("""
CO2H HO2C|CO2H HO2C|CO2H HO2C|COOH HOOC|COOH HOOC|Me|Me|Me|Me|Et|Et|CF3 F3C|CF3 F3C|CF3 F3C
OMe MeO|OMe MeO|OMe MeO|OCH3 H3CO|OCH3 H3CO|OCH3 CH3O|NO2 O2N|NO2 O2N|CN NC|CN NC|OEt EtO
CO2Me MeO2C|CO2Et EtO2C|CO2Et EtO2C|COOMe MeOOC|CO2CH3 H3CO2C|CONH2 H2NOC|CONH2 H2NOC
SO2NH2 H2NO2S|SO2Me MeO2S|SO2CH3 H3CO2S|SO2CH3 CH3SO2|CHO OHC|NHBoc BocHN|NHBoc BocHN|NMe2 Me2N
NMe2 Me2N|NHMe MeHN|N(CH3)2 (H3C)2N|N(CH3)2 (CH3)2N|Ph|Ph|Ph|OPh PhO|Bn|OBn BnO|OBn BnO|tBu|t-Bu
iPr|i-Pr|nBu|n-Bu|Boc|Boc|Cbz|Ac|OAc AcO|OAc AcO|TMS|OTBS TBSO|OTBS TBSO|OTs TsO|OTf TfO|OMs MsO
SMe MeS|SCF3 F3CS|SCH3 H3CS|SO3H HO3S|N3|N3|CH2OH HOH2C|CH2OH HOCH2|C2H5|C2H5 H5C2|OC2H5 C2H5O
CH2CH3 H3CH2C|NHCOCH3 H3COCHN|NHCOCH3 CH3CONH|NHAc AcHN|NHAc AcNH|CHF2 F2HC|OCHF2 F2HCO|OCF3 F3CO
OCF3 CF3O|CO2tBu tBuO2C|CO2t-Bu t-BuO2C|CO2But ButO2C|B(OH)2 (HO)2B|COCl ClOC|Bu|Pr|Tr|Cy|cPr|c-Pr
NEt2 Et2N|C6H5|C6H5 H5C6|CH2CO2H HO2CH2C|CO2Bn BnO2C|PMB|MOM|OMOM MOMO|Fmoc|Ts|Ms|CCl3 Cl3C
C(CH3)3 (H3C)3C|C(CH3)3 (CH3)3C|CH(CH3)2 (H3C)2HC|CH(CH3)2 (CH3)2CH|CONHMe MeHNOC|CONHMe MeNHCO
CONHOH HOHNOC|SO2Cl ClO2S|NHSO2Me MeO2SHN|SiMe3 Me3Si|Bpin|Bpin pinB|OR RO|OR' R'O|OR1 R1O|NHR RHN
NR2 R2N|NR1R2 R2R1N|CO2R RO2C|COOR ROOC|COR ROC|SR RS|ONa NaO|CO2Na NaO2C|COONa NaOOC|SO3Na NaO3S
SO3- -O3S|CO2- -O2C|COO- -OOC|OK KO|OLi LiO|NMe3+ +Me3N|N2+ +N2|PPh3+ +Ph3P|N(CH3)3+ +(H3C)3N
BF3- -F3B|C4H9|C3H7|C8H17|C6H13 H13C6|OC4H9 H9C4O|COCH3 H3COC|COCH3 CH3CO|CH2NH2 H2NH2C
CH2Cl ClH2C|CH2Br BrCH2|CH2CN NCH2C|OCH2Ph PhH2CO|CH2Ph PhH2C|CH2Ph PhCH2|SO2Ph PhO2S|NHCH3 H3CHN
SO2CF3 F3CO2S|C(O)NH2 H2N(O)C|C(O)OH HO(O)C|P(O)(OH)2 (HO)2(O)P|P(O)(OEt)2 (EtO)2(O)P
P(O)(OEt)2 (EtO)2P(O)|PO3H2 H2O3P|OPO3H2 H2O3PO|OSO3H HO3SO|OCH2CH3 H3CH2CO|CH2CH2OH HOH2CH2C
(CH2)3CH3 H3C(H2C)3|SCN NCS|NCS SCN|NCO OCN|NC CN|CH=CH2 H2C=HC|CH=CH2 CH2=CH|C≡CH HC≡C|C≡N N≡C
NO ON|OTHP THPO|TBDMS|OTBDMS TBDMSO|OTBDPS TBDPSO|SEM|Troc|Alloc|MgBr BrMg|MgCl ClMg|ZnBr BrZn
SnBu3 Bu3Sn|SnMe3 Me3Sn|BF3K KF3B|HgCl ClHg|13CH3 H313C|CD3 D3C|CD3|OCD3 D3CO|D|D|T
C(=O)OH HO(O=)C|COSH HSOC|CSNH2 H2NSC|C(NH)NH2 H2N(HN)C|NHC(NH)NH2 H2N(HN)CHN|NHNH2 H2NHN
CONHNH2 H2NHNOC|CH2OAc AcOH2C|CH2OBn BnOH2C|CH2OTBS TBSOH2C|OCH2CF3 F3CH2CO|C2F5 F5C2|C3F7
C6F5 F5C6|C6F5|SF5 F5S|CF2H HF2C|CH2F FH2C|NHPh PhHN|NPh2 Ph2N|N(iPr)2 (iPr)2N|N(Boc)2 (Boc)2N
N(Et)2 (Et)2N|N(CH2CH3)2 (H3CH2C)2N|N(C2H5)2 (C2H5)2N|OCOCH3 H3COCO|OCOCH3 CH3COO
OC(O)CH3 CH3C(O)O|OCOPh PhOCO|CO2NH4|OSiMe3 Me3SiO|Si(OEt)3 (EtO)3Si|Si(OMe)3 (MeO)3Si
Si(CH3)3 (H3C)3Si|POPh2|PPh2 Ph2P|P(Ph)2 (Ph)2P|P(OMe)2 (MeO)2P|COCF3 F3COC|NHCOCF3 F3COCHN
NHTs TsHN|NHCbz CbzHN|NHFmoc FmocHN|NHMs MsHN|NHBn BnHN|NHEt EtHN|ME|ET|OME MEO|BOC|CO2ET ETO2C
C6H4Cl ClC6H4|C6H4OMe MeOC6H4|C6H4CH3 CH3C6H4|p-Tol|o-Tol|C6H4-p-Cl p-Cl-C6H4|4-ClC6H4|p-MeOC6H4
C6H4NO2 O2NC6H4|CH2C6H5 C6H5CH2|OC6H5 C6H5O|COC6H5 C6H5CO|NHCOC6H5 C6H5CONH|C18H37|C12H25
C10H21 H21C10|OC12H25 H25C12O|OC8H17 H17C8O|n-C8H17
""")
# Names that are written out, and what else is lower case.
_NAMES = _pairs("""
alkyl|aryl|Alkyl|Aryl|Hal|halogen|heteroaryl|Heteroaryl|cycloalkyl|phenyl|methyl|ethyl|benzyl
vinyl|allyl|Base|B|Linker|linker|resin|Resin|polymer|Polymer|peptide|Peptide|Sugar|DNA|RNA|PEG
mPEG|biotin|Biotin|dye|Lipid|Ligand|Gly|Ala|Val|Leu|Ile|Pro|Phe|Tyr|Trp|Ser|Thr|Cys|Met|Asn|Gln
Asp|Glu|Lys|Arg|His|Glc|Gal|Man|Ado|s-Bu|sec-Bu|sBu|i-Bu|iBu|n-Pr|nPr|tert-Bu|neo-Pent|c-Hex|cHex
cyclo-C6H11|n-Hex|Hex|Hept|Oct|Pent|Nap|2-Nap|1-Np|Py|2-Py|3-pyridyl|2-thienyl|furyl|Thi|Im|Ad
1-Ad|Mes|Dipp|Fc|Bz|OBz BzO|Piv|OPiv PivO|Tol|PNB|DMT|DMTr|DMTO|OTr TrO|Phth|NPhth PhthN|Teoc|Nos
Ns|MEM|OMEM MEMO|MTM|EE|TES|OTES TESO|TIPS|OTIPS TIPSO|TBS|THP|Trt|STrt TrtS|Pbf|Pmc|α|β|γ|ω|α-D
α-Glc|β-Gal|β-D-Glc|γ-Glu|ω-OH|Cα|Rα Rα|Rβ Rβ|Xδ Xδ|δ|R/S|H/CH3|H/Me|OH/H|Me/Et|F,Cl|Cl,Br|N,O
O• •O|CH2• •CH2|NO• •ON|OH* *HO|R*|X*|P*|*|*|NH.HCl|OH.H2O|n.d.|CH2(CH2)n-1OH HO(CH2)n-1CH2
CH2(CH2)0-2R R(CH2)0-2CH2|O(CH2)m+1X X(CH2)m+1O|Q.|R.|R"|R"|X"|R'''|Z"|R",R"|e.g.
""")  # noqa: RUF001
_VARIABLE = _texts("""
X X X Y Y Y Z Z Q A W V U E G L M T J D B R R R R R' R'' Ar Ar Het Hal Alk Ar1 Ar' Ar2 X1 X2 Y1 Z1
Z2 A1 A2 Q1 W1 L1 L2 E1 G1 G2 M1 T1 V1 U1 J1 Ra Rb Rc Rd Rx Ry R1a R1b R2a R2' R1' R3' Rf RF RL
R1R2N * P Y' X' Z' Cy1 Cy Hy Rn Xn Rm Pg PG LG Nu EWG PG1 Lv Ln Tt Uu Vv Ww Xx Aa Bb Zz
""")
_LETTERS = "ABDEGJKLMQRTUVWXYZ"
_NUMBERS = (1,) * 9 + (2,) * 8 + (3,) * 6 + (4, 4, 4, 5, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9)

# What a condensed formula is made of; the tokens keep their own direction: CH2 and H2C.
_TOKENS = _pairs("""
O|O|O|O|O|S|NH HN|NH HN|NH HN|CH2 H2C|CH2 H2C|CH2 H2C|CH2 H2C|CH2 H2C|CH2 H2C|CO OC|CO OC|CO2 O2C
COO OOC|OCO OCO|SO2 O2S|SO OS|CF2 F2C|CH=CH HC=HC|C≡C|C6H4 H4C6|C6H4|NMe MeN|N(Me) (Me)N
N(CH3) (H3C)N|C(O) (O)C|C(=O) (O=)C|S(O) (O)S|S(O)2 (O)2S|CONH HNOC|NHCO OCHN|CH(CH3) (H3C)HC
CMe2 Me2C|C(CH3)2 (H3C)2C|CH(OH) (HO)HC|CHOH HOHC|C2H4 H4C2|C3H6 H6C3|OCH2 H2CO|NHSO2 O2SHN
SO2NH HNO2S|P(O)(OH) (HO)(O)P|CH(NH2) (H2N)HC|CHF FHC|C(O)NH HN(O)C|NR RN|N(R) (R)N|CH(R) (R)HC
CHMe MeHC|CCl2 Cl2C|Se|SiMe2 Me2Si|Si(CH3)2 (H3C)2Si|N=N N=N|CH=N N=HC|C=C C=C|CS SC
CH=C(CH3) (H3C)C=HC
""")
_CLOSERS = _pairs("""
CH3 H3C|CH3 H3C|CH3 H3C|CH3 H3C|OH HO|OH HO|OH HO|NH2 H2N|NH2 H2N|Me|Et|Ph|Ph|C6H5|C6H5 H5C6
CO2H HO2C|CO2H HO2C|COOH HOOC|CO2Et EtO2C|CO2Me MeO2C|CF3 F3C|CF3 F3C|CCl3 Cl3C|Cl|Cl|Br|F|I|CN NC
NO2 O2N|OMe MeO|OEt EtO|OCH3 H3CO|C(CH3)3 (H3C)3C|CH(CH3)2 (H3C)2HC|N(CH3)2 (H3C)2N|NMe2 Me2N
N(CH2CH3)2 (H3CH2C)2N|NEt2 Et2N|t-Bu|tBu|i-Pr|n-Bu|Bn|Boc|SO3H HO3S|SO2NH2 H2NO2S|CH=CH2 H2C=HC
C≡CH HC≡C|CHO OHC|CONH2 H2NOC|N3|SH HS|SCH3 H3CS|C2H5 H5C2|C2H5|C3H7|C4H9|C8H17 H17C8
C6H4Cl ClH4C6|C6H4OMe MeOH4C6|C6H4F FH4C6|C6H4CF3 F3CH4C6|R|R1|R2|R'|Ar|X|Y|SiMe3 Me3Si
P(O)(OEt)2 (EtO)2(O)P|NHBoc BocHN|NHCH3 H3CHN|NHAc AcHN|OAc AcO|CH2F FH2C|CHF2 F2HC|CHCl2 Cl2HC
SO3Na NaO3S|CO2Na NaO2C|CO2But ButO2C|OBn BnO
""")
_INDICES = _texts("""
n n n m p q r s t x y z k j a b i l n1 n2
""")

_LINKS = _texts("""
(CH2)n (CH2)n (CH2)n (CH2)m (CH2)p (CH2)q (CH2)2 (CH2)2 (CH2)3 (CH2)3 (CH2)4 (CH2)5 (CH2)6 (CH2)8
(CH2)10 (CH2)12 [CH2]n [CH2]m [CH2]3 (CR1R2)n (CHR)n (CF2)n (CF2)6 (OCH2CH2)n (CH2CH2O)n (C2H4O)n
SO2 SO2 SO2 SO S(O)2 S(O)n S(O)m S(O)p CO CO CO C=O C(O) C(=O) CH2CH2 CH2CH2 C2H4 C3H6 CH=CH HC=CH
C≡C NMe NMe MeN NCH3 N(CH3) NR NR NR1 NR2 N(R) N(R1) NBoc NAc NBn NPh NEt NTs NCbz NSO2Me N-R
N-CH3 O-CH2 CH2O OCH2 H2CO COO OCO CO2 O2C CONH CONH NHCO NHCO HNCO HNOC OCHN SO2NH NHSO2 HNO2S
NHCONH CH2NH NHCH2 CH2S SCH2 CF2 CF2 CHF CHMe CMe2 CHR CHOH CH(OH) CHCH3 CH(CH3) C(CH3)2 C(R)2
CR1R2 CR2 CRR' OCH2O OCH2CH2 OCH2CH2O CH2OCH2 CH2CO COCH2 COCO CON CSNH CS C=S C=NOH C=NR P(O)OH
P(O)R PPh PR SiMe2 SiR2 BH BOH N=N NHN CH=N C=CH2 PO2H C6H4 p-C6H4 Ar X Y Z Q A V U W E G L M J T
D B1 X1 X2 Y1 Y2 Z1 L1 L2 A1 A2 Q1 W1 X X Y Y Z Z L Ar1 Ar2 Het HET Linker Lys Gly Ala (X)n (L)m
(Y)p (Z)q (A)r Xn Lm *
""")
# Elements with their hydrogens; in a chain, these are letters on a node.
_LINK_ELEMENTS = _texts("""
O O O O S S NH NH NH NH N N CH2 CH2 CH SiH2 Se B P
""")
_ELEMENT_ENDS = _texts("""
F F F F Cl Cl Cl Cl Br Br I OH OH OH OH OH NH2 NH2 NH2 SH H H CH3 CH3 CH3 O N S
""")
_RARE_ELEMENTS = _texts("""
SeH SiH3 PH2 BH2 Se Te As Sn Si P B Li Na K Mg Zn Cu Hg Pd Pt AsH2 SnH3 Ge Sb Al Ti Fe Co Ni Ru Rh
Ag Au Cd In Tl Pb Bi Ca Mn Cr
""")
_CHARGED = _texts("""
O- O- O- O- O- NH3+ NH3+ NH3+ NH2+ NH+ N+ N+ S- S- S+ P+ B- I+ Br+ N- NH- C- CH2- C+ CH2+ BH3-
PH3+ O+ Na+ K+ Li+ Cl- Br- I- Mg+2 Zn+2 Se- Ca+2
""")
_ISOTOPES = _texts("""
2H 2H 3H 13C 13CH3 14C 11CH3 11C 18F 18F 19F 125I 131I 123I 124I 15N 15NH2 18O 18OH 35S 32P 76Br
77Br 75Se 211At 36Cl
""")
_DOUBLE_ENDS = _texts("""
O O O O S S NH NOH NR NR1 N CH2 CHR CR2 CR1R2 X Y Z Q NMe NOMe NCN NNH2 N-OH N2 C=O Se PPh3 Ru
""")
_TIES = _pairs("""
O|O|O|NH HN|NH HN|S|CO2 O2C|CO OC|SO2 O2S|COO OOC|N|CH2 H2C|OCH2 H2CO|CONH HNOC|OC CO|C(O) (O)C
""")


def r_group(rng: random.Random) -> Word:
    number = rng.choice(_NUMBERS) if rng.random() < 0.85 else rng.randrange(10, 31)
    tail = rng.choice(("'", "a", "b", "c", "''")) if rng.random() < 0.09 else ""
    text = f"R{number}{tail}"
    return Word(text, text)


def variable(rng: random.Random) -> Word:
    text = rng.choice(_VARIABLE if rng.random() < 0.7 else _LETTERS)
    return Word(text, text)


def _tied(rng: random.Random) -> Word:
    """A tie and an R group or a variable: OR1, R2HN."""
    tie, (text, _) = rng.choice(_TIES), rng.choice((r_group, r_group, variable))(rng)
    if tie.forward == "N":
        other = r_group(rng).forward
        return Word(f"N{text}{other}", f"{text}{other}N")
    return Word(tie.forward + text, text + tie.backward)


def condensed(rng: random.Random) -> Word:
    """A formula of one to four tokens and an end, written at random: OCH2CH2OCH3, H3COH2CH2CO."""
    tokens = [_token(rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4)))]
    tokens.append(rng.choice(_CLOSERS))
    if rng.random() < 0.06:  # several arms of one atom: N(CH2CH2OH)2, (HOCH2CH2)2N
        hub, count = rng.choice((("N", 2), ("C", 3), ("P", 2), ("B", 2), ("CH", 2), ("Si", 3)))
        arm = Word("".join(t.forward for t in tokens), "".join(t.backward for t in tokens[::-1]))
        back = "HC" if hub == "CH" else hub
        return Word(f"{hub}({arm.forward}){count}", f"({arm.backward}){count}{back}")
    # At the left many write each token as it stands, and only the one that is bonded turned round.
    as_it_stands = rng.random() < 0.4
    bonded_turns = rng.random() < 0.9
    backward = "".join(t.forward if as_it_stands else t.backward for t in tokens[:0:-1])
    first = tokens[0].backward if bonded_turns or not as_it_stands else tokens[0].forward
    return Word("".join(t.forward for t in tokens), backward + first)


def _token(rng: random.Random) -> Word:
    if rng.random() > 0.14:
        return rng.choice(_TOKENS)
    index = str(rng.randrange(2, 19)) if rng.random() < 0.6 else rng.choice(_INDICES)
    what = rng.choice(
        (Word("CH2", "H2C"),) * 5 + _REPEATED
        if rng.random() < 0.8
        else (_TOKENS[0], Word("CF2", "F2C"))
    )
    left, right = ("[", "]") if rng.random() < 0.15 else ("(", ")")
    return Word(f"{left}{what.forward}{right}{index}", f"{left}{what.backward}{right}{index}")


_REPEATED = (
    Word("OCH2CH2", "H2CH2CO"),
    Word("CH2CH2O", "OCH2CH2"),
    Word("CF2", "F2C"),
    Word("C2H4O", "OC2H4"),
    Word("CH2O", "OCH2"),
    Word("CHR", "RHC"),
)


def _chain_name(rng: random.Random) -> Word:
    """CnH2n+1, often behind an O: OC8H17."""
    n = rng.randrange(2, 25)
    text = f"C{n}{'F' if rng.random() < 0.15 else 'H'}{2 * n + 1}"
    lead = rng.choice(("", "", "n-", "O", "S"))
    back = f"{text[text.index('H') :]}C{n}" if "H" in text and rng.random() < 0.5 else text
    return Word(lead + text, text if lead == "n-" else back + lead)


@lru_cache(maxsize=1)
def _project_labels() -> list[Word]:
    return [Word(*pair) for pair in dict.fromkeys(_drawn_labels())]


def _same(texts: list[str]) -> Callable[[random.Random], Word]:
    def chosen(rng: random.Random) -> Word:
        text = rng.choice(texts)
        return Word(text, text)

    return chosen


def group(rng: random.Random) -> Word:
    """A group that is often drawn."""
    return rng.choice(_GROUPS)


_KINDS: tuple[tuple[Callable[[random.Random], Word], float], ...] = (
    (_same(_ELEMENT_ENDS), 22),
    (_same(_RARE_ELEMENTS), 2),
    (_same(_CHARGED), 3),
    (_same(_ISOTOPES), 1.5),
    (r_group, 17),
    (variable, 9),
    (group, 26),
    (lambda rng: rng.choice(_project_labels()), 6),
    (condensed, 12),
    (_chain_name, 2),
    (_tied, 5),
    (lambda rng: rng.choice(_NAMES), 2.5),
)


def word(rng: random.Random) -> Word:
    """A label with one bond: plain elements and common groups mostly, but anything now and then."""
    makers, weights = zip(*_KINDS, strict=True)
    made: Word = rng.choices(makers, weights)[0](rng)
    return made


def link(rng: random.Random) -> str:
    """The text of a label with two bonds, from left to right."""
    return rng.choice(_LINK_ELEMENTS if rng.random() < 0.35 else _LINKS)


def double_end(rng: random.Random) -> str:
    """What stands at the end of a double bond."""
    return rng.choice(_DOUBLE_ENDS)


def balanced_word(rng: random.Random) -> Word:
    """A word in which a character occurs that was drawn from all of `CHARACTERS` alike."""
    return rng.choice(_by_character()[rng.choice(CHARACTERS)])


@lru_cache(maxsize=1)
def _by_character() -> dict[str, list[Word]]:
    """A fixed stock of words, and of made-up ones, by the characters in them."""
    rng = random.Random("words by character")
    stock = [word(rng) for _ in range(4000)] + _GROUPS + _NAMES
    stock += [Word(text, text) for text in _LINKS]
    stock += [_invented_word(character, rng) for character in CHARACTERS for _ in range(12)]
    table: dict[str, list[Word]] = defaultdict(list)
    for one in stock:
        for character in {*one.forward}:
            table[character].append(one)
    return table


_FRAMES = ("R{}", "(CH2){}OH", "X{}", "O(CH2){}CH3", "{}R", "N{}", "({})n", "{}-R1", "C{}")


def _invented_word(character: str, rng: random.Random) -> Word:
    """A short text with a character that few words have."""
    if character.isalnum():
        frame = rng.choice(_FRAMES)
    else:
        frame = {"(": "({}X)", ")": "(R)n", "[": "[R]n", "]": "[X]m"}.get(character, "R{}")
    text = frame.format(character if character not in "([])" else "")
    if character.isupper() and rng.random() < 0.4:
        text = character + rng.choice(("", "1", "2", "'", "a", "n"))
    return Word(text, text)
