"""Two readings of one image: where they differ, which one is taken, and how sure that makes it.

``benchmarks/two_readers.py`` measures the rule; see `docs/two-readers.md`.
"""

from __future__ import annotations

from dataclasses import replace

from eyesmol.chem.differences import differences
from eyesmol.recognition import Recognition

__all__ = ["both_read"]

# How many times surer the first must be. Where nano and the detector differed on 30 drawings of
# small molecules, the detector was right in all 7, though in 2 it was less than half as sure: the
# factor is a choice until both are calibrated alike.
_OUTWEIGHS = 2.0


def both_read(first: Recognition, second: Recognition) -> Recognition:
    """The better one of two readings, with what the other says.

    Where they agree it is the first, and the chance that both are wrong is the product of theirs.
    Where they differ it is the second one, the detector's, unless the first is far surer.

    Args:
        first, second: of one image, with their confidences.
    """
    if first.error or second.error:
        return first
    if first.smiles is None or second.smiles is None:
        taken, other = (first, second) if second.smiles is None else (second, first)
        return replace(taken, second_smiles=other.smiles)
    sure, other_sure = first.confidence or 0.0, second.confidence or 0.0
    if first.smiles == second.smiles:
        both = 1 - (1 - sure) * (1 - other_sure)
        return replace(first, second_smiles=second.smiles, confidence=round(both, 4))
    taken, other = first, second
    if sure <= _OUTWEIGHS * other_sure:
        taken, other, sure, other_sure = second, first, other_sure, sure
    apart = differences(taken.graph, other.graph) if taken.graph and other.graph else ()
    note = f"the other reader reads {other.smiles}"
    molecule = replace(taken.molecule, problems=(*taken.problems, note))
    return replace(
        taken,
        page=first.page,
        box=first.box,
        molecule=molecule,
        confidence=round(_against(sure, other_sure), 4),
        second_smiles=other.smiles,
        differences=apart,
    )


def _against(sure: float, other: float) -> float:
    """Probability of one of two readings of which at most one is right."""
    one, two, none = sure * (1 - other), other * (1 - sure), (1 - sure) * (1 - other)
    total = one + two + none
    return one / total if total else 0.5
