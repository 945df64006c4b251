"""Where a system reads well and where it does not: exact match by the kind of molecule.

A gold row belongs to one size and to any number of the other kinds. What is drawn (abbreviations,
R groups) is taken from the gold's graph where there is one, the rest from its SMILES.
"""

from __future__ import annotations

from collections.abc import Callable

from rdkit import Chem

from eyesmol.gold import Gold
from eyesmol.scores import METRICS, Evaluation, Share

__all__ = ["SUBSETS", "subset_shares", "subset_table"]

# Upper ends of the sizes, in heavy atoms.
_SIZES = (10, 20, 30, 50)


def _heavy_atoms(gold: Gold) -> int:
    mol = Chem.MolFromSmiles(gold.smiles)
    return int(mol.GetNumHeavyAtoms()) if mol is not None else 0


def _has_r_group(gold: Gold) -> bool:
    return "*" in gold.smiles


def _has_abbreviation(gold: Gold) -> bool:
    """A label that stands for several atoms: neither an element nor an R group."""
    labels = (atom for atom in gold.graph.atoms if not atom.is_element) if gold.graph else ()
    return any(not (a.label == "*" or (a.label[0] == "R" and a.label[1:].isdigit()))
               for a in labels)  # fmt: skip


def _between(low: int, high: float) -> Callable[[Gold], bool]:
    return lambda gold: low <= _heavy_atoms(gold) <= high


def _sizes() -> dict[str, Callable[[Gold], bool]]:
    subsets = {}
    low = 1
    for high in _SIZES:
        subsets[f"{low} to {high} heavy atoms"] = _between(low, high)
        low = high + 1
    return {**subsets, f"more than {_SIZES[-1]}": _between(low, float("inf"))}


SUBSETS: dict[str, Callable[[Gold], bool]] = {
    **_sizes(),
    "tetrahedral stereo": lambda gold: "@" in gold.smiles,
    "cis/trans stereo": lambda gold: "/" in gold.smiles or "\\" in gold.smiles,
    "no stereo": lambda gold: not set("@/\\") & set(gold.smiles),
    "abbreviations": _has_abbreviation,
    "R groups": _has_r_group,
    "several fragments": lambda gold: "." in gold.smiles,
}


def subset_shares(evaluation: Evaluation, metric: str = "exact") -> dict[str, Share]:
    """The share of a metric in each subset that has rows, with its interval.

    Args:
        evaluation: of one system.
        metric: a key of `eyesmol.scores.METRICS`.
    """
    column = METRICS[metric]
    shares = {}
    for name, belongs in SUBSETS.items():
        rows = [row for row in evaluation.rows if belongs(row.gold)]
        values = [value for row in rows if (value := column.value(row)) is not None]
        if values:
            shares[name] = column.share(values)
    return shares


def subset_table(evaluations: list[Evaluation]) -> str:
    """Exact match by subset as lines of text: rows of the subset, then a column a system."""
    columns = [subset_shares(evaluation) for evaluation in evaluations]
    widths = [max(len(evaluation.name), 6) for evaluation in evaluations]
    title = max(map(len, columns[0]), default=0)
    names = (f"{e.name:>{w}}" for e, w in zip(evaluations, widths, strict=True))
    lines = ["exact match by subset, per cent", "  ".join([" " * (title + 2), " rows", *names])]
    for name, share in columns[0].items():
        values = (f"{c[name].value * 100:>{w}.1f}" for c, w in zip(columns, widths, strict=True))
        lines.append("  ".join([f"  {name:<{title}}", f"{share.n:>5}", *values]))
    return "\n".join(lines)
