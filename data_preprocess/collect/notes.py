"""Which of a compound's descriptions is taken, and on what terms."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["choose", "terms"]

# Of the sources that have the most descriptions; PUG REST does not say them, PUG View does.
_LICENCES = {
    "ChEBI": "CC BY 4.0",
    "DrugBank": "CC BY-NC 4.0",
    "Human Metabolome Database (HMDB)": "CC BY-NC 4.0",
    "LOTUS - the natural products occurrence database": "CC0 1.0",
}
_NOT_COMMERCIAL = re.compile(r"\bnc\b|non-?\s?commercial", re.IGNORECASE)
_OPEN = re.compile(r"creativecommons|\bcc[ -]?(?:by|0)|public ?domain", re.IGNORECASE)


def terms(note: dict[str, Any]) -> str:
    """The licence of a description, as far as it is known."""
    return note["licence"] or _LICENCES.get(note["source"] or "", "as the source states")


def choose(notes: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The description to take: by its terms, then the longest, then by the alphabet.

    Terms: known and open before unknown before non-commercial.
    """

    def rank(note: dict[str, Any]) -> tuple[int, int, str, str]:
        licence = terms(note)
        order = 0 if _NOT_COMMERCIAL.search(licence) else 2 if _OPEN.search(licence) else 1
        return order, len(note["text"]), note["text"], note["source"] or ""

    return max(notes, key=rank, default=None)
