"""Molecules that drugs seldom are and drawings often are: cages, sugars, dyes, complexes, salts.

`enriched` hangs rare groups on a molecule; `rare_molecule` makes a whole one of a rare kind. All
are put together at random from the tables here.
"""

from __future__ import annotations

import random
from functools import lru_cache

from rdkit import Chem, rdBase

__all__ = ["KINDS", "companion", "enriched", "rare_molecule"]

# SMILES that begin where they are attached, and weights.
_GROUPS = """
[N+](=O)[O-] 8   C#N 30   C#C 14   C#CC 10   C#Cc1ccccc1 10   C#CCO 2   I 8   Br 8   Cl 6
B(O)O 4   P(=O)(O)O 3   P(=O)(OCC)OCC 2   [Si](C)(C)C 4   S(C)(=O)=O 4   N=[N+]=[N-] 4
[N+](C)(C)C 3   S(=O)(=O)N 4   C(F)(F)F 6   OC(F)(F)F 3   C(=O)[O-] 3   S(=O)C 2   N=C=O 2
N=C=S 2   C=C 3   C=CC 2   C#CC1CC1 1   C=C=C 2   [Se]C 1   N=Nc1ccccc1 1   C=[N+]=[N-] 1
S(=O)(=O)C(F)(F)F 2   P(c1ccccc1)c1ccccc1 1   [n+]1ccccc1 3   [O-] 2   [NH3+] 2
B1OC(C)(C)C(C)(C)O1 3   O[Si](C)(C)C(C)(C)C 3   [S+](C)C 1   [N+]#N 1
[P+](c1ccccc1)(c1ccccc1)c1ccccc1 1   C(F)(F)C(F)(F)F 2   C(F)(F)C(F)(F)C(F)(F)C(F)(F)F 2
S(F)(F)(F)(F)F 1   C(F)(F)P(=O)(O)O 1   [B-](F)(F)F 1   S(=N)(=O)C 2   P(=O)(C)C 1
OP(=O)(O)OP(=O)(O)OP(=O)(O)O 1   OS(=O)(=O)O 1   S(=O)(=O)[O-] 1   [Sn](C)(C)C 1
[As](=O)(O)O 0.5   SSC 1   OO 0.5   N=O 1   NN 1   ON=C(C)C 1   [N+]([O-])=C 0.5   C(=S)N 2
N=C(N)N 2   [13CH3] 1   C([2H])([2H])[2H] 3   [18F] 1   [125I] 0.5   [Se]c1ccccc1 0.5   [Te]C 0.2
C1CC1 4   C1(CC1)C#N 1   C1(N=N1)C 1   C12CC3CC(CC(C3)C1)C2 20   NC12CC3CC(CC(C3)C1)C2 8
CC12CC3CC(CC(C3)C1)C2 6   C1C2CC3CC(C2)CC1C3 12   C1CN2CCC1CC2 20   OC1CN2CCC1CC2 8
C1CC2CCC1C2 14   C1CC2C=CC1C2 8   C1CC2CCC(C1)N2C 12   OC1CC2CCC(C1)N2C 8   C1CC2CCC1(C)C2(C)C 10
C12CC(C1)C2 10   C12CCC(CC1)CC2 12   C1CC2CCC1O2 8   N1CC2CCC(C1)N2 7   N1CC2CC1CN2 6
N1CC2CC(C1)C2 5   CN1CC2CCC(C1)C2 4   C12C3C4C1C5C2C3C45 10   C1CN2CCC1C2 6   C1C2CCC1C(=O)C2 4
C1CCC2CC1CN2 5   C1CC2CC1CN2 4   N1CC2(C1)COC2 5   N1CCC2(CC1)CC2 5   C1CC2(C1)CNC2 4
N1CC2(C1)CCNCC2 4   C1CCC2(CC1)OCCO2 4   C1CCC2(CC1)CCCC2 3   C1CC2(CCC1)C(=O)NC(=O)N2 3
N1CC2CC2C1 4   C1C2CCC1CNC2 3   N1C2CCC1CC2 6   N1CC2CCCC2C1 4   OC1C2CC3CC(C2)CC1C3 4
N1C2CCC1COC2 3   C12CC(C1)CC2 3   C1OC2CC1CC2 3   CCOCCOCCO 3   OCCOCCOCCOC 3   CCCCCCCCCC 3
OCCCCCCCCCC 2   CCCCCCCCCCCCCCCC 2   OC1OC(CO)C(O)C(O)C1O 4   B1OCCO1 1
c1ccc2ccc3cccc4ccc1c2c34 2   c1c2ccccc2cc2ccccc12 2   [Fe] 0
"""
_CORES = """
C1CCC2C(C1)CCC1C2CCC2(C)CCCC12|CC12CCC(=O)C=C1CCC1C2CCC2(C)C(O)CCC12
CC12CCC3c4ccc(O)cc4CCC3C1CCC2O|CC(CCC(=O)O)C1CCC2C3CCC4CC(O)CCC4(C)C3CCC12C
CC(CCCC(C)C)C1CCC2C3CC=C4CC(O)CCC4(C)C3CCC12C
CC12CC(O)C3(F)C(CCC4=CC(=O)C=CC34C)C1CC(O)C2(O)C(=O)CO
CC1(C)CCC2(C)CCC3(C)C(CCC4C3CCC3C4(C)CCC(O)C3(C)C)C2C1|CC1(C)C2CCC1(C)C(=O)C2|CC1=CCC2CC1C2(C)C
CC12CCC(CC1)C(C)(C)O2|CC1CCC2C(C)C(=O)OC3OC4(C)CCC1C23OO4|CN1CCC23c4c5ccc(O)c4OC2C(O)C=CC3C1C5
CN1CCC23CCCCC2C1Cc1ccc(O)cc13|CN1C2CCC1C(C(=O)OC)C(OC(=O)c1ccccc1)C2
OC(c1ccnc2ccc(OC)cc12)C1CC2CCN1CC2C=C|CN1C2CCC1CC(OC(=O)C(CO)c1ccccc1)C2
CCC1(O)C(=O)OCc2c1cc1n(c2=O)Cc2cc3ccccc3nc21|C1=CC2C3C=CC(C2C1)C3|C1CC2CC1C1CC21
C1C2CC3CC1CC(C2)C3|C12C3C4C1C5C2C3C45|C1CC2(CCN1)OCc1ccccc12|C1CCC2(CC1)CC1CCC2C1
O=C1CC2(CCNCC2)c2ccccc2N1|C1CC2(CCC1)OOC1(CC2)CCCCC1|C1CC23CCC(CC2)(CC3)C1|C1CC2CCC1(CC2)N1C=CC=C1
C1OC2COC1O2|c1ccc2c(c1)C1c3ccccc3C2c2ccccc21|C1CC2C3CCC(C3)C2C1|C1C2C3C4C1C5C2C3C45|C1CC2C1C1CCC21
O1C2CC1CNC2|N12CN3CN(C1)CN(C2)C3|C1N2CN3CP1CN(C2)C3|O=P12OCC(CO1)CO2|B12OCC(CO1)CO2
C1CC2(C1)CC1(CCC1)C2|C1CN2CCN1CC2|C1CN2CCCC3CCCC(C1)N23|O=C1c2ccccc2C(=O)c2ccccc12
c1ccc2c(c1)ccc1c3ccccc3ccc21|c1cc2ccc3cccc4ccc(c1)c2c34|c1ccc2cc3cc4ccccc4cc3cc2c1
c1cc2cccc3c4cccc5cccc(c(c1)c23)c45|c1cc2ccc3ccc4ccc5ccc6ccc1c1c2c3c4c5c61
c1ccc2c(c1)c1cccc3cccc2c31|O=C1c2ccccc2-c2cccc3cccc1c23|c1ccc2c(c1)[nH]c1c2ccc2c3ccccc3[nH]c21
c1ccc2c(c1)sc1c2sc2ccccc12|c1ccc2nc3ccccc3nc2c1|O=C1Nc2ccccc2C1=C1Nc2ccccc2C1=O
O=c1c2ccccc2[nH]c2cc3c(=O)c4ccccc4[nH]c3cc12
c1ccc2c(c1)C1=NC2=NC2=NC(=NC3=NC(=N1)c1ccccc13)c1ccccc12
CN(C)c1ccc2c(c1)Oc1cc(=[N+](C)C)ccc1=C2c1ccccc1C(=O)[O-]
OC(=O)c1ccccc1C1=C2C=CC(=O)C=C2Oc2cc(O)ccc21
CN(C)c1ccc(cc1)C(=C1C=CC(=[N+](C)C)C=C1)c1ccc(cc1)N(C)C|CN(C)c1ccc2c(c1)[s+]c1cc(ccc1n2)N(C)C
CCN1c2ccccc2SC1=CC=CC1=[N+](CC)c2ccccc2S1|C[N+]1=C(C=CC=C2N(C)c3ccccc3C2(C)C)C(C)(C)c2ccccc21
c1ccc(cc1)N=Nc1ccc(cc1)N=Nc1ccccc1|O=C1N(C)C(=O)c2ccc3c4ccc5C(=O)N(C)C(=O)c6ccc(c7ccc1c2c37)c4c56
C1=CC2=CC3=CC=C(N3)C=C3C=CC(=N3)C=C3C=CC(=CC1=N2)N3|c1cc2cc3ccc([nH]3)cc3ccc(n3)cc3ccc(cc1n2)[nH]3
C1(c2ccccc2)=C2C=CC(=N2)C(c2ccccc2)=C2C=CC(N2)=C(c2ccccc2)C2=NC(C=C2)=C(c2ccccc2)C2=CC=C1N2
c1ccc2c(c1)c1nc3nc(nc4[nH]c(nc5nc(nc2[nH]1)c1ccccc51)c1ccccc41)c1ccccc31
F[B-]1(F)n2cccc2C=C2C=CC=[N+]12|Cc1cc(C)n2c1C=C1C(C)=CC(C)=[N+]1[B-]2(F)F
c1ccc2c(c1)c1ccccc1n2-c1ccc(cc1)-n1c2ccccc2c2ccccc21
c1ccc(cc1)N(c1ccccc1)c1ccc(cc1)-c1ccc(cc1)N(c1ccccc1)c1ccccc1
c1ccc2c(c1)-c1ccccc1C21c2ccccc2-c2ccccc21|O=C1C(=Cc2ccccc2)SC(=S)N1
O=c1cc(-c2ccccc2)oc2cc(O)cc(O)c12|CC1=CC2C(CC1)C(C)(C)Oc1cc(O)ccc12
"""
_METAL_MOLECULES = """
[NH3][Pt](Cl)(Cl)[NH3]|Cl[Pd](Cl)([P](c1ccccc1)(c1ccccc1)c1ccccc1)[P](c1ccccc1)(c1ccccc1)c1ccccc1
CC[Mg]Br|c1ccc(cc1)[Mg]Cl|CCCC[Li]|CCCC[Sn](CCCC)(CCCC)Cl|C[Zn]C|CC(=O)O[Hg]c1ccccc1
CC(C)O[Ti](OC(C)C)(OC(C)C)OC(C)C|CC1=CC(C)=[O][Cu]2(O1)OC(C)=CC(C)=[O]2|[Fe+2]|[Na+]
O=C([O-])c1ccccc1.[Na+]|CC(=O)[O-].[K+]|[Zn]1(O2)N3C=CC=C3C=C2C1|[K+].[O-]c1ccccc1
CC(=O)O[Pd]OC(C)=O|CC(=O)O[Rh]|C[Al](C)C|CC[Pb](CC)(CC)CC|C[As](=O)(O)O
c1ccc(cc1)[Bi](c1ccccc1)c1ccccc1|C[Ge](C)(C)C|O=[Os](=O)(=O)=O|C[Si](C)(C)[Cu]
Cl[Ru](Cl)(=Cc1ccccc1)[P](C1CCCCC1)(C1CCCCC1)C1CCCCC1|Cl[Au][P](c1ccccc1)(c1ccccc1)c1ccccc1
[Li+].CC(C)[N-]C(C)C|c1cc2C=C3C=CC4=[N]3[Zn]35n2c1C=C1C=CC(=[N]31)C=c1ccc(=C4)n15
c1cc2C=C3C=CC4=[N]3[Mg]35n2c1C=C1C=CC(=[N]31)C=c1ccc(=C4)n15
c1ccc2c(c1)C1=NC3=[N]4C(=NC5=c6ccccc6=C6N5[Cu]45N1C2=NC1=[N]5C(=N6)c2ccccc21)c1ccccc31
CC(C)O[Al](OC(C)C)OC(C)C|Cl[Ti](Cl)(Cl)Cl|O=C1C[N]2(CC3)CC(=O)O[Ca]23(O1)OC(=O)CN
CC(C)(C)c1cc2C=[N]3CC[N]4=Cc5cc(C(C)(C)C)ccc5O[Mn]34(Cl)Oc2cc1
"""
_COMPANIONS = r"""
OC(=O)/C=C\C(=O)O|OC(=O)/C=C/C(=O)O|CS(=O)(=O)O|OS(=O)(=O)O|OP(=O)(O)O|CC(=O)O
OC(=O)[C@H](O)[C@@H](O)C(=O)O|OC=O|OC(=O)CC(O)(CC(=O)O)C(=O)O|OC(=O)C(F)(F)F|CC(=O)[O-]
COS(=O)(=O)[O-]|CS(=O)(=O)[O-]|[O-]C(=O)c1ccccc1|CO|CCO|C(Cl)Cl|Cc1ccc(cc1)S(=O)(=O)O
Cc1ccc(cc1)S(=O)(=O)[O-]|OC(=O)C(=O)O|OC(=O)CCC(=O)O|CC(O)C(=O)O|OCCN|C[N+](C)(C)CCO|CC(C)=O
OC(=O)CC(=O)O|NCCO|CCN(CC)CC|CC[NH+](CC)CC|OC(=O)c1ccccc1O|[O-][N+](=O)O|O=[N+]([O-])[O-]|C1CNCCN1
CC(C)O|CC#N|CN(C)C=O|c1ccncc1|c1cc[nH+]cc1|C1COCCO1|CCOC(C)=O|F[B-](F)(F)F|F[P-](F)(F)(F)(F)F
FC(F)(F)S(=O)(=O)[O-]|OC(=O)C(O)c1ccccc1|CS(C)=O|[O-]Cl(=O)(=O)=O|CC1(C)C2CCC1(CS(=O)(=O)O)C(=O)C2
OCC(O)C(O)C(O)C(O)CO|CC(C)(C)[NH3+]|NC(CO)(CO)CO|C1CCOC1|Cc1ccccc1|NCCCCC(N)C(=O)O
OS(=O)(=O)c1cccc2cccc(S(=O)(=O)O)c12|O|Cl|[Na+]|[Cl-]|[Br-]|[K+]|[NH4+]|OC(=O)c1cc2ccccc2cc1O
C[N+](C)(C)C
"""


def _texts(text: str) -> list[str]:
    """What stands between blanks."""
    return text.split()


_SIDE_CHAINS = _texts("""
[H] C C(C)C CC(C)C C(C)CC CCSC Cc1ccccc1 Cc1ccc(O)cc1 Cc1c[nH]c2ccccc12 CO C(C)O CS CC(=O)O
CCC(=O)O CC(=O)N CCC(=O)N CCCCN CCCNC(=N)N Cc1c[nH]cn1 C1CCCCC1 CC1CCCCC1 c1ccccc1 CCC CCCC
""")
_DECOR = _texts("""
C C C C F Cl O O OC OC N C(=O)O C(C)C C(C)(C)C OC(C)=O C#N Br CC C(F)(F)F N(C)C c1ccccc1 CO
C(=O)OC S(=O)(=O)O S(=O)(=O)[O-] [N+](=O)[O-] NC(C)=O I CCCC C=O
""")


_MACROCYCLE = _texts("""
C C CC CC O OCC OCC C(=O)N C(=O)N C(=O)O C=C N C(C) C(O) c2ccccc2 NC(C)C(=O) C(=O) S CCC
""")


@lru_cache(maxsize=1)
def _groups() -> tuple[list[Chem.Mol], list[float]]:
    words = _GROUPS.split()
    return [_fragment(smiles) for smiles in words[::2]], [float(w) for w in words[1::2]]


@lru_cache(maxsize=1)
def _decor() -> list[Chem.Mol]:
    return [_fragment(smiles) for smiles in _DECOR]


def _fragment(smiles: str) -> Chem.Mol:
    """A group behind a dummy atom, atom 0; its own first atom is atom 1."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(f"*{smiles}")
    if mol is None:
        raise ValueError(f"table of rare groups: RDKit cannot read {smiles!r} behind a bond")
    return mol


def enriched(mol: Chem.Mol, rng: random.Random) -> Chem.Mol:
    """A copy with one or two rare groups at the ends; the molecule itself where none fits."""
    groups, weights = _groups()
    count = rng.choice((1, 1, 2))
    return _decorated(mol, rng.choices(groups, weights, k=count), rng, ends=rng.random() < 0.6)


def _decorated(
    mol: Chem.Mol, groups: list[Chem.Mol], rng: random.Random, *, ends: bool = False
) -> Chem.Mol:
    """A copy with groups in the place of ends (CH3, F, OH ...) or of hydrogens."""
    places = _ends(mol) if ends else []
    replaced = bool(places)
    if not places:
        places = [
            atom.GetIdx()
            for atom in mol.GetAtoms()
            if atom.GetSymbol() == "C" and atom.GetTotalNumHs() > atom.GetNumExplicitHs()
        ]
    edited = Chem.RWMol(mol)
    gone: list[int] = []
    for place, group in zip(
        rng.sample(places, min(len(places), len(groups))), groups, strict=False
    ):
        offset = edited.GetNumAtoms()
        edited.InsertMol(group)
        site = place
        if replaced:
            site = mol.GetAtomWithIdx(place).GetNeighbors()[0].GetIdx()
            gone.append(place)
        gone.append(offset)
        edited.AddBond(site, offset + 1, Chem.BondType.SINGLE)
    edited.BeginBatchEdit()
    for index in gone:
        edited.RemoveAtom(index)
    edited.CommitBatchEdit()
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(edited)
        except Chem.MolSanitizeException:
            return mol
    Chem.AssignStereochemistry(edited, cleanIt=True, force=True)
    return edited.GetMol()


def _ends(mol: Chem.Mol) -> list[int]:
    return [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetDegree() == 1
        and atom.GetSymbol() in ("C", "F", "Cl", "O")
        and not atom.GetFormalCharge()
        and atom.GetBonds()[0].GetBondType() == Chem.BondType.SINGLE
        and atom.GetNeighbors()[0].GetSymbol() == "C"
        and atom.GetNeighbors()[0].GetDegree() > 1
    ]


def companion(rng: random.Random) -> Chem.Mol:
    """An acid, a base, an ion or a solvent that is drawn beside a molecule."""
    return Chem.MolFromSmiles(rng.choice(_COMPANIONS.replace("\n", "|").strip("|").split("|")))


def rare_molecule(rng: random.Random) -> Chem.Mol | None:
    """A whole molecule of a kind from `KINDS`; None where its parts do not fit together."""
    makers = list(KINDS)
    smiles = rng.choices(makers, [KINDS[maker] for maker in makers])[0](rng)
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return None
    if rng.random() < 0.6:
        mol = _decorated(mol, rng.choices(_decor(), k=rng.choice((1, 1, 2, 3))), rng)
    if rng.random() < 0.5:
        _set_centres(mol, rng)
    return mol


def _set_centres(mol: Chem.Mol, rng: random.Random) -> None:
    tags = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
    for place in Chem.FindPotentialStereo(mol):
        if place.type == Chem.StereoType.Atom_Tetrahedral and rng.random() < 0.85:
            mol.GetAtomWithIdx(place.centeredOn).SetChiralTag(rng.choice(tags))
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)


def _table(text: str) -> list[str]:
    return text.strip().replace("\n", "|").split("|")


def _polycycle(rng: random.Random) -> str:
    return rng.choice(_table(_CORES))


def _metal(rng: random.Random) -> str:
    return rng.choice(_table(_METAL_MOLECULES))


def _peptide(rng: random.Random) -> str:
    centre = rng.choice(("[C@@H]", "[C@@H]", "C"))
    start = rng.choice(("", "", "", "CC(=O)", "CC(C)(C)OC(=O)", "c1ccccc1COC(=O)", "O=CC"))
    residues = []
    for _ in range(rng.choice((2, 2, 3, 3, 4, 5, 6, 8))):
        side = rng.choice(_SIDE_CHAINS)
        if rng.random() < 0.08:
            residues.append("N1CCC[C@H]1C(=O)" if centre != "C" else "N1CCCC1C(=O)")
        elif side == "[H]":
            residues.append("NCC(=O)")
        else:
            residues.append(f"N{centre}({side})C(=O)")
    return start + "".join(residues) + rng.choice(("O", "O", "N", "OC", "NC", "Nc1ccccc1"))


def _sugar(rng: random.Random, depth: int = 0) -> str:
    """A pyranose or furanose, an oligosaccharide or a nucleoside; centres are set afterwards."""

    def hydroxyl() -> str:
        return rng.choice(
            ("O", "O", "O", "O", "OC(C)=O", "OC", "OCc1ccccc1", "N", "NC(C)=O", "F", "")
        )

    aglycone = rng.choice(
        ("O", "OC", "Oc1ccccc1", "n1cnc2c(N)ncnc12", "n1ccc(=O)[nH]c1=O", "n1ccc(N)nc1=O", "SC")
    )
    if depth < 3 and rng.random() < 0.35:
        aglycone = "O" + _sugar(rng, depth + 1)
    tail = rng.choice(("CO", "CO", "C", "COC(C)=O", "COP(=O)(O)O", "C(=O)O", "COCc1ccccc1"))
    ring = str(depth + 3)
    arms = [hydroxyl() for _ in range(rng.choice((2, 3, 3)))]
    if depth < 2 and rng.random() < 0.3:
        arms[0] = f"O{_sugar(rng, depth + 1)}"
    carbons = "".join(f"C({arm})" if arm else "C" for arm in arms)
    return f"C{ring}OC({tail}){carbons}C{ring}{aglycone}"


def _macrocycle(rng: random.Random) -> str:
    ring, atoms = [], 0
    target = rng.randrange(11, 26)
    while atoms < target:
        part = rng.choice(_MACROCYCLE)
        if part == "c2ccccc2":
            part, size = "c%11cccc(c%11)", 3
        else:
            size = (
                sum(c in "CNOS" for c in part.split("(=O)")[0])
                + part.count(")N")
                + part.count(")O")
            )
        ring.append(part)
        atoms += size
    return "C1" + "".join(ring) + "C1"


def _chain(rng: random.Random) -> str:
    ends = [
        "C",
        "O",
        "N",
        "OC",
        "C(=O)O",
        "Br",
        "C=C",
        "c1ccccc1",
        "S(=O)(=O)O",
        "[N+](C)(C)C",
        "C#C",
        "S",
    ]
    kind = rng.random()
    if kind < 0.3:
        body = "C" * rng.randrange(6, 24)
    elif kind < 0.55:
        body = "OCC" * rng.randrange(2, 10)
    elif kind < 0.7:
        body = "C(F)(F)" * rng.randrange(2, 9)
    elif kind < 0.85:
        body = "".join(
            rng.choice(
                (
                    "C",
                    "C",
                    "CC",
                    "CC",
                    "C=C",
                    "C=CC",
                    "C(C)",
                    "C(C)=CCC",
                    "C(O)",
                    "C#C",
                    "O",
                    "NC(=O)",
                    "C(=O)O",
                )
            )
            for _ in range(rng.randrange(4, 10))
        )
    else:
        body = f"OCC(OC(=O){'C' * rng.randrange(6, 17)})COC(=O){'C' * rng.randrange(6, 17)}"
        return "OP(=O)(O)" + body if rng.random() < 0.6 else body[1:]
    return rng.choice(("C", "C", "c1ccccc1", "BrC", "OC", "N#C", "C=C")) + body + rng.choice(ends)


def _small(rng: random.Random) -> str:
    """Two to seven atoms."""
    return rng.choice(
        _table(
            "CO|CCO|CC(C)O|CC#N|C=O|CC=O|CC(C)=O|CN|CNC|CN(C)C|CS|CSC|C#C|C=C|CC=C|C=C=C|C1CC1|C1CO1|C1CCOC1|NC=O"
            "|OC=O|CC(=O)O|NC(N)=O|CCl|ClCCl|ClC(Cl)Cl|CI|FC(F)F|CC(Cl)=O|C[N+](=O)[O-]|CS(C)=O|OCCO|NCCO|NCC(=O)O"
            "|CC(N)C(=O)O|OCC(O)CO|CC(O)C(=O)O|O=C=O|N#CC#N|OO|NN|CN=C=O|CN=C=S|C=[N+]=[N-]|CN=[N+]=[N-]|C[Si](C)(C)C"
            "|COC|CCOCC|CP(C)C|CB(O)O|C1CCNC1|c1ccoc1|c1ccsc1|c1c[nH]cn1|C1CCC1|C=CC=C|C=CC=O|C=CC#N|OC(=O)C(=O)O"
            "|CC(=O)OC|CSSC|C[N+](C)(C)C|C1COCO1|CC1CO1|O=S(=O)(O)O|OP(=O)(O)O|OB(O)O|[O-][N+](=O)O|CCBr|FCF|BrCCBr"
            "|NO|CNO|C=NO|NC#N|OC#N|CC(C)C|CC(C)(C)C|CCC|CCCC|CC|C=CO|C1=CC1|OCl|CF|NCl|CC([2H])O|[13CH3]O|C[18F]"
        )
    )


KINDS = {_polycycle: 34, _peptide: 9, _sugar: 9, _macrocycle: 8, _chain: 14, _small: 17, _metal: 7}
