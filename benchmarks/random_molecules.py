"""Do the random molecules look like those of patents? Their figures side by side.

    python benchmarks/random_molecules.py --molfiles DIR [--exclude DIR...]

Also says how fast they are made, how many are distinct, and how many are molecules of the folders
given (by the first block of the InChIKey, so stereo and charge make no difference).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdMolDescriptors
from tqdm import tqdm

from data_preprocess.sources.random_molecules import random_molecules
from eyesmol.chem.molfile import MolfileError, read_molblock
from eyesmol.chem.smiles import molblock_to_smiles

_ELEMENTS = ("C", "O", "N", "F", "S", "Cl", "Br", "I", "P", "*")


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molfiles", type=Path, required=True, metavar="DIR")
    parser.add_argument("--exclude", nargs="*", type=Path, default=[], metavar="DIR")
    parser.add_argument("--count", type=int, default=4_000, metavar="N", help="molecules (4000)")
    options = parser.parse_args()
    begin = time.perf_counter()
    made = list(itertools.islice(random_molecules(), options.count))
    seconds = time.perf_counter() - begin
    real = list(_smiles_of(options.molfiles))
    columns = [figures(tqdm(smiles, disable=None)) for smiles in (made, real)]
    print(f"{'':42}{'random':>10}{'molfiles':>10}")
    for name in columns[0]:
        print(f"{name:42}{columns[0][name]:10.2f}{columns[1][name]:10.2f}")
    known = {_key(smiles) for folder in options.exclude for smiles in _smiles_of(folder)} | {
        _key(smiles) for smiles in real
    }
    common = sum(_key(smiles) in known for smiles in made)
    print(f"\n{len(made) / seconds:,.0f} a second; {len(set(made)):,} of {len(made):,} distinct;")
    print(f"{common} are molecules of the folders given")


def figures(smiles: Iterable[str]) -> dict[str, float]:
    """Shares in percent, sizes as percentiles."""
    rows = [_counted(mol) for mol in map(_mol, smiles) if mol is not None]
    elements, rings, bonds = (sum((row[k] for row in rows), Counter()) for k in (0, 1, 2))
    numbers = np.array([row[3] for row in rows], dtype=float)
    heavy, ring_count, centres, charged = numbers.T
    result = {f"heavy atoms, percentile {p}": np.percentile(heavy, p) for p in (5, 25, 50, 75, 95)}
    result |= {f"rings, percentile {p}": np.percentile(ring_count, p) for p in (5, 50, 95)}
    result |= {f"{e}, % of atoms": _percent(elements[e], elements) for e in _ELEMENTS}
    result |= {f"rings of {n}, % of rings": _percent(rings[n], rings) for n in range(3, 8)}
    result |= {f"atoms with {n} neighbours, %": _percent(bonds[n], bonds) for n in range(1, 5)}
    result["molecules with stereo centres, %"] = 100 * np.mean(centres > 0)
    result["centres of these, mean"] = np.mean(centres[centres > 0])
    result["molecules with charges, %"] = 100 * np.mean(charged)
    return {name: float(value) for name, value in result.items()}


def _counted(mol: Chem.Mol) -> tuple[Counter[str], Counter[int], Counter[int], list[int]]:
    """Elements, ring sizes, degrees; and heavy atoms, rings, centres, whether charged."""
    ring_info = mol.GetRingInfo()
    atoms = list(mol.GetAtoms())
    return (
        Counter(atom.GetSymbol() for atom in atoms),
        Counter(len(ring) for ring in ring_info.AtomRings()),
        Counter(atom.GetDegree() for atom in atoms),
        [
            mol.GetNumHeavyAtoms(),
            rdMolDescriptors.CalcNumRings(mol),
            len(Chem.FindMolChiralCenters(mol, useLegacyImplementation=False)),
            any(atom.GetFormalCharge() for atom in atoms),
        ],
    )


def _percent(count: int, counts: Counter[str] | Counter[int]) -> float:
    return 100 * count / max(sum(counts.values()), 1)


def _mol(smiles: str) -> Chem.Mol | None:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def _key(smiles: str) -> str:
    mol = _mol(smiles)
    with rdBase.BlockLogs():
        return (Chem.MolToInchiKey(mol)[:14] if mol is not None else "") or smiles


def _smiles_of(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        try:
            yield molblock_to_smiles(read_molblock(path))
        except MolfileError:
            continue


if __name__ == "__main__":
    main()
