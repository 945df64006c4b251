"""What the reader found in one picture: the answer, its graph, its molecule, and what is doubtful.

No model is needed here, so scores, writers and servers share this file without loading torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from rdkit import Chem
from rdkit.Chem import rdDepictor

from eyesmol.answer import Answer, read_answer
from eyesmol.chemistry import (
    canonical_smiles,
    expand_abbreviations,
    graph_to_smiles,
    molblock_to_smiles,
)
from eyesmol.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.molfile import graph_to_molblock

__all__ = ["Molecule", "Recognition", "molecule_of"]

Opinion = Literal["graph", "written"]

# A runaway answer has hundreds of problems, all of one kind, or a label of a thousand letters.
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 300


@dataclass(frozen=True)
class Molecule:
    """The two opinions that an answer holds about its molecule, and the best guess.

    Attributes:
        smiles: the best guess, canonical; None where neither opinion is a sane molecule.
        smiles_from: whose opinion the best guess is.
        molblock: V2000, the same molecule as `smiles`, with the drawn places where it comes from
            the graph and RDKit's layout where it comes from the written SMILES.
        written_canonical: the SMILES that the model wrote, canonical; None where it is none.
        graph_smiles: the SMILES of the listed graph, canonical; None where RDKit refuses it.
        problems: what speaks against the answer, one sentence each.
    """

    smiles: str | None = None
    smiles_from: Opinion | None = None
    molblock: str | None = None
    written_canonical: str | None = None
    graph_smiles: str | None = None
    problems: tuple[str, ...] = ()


def molecule_of(answer: Answer) -> Molecule:
    """Weigh the written SMILES against the graph.

    The rule: the graph is taken where it is a sane molecule and nothing of it was lost (no broken
    line, no label without a known expansion), because every atom of it was pointed at. Otherwise
    the written SMILES is taken where it is valid, else whatever the graph gives.
    """
    graph_smiles, graph_problems = graph_to_smiles(answer.graph)
    if not any(letter.isalpha() for letter in graph_smiles or ""):
        graph_smiles = None  # no atom at all, or nothing but labels that nobody knows: "*.*"
    written = canonical_smiles(answer.smiles) if answer.smiles else None
    problems = [*answer.problems, *graph_problems]
    if answer.smiles and written is None:
        problems.append("the SMILES that was written is not one of a sane molecule")
    if written and graph_smiles and written != graph_smiles:
        problems.append("the SMILES that was written and the graph that was listed differ")

    whole = not answer.problems and not graph_problems
    smiles, source = graph_smiles, "graph" if graph_smiles else None
    if written and not (graph_smiles and whole):
        smiles, source = written, "written"
    block = None
    if source == "graph":
        block = graph_to_molblock(expand_abbreviations(answer.graph)[0])
    elif smiles is not None:
        block = _laid_out(smiles)
    return Molecule(
        smiles, source, block, written, graph_smiles, _shortened(problems)  # type: ignore[arg-type]
    )  # fmt: skip


def _shortened(problems: list[str]) -> tuple[str, ...]:
    problems = [p if len(p) <= _LONGEST_PROBLEM else p[:_LONGEST_PROBLEM] + "..." for p in problems]
    rest = len(problems) - _MOST_PROBLEMS
    if rest <= 0:
        return tuple(problems)
    return (*problems[:_MOST_PROBLEMS], f"and {rest} more problems")


def _laid_out(smiles: str) -> str | None:
    """A molblock in RDKit's layout; None for the rare SMILES that a molblock cannot hold."""
    mol = Chem.MolFromSmiles(smiles)
    rdDepictor.Compute2DCoords(mol)
    block = Chem.MolToMolBlock(mol)
    try:
        return block if molblock_to_smiles(block) == canonical_smiles(smiles) else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Recognition:
    """What was read from one picture.

    Attributes:
        image: the picture's name: its path as it was given.
        answer: the model's own words.
        graph: the listed atoms and bonds, abbreviations kept, places in pixels of the ORIGINAL
            picture (y down); None where no graph is known (an error, another tool's prediction).
        written_smiles: the SMILES as the model wrote it, unchecked.
        molecule: the two opinions and the best guess.
        confidence: geometric mean of the probabilities of the answer's tokens, 0 to 1. It ranks
            pictures; it is not yet the probability of being right.
        error: why the picture could not be read at all; the other fields are then empty.
        seconds: share of this picture in the time of its batch.
        size: width and height of the original picture in pixels.
    """

    image: str
    answer: str = ""
    graph: MolGraph | None = None
    written_smiles: str | None = None
    molecule: Molecule = Molecule()
    confidence: float | None = None
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None

    @property
    def smiles(self) -> str | None:
        """The best guess: see `molecule_of` for the rule."""
        return self.molecule.smiles

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the answer, one sentence each."""
        return self.molecule.problems

    @classmethod
    def from_answer(
        cls,
        image: str,
        text: str,
        *,
        size: tuple[int, int],
        frame_size: tuple[int, int],
        confidence: float | None = None,
        problems: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> Recognition:
        """Read an answer and carry its places back into the original picture.

        Args:
            image: the picture's name.
            text: the answer, in either form.
            size: width and height of the original picture.
            frame_size: width and height at which the model saw it.
            confidence: see the class.
            problems: what went wrong while decoding.
            seconds: see the class.
        """
        answer = read_answer(text)
        x_scale, y_scale = size[0] / frame_size[0], size[1] / frame_size[1]
        graph = answer.graph.placed((a.x * x_scale, a.y * y_scale) for a in answer.graph.atoms)
        # The original picture is not resized evenly: bonds and wedges must be read where drawn.
        answer = replace(answer, graph=graph, problems=(*problems, *answer.problems))
        outside = sum(not (0 <= a.x <= size[0] and 0 <= a.y <= size[1]) for a in graph.atoms)
        molecule = molecule_of(answer)
        if outside:
            note = f"{outside} of {len(graph.atoms)} atoms lie outside the picture"
            molecule = replace(molecule, problems=(*molecule.problems, note))
        return cls(
            image, text, graph, answer.smiles, molecule, confidence, None, round(seconds, 4), size
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """One row of a JSON Lines file; `from_dict` gives the recognition back."""
        graph = self.graph
        return {
            "image": self.image,
            "smiles": self.smiles,
            "smiles_from": self.molecule.smiles_from,
            "written_smiles": self.written_smiles,
            "written_canonical": self.molecule.written_canonical,
            "graph_smiles": self.molecule.graph_smiles,
            "confidence": self.confidence,
            "problems": list(self.problems),
            "error": self.error,
            "seconds": self.seconds,
            "width": self.size and self.size[0],
            "height": self.size and self.size[1],
            "atoms": graph and [
                {"label": a.text, "x": round(a.x, 2), "y": round(a.y, 2)} for a in graph.atoms
            ],
            "bonds": graph and [
                {"begin": b.begin, "end": b.end, "order": int(b.order)} for b in graph.bonds
            ],
            "molblock": self.molecule.molblock,
            "answer": self.answer,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Recognition:
        """From a row of JSON Lines, or from any row with ``image`` and ``smiles``.

        Raises:
            ValueError: no image name, or atoms and bonds that are no graph.
        """
        image = row.get("image")
        if not isinstance(image, str) or not image:
            raise ValueError('no "image" (the picture\'s name)')
        written = _text(row, "written_smiles")
        canonical = _text(row, "written_canonical")
        molecule = Molecule(
            smiles=_text(row, "smiles"),
            smiles_from=row.get("smiles_from") or None,
            molblock=_text(row, "molblock"),
            written_canonical=canonical or (canonical_smiles(written) if written else None),
            graph_smiles=_text(row, "graph_smiles"),
            problems=_problems(row.get("problems")),
        )
        width, height = row.get("width"), row.get("height")
        return cls(
            image=image,
            answer=_text(row, "answer") or "",
            graph=_graph(row),
            written_smiles=written,
            molecule=molecule,
            confidence=_number(row.get("confidence")),
            error=_text(row, "error"),
            seconds=_number(row.get("seconds")) or 0.0,
            size=(int(width), int(height)) if width and height else None,
        )


def _text(row: dict[str, Any], key: str) -> str | None:
    value = row.get(key)
    return value if isinstance(value, str) and value.strip() else None


def _number(value: Any) -> float | None:
    """A number of JSON, or one of CSV, where a field that is not known is empty."""
    return None if value is None or value == "" else float(value)


def _problems(value: Any) -> tuple[str, ...]:
    """A list in JSON, one text in CSV."""
    if isinstance(value, str):
        return tuple(part for part in value.split("; ") if part)
    return tuple(map(str, value or ()))


def _graph(row: dict[str, Any]) -> MolGraph | None:
    atoms, bonds = row.get("atoms"), row.get("bonds")
    if not isinstance(atoms, list) or not isinstance(bonds, list):
        return None
    try:
        return MolGraph(
            tuple(Atom.from_text(a["label"], a["x"], a["y"]) for a in atoms),
            tuple(Bond(b["begin"], b["end"], BondOrder(b["order"])) for b in bonds),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"atoms and bonds are no graph: {error!r}") from None
