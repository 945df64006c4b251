"""What is known about the molecule of an image: from its source, and computed by RDKit."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from rdkit import Chem, rdBase
from rdkit.Chem import rdCIPLabeler, rdMolDescriptors
from rdkit.Chem.Descriptors import MolWt  # type: ignore[attr-defined]

from data_preprocess.tasks.groups import FunctionalGroups, functional_groups
from data_preprocess.tasks.rings import ring_systems
from eyesmol.chem.smiles import canonical_smiles

__all__ = ["Facts", "Subject"]

_CIP_LIMIT = 100_000  # comparisons; most molecules need fewer than 10,000, and more take seconds


@dataclass(frozen=True)
class Subject:
    """The molecule of an image, with what its source says about it.

    Attributes:
        smiles: R groups as ``*``.
        name: for people.
        description: of the compound, plain text.
        visual_description: of the image.
    """

    smiles: str
    name: str | None = None
    description: str | None = None
    visual_description: str | None = None


@dataclass(frozen=True)
class Stereo:
    """Stereo of a molecule.

    Attributes:
        centres: tetrahedral stereocentres, configuration known or not.
        known: those with a configuration.
        labels: R and S of the known ones, sorted; None where CIP's rules give something else (r and
            s of pseudoasymmetric centres) or take too long.
        double_bonds: E and Z of the double bonds that have either, sorted; None where one is not
            known.
    """

    centres: int
    known: int
    labels: tuple[str, ...] | None
    double_bonds: tuple[str, ...] | None


class Facts:
    """A subject with everything that RDKit computes for its questions, each thing when it is asked.

    Raises:
        ValueError: RDKit cannot read the SMILES.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(subject.smiles)
        if mol is None:
            raise ValueError(f"{subject.smiles!r} is not a SMILES that RDKit can read")
        self.mol: Chem.Mol = mol

    @cached_property
    def smiles(self) -> str:
        """In RDKit's canonical form."""
        return canonical_smiles(self.subject.smiles) or self.subject.smiles

    @cached_property
    def elements(self) -> dict[str, int]:
        """Symbol -> atoms, carbon first, then by the alphabet; hydrogen and R groups left out."""
        counts = Counter(a.GetSymbol() for a in self.mol.GetAtoms() if a.GetAtomicNum() > 1)
        return dict(sorted(counts.items(), key=lambda item: (item[0] != "C", item[0])))

    @cached_property
    def r_groups(self) -> int:
        """Places left open."""
        return sum(not atom.GetAtomicNum() for atom in self.mol.GetAtoms())

    @cached_property
    def is_general(self) -> bool:
        """A structure with open positions, each bound to the rest: no text beside the drawing."""
        positions = [atom for atom in self.mol.GetAtoms() if not atom.GetAtomicNum()]
        return bool(positions) and all(atom.GetDegree() for atom in positions)

    @cached_property
    def parts(self) -> int:
        """Separate molecules or ions."""
        return len(Chem.GetMolFrags(self.mol))

    @cached_property
    def is_complete(self) -> bool:
        """No place is left open, and there is more than hydrogen.

        Boron with one or two bonds is a variable that is called B: nobody draws BH2 as a B.
        """
        variable = any(
            atom.GetSymbol() == "B" and atom.GetDegree() < 3 and not atom.GetFormalCharge()
            for atom in self.mol.GetAtoms()
        )
        return not self.r_groups and bool(self.elements) and not variable

    @cached_property
    def is_plain(self) -> bool:
        """One complete molecule of natural isotopes: formula and weight are beyond doubt."""
        return (
            self.is_complete
            and self.parts == 1
            and not any(atom.GetIsotope() for atom in self.mol.GetAtoms())
        )

    @property
    def is_charged(self) -> bool:
        """Some atom has a formal charge, be it within a nitro group."""
        return any(atom.GetFormalCharge() for atom in self.mol.GetAtoms())

    @property
    def heavy_atoms(self) -> int:
        return sum(self.elements.values())

    @cached_property
    def formula(self) -> str:
        """In Hill order."""
        return str(rdMolDescriptors.CalcMolFormula(self.mol))

    @cached_property
    def composition(self) -> dict[str, int]:
        """Like `elements`, with hydrogen behind carbon."""
        hydrogens = sum(
            atom.GetTotalNumHs() + (atom.GetAtomicNum() == 1) for atom in self.mol.GetAtoms()
        )
        counts = {**self.elements, **({"H": hydrogens} if hydrogens else {})}
        return dict(sorted(counts.items(), key=lambda item: (item[0] not in "CH", item[0])))

    @cached_property
    def weight(self) -> float:
        """Average molecular weight in g/mol."""
        return float(MolWt(self.mol))

    @cached_property
    def rings(self) -> int:
        """Rings of the smallest set (bonds minus atoms plus fragments)."""
        return int(rdMolDescriptors.CalcNumRings(self.mol))

    @cached_property
    def kekule_bonds(self) -> Counter[Chem.BondType]:
        """Bonds by their type in a Kekule structure."""
        mol = Chem.RWMol(self.mol)
        Chem.Kekulize(mol, clearAromaticFlags=True)
        return Counter(bond.GetBondType() for bond in mol.GetBonds())

    @cached_property
    def groups(self) -> FunctionalGroups | None:
        """The functional groups; None where not all of them have a name."""
        return functional_groups(self.mol) if self.is_plain else None

    @cached_property
    def ring_names(self) -> list[str] | None:
        """The ring systems; None where one of them has no name."""
        return ring_systems(self.mol)

    @cached_property
    def stereo(self) -> Stereo | None:
        """Tetrahedral centres and double bonds, by RDKit's rules and its full CIP labels.

        None where RDKit's two methods count other centres: what depends on other centres and what
        stands at a bridgehead is a centre to one of them alone (quinuclidin-3-ol: 3 and 1).
        """
        legacy = Chem.FindMolChiralCenters(
            self.mol, includeUnassigned=True, useLegacyImplementation=True
        )
        mol = Chem.Mol(self.mol)
        found = list(Chem.FindPotentialStereo(mol))
        known = Chem.StereoSpecified.Specified
        centres = [s for s in found if s.type == Chem.StereoType.Atom_Tetrahedral]
        bonds = [s for s in found if s.type == Chem.StereoType.Bond_Double]
        if {s.centeredOn for s in centres} != {index for index, _ in legacy}:
            return None
        specified = [s for s in centres if s.specified == known]
        return Stereo(
            centres=len(centres),
            known=len(specified),
            labels=_labels(mol, [mol.GetAtomWithIdx(s.centeredOn) for s in specified], "RS"),
            double_bonds=_labels(mol, [mol.GetBondWithIdx(s.centeredOn) for s in bonds], "EZ"),
        )


def _labels(
    mol: Chem.Mol, centres: list[Chem.Atom] | list[Chem.Bond], letters: str
) -> tuple[str, ...] | None:
    try:
        rdCIPLabeler.AssignCIPLabels(mol, maxRecursiveIterations=_CIP_LIMIT)
    except RuntimeError:  # the limit
        return None
    labels = [c.GetProp("_CIPCode") if c.HasProp("_CIPCode") else "" for c in centres]
    return tuple(sorted(labels)) if all(label in letters and label for label in labels) else None
