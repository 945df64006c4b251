"""What is drawn: a molecule becomes a layout with labels, wedges and hydrogens, and its graph.

A depiction knows no pixels. Its RDKit molecule and its `MolGraph` have the same atoms in the same
order, so either engine draws what the graph says.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdCoordGen, rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D
from scipy.spatial.distance import pdist

from data_preprocess.drawing.abbreviate import BACKWARD, FORWARD, collapsed
from data_preprocess.drawing.style import Engine, Style
from eyesmol.chem.graph import BondOrder, MolGraph
from eyesmol.chem.molfile import UnheldError, graph_to_molblock, mol_to_graph
from eyesmol.exceptions import InputError

__all__ = [
    "Depiction",
    "RenderError",
    "as_delivered",
    "depict",
    "fitting_bond_length",
    "readable",
]


class RenderError(InputError):
    """A molecule that cannot be drawn as a graph; `reason` is one of a few fixed phrases."""

    def __init__(self, reason: str, smiles: str) -> None:
        super().__init__(f"{smiles}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Depiction:
    """A drawing that is not yet on paper.

    Attributes:
        mol: laid out, y up, in angstrom; Kekule bonds, wedges as bond directions, labels as
            properties. Bonds of `circles` are single.
        graph: the same atoms in the same order; y down.
        circles: rings that are drawn with a circle, as atom indices.
        carbons: atoms whose C is written out.
        smiles: canonical SMILES of what is drawn, all labels expanded.
    """

    mol: Chem.Mol
    graph: MolGraph
    circles: tuple[tuple[int, ...], ...]
    carbons: tuple[int, ...]
    smiles: str


_RIM = 0.5  # in bond lengths: what letters add to the extent of the atoms

# A label is written towards the left where its neighbour stands so far right (cosine of the bond's
# direction), and else towards the right. RDKit's bound is in its sources (a slope of 2.75),
# Indigo's was found by bisection.
_WRITTEN_BACKWARD: dict[Engine, float] = {"rdkit": 0.342, "indigo": 0.490}
# Texts that stand for anything. Not Ra, Rb or Rf, which are elements, and so they would read.
_VARIABLES = ("R", "R", "R'", "R''", "X", "Y", "Z", "Ar", "Q", "A", "W", "Het")
_BOND = 1.5  # angstrom: RDKit's layout
_CROWDED = 0.35  # of a bond's length: atoms nearer to each other cannot be told apart
_MOST_ATOMS = 999  # and bonds; what RDKit is told in
_LETTER = 0.36  # width of a letter, in bond lengths


def fitting_bond_length(depiction: Depiction, size: tuple[int, int], style: Style) -> float:
    """The style's bond length in pixels, or what is left of it where the molecule has to fit."""
    points = np.array([(atom.x, atom.y) for atom in depiction.graph.atoms])
    room = np.array(size) * (1 - 2 * style.margin)
    return min(style.bond_length, float((room / (np.ptp(points, axis=0) / _BOND + _RIM)).min()))


def readable(mol: Chem.Mol | str) -> Chem.Mol:
    """The molecule, if it is one that can be drawn.

    Raises:
        RenderError: no SMILES, no atoms, a radical.
    """
    if isinstance(mol, str):
        text = mol
        with rdBase.BlockLogs():
            mol = Chem.MolFromSmiles(text)
        if mol is None:
            raise RenderError("RDKit cannot read the SMILES", text)
    if mol.GetNumAtoms() == 0:
        raise RenderError("no atoms", "an empty molecule")
    if any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms()):
        raise RenderError("a radical", Chem.MolToSmiles(mol))
    return mol


def depict(mol: Chem.Mol, style: Style, rng: random.Random) -> Depiction:
    """Lay a molecule out as a style asks.

    Args:
        mol: from `readable`.
        style: what to abbreviate, to write out, to leave open, and how to turn the layout.
        rng: chooses the positions.

    Raises:
        RenderError: a layout in which atoms lie upon each other, where the style asks.
    """
    if style.r_groups:
        mol = _with_r_groups(mol, style.r_groups, rng)
    settled = _laid_out(mol, style)
    open_centres = _left_open(mol, settled, style.open_stereo, rng) if style.open_stereo else []
    smiles = str(Chem.MolToSmiles(settled))
    if not (style.abbreviations or style.hydrogens):
        finished = _finished(settled, style, open_centres, rng, smiles)
        return _apart(finished) if style.legible else finished
    for number in open_centres:
        settled.GetAtomWithIdx(number).SetBoolProp(_OPEN, True)
    # Other atoms are drawn than the molecule has, so they are laid out again. An abbreviation needs
    # room for its letters; where it finds none, the group is drawn in full.
    hyphens = style.engine != "indigo"  # which takes the hyphen of p-Tol for a charge
    for fraction in (style.abbreviations, 0.0):
        drawn = (
            collapsed(settled, fraction, rng, hyphens=hyphens) if fraction else Chem.Mol(settled)
        )
        drawn = _with_hydrogens(drawn, style.hydrogens, rng)
        drawn = _laid_out(drawn, style, settle=False)
        centres = [atom.GetIdx() for atom in drawn.GetAtoms() if atom.HasProp(_OPEN)]
        finished = _finished(drawn, style, centres, rng, smiles)
        if not _labels_collide(finished.graph):
            break
    return _apart(finished) if style.legible else finished


def as_delivered(graph: MolGraph, smiles: str, *, legible: bool) -> Depiction:
    """The layout, the wedges and the labels of a molfile, as they are.

    Args:
        graph: in the molfile's coordinates, y up; in any unit.
        smiles: canonical, of the molfile.
        legible: refuse atoms that lie upon each other.

    Raises:
        RenderError: they do, or there are too many.
    """
    graph = _without_listed_hydrogens(graph)
    if max(len(graph.atoms), len(graph.bonds)) > _MOST_ATOMS:
        raise RenderError("too many atoms to draw", smiles)
    length = graph.median_bond_length()
    scaled = graph.transformed(_BOND / length if length else 1.0, 0, 0, flip=True)
    mol = Chem.MolFromMolBlock(graph_to_molblock(scaled), sanitize=False, removeHs=False)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    for atom, drawn in zip(mol.GetAtoms(), scaled.atoms, strict=True):
        if atom.GetAtomicNum() and not atom.HasProp("molFileAlias"):
            continue
        atom.SetProp("_displayLabel", shown := _with_subscripts(drawn.text.strip("[]")))
        atom.SetProp("_displayLabelW", shown)
    depiction = Depiction(mol, scaled, (), (), smiles)
    return _apart(depiction) if legible else depiction


def _without_listed_hydrogens(graph: MolGraph) -> MolGraph:
    """Without the plain hydrogens of carbons, where every one of them is listed.

    PubChem's molfiles list all, and its own drawings show none of those.
    """
    neighbours = graph.neighbours()
    valence = [sum(_VALENCE.get(bond.order, 1.0) for _, bond in row) for row in neighbours]
    carbons = {index for index, atom in enumerate(graph.atoms) if atom.text == "C"}
    if any(valence[index] < _FULL for index in carbons):
        return graph
    listed = {
        index
        for index, (atom, row) in enumerate(zip(graph.atoms, neighbours, strict=True))
        if atom.text == "H"
        and len(row) == 1
        and row[0][0] in carbons
        and row[0][1].order == BondOrder.SINGLE
    }
    kept = [index for index in range(len(graph.atoms)) if index not in listed]
    number = {old: new for new, old in enumerate(kept)}
    return MolGraph(
        tuple(graph.atoms[index] for index in kept),
        tuple(
            replace(bond, begin=number[bond.begin], end=number[bond.end])
            for bond in graph.bonds
            if bond.begin in number and bond.end in number
        ),
    )


_VALENCE = {
    BondOrder.DOUBLE: 2.0,
    BondOrder.CROSSED_DOUBLE: 2.0,
    BondOrder.TRIPLE: 3.0,
    BondOrder.AROMATIC: 1.5,
}
_FULL = 4.0  # of a carbon
_OPEN = "_openStereo"


def _apart(finished: Depiction) -> Depiction:
    """The depiction, if no two atoms lie upon each other."""
    points = np.array([(atom.x, atom.y) for atom in finished.graph.atoms])
    if len(points) > 1 and pdist(points).min() < _CROWDED * _BOND:
        raise RenderError("atoms lie upon each other in the layout", finished.smiles)
    return finished


def _laid_out(mol: Chem.Mol, style: Style, *, settle: bool = True) -> Chem.Mol:
    """A copy with turned 2D coordinates; with `settle`, open double bonds are as they are drawn."""
    layout_only = Chem.Mol(mol)
    if style.layout == "coordgen":
        rdCoordGen.AddCoords(layout_only)
        _scale_bonds(layout_only)
    else:
        rdDepictor.Compute2DCoords(layout_only)
    if style.straight:
        rdDepictor.StraightenDepiction(layout_only)
    angle = math.radians(style.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    if style.mirror:
        matrix[0] *= -1
    conformer = layout_only.GetConformer()
    conformer.SetPositions(conformer.GetPositions() @ matrix)
    if settle:
        Chem.DetectBondStereochemistry(layout_only)
        Chem.AssignStereochemistry(layout_only, cleanIt=True, force=True)
    return layout_only


def _scale_bonds(mol: Chem.Mol) -> None:
    """Give the median bond the length of RDKit's own layouts."""
    conformer = mol.GetConformer()
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    if ends:
        positions = conformer.GetPositions()
        begins, stops = positions[[a for a, _ in ends]], positions[[b for _, b in ends]]
        length = float(np.median(np.linalg.norm(begins - stops, axis=1)))
        conformer.SetPositions(positions * (_BOND / length))


def _with_r_groups(mol: Chem.Mol, count: int, rng: random.Random) -> Chem.Mol:
    """A copy in which up to `count` single atoms at the ends have become R groups or variables."""
    ends = [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetDegree() == 1
        and atom.GetAtomicNum() in (6, 7, 8, 9, 17, 35, 53)
        and not (atom.GetFormalCharge() or atom.GetIsotope())
        and atom.GetBonds()[0].GetBondType() == Chem.BondType.SINGLE
    ]
    count = min(count, len(ends), mol.GetNumAtoms() - 4)
    if count <= 0:
        return mol
    edited = Chem.RWMol(mol)
    numbered, first = rng.random() < 0.7, rng.choice((1, 1, 1, 2, 3, 4, 7, 10))
    for number, index in enumerate(sorted(rng.sample(ends, count)), start=first):
        dummy = Chem.Atom(0)
        if numbered:
            dummy.SetIsotope(number)
        edited.ReplaceAtom(index, dummy)
    Chem.SanitizeMol(edited)
    Chem.AssignStereochemistry(edited, cleanIt=True, force=True)
    return edited.GetMol()


def _left_open(mol: Chem.Mol, settled: Chem.Mol, fraction: float, rng: random.Random) -> list[int]:
    """Undo what the layout settled for some open double bonds; some open centres."""
    centres = []
    for info in Chem.FindPotentialStereo(mol):
        if info.specified == Chem.StereoSpecified.Specified or rng.random() >= fraction:
            continue
        if info.type == Chem.StereoType.Bond_Double:
            settled.GetBondWithIdx(info.centeredOn).SetStereo(Chem.BondStereo.STEREOANY)
        elif info.type == Chem.StereoType.Atom_Tetrahedral:
            centres.append(info.centeredOn)
    return centres


def _with_hydrogens(mol: Chem.Mol, fraction: float, rng: random.Random) -> Chem.Mol:
    """A copy in which the hydrogens of some stereo centres are atoms."""
    centres = [
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED
        and atom.GetTotalNumHs() == 1
        and rng.random() < fraction
    ]
    return Chem.AddHs(mol, onlyOnAtoms=centres) if centres else mol


def _finished(
    drawn: Chem.Mol, style: Style, open_centres: list[int], rng: random.Random, smiles: str
) -> Depiction:
    """Kekule bonds, wedges and labels for a molecule that is laid out; and its graph."""
    rings = _benzene_rings(drawn) if style.circles else ()
    carbons = _bare_carbons(drawn, style.carbons, rng) if style.carbons else ()
    prepared = rdMolDraw2D.PrepareMolForDrawing(
        drawn, kekulize=True, addChiralHs=False, wedgeBonds=True, forceCoords=False
    )
    prepared = _with_wavy_bonds(prepared, open_centres, rng)
    _write_labels(prepared, style, rng)
    _mark_stereo(prepared)
    try:
        graph = mol_to_graph(prepared).transformed(1, 0, 0, flip=True)
    except UnheldError as error:
        raise RenderError(error.reason, smiles) from None
    if reason := _undrawn(graph):
        raise RenderError(f"the molecule has {reason}", smiles)
    if rings:
        graph = _with_circles(graph, rings)
        _make_single(prepared, rings)
    return Depiction(prepared, graph, rings, carbons, smiles)


_UNDRAWN_BONDS = {
    BondOrder.DATIVE: "a dative bond",
    BondOrder.HYDROGEN: "a hydrogen bond",
    BondOrder.ANY: "a query bond (any)",
    BondOrder.ATTACHMENT: "an attachment point",
}


def _undrawn(graph: MolGraph) -> str:
    """What a graph holds and no style draws, so that an answer would name what is not there."""
    if graph.brackets:
        return "brackets"
    if any(group.kind != "ABS" for group in graph.stereo_groups):
        return "relative or racemic stereo (AND, OR)"
    return next((_UNDRAWN_BONDS[b.order] for b in graph.bonds if b.order in _UNDRAWN_BONDS), "")


_WEDGE_CODE = {Chem.BondDir.BEGINWEDGE: 1, Chem.BondDir.BEGINDASH: 6, Chem.BondDir.UNKNOWN: 4}


def _mark_stereo(mol: Chem.Mol) -> None:
    """RDKit's drawing keeps a wedge as a bond direction; the reader of molfiles looks for the
    file's own property. A crossed double bond is the stereo ANY."""
    for bond in mol.GetBonds():
        if (code := _WEDGE_CODE.get(bond.GetBondDir())) is not None:
            bond.SetUnsignedProp("_MolFileBondStereo", code)
        elif bond.GetStereo() == Chem.BondStereo.STEREOANY:
            bond.SetBondDir(Chem.BondDir.EITHERDOUBLE)
            bond.SetUnsignedProp("_MolFileBondStereo", 3)


def _with_wavy_bonds(mol: Chem.Mol, centres: list[int], rng: random.Random) -> Chem.Mol:
    """A wavy bond from each centre to a neighbour outside its ring, where a plain one is free."""
    edited = Chem.RWMol(mol)
    for centre in centres:
        free = [
            bond.GetOtherAtomIdx(centre)
            for bond in edited.GetAtomWithIdx(centre).GetBonds()
            if bond.GetBondType() == Chem.BondType.SINGLE
            and bond.GetBondDir() == Chem.BondDir.NONE
            and not mol.GetBondBetweenAtoms(centre, bond.GetOtherAtomIdx(centre)).IsInRing()
        ]
        if not free:
            continue
        other = rng.choice(free)
        # Made again, because it must begin at the centre.
        edited.RemoveBond(centre, other)
        edited.AddBond(centre, other, Chem.BondType.SINGLE)
        edited.GetBondBetweenAtoms(centre, other).SetBondDir(Chem.BondDir.UNKNOWN)
    if not centres:
        return mol
    edited.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(edited)
    return edited.GetMol()


def _write_labels(mol: Chem.Mol, style: Style, rng: random.Random) -> None:
    """Give each dummy atom its text: as alias for the graph, as display label for RDKit."""
    positions = mol.GetConformer().GetPositions()
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum():
            continue
        index = atom.GetIdx()
        if atom.HasProp(FORWARD):
            backward = _neighbour_stands_right(atom, positions, style.engine)
            text = atom.GetProp(BACKWARD if backward else FORWARD)
            shown = _with_subscripts(text)
        elif style.r_labels and 1 <= atom.GetIsotope() <= 99:
            text = f"R{atom.GetIsotope()}"
            tag = {"high": "sup", "low": "sub", "line": ""}[style.r_script]
            shown = f"R<{tag}>{text[1:]}</{tag}>" if tag else text
        elif style.r_labels:
            # Where nothing is bonded, or much, Y and W would be yttrium and tungsten.
            bonded = 1 <= atom.GetDegree() <= 3
            text = shown = rng.choice(_VARIABLES) if bonded else "X"
        else:
            continue
        mol.GetAtomWithIdx(index).SetIsotope(0)
        atom.SetProp("molFileAlias", text)
        atom.SetProp("_displayLabel", shown)
        atom.SetProp("_displayLabelW", shown)


def _neighbour_stands_right(
    atom: Chem.Atom, positions: NDArray[np.float64], engine: Engine
) -> bool:
    (neighbour,) = atom.GetNeighbors()
    along = positions[neighbour.GetIdx()] - positions[atom.GetIdx()]
    return bool(along[0] / np.linalg.norm(along) > _WRITTEN_BACKWARD[engine])


def _with_subscripts(text: str) -> str:
    return re.sub(r"(?<=[A-Za-z)])(\d+)", r"<sub>\1</sub>", text)


def _benzene_rings(mol: Chem.Mol) -> tuple[tuple[int, ...], ...]:
    """Six-rings that a circle says all about: C and N without hydrogen, no C=O, nor fused to a ring
    that has none (indole), because the shared bond cannot be of two kinds."""
    info = mol.GetRingInfo()
    rings = [
        (set(bonds), atoms)
        for atoms, bonds in zip(info.AtomRings(), info.BondRings(), strict=True)
        if all(mol.GetBondWithIdx(bond).GetIsAromatic() for bond in bonds)
    ]
    good = [
        (bonds, atoms)
        for bonds, atoms in rings
        if len(atoms) == 6 and all(_may_be_in_circle(mol.GetAtomWithIdx(atom)) for atom in atoms)
    ]
    while True:
        bad = [bonds for bonds, _ in rings if not any(bonds == other for other, _ in good)]
        kept = [(b, a) for b, a in good if not any(b & other for other in bad)]
        if len(kept) == len(good):
            return tuple(tuple(atoms) for _, atoms in good)
        good = kept


def _may_be_in_circle(atom: Chem.Atom) -> bool:
    if atom.GetFormalCharge():
        return False
    if atom.GetAtomicNum() == 7:
        return bool(atom.GetDegree() == 2 and atom.GetTotalNumHs() == 0)
    return bool(
        atom.GetAtomicNum() == 6
        and not any(bond.GetBondType() == Chem.BondType.DOUBLE for bond in atom.GetBonds())
    )


def _with_circles(graph: MolGraph, rings: tuple[tuple[int, ...], ...]) -> MolGraph:
    pairs = {
        frozenset((a, b)) for ring in rings for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)
    }
    bonds = (
        replace(bond, order=BondOrder.AROMATIC)
        if frozenset((bond.begin, bond.end)) in pairs
        else bond
        for bond in graph.bonds
    )
    return MolGraph(graph.atoms, tuple(bonds))


def _make_single(mol: Chem.Mol, rings: tuple[tuple[int, ...], ...]) -> None:
    """Single lines for RDKit, which knows no circles; the hydrogens stay as they are."""
    for atom in mol.GetAtoms():
        hydrogens = atom.GetTotalNumHs()
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(hydrogens)
    for ring in rings:
        for a, b in zip(ring, (*ring[1:], ring[0]), strict=True):
            mol.GetBondBetweenAtoms(a, b).SetBondType(Chem.BondType.SINGLE)
    mol.UpdatePropertyCache(strict=False)


def _bare_carbons(mol: Chem.Mol, fraction: float, rng: random.Random) -> tuple[int, ...]:
    return tuple(
        atom.GetIdx()
        for atom in mol.GetAtoms()
        if atom.GetAtomicNum() == 6
        and not (atom.GetIsAromatic() or atom.GetTotalNumHs() or atom.GetFormalCharge())
        and not atom.GetIsotope()
        and atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED
        and rng.random() < fraction
    )


def _labels_collide(graph: MolGraph) -> bool:
    """True where another atom lies in the box of a label of more than two letters."""
    neighbours = graph.neighbours()
    for index, label in enumerate(graph.atoms):
        text = label.text.strip("[]")
        if len(text) < 3 or not neighbours[index]:
            continue
        here, other = label, graph.atoms[neighbours[index][0][0]]
        side = -1 if other.x - here.x > 0.3 * _BOND else 1
        width = (len(text) + 0.5) * _LETTER * _BOND
        for number, atom in enumerate(graph.atoms):
            reach = (atom.x - here.x) * side
            if number != index and -0.2 < reach < width and abs(atom.y - here.y) < 0.5 * _BOND:
                return True
    return False
