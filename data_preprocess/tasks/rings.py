"""Ring systems and their names.

A ring system is the set of rings that share bonds (fused and bridged ones; spiro rings are two
systems). Its name is looked up by its skeleton: ring atoms, their elements and bonds, without
substituents, charges and hydrogens. A double bond that leaves the ring is part of the skeleton on
aromatic rings, beside a hetero atom (lactams, lactones, cyclic ureas), and where a name with it is
known; else, as in cyclohexanone, it counts as a substituent.
"""

from __future__ import annotations

from rdkit import Chem

__all__ = ["COMMON_RINGS", "RING_NAMES", "has_ring", "named_systems", "ring_sizes", "ring_systems"]

# Name -> SMILES: retained names of IUPAC's recommendations (P-25, P-31), and what chemists say.
_PARENTS = {
    # one ring, aromatic
    "benzene": "c1ccccc1", "pyridine": "c1ccncc1", "pyridazine": "c1ccnnc1",
    "pyrimidine": "c1cncnc1", "pyrazine": "c1cnccn1", "1,3,5-triazine": "c1ncncn1",
    "1,2,4-triazine": "c1cnncn1", "1,2,4,5-tetrazine": "c1nncnn1",
    "pyrrole": "c1cc[nH]c1", "furan": "c1ccoc1", "thiophene": "c1ccsc1",
    "imidazole": "c1c[nH]cn1", "pyrazole": "c1cn[nH]c1", "oxazole": "c1cocn1",
    "isoxazole": "c1conc1", "thiazole": "c1cscn1", "isothiazole": "c1csnc1",
    "1,2,3-triazole": "c1c[nH]nn1", "1,2,4-triazole": "c1nc[nH]n1", "tetrazole": "c1nnn[nH]1",
    "1,2,4-oxadiazole": "c1ncon1", "1,3,4-oxadiazole": "c1nnco1", "1,2,5-oxadiazole": "c1cnon1",
    "1,2,4-thiadiazole": "c1ncsn1", "1,3,4-thiadiazole": "c1nncs1", "1,2,3-thiadiazole": "c1csnn1",
    "1,2,5-thiadiazole": "c1cnsn1",
    "2-pyridone": "O=c1cccc[nH]1", "4-pyridone": "O=c1cc[nH]cc1", "pyridazin-3-one":
    "O=c1cccn[nH]1", "pyrimidin-4-one": "O=c1cc[nH]cn1", "pyrimidin-2-one": "O=c1nccc[nH]1",
    "pyrazin-2-one": "O=c1cncc[nH]1", "uracil (pyrimidine-2,4-dione)": "O=c1cc[nH]c(=O)[nH]1",
    "2-pyrone": "O=c1cccco1", "4-pyrone": "O=c1ccocc1",
    # one ring, not aromatic
    "cyclopropane": "C1CC1", "cyclobutane": "C1CCC1", "cyclopentane": "C1CCCC1",
    "cyclohexane": "C1CCCCC1", "cycloheptane": "C1CCCCCC1", "cyclooctane": "C1CCCCCCC1",
    "cyclopentene": "C1=CCCC1", "cyclohexene": "C1=CCCCC1", "cyclohexa-1,3-diene": "C1=CC=CCC1",
    "cyclohexa-1,4-diene": "C1=CCC=CC1", "cyclopentadiene": "C1=CCC=C1",
    "1,4-benzoquinone": "O=C1C=CC(=O)C=C1",
    "oxirane": "C1CO1", "aziridine": "C1CN1", "thiirane": "C1CS1", "oxetane": "C1COC1",
    "azetidine": "C1CNC1", "azetidin-2-one": "O=C1CCN1", "thietane": "C1CSC1",
    "tetrahydrofuran": "C1CCOC1", "pyrrolidine": "C1CCNC1", "tetrahydrothiophene": "C1CCSC1",
    "1,3-dioxolane": "C1COCO1", "oxazolidine": "C1COCN1", "thiazolidine": "C1CSCN1",
    "imidazolidine": "C1CNCN1", "pyrazolidine": "C1CNNC1", "isoxazolidine": "C1CNOC1",
    "1,3-dithiolane": "C1CSCS1", "2,5-dihydropyrrole": "C1=CCNC1", "2,5-dihydrofuran": "C1=CCOC1",
    "2,3-dihydrofuran": "C1=COCC1",
    "2-imidazoline": "C1=NCCN1", "2-oxazoline": "C1=NCCO1", "2-thiazoline": "C1=NCCS1",
    "2-pyrazoline": "C1=NNCC1", "2-isoxazoline": "C1=NOCC1",
    "pyrrolidin-2-one": "O=C1CCCN1", "succinimide (pyrrolidine-2,5-dione)": "O=C1CCC(=O)N1",
    "maleimide (pyrrole-2,5-dione)": "O=C1C=CC(=O)N1", "oxazolidin-2-one": "O=C1NCCO1",
    "thiazolidin-4-one": "O=C1CSCN1", "thiazolidine-2,4-dione": "O=C1CSC(=O)N1",
    "imidazolidin-2-one": "O=C1NCCN1", "hydantoin (imidazolidine-2,4-dione)": "O=C1CNC(=O)N1",
    "rhodanine (2-thioxothiazolidin-4-one)": "O=C1CSC(=S)N1", "furan-2(5H)-one": "O=C1C=CCO1",
    "oxolan-2-one": "O=C1CCCO1", "oxan-2-one": "O=C1CCCCO1",
    "tetrahydropyran": "C1CCOCC1", "piperidine": "C1CCNCC1", "thiane": "C1CCSCC1",
    "piperazine": "C1CNCCN1", "morpholine": "C1COCCN1", "thiomorpholine": "C1CSCCN1",
    "thiomorpholine 1,1-dioxide": "O=S1(=O)CCNCC1",
    "1,4-dioxane": "C1COCCO1", "1,3-dioxane": "C1COCOC1", "1,3-dithiane": "C1CSCSC1",
    "hexahydropyrimidine": "C1CNCNC1", "hexahydropyridazine": "C1CCNNC1",
    "1,2,3,6-tetrahydropyridine": "C1=CCNCC1", "3,6-dihydro-2H-pyran": "C1=CCOCC1",
    "3,4-dihydro-2H-pyran": "C1=COCCC1", "1,4-dihydropyridine": "C1=CNC=CC1",
    "piperidin-2-one": "O=C1CCCCN1", "piperidine-2,6-dione": "O=C1CCCC(=O)N1",
    "piperazin-2-one": "O=C1CNCCN1", "piperazine-2,5-dione": "O=C1CNC(=O)CN1",
    "morpholin-3-one": "O=C1COCCN1",
    "barbituric acid (pyrimidine-2,4,6-trione)": "O=C1CC(=O)NC(=O)N1",
    "azepane": "C1CCCNCC1", "1,4-diazepane": "C1CNCCNC1", "oxepane": "C1CCCOCC1",
    "azepan-2-one": "O=C1CCCCCN1", "azocane": "C1CCCNCCC1",
    # two rings, aromatic
    "naphthalene": "c1ccc2ccccc2c1", "azulene": "c1ccc2cccc-2cc1", "quinoline": "c1ccc2ncccc2c1",
    "isoquinoline": "c1ccc2cnccc2c1", "quinazoline": "c1ccc2ncncc2c1",
    "quinoxaline": "c1ccc2nccnc2c1", "cinnoline": "c1ccc2nnccc2c1", "phthalazine":
    "c1ccc2cnncc2c1", "1,8-naphthyridine": "c1cnc2ncccc2c1", "1,5-naphthyridine": "c1cnc2cccnc2c1",
    "1,6-naphthyridine": "c1cnc2ccncc2c1", "1,7-naphthyridine": "c1cnc2cnccc2c1",
    "pteridine": "c1cnc2ncncc2n1", "pyrido[2,3-d]pyrimidine": "c1cnc2ncncc2c1",
    "indole": "c1ccc2[nH]ccc2c1", "isoindole": "c1ccc2c[nH]cc2c1", "benzofuran": "c1ccc2occc2c1",
    "benzothiophene": "c1ccc2sccc2c1", "benzimidazole": "c1ccc2[nH]cnc2c1",
    "indazole": "c1ccc2[nH]ncc2c1", "benzoxazole": "c1ccc2ocnc2c1",
    "benzothiazole": "c1ccc2scnc2c1", "1,2-benzoxazole": "c1ccc2oncc2c1",
    "1,2-benzothiazole": "c1ccc2sncc2c1", "benzotriazole": "c1ccc2[nH]nnc2c1",
    "2,1,3-benzothiadiazole": "c1ccc2nsnc2c1", "2,1,3-benzoxadiazole": "c1ccc2nonc2c1",
    "indolizine": "c1ccn2cccc2c1", "purine": "c1ncc2[nH]cnc2n1",
    "7H-pyrrolo[2,3-d]pyrimidine": "c1ncc2cc[nH]c2n1", "1H-pyrrolo[2,3-b]pyridine":
    "c1cnc2[nH]ccc2c1", "1H-pyrazolo[3,4-d]pyrimidine": "c1ncc2cn[nH]c2n1",
    "1H-pyrazolo[3,4-b]pyridine": "c1cnc2[nH]ncc2c1", "1H-imidazo[4,5-b]pyridine":
    "c1cnc2[nH]cnc2c1", "imidazo[1,2-a]pyridine": "c1ccn2ccnc2c1", "imidazo[1,2-b]pyridazine":
    "c1cnn2ccnc2c1", "pyrazolo[1,5-a]pyrimidine": "c1cnc2ccnn2c1", "pyrazolo[1,5-a]pyridine":
    "c1ccn2nccc2c1", "[1,2,4]triazolo[4,3-a]pyridine": "c1ccn2cnnc2c1",
    "[1,2,4]triazolo[1,5-a]pyridine": "c1ccn2ncnc2c1", "[1,2,4]triazolo[1,5-a]pyrimidine":
    "c1cnc2ncnn2c1", "thieno[2,3-d]pyrimidine": "c1ncc2ccsc2n1", "thieno[3,2-d]pyrimidine":
    "c1ncc2sccc2n1", "thieno[2,3-b]pyridine": "c1cnc2sccc2c1", "thieno[3,2-c]pyridine":
    "c1cc2sccc2cn1", "furo[3,2-b]pyridine": "c1cnc2ccoc2c1",
    "quinolin-2-one": "O=c1ccc2ccccc2[nH]1", "quinolin-4-one": "O=c1cc[nH]c2ccccc12",
    "isoquinolin-1-one": "O=c1[nH]ccc2ccccc12", "quinazolin-4-one": "O=c1[nH]cnc2ccccc12",
    "quinazoline-2,4-dione": "O=c1[nH]c(=O)c2ccccc2[nH]1", "phthalazin-1-one":
    "O=c1[nH]ncc2ccccc12", "quinoxalin-2-one": "O=c1cnc2ccccc2[nH]1",
    "coumarin (chromen-2-one)": "O=c1ccc2ccccc2o1", "chromone (chromen-4-one)":
    "O=c1ccoc2ccccc12", "isocoumarin": "O=c1occc2ccccc12", "benzoxazol-2-one":
    "O=c1[nH]c2ccccc2o1", "benzothiazol-2-one": "O=c1[nH]c2ccccc2s1", "benzimidazol-2-one":
    "O=c1[nH]c2ccccc2[nH]1", "xanthine (purine-2,6-dione)": "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
    "hypoxanthine (purin-6-one)": "O=c1[nH]cnc2nc[nH]c12",
    # two rings, partly or not aromatic
    "indane": "c1ccc2CCCc2c1", "indene": "c1ccc2C=CCc2c1", "tetralin": "c1ccc2CCCCc2c1",
    "1,2-dihydronaphthalene": "c1ccc2C=CCCc2c1", "indan-1-one": "O=C1CCc2ccccc12",
    "indoline": "c1ccc2NCCc2c1", "isoindoline": "c1ccc2CNCc2c1", "oxindole": "O=C1Cc2ccccc2N1",
    "isatin": "O=C1C(=O)Nc2ccccc12", "isoindolin-1-one": "O=C1NCc2ccccc12",
    "phthalimide": "O=C1NC(=O)c2ccccc12", "phthalide": "O=C1OCc2ccccc12",
    "1,4-naphthoquinone": "O=C1C=CC(=O)c2ccccc12",
    "1,2,3,4-tetrahydroquinoline": "c1ccc2NCCCc2c1", "1,2,3,4-tetrahydroisoquinoline":
    "c1ccc2CNCCc2c1", "chromane": "c1ccc2OCCCc2c1", "chroman-4-one": "O=C1CCOc2ccccc12",
    "2H-chromene": "c1ccc2OCC=Cc2c1", "4H-chromene": "c1ccc2OC=CCc2c1",
    "isochromane": "c1ccc2COCCc2c1", "2,3-dihydrobenzofuran": "c1ccc2OCCc2c1",
    "1,3-dihydro-2-benzofuran": "c1ccc2COCc2c1", "1,3-benzodioxole": "c1ccc2OCOc2c1",
    "1,4-benzodioxane": "c1ccc2OCCOc2c1", "2,3-dihydro-1,4-benzoxazine": "c1ccc2OCCNc2c1",
    "1,4-benzoxazin-3-one": "O=C1COc2ccccc2N1", "3,4-dihydroquinolin-2-one": "O=C1CCc2ccccc2N1",
    "3,4-dihydroisoquinolin-1-one": "O=C1NCCc2ccccc12", "3,4-dihydrocoumarin": "O=C1CCc2ccccc2O1",
    "1-benzazepin-2-one": "O=C1CCCc2ccccc2N1", "isoquinoline-1,3-dione": "O=C1Cc2ccccc2C(=O)N1",
    "1,2,3,4-tetrahydroquinoxaline": "c1ccc2NCCNc2c1", "1-benzazepine": "c1ccc2NCCCCc2c1",
    "1,4-benzodiazepine": "c1ccc2C=NCCNc2c1", "1,4-benzodiazepin-2-one": "O=C1CN=Cc2ccccc2N1",
    "4,5,6,7-tetrahydrothieno[3,2-c]pyridine": "c1cc2CNCCc2s1",
    "decalin": "C1CCC2CCCCC2C1", "hydrindane": "C1CCC2CCCC2C1",
    "bicyclo[2.2.1]heptane": "C1CC2CCC1C2", "bicyclo[2.2.1]hept-2-ene": "C1CC2C=CC1C2",
    "bicyclo[2.2.2]octane": "C1CC2CCC1CC2", "bicyclo[3.1.0]hexane": "C1CC2CC2C1",
    "bicyclo[1.1.1]pentane": "C1C2CC1C2", "pinane (bicyclo[3.1.1]heptane)": "C1CC2CC(C1)C2",
    "quinuclidine": "C1CN2CCC1CC2", "tropane (8-azabicyclo[3.2.1]octane)": "C1CC2CCC(C1)N2",
    "indolizidine": "C1CCN2CCCC2C1", "pyrrolizidine": "C1CC2CCCN2C1",
    "octahydropyrrolo[3,4-c]pyrrole": "C1NCC2CNCC12", "penam": "O=C1CC2SCCN12",
    "cepham": "O=C1CC2SCCCN12", "3-cephem": "O=C1CC2SCC=CN12",
    # three rings and more
    "anthracene": "c1ccc2cc3ccccc3cc2c1", "phenanthrene": "c1ccc2c(c1)ccc1ccccc12",
    "fluorene": "c1ccc2c(c1)Cc1ccccc1-2", "fluoren-9-one": "O=C1c2ccccc2-c2ccccc12",
    "carbazole": "c1ccc2c(c1)[nH]c1ccccc12", "dibenzofuran": "c1ccc2c(c1)oc1ccccc12",
    "dibenzothiophene": "c1ccc2c(c1)sc1ccccc12", "acridine": "c1ccc2nc3ccccc3cc2c1",
    "phenazine": "c1ccc2nc3ccccc3nc2c1", "acridin-9-one": "O=c1c2ccccc2[nH]c2ccccc12",
    "xanthene": "c1ccc2c(c1)Cc1ccccc1O2", "xanthone (xanthen-9-one)": "O=c1c2ccccc2oc2ccccc12",
    "thioxanthen-9-one": "O=c1c2ccccc2sc2ccccc12", "phenothiazine": "c1ccc2c(c1)Nc1ccccc1S2",
    "phenoxazine": "c1ccc2c(c1)Nc1ccccc1O2", "9,10-anthraquinone": "O=C1c2ccccc2C(=O)c2ccccc12",
    "10,11-dihydrodibenzo[b,f]azepine": "c1ccc2c(c1)CCc1ccccc1N2",
    "beta-carboline (9H-pyrido[3,4-b]indole)": "c1ccc2c(c1)[nH]c1cnccc12",
    "1,2,3,4-tetrahydro-beta-carboline": "c1ccc2c(c1)[nH]c1CNCCc12",
    "adamantane": "C1C2CC3CC1CC(C2)C3", "pyrene": "c1cc2ccc3cccc4ccc(c1)c2c34",
    "triphenylene": "c1ccc2c(c1)c1ccccc1c1ccccc12",
    "gonane (the steroid skeleton)": "C1CCC2C(C1)CCC1C3CCCC3CCC21",
}  # fmt: skip


# Percent of the molecules of patents that have them, roughly: those that a question should name.
COMMON_RINGS = {
    "benzene": 75, "piperidine": 13, "pyridine": 12, "pyrrolidine": 7, "cyclohexane": 6,
    "pyrimidine": 6, "piperazine": 5, "morpholine": 5, "indole": 4, "imidazole": 4, "thiophene": 4,
    "pyrazole": 3, "cyclopropane": 3, "indoline": 3, "quinoline": 3, "cyclopentane": 2.5,
    "1,2,3,4-tetrahydroisoquinoline": 2.5, "indazole": 2.5, "1,3-benzodioxole": 2,
    "naphthalene": 2, "pyrazine": 2, "pyrrole": 1.6, "tetrahydropyran": 1.5, "furan": 1.5,
    "thiazole": 1.5, "tetrahydrofuran": 1.5, "benzimidazole": 1.5, "isoxazole": 1.3,
    "azetidine": 1.3, "quinazoline": 1.5, "benzofuran": 1.2, "benzothiazole": 1.2,
    "isoquinoline": 1, "pyridazine": 1, "tetralin": 1, "chromane": 1, "carbazole": 0.7,
    "1,2,3,4-tetrahydroquinoline": 1, "benzothiophene": 0.8, "benzotriazole": 0.8,
    "benzoxazole": 0.7, "1,2,4-triazole": 0.7, "tetrazole": 0.5, "oxazole": 0.6,
    "1,3-dioxolane": 0.9, "pyrrolidin-2-one": 1, "piperidin-2-one": 0.8, "oxolan-2-one": 0.7,
    "1H-pyrrolo[2,3-b]pyridine": 1, "1H-imidazo[4,5-b]pyridine": 1, "purine": 1,
    "imidazo[1,2-a]pyridine": 0.6, "adamantane": 1, "cyclohexene": 0.8, "cyclobutane": 0.5,
    "quinoxaline": 0.6, "1,3,4-thiadiazole": 0.7, "1,3,4-oxadiazole": 0.5, "indane": 0.6,
    "thiomorpholine": 0.6, "2-imidazoline": 0.6, "imidazolidin-2-one": 0.6, "isoindoline": 0.4,
}  # fmt: skip


def ring_systems(mol: Chem.Mol) -> list[str] | None:
    """The name of each ring system, sorted; None where one has no name in the table.

    A system with an open position (``*``) in it has none.
    """
    names = [name for name, _ in named_systems(mol)]
    known = [name for name in names if name is not None]
    return sorted(known) if len(known) == len(names) else None


def named_systems(mol: Chem.Mol) -> list[tuple[str | None, set[int]]]:
    """The name of each ring system, None where the table has none, and the atoms that it covers.

    These are those of the rings, and the oxygen of a -one.
    """
    return [_named_system(mol, atoms) for atoms in _systems(mol)]


def has_ring(mol: Chem.Mol, name: str) -> bool:
    """True where a ring system stands in a molecule, be it as part of a larger one."""
    return bool(mol.HasSubstructMatch(_PARENT_MOLS[name]))


def ring_sizes(mol: Chem.Mol) -> list[int]:
    """Atoms of each ring of the smallest set of smallest rings, sorted."""
    return sorted(len(ring) for ring in Chem.GetSSSR(mol))


def _systems(mol: Chem.Mol) -> list[set[int]]:
    """The atoms of each ring system."""
    rings = mol.GetRingInfo()
    systems: list[tuple[set[int], set[int]]] = []
    for atoms, bonds in zip(map(set, rings.AtomRings()), map(set, rings.BondRings()), strict=True):
        apart = []
        for system in systems:
            if system[1] & bonds:
                atoms |= system[0]
                bonds |= system[1]
            else:
                apart.append(system)
        systems = [*apart, (atoms, bonds)]
    return [atoms for atoms, _ in systems]


def _named_system(mol: Chem.Mol, ring: set[int]) -> tuple[str | None, set[int]]:
    outside = {
        (inside, bond.GetOtherAtomIdx(inside))
        for inside in ring
        for bond in mol.GetAtomWithIdx(inside).GetBonds()
        if bond.GetBondType() == Chem.BondType.DOUBLE and bond.GetOtherAtomIdx(inside) not in ring
    }
    whole = ring | {atom for _, atom in outside}
    name = RING_NAMES.get(_skeleton(mol, whole))
    if name or any(_belongs_to_ring(mol.GetAtomWithIdx(inside), ring) for inside, _ in outside):
        return name, whole
    return RING_NAMES.get(_skeleton(mol, ring)), ring


def _belongs_to_ring(atom: Chem.Atom, ring: set[int]) -> bool:
    """True where a double bond at this ring atom is part of the ring's name, known or not.

    On an aromatic ring it changes what the ring is; beside a hetero atom it makes a lactam or the
    like, which is a -one wherever it stands.
    """
    return bool(atom.GetIsAromatic()) or any(
        neighbour.GetIdx() in ring and neighbour.GetSymbol() != "C"
        for neighbour in atom.GetNeighbors()
    )


def _skeleton(mol: Chem.Mol, atoms: set[int]) -> str:
    """Elements, aromaticity and bonds of these atoms and nothing else, as canonical text."""
    skeleton = Chem.RWMol()
    index = {}
    for old in sorted(atoms):
        atom = mol.GetAtomWithIdx(old)
        new = Chem.Atom(atom.GetAtomicNum())
        new.SetIsAromatic(atom.GetIsAromatic())
        new.SetNoImplicit(True)
        index[old] = skeleton.AddAtom(new)
    for bond in mol.GetBonds():
        begin, end = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if begin in index and end in index:
            skeleton.AddBond(index[begin], index[end], bond.GetBondType())
    return str(Chem.MolToSmiles(skeleton))


def _named() -> dict[str, str]:
    names = {}
    for name, smiles in _PARENTS.items():
        mol = Chem.MolFromSmiles(smiles)
        names[_skeleton(mol, {atom.GetIdx() for atom in mol.GetAtoms()})] = name
    return names


RING_NAMES = _named()  # skeleton -> name
_PARENT_MOLS = {name: Chem.MolFromSmiles(_PARENTS[name]) for name in COMMON_RINGS}
