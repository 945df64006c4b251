"""Where a system reads well and where it does not: every column by the kind of molecule.

A gold row belongs to one size and to any number of the other kinds. What is drawn (abbreviations,
R groups) is taken from the gold's graph where there is one, the rest from its SMILES.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from rdkit import Chem

from eyesmol.evaluation.compare import SURE, Comparison, compare
from eyesmol.evaluation.gold import Gold
from eyesmol.evaluation.metrics import METRICS, Evaluation, Share

__all__ = [
    "SIZES",
    "SUBSETS",
    "subset_comparisons",
    "subset_dict",
    "subset_evaluation",
    "subset_shares",
    "subset_table",
    "subsets_of",
]

# Upper ends of the sizes, in heavy atoms.
_SIZES = (10, 20, 30, 50)


@lru_cache(maxsize=65536)
def _heavy_atoms(smiles: str) -> int:
    mol = Chem.MolFromSmiles(smiles)
    return int(mol.GetNumHeavyAtoms()) if mol is not None else 0


def _has_r_group(gold: Gold) -> bool:
    return "*" in gold.smiles


def _has_abbreviation(gold: Gold) -> bool:
    """A label that stands for several atoms: neither an element nor an R group."""
    labels = (atom for atom in gold.graph.atoms if not atom.is_element) if gold.graph else ()
    return any(not (a.label == "*" or (a.label[0] == "R" and a.label[1:].isdigit()))
               for a in labels)  # fmt: skip


def _between(low: int, high: float) -> Callable[[Gold], bool]:
    return lambda gold: low <= _heavy_atoms(gold.smiles) <= high


def _sizes() -> dict[str, Callable[[Gold], bool]]:
    subsets = {}
    low = 0  # nothing but R groups: still a molecule, and the smallest size
    for high in _SIZES:
        subsets[f"{max(low, 1)} to {high} heavy atoms"] = _between(low, high)
        low = high + 1
    return {**subsets, f"more than {_SIZES[-1]}": _between(low, float("inf"))}


SIZES = _sizes()  # every gold row is in one of them

SUBSETS: dict[str, Callable[[Gold], bool]] = {
    **SIZES,
    "tetrahedral stereo": lambda gold: "@" in gold.smiles,
    "cis/trans stereo": lambda gold: "/" in gold.smiles or "\\" in gold.smiles,
    "no stereo": lambda gold: not set("@/\\") & set(gold.smiles),
    "abbreviations": _has_abbreviation,
    "R groups": _has_r_group,
    "several fragments": lambda gold: "." in gold.smiles,
}


def subsets_of(gold: Gold) -> list[str]:
    """Names of the subsets that a gold row belongs to."""
    return [name for name, belongs in SUBSETS.items() if belongs(gold)]


def subset_evaluation(evaluation: Evaluation, name: str) -> Evaluation:
    """The same system on the rows of one subset."""
    rows = tuple(row for row in evaluation.rows if SUBSETS[name](row.gold))
    return replace(evaluation, rows=rows, unscorable=(), missing=0, errors=0, unused=0)


def subset_shares(evaluation: Evaluation, metric: str = "exact") -> dict[str, Share]:
    """The share of a metric in each subset that has rows, with its interval.

    Args:
        evaluation: of one system.
        metric: a key of `eyesmol.evaluation.metrics.METRICS`.
    """
    column = METRICS[metric]
    shares = {}
    for name, belongs in SUBSETS.items():
        share = column.over(row for row in evaluation.rows if belongs(row.gold))
        if share is not None:
            shares[name] = share
    return shares


def subset_comparisons(evaluations: Sequence[Evaluation]) -> dict[str, list[Comparison]]:
    """McNemar's test of each pair of systems in each subset that has rows."""
    found = {}
    for name in SUBSETS:
        parts = [subset_evaluation(evaluation, name) for evaluation in evaluations]
        if parts and parts[0].rows:
            found[name] = [compare(a, b) for a, b in itertools.combinations(parts, 2)]
    return found


def subset_dict(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """For a JSON file: rows, every column of every system, and the tests, by subset."""
    tests = subset_comparisons(evaluations)
    found: dict[str, Any] = {}
    for name in tests:
        parts = [subset_evaluation(evaluation, name) for evaluation in evaluations]
        known = [set(evaluation.shares()) for evaluation in evaluations]
        found[name] = {
            "rows": len(parts[0].rows),
            "systems": {
                part.name: {k: s.to_dict() for k, s in part.shares().items() if k in keys}
                for part, keys in zip(parts, known, strict=True)
            },
            "comparisons": [asdict(comparison) for comparison in tests[name]],
        }
    return found


def subset_table(evaluations: Sequence[Evaluation]) -> str:
    """Exact match by subset as lines of text, a column a system; then where two systems differ."""
    columns = [subset_shares(evaluation) for evaluation in evaluations]
    widths = [max(len(evaluation.name), 6) for evaluation in evaluations]
    title = max(map(len, columns[0]), default=0)
    names = (f"{e.name:>{w}}" for e, w in zip(evaluations, widths, strict=True))
    lines = ["exact match by subset, per cent", "  ".join([" " * (title + 2), " rows", *names])]
    for name, share in columns[0].items():
        values = (f"{c[name].value * 100:>{w}.1f}" for c, w in zip(columns, widths, strict=True))
        lines.append("  ".join([f"  {name:<{title}}", f"{share.n:>5}", *values]))
    tests = [(n, c) for n, row in subset_comparisons(evaluations).items() for c in row]
    if tests:
        lines.append(
            f"subsets in which two systems differ (p < {SURE} in one of {len(tests)} tests):"
        )
        lines += [f"  {name}: {test}" for name, test in tests if test.p_value < SURE] or ["  none"]
    return "\n".join(lines)
