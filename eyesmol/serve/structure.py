"""One structure in all the forms that a chemist copies: SMILES, CXSMILES, InChI, molfile, drawing.

For what somebody drew or typed, and for the drawings of what was read.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from pydantic import BaseModel, Field
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol.chem.molfile import block_to_mol
from eyesmol.chem.smiles import cxsmiles

__all__ = ["MOST_ATOMS", "Structure", "StructureError", "drawing_uri", "inchi_of", "structure_of"]

# RDKit needs seconds to lay out 360 atoms, and no other request is answered meanwhile.
MOST_ATOMS = 200
_MOST_LETTERS = 200_000
_SECONDS_FOR_INCHI = 2


class StructureError(ValueError):
    """A text that is no structure; the message says what is wrong, in words."""


class Structure(BaseModel):
    """A structure in every form."""

    smiles: str = Field(description="canonical")
    cxsmiles: str = Field(description="with the labels of R groups")
    inchi: str | None = Field(description="standard InChI; none for structures with R groups")
    inchikey: str | None
    molfile: str = Field(description="as it was given; of a SMILES in RDKit's layout")
    drawing: str = Field(description="SVG, as a data URI")


def structure_of(text: str) -> Structure:
    """A SMILES or a molfile in every form.

    Raises:
        StructureError: it is neither, no molecule, or too large.
    """
    if len(text) > _MOST_LETTERS:
        raise StructureError(f"{len(text):,} letters; expected at most {_MOST_LETTERS:,}")
    is_molfile = "M  END" in text
    mol = _from_molfile(text) if is_molfile else _from_smiles(text.strip())
    if mol.GetNumAtoms() > MOST_ATOMS:
        raise StructureError(f"{mol.GetNumAtoms()} atoms; expected at most {MOST_ATOMS}")
    if not is_molfile:
        rdDepictor.Compute2DCoords(mol)
    inchi = inchi_of(mol)
    return Structure(
        smiles=Chem.MolToSmiles(mol),
        cxsmiles=cxsmiles(mol),
        inchi=inchi,
        inchikey=Chem.InchiToInchiKey(inchi) if inchi else None,
        molfile=text if is_molfile else str(Chem.MolToMolBlock(mol)),
        drawing=drawing_uri(mol),
    )


def _from_molfile(text: str) -> Chem.Mol:
    try:
        mol = block_to_mol(text, sanitize=True)
    except ValueError as error:
        raise StructureError(f"not a possible structure: {error}") from None
    if not mol.GetNumAtoms():
        raise StructureError("there is no atom in it")
    return mol


def _from_smiles(smiles: str) -> Chem.Mol:
    if not smiles:
        raise StructureError("there is no atom in it")
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise StructureError(_why_unreadable(smiles))
    return mol


def _why_unreadable(smiles: str) -> str:
    """What is wrong with a SMILES that RDKit refuses."""
    with rdBase.BlockLogs():
        loose = Chem.MolFromSmiles(smiles, sanitize=False)
        if loose is not None:
            found = Chem.DetectChemistryProblems(loose)
            return f"not a possible structure: {found[0].Message() if found else smiles}"
    bare = re.sub(r"\[[^\[\]]*\]", "", smiles)
    if "[" in bare or "]" in bare:
        return "not a SMILES: a bracket [ ] has no partner"
    if bare.count("(") != bare.count(")"):
        return "not a SMILES: a parenthesis ( ) has no partner"
    rings = re.findall(r"%\d\d|\d", bare)
    if odd := sorted({ring for ring in rings if rings.count(ring) % 2}):
        return f"not a SMILES: ring {odd[0].lstrip('%')} is opened and not closed"
    return "not a SMILES: a letter, a bond or a bracket stands where none can"


def inchi_of(mol: Chem.Mol) -> str | None:
    """Standard InChI; None where there is none, as of a structure with R groups."""
    if any(atom.GetAtomicNum() == 0 for atom in mol.GetAtoms()):
        return None
    with rdBase.BlockLogs():
        return str(Chem.MolToInchi(mol, options=f"-W{_SECONDS_FOR_INCHI}")) or None


def drawing_uri(mol: Chem.Mol, size: tuple[int, int] = (420, 300)) -> str:
    """A drawing as an SVG data URI, laid out as the molecule is, if it is."""
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.addStereoAnnotation = True
    if not mol.GetNumConformers():
        rdDepictor.Compute2DCoords(mol)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    svg = base64.b64encode(drawer.GetDrawingText().encode()).decode()
    return f"data:image/svg+xml;base64,{svg}"
