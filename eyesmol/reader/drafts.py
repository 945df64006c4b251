"""Drafts: what one reader saw, in the words that another would write, for it to verify.

A draft is text; the model scores all of it in one forward pass and keeps what it would have said
(speculative decoding, Leviathan et al., arXiv 2211.17192). Where the model says something else the
rest of the draft still helps: `Draft.after` finds by its position which atom the model is at, and
says how the draft would go on from there, its atoms numbered as the model numbered them.

No torch in here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from eyesmol.answer.text import AnswerForm, answer_blocks, read_answer
from eyesmol.chem.graph import Atom, Bond, MolGraph
from eyesmol.chem.smiles import graph_to_smiles
from eyesmol.image.loading import Box

__all__ = ["TOLERANCE", "Draft", "may_stand"]

# In pixels of the model's frame; the detector is 1 pixel off where a bond has 30 or more.
TOLERANCE = 3
_NEAR = 0.35  # of a bond's length: so far apart, two readers may see one atom
_NEVER_APART = 6.0  # pixels, whatever the bonds' length
_LIKELY = 0.1  # probability of a digit that the model would not choose, where more digits follow


@dataclass(frozen=True)
class _Form:
    """How the answers of one form are put together: what stands before, between and behind."""

    before: str
    between: str
    behind: Callable[[str], str]  # of a SMILES
    block: re.Pattern[str]  # where an atom begins
    last: re.Pattern[str]  # where the SMILES begins
    place: re.Pattern[str]  # an atom's position
    field: re.Pattern[str]  # what separates fields
    coordinate: re.Pattern[str]  # text that ends within a coordinate; its digits so far


_FORMS: dict[AnswerForm, _Form] = {
    "compact": _Form(
        before="",
        between="\n",
        behind=lambda smiles: f"smiles {smiles}",
        block=re.compile(r"^(?=.)(?!s)", re.MULTILINE),
        last=re.compile(r"^s", re.MULTILINE),
        place=re.compile(r"(\d+) (\d+) "),
        field=re.compile(r"( )"),
        coordinate=re.compile(r"(?:^|\n)(?:\d+ )?(\d*)$"),
    ),
    "json": _Form(
        before="[",
        between=",",
        behind=lambda smiles: '{"smiles":' + _quoted(smiles) + "}]",
        block=re.compile(r'\{"a":'),
        last=re.compile(r'\{"s'),
        place=re.compile(r'"xy":\[(\d+),(\d+)\]'),
        field=re.compile(r"([,:])"),
        coordinate=re.compile(r'"xy":\[(?:\d+,)?(\d*)$'),
    ),
}


def _quoted(smiles: str) -> str:
    escaped = smiles.replace("\\", "\\\\")
    return f'"{escaped}"'


class Draft:
    """What a model would write of a graph, from any point on.

    Args:
        graph: places in pixels of the model's frame, y down.
        smiles: of the graph.
        form: of the model's answers.
    """

    def __init__(self, graph: MolGraph, smiles: str, form: AnswerForm) -> None:
        self._graph, self._smiles = graph.walked().rounded(), smiles
        self._form, self._words = form, _FORMS[form]
        self._reach = max(_NEVER_APART, _NEAR * (graph.median_bond_length() or 0.0))

    @classmethod
    def shown(
        cls, graph: MolGraph, smiles: str, form: AnswerForm, box: Box, size: tuple[int, int]
    ) -> Draft:
        """Of a graph in an image's pixels.

        Args:
            graph, smiles, form: see the class.
            box: the part of the image that the model sees.
            size: width and height at which it sees it.
        """
        left, top, right, bottom = box
        x, y = size[0] / (right - left), size[1] / (bottom - top)
        placed = graph.placed(
            (
                min(max((atom.x - left) * x, 0.0), size[0] - 1.0),
                min(max((atom.y - top) * y, 0.0), size[1] - 1.0),
            )
            for atom in graph.atoms
        )
        return cls(placed, smiles, form)

    @property
    def text(self) -> str:
        """The whole answer."""
        return self.after("")

    def after(self, written: str) -> str:
        """How the draft goes on after what a model wrote; empty where it cannot say.

        Args:
            written: the beginning of an answer, cut anywhere.
        """
        words = self._words
        blocks = [match.start() for match in words.block.finditer(written)]
        last = words.last.search(written)
        if last is not None:
            return words.behind(self._smiles_of(written))[len(written) - last.start() :]
        matched = self._matched([self._place(written, begin) for begin in blocks])
        if written.endswith("\n"):  # a line is whole, and the next has not begun
            return self._from(len(blocks), matched)
        if not blocks:
            whole = words.before + self._from(0, [])
            return whole[len(written) :] if whole.startswith(written) else ""
        if matched[-1] is None:
            return ""
        return _rest(
            self._from(len(blocks) - 1, matched), written[blocks[-1] :], words.field, words.between
        )

    def _place(self, written: str, begin: int) -> tuple[int, int] | None:
        end = written.find("\n", begin)
        match = self._words.place.search(written, begin, len(written) if end < 0 else end)
        return (int(match[1]), int(match[2])) if match else None

    def _matched(self, places: list[tuple[int, int] | None]) -> list[int | None]:
        """Of each atom that was written, which one of the draft it is; None for one of its own.

        An atom whose position is not yet written is the next of the draft.
        """
        atoms, found, free = (
            self._graph.atoms,
            list[int | None](),
            set(range(len(self._graph.atoms))),
        )
        for place in places:
            due = self._next(found, free)
            if place is None:
                found.append(due)
            else:
                x, y = place
                away = {n: math.hypot(atoms[n].x - x, atoms[n].y - y) for n in free}
                near = [n for n in free if away[n] <= self._reach]
                found.append(min(near, key=lambda n: (n != due, away[n])) if near else None)
            free.discard(-1 if found[-1] is None else found[-1])
        return found

    @staticmethod
    def _next(found: list[int | None], free: set[int]) -> int | None:
        """The first atom of the draft after the last one that was written."""
        last = next((n for n in reversed(found) if n is not None), -1)
        return min((n for n in free if n > last), default=min(free, default=None))

    def _from(self, number: int, matched: list[int | None]) -> str:
        """The draft from the answer's atom `number` on; those before it are as they are matched."""
        own = matched[:number]
        rest = [n for n in range(len(self._graph.atoms)) if n not in own]
        if number < len(matched) and matched[number] is not None:
            rest = [n for n in rest if n >= (matched[number] or 0)]
        else:
            due = self._next(own, set(rest))
            rest = [n for n in rest if due is not None and n >= due]
        order = [*own, *rest]
        at = {n: place for place, n in enumerate(order) if n is not None}
        atoms = tuple(Atom("C") if n is None else self._graph.atoms[n] for n in order)
        bonds = tuple(
            Bond(at[b.begin], at[b.end], b.order)
            if b.order.is_directed or at[b.begin] < at[b.end]
            else Bond(at[b.end], at[b.begin], b.order)  # the older atom stands first
            for b in self._graph.bonds
            if b.begin in at and b.end in at
        )
        blocks = answer_blocks(MolGraph(atoms, bonds), self._form)[number:]
        return self._words.between.join([*blocks, self._words.behind(self._smiles)])

    def _smiles_of(self, written: str) -> str:
        """Of the graph that the model listed, where it is one; it may differ from the draft's."""
        return graph_to_smiles(read_answer(written).graph)[0] or self._smiles


def _rest(draft: str, begun: str, field: re.Pattern[str], between: str) -> str:
    """What is left of a draft whose first atom is begun already, perhaps in other words.

    As many fields as are begun are passed over, and of the one that is being written as many
    letters; where more is written than the draft has, it goes on with the next atom.
    """
    if draft.startswith(begun):
        return draft[len(begun) :]
    block, _, following = draft.partition(between) if between == "\n" else (draft, "", "")
    fields, done = field.split(block), field.split(begun)
    if len(done) > len(fields):
        return between + following if between == "\n" else ""
    here = fields[len(done) - 1]
    left = here[len(done[-1]) :] + "".join(fields[len(done) :])
    return f"{left}{between}{following}" if between == "\n" else left


def may_stand(
    written: str,
    own: str,
    drafted: str,
    rest: str,
    form: AnswerForm,
    probability: float,
    tolerance: int,
) -> bool:
    """Whether a draft's token may stand where the model would write another: a near coordinate.

    Labels and bonds never may.

    Args:
        written: the answer so far.
        own: what the model's own token writes.
        drafted: what the draft's token writes.
        rest: what the draft writes behind it.
        form: of the answer.
        probability: of the draft's token, by the model.
        tolerance: pixels of the frame.
    """
    begun = _FORMS[form].coordinate.search(written[-40:])
    mine, theirs = _NUMBER.fullmatch(own), _NUMBER.match(drafted + rest)
    if begun is None or mine is None or theirs is None or not drafted[:1].isdigit():
        return False
    whole = int(begun[1] + theirs[1])
    if mine[2]:  # the model's number ends here
        follows = (drafted + rest)[len(theirs[1]) :]
        return follows.startswith(mine[2]) and abs(int(begun[1] + mine[1]) - whole) <= tolerance
    missing = len(theirs[1]) - len(mine[1])
    if missing < 0 or not drafted.isdigit():
        return False
    # The model's number is not known yet: it begins with these digits and may be as long.
    unit = 10**missing
    number = int(begun[1] + mine[1]) * unit
    apart = max(number - whole, whole - (number + unit - 1), 0)
    return apart <= tolerance and (not missing or probability >= _LIKELY)


_NUMBER = re.compile(r"(\d+)(\D*)")
