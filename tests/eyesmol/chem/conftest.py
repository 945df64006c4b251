"""What the tests of labels share: a fragment as a SMILES."""

from __future__ import annotations

from rdkit import Chem

from eyesmol.chem.condensed import Fragment
from eyesmol.chem.smiles import canonical_smiles


def written(fragment: Fragment | None, orders: tuple[int, ...] = (1,)) -> str | None:
    """A fragment's canonical SMILES with [1*], [2*] ... at the ends of its outward bonds."""
    if fragment is None:
        return None
    mol = Chem.RWMol(fragment.mol)
    for number, (site, order) in enumerate(zip(fragment.sites, orders, strict=True), start=1):
        end = Chem.Atom(0)
        end.SetIsotope(number)
        mol.AddBond(site, mol.AddAtom(end), Chem.BondType.values[order])
    return canonical_smiles(Chem.MolToSmiles(mol))
