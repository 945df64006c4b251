"""What the reader found in one image: the answer, its graph, its molecule, and what is doubtful.

No model is needed here, so scores, writers and servers share this file without loading torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from PIL.Image import Image as PILImage
from rdkit import Chem
from rdkit.Chem import rdDepictor

from eyesmol.answer.confidence import Confidences, TokenTrace
from eyesmol.answer.text import Answer, read_answer
from eyesmol.chem.carbon import Carbon
from eyesmol.chem.differences import Difference
from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, MolGraph, StereoGroup
from eyesmol.chem.molfile import as_v3000, block_to_mol, graph_to_molblock
from eyesmol.chem.smiles import (
    canonical_smiles,
    cxsmiles,
    expand_abbreviations,
    graph_to_cxsmiles,
    graph_to_smiles,
    molblock_to_smiles,
)
from eyesmol.chem.valence_repair import repaired, valence_problems
from eyesmol.depiction import as_html, draw_molecule
from eyesmol.image.loading import Box, Source, load_picture
from eyesmol.image.overlay import draw_overlay

__all__ = ["Molecule", "Opinion", "Recognition", "molecule_of"]

Opinion = Literal["graph", "written", "repaired"]

# A runaway answer has hundreds of problems, all of one kind, or a label of a thousand letters.
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 300


# How many times likelier the written SMILES must be to outweigh a graph that is whole and valid. On
# 1,280 images that the quickstart's model had not seen, both opinions were molecules and differed
# in 78; the graph was right in 34 of them and the SMILES in none, though it was likelier in 65.
_OUTWEIGHS = 20.0


@dataclass(frozen=True)
class Molecule:
    """The two opinions that an answer holds about its molecule, and the best guess.

    Attributes:
        smiles: the best guess, canonical; None where neither opinion is a valid molecule.
        smiles_from: whose opinion the best guess is.
        why: the reason for it, in words.
        molblock: V2000 (or V3000, see `Recognition.as_v3000`), the same molecule as `smiles`, with
            the drawn places where it comes from the graph and RDKit's layout where it comes from
            the written SMILES.
        cxsmiles: the same with R groups and abbreviations as they are drawn, which are dummies with
            labels, and with what no SMILES says: repeat units, relative stereo, axes.
        drawn_molblock: the graph as drawn, abbreviations as labelled dummies (alias lines); None
            where the best guess is not the graph's.
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
    why: str | None = None
    cxsmiles: str | None = None
    drawn_molblock: str | None = None


def molecule_of(answer: Answer, confidences: Confidences | None = None) -> Molecule:
    """Weigh the written SMILES against the graph.

    The rule: the graph is taken where it is a valid molecule and nothing of it was lost (no broken
    line, no label without a known expansion), because every atom of it was pointed at; unless the
    model was far surer of the SMILES. Otherwise the written SMILES is taken where it is valid,
    else whatever the graph gives, with its valences fixed where RDKit refuses it.

    Args:
        answer: places in any image with y down.
        confidences: of its parts, where they are known.
    """
    graph_smiles, graph_problems = graph_to_smiles(answer.graph)
    if not _has_letters(graph_smiles):
        graph_smiles = None  # no atom at all, or nothing but labels that nobody knows: "*.*"
    written = canonical_smiles(answer.smiles) if answer.smiles else None
    problems = [*answer.problems, *graph_problems]
    if answer.smiles and written is None:
        problems.append("the SMILES that was written is not one of a valid molecule")
    if written and graph_smiles and written != graph_smiles:
        problems.append("the SMILES that was written and the graph that was listed differ")
    whole = not answer.problems and not graph_problems
    source, why = _chosen(graph_smiles, written, bool(answer.smiles), whole, confidences)
    graph, smiles = answer.graph, graph_smiles if source == "graph" else written
    if graph_smiles is None and answer.graph.atoms:
        wrong = valence_problems(answer.graph)
        problems += (f"atom {atom}: impossible valence" for atom in wrong)
        fixed = repaired(answer.graph, confidences.bonds if confidences else ())
        repaired_smiles = graph_to_smiles(fixed)[0] if fixed else None
        if fixed and _has_letters(repaired_smiles) and written in (None, repaired_smiles):
            graph, smiles, source = fixed, repaired_smiles, "repaired"
            why = "the graph with its valences repaired" + (
                " is what was written"
                if written
                else "; the written SMILES is no valid molecule"
                if answer.smiles
                else ""
            )
            problems.append("the graph has impossible valences, which were repaired")
    if source in ("graph", "repaired"):
        problems += _once(graph)
    return _described(
        Molecule(
            smiles, source, None, written, graph_smiles, _shortened(problems), why
        ),
        graph,
    )  # fmt: skip


def _once(graph: MolGraph) -> list[str]:
    """What the SMILES of a drawing with repeat units has to be read with."""
    return [
        f"the SMILES has the repeat unit marked {bracket.mark!r} once; its brackets are in the "
        "CXSMILES"
        for bracket in graph.brackets
        if bracket.kind == "SRU"
    ]


def _has_letters(smiles: str | None) -> bool:
    return any(letter.isalpha() for letter in smiles or "")


def _chosen(
    graph: str | None,
    written: str | None,
    said: bool,
    whole: bool,
    confidences: Confidences | None,
) -> tuple[Opinion | None, str | None]:
    """Whose opinion is taken, and why."""
    if graph and written and graph != written:
        if not whole:
            return "written", "parts of the graph were lost or could not be read"
        if confidences is None:
            return "graph", "they differ; each atom of the graph was pointed at"
        sure = f"(probability {confidences.graph:.3g} against {confidences.smiles:.3g})"
        if confidences.smiles > _OUTWEIGHS * confidences.graph:
            return "written", f"they differ; the written SMILES is far likelier {sure}"
        return "graph", f"they differ; the written SMILES is not far likelier {sure}"
    if graph and written:
        return ("graph", "both agree") if whole else ("written", "both agree, the graph in part")
    if graph:
        return "graph", "the written SMILES is no valid molecule" if said else "all that was read"
    if written:
        return "written", "the graph is no valid molecule"
    return None, "neither is a valid molecule" if said else "the graph is no valid molecule"


def _described(molecule: Molecule, graph: MolGraph) -> Molecule:
    """The molecule with its molblocks and its CXSMILES."""
    if molecule.smiles is None:
        return molecule
    if molecule.smiles_from == "written":
        return replace(
            molecule,
            molblock=_laid_out(molecule.smiles),
            cxsmiles=cxsmiles(Chem.MolFromSmiles(molecule.smiles)),
        )
    drawn, block = graph_to_molblock(graph), graph_to_molblock(expand_abbreviations(graph)[0])
    if "*" in molecule.smiles:
        # Labels that nobody knows: what a molfile holds of them is all that is said of them.
        molecule = replace(molecule, smiles=molblock_to_smiles(block, repeat_once=True))
    return replace(
        molecule,
        molblock=block,
        drawn_molblock=drawn,
        cxsmiles=graph_to_cxsmiles(graph) or cxsmiles(Chem.MolFromSmiles(molecule.smiles)),
    )


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


def _as_v3000(block: str | None) -> str | None:
    """A molblock in V3000, its wedges as they were drawn; the rare one that RDKit's V3000 does not
    hold, such as one with a charged label that nobody knows, stays V2000."""
    if block is None or "V3000" in block:
        return block
    try:
        found = as_v3000(block)
        smiles = (molblock_to_smiles(b, repeat_once=True) for b in (found, block))
        return found if len(set(smiles)) == 1 else block
    except (ValueError, RuntimeError):
        return block


@dataclass(frozen=True)
class Recognition:
    """What was read from one image.

    Attributes:
        image: the image's name: its path as it was given.
        answer: the model's own words.
        graph: the listed atoms and bonds, abbreviations kept, places in pixels of the ORIGINAL
            image (y down); None where no graph is known (an error, another tool's prediction).
        written_smiles: the SMILES as the model wrote it, unchecked.
        molecule: the two opinions and the best guess.
        confidence: 0 to 1; the probability of being right where the model is calibrated
            (`eyesmol.answer.confidence.Calibration`), else the raw confidence, which only ranks.
        error: why the image could not be read at all; the other fields are then empty.
        seconds: share of this image in the time of its batch.
        size: width and height of the original image in pixels.
        raw_confidence: product of the probabilities of the tokens that say what is in the image,
            of the opinion that was taken: see `eyesmol.answer.confidence`.
        atom_confidence, bond_confidence: of each atom and bond of `graph`; empty where not known.
        reason: why no molecule is given of an image that was read: it shows none, or the reader
            was not sure enough. Empty where one is given.
        withheld_smiles: the best guess that was not sure enough.
        page: of a document, from 1; `box`: where on the page, in its pixels, the image lies.
        second_smiles: what a second reader gives, where one was asked.
        differences: where the two readings differ, this one first.
        alternatives: further SMILES, the likelier first, of a reader that gives a list.
        memory_mib: the most main memory (MiB) that the reading process had taken by then.
        carbon: the CARBON record of a tool that writes such; it may say more than a graph holds.
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
    raw_confidence: float | None = None
    atom_confidence: tuple[float, ...] = ()
    bond_confidence: tuple[float, ...] = ()
    reason: str | None = None
    withheld_smiles: str | None = None
    page: int | None = None
    box: Box | None = None
    second_smiles: str | None = None
    differences: tuple[Difference, ...] = ()
    alternatives: tuple[str, ...] = ()
    memory_mib: float | None = None
    carbon: Carbon | None = None

    @property
    def smiles(self) -> str | None:
        """The best guess: see `molecule_of` for the rule."""
        return self.molecule.smiles

    @property
    def problems(self) -> tuple[str, ...]:
        """What speaks against the answer, one sentence each."""
        return self.molecule.problems

    @property
    def expanded(self) -> MolGraph | None:
        """The graph with its abbreviations replaced by their atoms, in the same pixels."""
        return None if self.graph is None else expand_abbreviations(self.graph)[0]

    @property
    def mol(self) -> Chem.Mol | None:
        """The best guess as RDKit's molecule, its atoms where they were drawn; None where there
        is none."""
        if self.smiles is None:
            return None
        if self.molecule.molblock:
            return block_to_mol(self.molecule.molblock, sanitize=True)
        return Chem.MolFromSmiles(self.smiles)

    def draw(self, size: tuple[int, int] = (400, 300)) -> PILImage | None:
        """A depiction of the best guess; None where there is none.

        Args:
            size: width and height in pixels.
        """
        mol = self.mol
        return None if mol is None else draw_molecule(mol, size)

    def overlay(self, image: Source | None = None, *, scale: float = 1.0) -> PILImage | None:
        """The image with what was read drawn over it; None where no atom was found.

        Args:
            image: in place of the file that was read, which may be gone or was none.
            scale: enlarges the image first.

        Raises:
            Exception: an image that cannot be loaded; whatever Pillow raises.
        """
        if not self.graph:
            return None
        shown = load_picture(self.image if image is None else image)
        return draw_overlay(shown, self.graph, scale=scale)

    def _repr_html_(self) -> str:
        """What a notebook shows: the image with what was read, the molecule, what is known."""
        images = [self.draw()]
        with suppress(Exception):  # an image that was in memory, or is gone
            images.insert(0, self.overlay())
        sure = None if self.confidence is None else f"{self.confidence:.3g}"
        facts = {"image": self.image, "SMILES": self.smiles, "confidence": sure,
                 "no molecule": self.reason, "withheld": self.withheld_smiles,
                 "problems": "; ".join(self.problems), "error": self.error}  # fmt: skip
        return as_html(filter(None, images), ((name, text) for name, text in facts.items() if text))

    @classmethod
    def from_answer(
        cls,
        image: str,
        text: str,
        *,
        size: tuple[int, int],
        frame_size: tuple[int, int],
        shown: Box | None = None,
        trace: TokenTrace | None = None,
        problems: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> Recognition:
        """Read an answer and carry its places back into the original image.

        Args:
            image: the image's name.
            text: the answer, in either form.
            size: width and height of the original image.
            frame_size: width and height at which the model saw it.
            shown: the part of the original image that the model saw; all of it by default.
            trace: the tokens that wrote the text, for the confidences.
            problems: what went wrong while decoding.
            seconds: see the class.
        """
        answer = read_answer(text)
        sure = Confidences.of(answer, text, trace) if trace else None
        left, top, right, bottom = shown or (0, 0, *size)
        x_scale, y_scale = (right - left) / frame_size[0], (bottom - top) / frame_size[1]
        graph = answer.graph.placed(
            (left + a.x * x_scale, top + a.y * y_scale) for a in answer.graph.atoms
        )
        # The original image is not resized evenly: bonds and wedges must be read where drawn.
        answer = replace(answer, graph=graph, problems=(*problems, *answer.problems))
        outside = sum(not (0 <= a.x <= size[0] and 0 <= a.y <= size[1]) for a in graph.atoms)
        molecule = molecule_of(answer, sure)
        if outside:
            note = f"{outside} of {len(graph.atoms)} atoms lie outside the image"
            molecule = replace(molecule, problems=(*molecule.problems, note))
        raw = None
        if sure:
            raw = sure.smiles if molecule.smiles_from == "written" else sure.graph
        return cls(
            image,
            text.strip(),
            graph,
            answer.smiles or None,
            molecule,
            confidence=raw,
            seconds=round(seconds, 4),
            size=size,
            raw_confidence=raw,
            atom_confidence=sure.atoms if sure else (),
            bond_confidence=sure.bonds if sure else (),
            reason=None if molecule.smiles else f"no molecule: {_why_none(molecule, graph)}",
        )

    @classmethod
    def from_graph(
        cls,
        image: str,
        graph: MolGraph,
        *,
        size: tuple[int, int],
        atom_confidence: tuple[float, ...] = (),
        bond_confidence: tuple[float, ...] = (),
        raw_confidence: float | None = None,
        problems: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> Recognition:
        """Of a reader that finds atoms and bonds and writes nothing.

        Args:
            image: the image's name.
            graph: places in pixels of the original image, y down.
            size: width and height of the original image.
            atom_confidence, bond_confidence, raw_confidence: see the class.
            problems: what speaks against the graph, one sentence each.
            seconds: see the class.
        """
        sure = None
        if bond_confidence:  # which bond to doubt, where valences have to be fixed
            sure = Confidences(atom_confidence, bond_confidence, raw_confidence or 0.0, 0.0)
        molecule = molecule_of(Answer(graph, None, problems), sure)
        return cls(
            image,
            graph=graph,
            molecule=molecule,
            confidence=raw_confidence,
            seconds=round(seconds, 4),
            size=size,
            raw_confidence=raw_confidence,
            atom_confidence=tuple(round(p, 4) for p in atom_confidence),
            bond_confidence=tuple(round(p, 4) for p in bond_confidence),
            reason=None if molecule.smiles else f"no molecule: {_why_none(molecule, graph)}",
        )

    def as_v3000(self) -> Recognition:
        """The same with its molblocks in V3000."""
        molecule = self.molecule
        return replace(
            self,
            molecule=replace(
                molecule,
                molblock=_as_v3000(molecule.molblock),
                drawn_molblock=_as_v3000(molecule.drawn_molblock),
            ),
        )

    def abstained(self, reason: str) -> Recognition:
        """The same without its best guess, which becomes `withheld_smiles`."""
        molecule = replace(
            self.molecule, smiles=None, molblock=None, cxsmiles=None, drawn_molblock=None
        )
        return replace(self, molecule=molecule, reason=reason, withheld_smiles=self.smiles)

    def to_dict(self) -> dict[str, Any]:
        """One row of a JSON Lines file; `from_dict` gives the recognition back."""
        molecule, graph = self.molecule, self.graph
        atoms, bonds = (graph.atoms, graph.bonds) if graph else ((), ())
        return {
            "image": self.image,
            "page": self.page,
            "box": self.box and list(self.box),
            "smiles": self.smiles,
            "cxsmiles": molecule.cxsmiles,
            "smiles_from": molecule.smiles_from,
            "smiles_why": molecule.why,
            "written_smiles": self.written_smiles,
            "written_canonical": molecule.written_canonical,
            "graph_smiles": molecule.graph_smiles,
            "confidence": self.confidence,
            "raw_confidence": self.raw_confidence,
            "reason": self.reason,
            "withheld_smiles": self.withheld_smiles,
            "problems": list(self.problems),
            **self._second(),
            **({"alternatives": list(self.alternatives)} if self.alternatives else {}),
            "error": self.error,
            "seconds": self.seconds,
            "memory_mib": self.memory_mib,
            "width": self.size and self.size[0],
            "height": self.size and self.size[1],
            "atoms": graph and [
                {"label": a.text, "x": round(a.x, 2), "y": round(a.y, 2), **sure}
                for a, sure in zip(atoms, _each(self.atom_confidence, atoms), strict=True)
            ],
            "bonds": graph and [
                {"begin": b.begin, "end": b.end, "order": int(b.order), **sure}
                for b, sure in zip(bonds, _each(self.bond_confidence, bonds), strict=True)
            ],
            **self._groups(),
            "molblock": molecule.molblock,
            "drawn_molblock": molecule.drawn_molblock,
            "answer": self.answer,
        }  # fmt: skip

    def _groups(self) -> dict[str, Any]:
        """Brackets and stereo groups of the graph; no columns where there are none."""
        graph = self.graph or MolGraph()
        groups = {
            "brackets": [asdict(bracket) for bracket in graph.brackets],
            "stereo_groups": [asdict(group) for group in graph.stereo_groups],
        }
        return {name: found for name, found in groups.items() if found}

    def _second(self) -> dict[str, Any]:
        """Of a second reader; no columns where none was asked."""
        if self.second_smiles is None:
            return {}
        found = [{**asdict(d), "x": round(d.x, 2), "y": round(d.y, 2)} for d in self.differences]
        return {"second_smiles": self.second_smiles, "differences": found}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Recognition:
        """From a row of JSON Lines, or from any row with ``image`` and ``smiles``.

        Raises:
            ValueError: no image name, or atoms and bonds that are no graph.
        """
        image = row.get("image")
        if not isinstance(image, str) or not image:
            raise ValueError('no "image" (the image\'s name)')
        written = _text(row, "written_smiles")
        canonical = _text(row, "written_canonical")
        molecule = Molecule(
            smiles=_text(row, "smiles"),
            smiles_from=row.get("smiles_from") or None,
            molblock=_text(row, "molblock"),
            written_canonical=canonical or (canonical_smiles(written) if written else None),
            graph_smiles=_text(row, "graph_smiles"),
            problems=_problems(row.get("problems")),
            why=_text(row, "smiles_why"),
            cxsmiles=_text(row, "cxsmiles"),
            drawn_molblock=_text(row, "drawn_molblock"),
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
            raw_confidence=_number(row.get("raw_confidence")),
            atom_confidence=_sure(row.get("atoms")),
            bond_confidence=_sure(row.get("bonds")),
            reason=_text(row, "reason"),
            withheld_smiles=_text(row, "withheld_smiles"),
            page=int(row["page"]) if row.get("page") else None,
            box=_box(row.get("box")),
            second_smiles=_text(row, "second_smiles"),
            differences=tuple(Difference(**d) for d in _listed(row.get("differences"))),
            alternatives=tuple(map(str, _listed(row.get("alternatives")))),
            memory_mib=_number(row.get("memory_mib")),
        )


def _listed(value: Any) -> list[Any]:
    """A list in JSON; tables have none."""
    return value if isinstance(value, list) else []


def _why_none(molecule: Molecule, graph: MolGraph) -> str:
    return molecule.why or "" if graph.atoms else "no atom was listed"


def _each(confidence: tuple[float, ...], parts: Sequence[Any]) -> list[dict[str, float]]:
    """For each part its confidence, or nothing where none is known."""
    return [{"confidence": value} for value in confidence] if confidence else [{}] * len(parts)


def _sure(parts: Any) -> tuple[float, ...]:
    parts = parts if isinstance(parts, list) else []
    found = [part.get("confidence") for part in parts if isinstance(part, dict)]
    return () if None in found else tuple(map(float, found))  # type: ignore[arg-type]


def _box(value: Any) -> Box | None:
    """A list in JSON, four numbers with blanks between them in CSV."""
    numbers = value.split() if isinstance(value, str) else value
    if numbers is None or len(numbers) != 4:
        return None
    left, top, right, bottom = map(int, numbers)
    return left, top, right, bottom


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
            tuple(Bracket(**b) for b in _listed(row.get("brackets"))),
            tuple(StereoGroup(**g) for g in _listed(row.get("stereo_groups"))),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"atoms and bonds are no graph: {error!r}") from None
