"""A turn: one question about an image and its answer; and the turn of the chain of thought."""

from __future__ import annotations

from dataclasses import dataclass

from eyesmol.answer.text import PROMPT_VERSION, AnswerForm, prompt, write_answer
from eyesmol.chem.graph import MolGraph

__all__ = ["Turn", "cot_turn"]


@dataclass(frozen=True)
class Turn:
    """One question about an image and its answer."""

    task: str
    question: str
    answer: str


def cot_turn(graph: MolGraph, smiles: str, form: AnswerForm, version: int = PROMPT_VERSION) -> Turn:
    """The chain of thought: atom by atom, bond by bond, the SMILES last.

    Args:
        graph: positions in the pixels of the image that the model sees.
        smiles: of the same molecule.
        form: ``json`` or ``compact``.
        version: of the prompt.
    """
    return Turn("cot", prompt(form, version), write_answer(graph, smiles, form))
