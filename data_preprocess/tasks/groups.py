"""Functional groups of a molecule, each atom in one group at most.

The groups are classes of IUPAC's glossary (Moss, Smith and Tavernier, Pure Appl. Chem. 67, 1307,
1995) as SMARTS, the special ones first. A match claims the atoms that its pattern numbers, and
claimed atoms are nobody else's: the oxygens of an ester are no ether and no ketone.

What the table does not know makes the list incomplete, and then there is no list: every hetero atom
and every multiple bond must be claimed, those of aromatic rings left out. An oxygen on a pyridone's
double bond belongs to its aromatic ring.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdkit import Chem

__all__ = ["COMMON_GROUPS", "GROUPS", "FunctionalGroups", "functional_groups", "has_aromatic_oxo"]

# Parts that several patterns share. A numbered atom is claimed.
_ACYL = "[CX3;H1,$(C[#6]):1](=[OX1:1])"  # a carbonyl with carbon or hydrogen on its other side
_SULFONYL = "[#6][SX4:1](=[OX1:1])(=[OX1:1])"
# Carbon that leaves a neighbouring O, N or S what it is: no C=O, no second hetero atom (acetals).
_PLAIN = "[#6;!$([#6]=[O,S,N]);!$([CX4]([O,N,S])[O,N,S]);!$([CX2])]"
_NO_ENE = "[#6;!$([#6]=[O,S,N]);!$([CX4]([O,N,S])[O,N,S]);!$([CX2]);!$([CX3]=[CX3])]"
_HALOGEN = "[F,Cl,Br,I:1]"

_TABLE = (
    # Two carbonyls, or a carbonyl and a sulfonyl, on one atom.
    ("carboxylic anhydride", f"{_ACYL}[OX2:1]{_ACYL}"),
    ("imide", f"{_ACYL}[NX3:1]{_ACYL}"),
    ("acyl sulfonamide", f"{_ACYL}[NX3:1][SX4:1](=[OX1:1])(=[OX1:1])[#6]"),
    ("sulfonylurea", f"{_SULFONYL}[NX3:1][CX3:1](=[OX1:1])[NX3:1]"),
    # Carbon with three or four bonds to hetero atoms.
    ("acyl halide", f"{_ACYL}{_HALOGEN}"),
    ("carbamate", "[NX3:1][CX3:1](=[OX1:1])[OX2:1][#6]"),
    ("carbonate", "[#6][OX2:1][CX3:1](=[OX1:1])[OX2:1][#6]"),
    ("urea", "[NX3:1][CX3:1](=[OX1:1])[NX3:1]"),
    ("thiourea", "[NX3:1][CX3:1](=[SX1:1])[NX3:1]"),
    ("guanidine", "[NX3:1][CX3:1](=[NX2;H1,$(N[#6]):1])[NX3:1]"),
    ("amidine", "[CX3;H1,$(C[#6]):1](=[NX2;H1,$(N[#6]):1])[NX3;!$(N[!#6]):1]"),
    ("hydrazide", f"{_ACYL}[NX3:1][NX3;!$(NC=[O,S]):1]"),
    ("hydroxamic acid", f"{_ACYL}[NX3:1][OX2H1:1]"),
    ("carboxylic acid", f"{_ACYL}[OX2H1:1]"),
    ("carboxylate", f"{_ACYL}[OX1-:1]"),
    ("thioester", f"{_ACYL}[SX2:1][#6]"),
    ("lactone", "[CX3;$(C[#6]):1](=[OX1:1])@[OX2:1][#6]"),
    ("ester", f"{_ACYL}[OX2:1][#6]"),
    ("lactam", "[CX3;$(C[#6]):1](=[OX1:1])@[NX3;!$(N~[!#6]):1]"),
    ("amide", f"{_ACYL}[NX3;!$(N~[!#6]):1]"),
    ("thioamide", "[CX3;H1,$(C[#6]):1](=[SX1:1])[NX3;!$(N~[!#6]):1]"),
    ("aldehyde", "[CX3H1:1](=[OX1:1])[#6]"),
    ("ketone", "[#6][CX3:1](=[OX1:1])[#6]"),
    ("nitrile", "[#6][CX2:1]#[NX1:1]"),
    ("isocyanate", "[#6][NX2:1]=[CX2:1]=[OX1:1]"),
    ("isothiocyanate", "[#6][NX2:1]=[CX2:1]=[SX1:1]"),
    ("thiocyanate", "[#6][SX2:1][CX2:1]#[NX1:1]"),
    # Sulfur, phosphorus, boron, silicon.
    ("sulfonamide", f"{_SULFONYL}[NX3;!$(N~[!#6;!$([SX4](=O)(=O)[#6])]):1]"),
    ("sulfonyl halide", f"{_SULFONYL}{_HALOGEN}"),
    ("sulfonic acid", f"{_SULFONYL}[OX2H1:1]"),
    ("sulfonate", f"{_SULFONYL}[OX1-:1]"),
    ("sulfonate ester", f"{_SULFONYL}[OX2:1][#6]"),
    ("sulfone", f"{_SULFONYL}[#6]"),
    ("sulfoxide", "[#6][SX3:1](=[OX1:1])[#6]"),
    ("disulfide", "[#6][SX2:1][SX2:1][#6]"),
    ("phosphate", "[PX4:1](=[OX1:1])([OX2H1,OX1-,$([OX2][#6]):1])([OX2H1,OX1-,$([OX2][#6]):1])"
                  "[OX2H1,OX1-,$([OX2][#6]):1]"),
    ("phosphonate", "[#6][PX4:1](=[OX1:1])([OX2H1,OX1-,$([OX2][#6]):1])"
                    "[OX2H1,OX1-,$([OX2][#6]):1]"),
    ("phosphine oxide", "[#6][PX4:1](=[OX1:1])([#6])[#6]"),
    ("phosphine", "[#6][PX3:1]([#6])[#6]"),
    ("boronic acid", "[#6][BX3:1]([OX2H1:1])[OX2H1:1]"),
    ("boronic ester", "[#6][BX3:1]([OX2:1][#6])[OX2:1][#6]"),
    ("silyl ether", "[#6][SiX4:1]([#6])([#6])[OX2:1][#6]"),
    ("silyl group", "[#6][SiX4:1]([#6])([#6])[#6]"),
    # Nitrogen with nitrogen or oxygen.
    ("nitro group", "[#6][NX3+:1](=[OX1:1])[OX1-:1]"),
    ("nitrate ester", "[#6][OX2:1][NX3+:1](=[OX1:1])[OX1-:1]"),
    ("nitroso group", "[#6][NX2:1]=[OX1:1]"),
    ("azide", "[#6][NX2:1]=[NX2+:1]=[NX1-:1]"),
    ("azo group", "[#6][NX2:1]=[NX2:1][#6]"),
    ("hydrazone", "[CX3;H1,H2,$(C([#6])[#6]):1]=[NX2:1][NX3;!$(N~[!#6;!$([NX2]=C)]);"
                  "!$(NC=[O,S,N]):1]"),
    ("oxime", "[CX3;H1,H2,$(C([#6])[#6]):1]=[NX2:1][OX2H1:1]"),
    ("oxime ether", f"[CX3;H1,H2,$(C([#6])[#6]):1]=[NX2:1][OX2:1]{_PLAIN}"),
    ("imine", "[CX3;H1,H2,$(C([#6])[#6]):1]=[NX2;H1,$(N[#6;!$([#6]=[O,S,N])]):1]"),
    ("amine N-oxide", "[#6][NX4+:1]([#6])([#6])[OX1-:1]"),
    ("pyridine N-oxide", "[$([n+]1aaaaa1):1][OX1-:1]"),
    ("hydrazine", "[NX3;!$(N~[!#6;!#7]);!$(NC=[O,S,N]):1][NX3;!$(N~[!#6;!#7]);!$(NC=[O,S,N]):1]"),
    # Oxygen and sulfur with single bonds.
    ("hydroperoxide", "[#6][OX2:1][OX2H1:1]"),
    ("peroxide", "[#6;!$(C=O)][OX2:1][OX2:1][#6;!$(C=O)]"),
    ("epoxide", "[OX2r3:1]1[CX4r3:1][CX4r3:1]1"),
    ("hemiacetal", "[OX2H1:1][CX4;!$(C([O,N,S])([O,N,S])[O,N,S]):1][OX2:1][#6;!$(C=[O,S,N])]"),
    ("acetal", "[#6;!$(C=[O,S,N])][OX2:1][CX4;!$(C([O,N,S])([O,N,S])[O,N,S]):1][OX2:1]"
               "[#6;!$(C=[O,S,N])]"),
    ("phenol", "[OX2H1:1][$(c1ccccc1)]"),
    ("enol", "[OX2H1:1][CX3;!$(C([O,N,S])[O,N,S]):1]=[CX3:1]"),
    ("alcohol", "[OX2H1:1][CX4;!$(C([O,N,S])[O,N,S])]"),
    ("enol ether", f"{_PLAIN}[OX2:1][CX3;!$(C([O,N,S])[O,N,S]):1]=[CX3:1]"),
    ("ether", f"{_NO_ENE}[OX2:1]{_NO_ENE}"),
    ("thiol", "[SX2H1:1][#6;!$(C=[O,S,N])]"),
    ("thioether", f"{_PLAIN}[SX2:1]{_PLAIN}"),
    # Amines: nitrogen with single bonds to plain carbon only.
    ("quaternary ammonium", "[#6][NX4+:1]([#6])([#6])[#6]"),
    ("ammonium", "[NX4+;H1,H2,H3;!$(N~[!#6]):1][#6]"),
    ("enamine", f"[NX3;H2,$([NH1]({_PLAIN}){_PLAIN}),$([NH0]({_PLAIN})({_PLAIN}){_PLAIN}):1]"
                "[CX3;!$(C([O,N,S])[O,N,S]):1]=[CX3:1]"),
    ("primary amine", f"[NX3H2:1]{_NO_ENE}"),
    ("secondary amine", f"[NX3H1:1]({_NO_ENE}){_NO_ENE}"),
    ("tertiary amine", f"[NX3H0:1]({_NO_ENE})({_NO_ENE}){_NO_ENE}"),
    # Halogens, and carbon with carbon.
    ("trifluoromethyl group", "[CX4:1]([F:1])([F:1])([F:1])[!F]"),
    ("aryl halide", f"{_HALOGEN}c"),
    ("vinyl halide", f"{_HALOGEN}[CX3]=[CX3]"),
    ("alkyl halide", f"{_HALOGEN}[CX4]"),
    ("allene", "[CX3:1]=[CX2:1]=[CX3:1]"),
    ("alkyne", "[CX2:1]#[CX2:1]"),
    ("alkene", "[CX3:1]=[CX3:1]"),
)  # fmt: skip

# Groups that chemists may take for each other's kind. Where one of a family is there, nobody is
# asked whether another is: is a lactone an ester?
_FAMILIES = (
    {"ester", "lactone", "carbonate", "carbamate", "carboxylic anhydride", "thioester",
     "sulfonate ester", "phosphate", "phosphonate", "boronic ester", "nitrate ester"},
    {"amide", "lactam", "imide", "urea", "carbamate", "hydrazide", "hydroxamic acid",
     "sulfonylurea", "acyl sulfonamide", "thioamide", "thiourea"},
    {"sulfonamide", "acyl sulfonamide", "sulfonylurea"},
    {"sulfone", "sulfonamide", "sulfonyl halide", "sulfonate ester", "sulfonic acid", "sulfonate",
     "acyl sulfonamide", "sulfonylurea", "sulfoxide"},
    {"carboxylic acid", "carboxylate"},
    {"sulfonic acid", "sulfonate"},
    {"ether", "acetal", "hemiacetal", "epoxide", "enol ether", "silyl ether", "oxime ether",
     "peroxide"},
    {"alcohol", "phenol", "enol", "hemiacetal"},
    {"alkyl halide", "trifluoromethyl group"},
    {"acyl halide", "alkyl halide", "sulfonyl halide"},
    {"alkene", "enol", "enol ether", "enamine", "allene"},
    {"imine", "hydrazone", "oxime", "oxime ether", "amidine", "guanidine"},
    *({amine, "enamine", "hydrazine", "hydrazide", "amidine", "guanidine", "ammonium", "hydrazone"}
      for amine in ("primary amine", "secondary amine", "tertiary amine")),
    {"ammonium", "quaternary ammonium"},
    {"peroxide", "hydroperoxide"},
    {"thioether", "disulfide"},
    {"silyl ether", "silyl group"},
    {"urea", "thiourea", "sulfonylurea", "guanidine"},
    {"ketone", "lactone", "lactam", "imide"},
    {"amine N-oxide", "pyridine N-oxide"},
)  # fmt: skip


# Percent of the molecules of patents that have them, roughly: those that a question should name.
COMMON_GROUPS = {
    "ether": 40, "aryl halide": 32, "amide": 30, "tertiary amine": 25, "secondary amine": 24,
    "phenol": 17, "carboxylic acid": 14, "sulfonamide": 11, "alcohol": 11, "ester": 10,
    "primary amine": 10, "trifluoromethyl group": 9, "alkene": 9, "urea": 8, "lactam": 7,
    "ketone": 5, "carbamate": 5, "thioether": 4, "alkyl halide": 4, "acetal": 3, "amidine": 3,
    "hydrazone": 3, "sulfone": 3, "nitrile": 3, "nitro group": 2, "aldehyde": 1.5, "lactone": 1,
    "imide": 1, "sulfonate ester": 1,
}  # fmt: skip


@dataclass(frozen=True)
class FunctionalGroups:
    """The functional groups of a molecule.

    Attributes:
        found: group -> how often, in the order of the table.
        absent: groups that are certainly not there, those first that a reader may think of: made
            of elements that are there, common ones before rare ones.
        is_whole: False where a ring that RDKit calls aromatic has a C=O. Whether a coumarin has a
            lactone is debatable; what else is found or absent stands.
    """

    found: dict[str, int]
    absent: tuple[str, ...]
    is_whole: bool


def functional_groups(mol: Chem.Mol) -> FunctionalGroups | None:
    """The functional groups, or None where the table does not name all of them.

    Groups that are debatable in this molecule (see `_FAMILIES`) are neither found nor absent.
    """
    claimed: set[int] = set()
    found: dict[str, int] = {}
    for name, pattern in GROUPS.items():
        for match in mol.GetSubstructMatches(pattern.smarts, maxMatches=1000):
            atoms = {match[index] for index in pattern.claims}
            if not atoms & claimed:
                claimed |= atoms
                found[name] = found.get(name, 0) + 1
    if _unclaimed(mol, claimed):
        return None
    elements = {atom.GetAtomicNum() for atom in mol.GetAtoms()}
    debatable = {"lactam", "lactone", "ketone"} if has_aromatic_oxo(mol) else set()
    related = {
        name for family in _FAMILIES if family & (found.keys() | debatable) for name in family
    }
    absent = [
        name
        for name, pattern in GROUPS.items()
        if name not in found and name not in related and not mol.HasSubstructMatch(pattern.smarts)
    ]
    absent.sort(key=lambda name: (not GROUPS[name].elements <= elements, name not in COMMON_GROUPS))
    return FunctionalGroups(found, tuple(absent), not has_aromatic_oxo(mol))


def _unclaimed(mol: Chem.Mol, claimed: set[int]) -> bool:
    """True where an atom or bond that makes a functional group belongs to none."""
    accounted = claimed | _exocyclic(mol)
    for atom in mol.GetAtoms():
        if atom.GetIsAromatic():
            accounted.add(atom.GetIdx())
        elif atom.GetAtomicNum() != 6 and atom.GetIdx() not in accounted:
            return True
    return any(
        bond.GetBondType() in (Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
        and not {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()} <= accounted
        for bond in mol.GetBonds()
    )


def has_aromatic_oxo(mol: Chem.Mol) -> bool:
    """True where a double bond leaves a ring that RDKit calls aromatic, as in a pyridone."""
    return bool(_exocyclic(mol))


def _exocyclic(mol: Chem.Mol) -> set[int]:
    """Atoms on a double bond that leaves an aromatic ring, as the oxygen of a pyridone."""
    return {end for _, end in mol.GetSubstructMatches(_EXOCYCLIC)}


_EXOCYCLIC = Chem.MolFromSmarts("a=[!a]")


@dataclass(frozen=True)
class _Pattern:
    """A group's SMARTS, the pattern's atoms that claim, and the elements that they must be."""

    smarts: Chem.Mol
    claims: tuple[int, ...]
    elements: frozenset[int]

    @classmethod
    def of(cls, smarts: str) -> _Pattern:
        query = Chem.MolFromSmarts(smarts)
        claims = tuple(a.GetIdx() for a in query.GetAtoms() if a.GetAtomMapNum())
        elements = {query.GetAtomWithIdx(index).GetAtomicNum() for index in claims} - {0}
        for atom in query.GetAtoms():
            atom.SetAtomMapNum(0)
        return cls(query, claims, frozenset(elements))


GROUPS = {name: _Pattern.of(smarts) for name, smarts in _TABLE}
