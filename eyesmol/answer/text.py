"""The chain of thought: the one prompt, the two forms of its answer, and the reader of both.

An answer walks the molecule (`MolGraph.walked`): each atom with its place and its label as drawn,
then its bonds to atoms already listed, and the SMILES last.

``json`` is GTR-CoT's form (arXiv 2506.07553): a JSON list on one line ::

    [{"a":"[OMe]","id":0,"xy":[824,133]},{"a":"C","id":1,"xy":[549,133]},{"b":1,"a1":0,"a2":1},
     {"smiles":"COC"}]

``compact`` says the same in about a third of the tokens, one line an atom, where it stands first,
what it is next, how it is bound last; atoms are numbered by their lines from 0 ::

    824 133 [OMe]
    549 133 C -0
    smiles COC

Brackets and relative stereo stand between the atoms and the SMILES, with the numbers of their
atoms: ``{"k":"SRU","in":[1,2],"mark":"n"}`` and ``{"k":"AND","in":[3]}``, or ``SRU 1,2 n`` and
``AND 3``.

Models carry the version of the prompt that they were trained with, and are asked in its words.
Answers to all versions are read.

Writing and reading back gives the same graph; reading never raises, whatever a model wrote.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard, cast, get_args

from eyesmol.chem.graph import (
    Atom,
    Bond,
    BondOrder,
    Bracket,
    BracketKind,
    MolGraph,
    StereoGroup,
    StereoKind,
)

__all__ = [
    "BOND_SIGNS",
    "OLDEST_PROMPT_VERSION",
    "PROMPT_VERSION",
    "Answer",
    "AnswerForm",
    "Span",
    "Spans",
    "answer_blocks",
    "bond_orders",
    "can_say",
    "prompt",
    "read_answer",
    "write_answer",
]

AnswerForm = Literal["json", "compact"]

PROMPT_VERSION = 3  # raise it with every change of the words below: data and models carry it
OLDEST_PROMPT_VERSION = 2
_ORDERS_OF_VERSION_2 = tuple(BondOrder)[:8]


def bond_orders(version: int = PROMPT_VERSION) -> tuple[BondOrder, ...]:
    """The kinds of bond that a version of the prompt names."""
    return _ORDERS_OF_VERSION_2 if version == 2 else tuple(BondOrder)


def can_say(graph: MolGraph, version: int = PROMPT_VERSION) -> bool:
    """False where an answer to that version of the prompt has no words for what is drawn."""
    if version > 2:
        return True
    held = set(bond_orders(version))
    return not (graph.brackets or graph.stereo_groups) and all(
        bond.order in held for bond in graph.bonds
    )


_PROMPTS: dict[tuple[int, AnswerForm], str] = {
    (2, "json"): (
        "Read the molecule in this picture. Walk along it depth first, shallow branches first. "
        "Give each atom its place in pixels and its label as drawn, then its bonds to the atoms "
        "already listed. "
        'Answer with a JSON list: {"a":label,"id":number,"xy":[x,y]} for an atom, '
        '{"b":order,"a1":number,"a2":number} for a bond (1 single, 2 double, 3 triple, 4 aromatic, '
        "5 solid wedge, 6 dashed wedge, 7 wavy, 8 crossed double; a wedge's narrow end is a1), "
        "and last "
        '{"smiles":SMILES}.'
    ),
    (2, "compact"): (
        "Read the molecule in this picture. Walk along it depth first, shallow branches first. "
        "Give each atom its place in pixels and its label as drawn, then its bonds to the atoms "
        "already listed. "
        "Answer with one line for each atom: x y label, then for each bond its sign and the number "
        "of the other atom (- single, = double, # triple, : aromatic, x crossed double; wedges "
        "> solid, ) dashed, ~ wavy with the narrow end at the other atom, < ( ^ with the narrow "
        "end here). "
        "Last a line with smiles and the SMILES."
    ),
    (3, "json"): (
        "Read the molecule in this image. Walk along it depth first, shallow branches first. "
        "Give each atom its position in pixels and its label as drawn, then its bonds to the atoms "
        "already listed. "
        'Answer with a JSON list: {"a":label,"id":number,"xy":[x,y]} for an atom, '
        '{"b":order,"a1":number,"a2":number} for a bond (1 single, 2 double, 3 triple, 4 aromatic, '
        "5 solid wedge, 6 dashed wedge, 7 wavy, 8 crossed double, 9 dative, 10 hydrogen, 11 hollow "
        "wedge, 12 bold, 13 any, 14 attachment point; a1 is a wedge's narrow end, a dative bond's "
        'donor), then {"k":kind,"in":[numbers],"mark":text} for brackets (SRU a repeat unit, MUL '
        'so many copies, GEN neither) and {"k":kind,"in":[numbers]} for relative stereo (ABS, AND, '
        'OR), and last {"smiles":SMILES}.'
    ),
    (3, "compact"): (
        "Read the molecule in this image. Walk along it depth first, shallow branches first. "
        "Give each atom its position in pixels and its label as drawn, then its bonds to the atoms "
        "already listed. "
        "Answer with one line for each atom: x y label, then for each bond its sign and the number "
        "of the other atom (- single, = double, # triple, : aromatic, x crossed double, "
        ". hydrogen, ! bold, ? any, * attachment point; wedges > solid, ) dashed, ~ wavy, } hollow "
        "with the narrow end at the other atom, < ( ^ { with the narrow end here; dative / from "
        "the other atom, \\ from here). "
        "Then a line for each pair of brackets: SRU (a repeat unit), MUL (so many copies) or GEN "
        "(neither), the numbers of its atoms, its mark; and one for each group of relative stereo: "
        "ABS, AND or OR and the numbers. "
        "Last a line with smiles and the SMILES."
    ),
}

# The sign of a bond whose first atom is the older one, and, where that matters, the newer one.
_FROM_OLDER = dict(zip(BondOrder, "-=#:>)~x/.}!?*", strict=True))
_FROM_NEWER = {
    BondOrder.SOLID_WEDGE: "<",
    BondOrder.DASHED_WEDGE: "(",
    BondOrder.WAVY: "^",
    BondOrder.DATIVE: "\\",
    BondOrder.HOLLOW_WEDGE: "{",
}
_BOND_OF_SIGN = {sign: (order, False) for order, sign in _FROM_OLDER.items()} | {
    sign: (order, True) for order, sign in _FROM_NEWER.items()
}
BOND_SIGNS = "".join(_BOND_OF_SIGN)  # all signs of the compact form


def prompt(form: AnswerForm, version: int = PROMPT_VERSION) -> str:
    """The words that ask for an answer, the same in training and in reading.

    Args:
        form: of the answer.
        version: that the model was trained with.

    Raises:
        ValueError: a version that this EyesMol does not know.
    """
    if (version, form) not in _PROMPTS:
        raise ValueError(
            f"prompt version {version!r}; expected {OLDEST_PROMPT_VERSION} to {PROMPT_VERSION}"
        )
    return _PROMPTS[version, form]


Span = tuple[int, int]  # begin and end, in letters of the answer's text


@dataclass(frozen=True)
class Spans:
    """Where an answer says what.

    Attributes:
        atoms: of each atom of the graph: in compact form its place and label, in JSON its object.
        bonds: of each bond: its sign and number, or its object.
        smiles: of the SMILES; None where there is none.
    """

    atoms: tuple[Span, ...] = ()
    bonds: tuple[Span, ...] = ()
    smiles: Span | None = None


@dataclass(frozen=True)
class Answer:
    """What could be read from an answer.

    Attributes:
        graph: the atoms and bonds as far as they go; places in the pixels of the model's frame.
        smiles: the SMILES that the model wrote, unchecked; None where it wrote none.
        problems: what is wrong with the text, one sentence each; empty for a perfect answer.
        spans: where in the text each part stands.
    """

    graph: MolGraph
    smiles: str | None
    problems: tuple[str, ...]
    spans: Spans = field(default=Spans(), compare=False)


def write_answer(graph: MolGraph, smiles: str, form: AnswerForm) -> str:
    """The answer text of a placed graph.

    Args:
        graph: places in pixels, y down; they are rounded to whole pixels.
        smiles: its SMILES, written last.
        form: ``json`` or ``compact``.
    """
    if form not in get_args(AnswerForm):
        raise ValueError(f"answer form {form!r}: expected one of {', '.join(get_args(AnswerForm))}")
    walked = graph.walked().rounded()
    blocks = [*answer_blocks(walked, form), *_group_blocks(walked, form)]
    if form == "compact":
        return "\n".join([*blocks, f"smiles {smiles}"])
    return f"[{','.join([*blocks, _dumped({'smiles': smiles})])}]"


def answer_blocks(walked: MolGraph, form: AnswerForm) -> list[str]:
    """What an answer says of each atom: its place and label, and its bonds to atoms before it.

    Args:
        walked: in the order of the answer, places in whole pixels.
        form: ``json`` or ``compact``.
    """
    bonds_of: list[list[Bond]] = [[] for _ in walked.atoms]
    for bond in walked.bonds:
        bonds_of[max(bond.begin, bond.end)].append(bond)
    rows = zip(walked.atoms, bonds_of, strict=True)
    if form == "compact":
        return [_compact_line(a, b) for a, b in rows]
    blocks = []
    for number, (atom, bonds) in enumerate(rows):
        items: list[dict[str, Any]] = [
            {"a": atom.text, "id": number, "xy": [int(atom.x), int(atom.y)]},
            *({"b": int(b.order), "a1": b.begin, "a2": b.end} for b in bonds),
        ]
        blocks.append(",".join(map(_dumped, items)))
    return blocks


def _group_blocks(walked: MolGraph, form: AnswerForm) -> list[str]:
    """What an answer says of brackets and of relative stereo."""
    groups = [(b.kind, b.atoms, b.mark) for b in walked.brackets]
    rows: list[tuple[str, tuple[int, ...], str]] = [
        *groups,
        *((g.kind, g.atoms, "") for g in walked.stereo_groups),
    ]
    if form == "compact":
        return [f"{kind} {','.join(map(str, atoms))} {mark}".rstrip() for kind, atoms, mark in rows]
    return [
        _dumped({"k": kind, "in": list(atoms)} | ({"mark": mark} if mark else {}))
        for kind, atoms, mark in rows
    ]


def _dumped(item: dict[str, Any]) -> str:
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


def _compact_line(atom: Atom, bonds: list[Bond]) -> str:
    signs = (
        (_FROM_OLDER[b.order], b.begin) if b.begin < b.end else (_FROM_NEWER[b.order], b.end)
        for b in bonds
    )
    return " ".join(
        [f"{int(atom.x)} {int(atom.y)} {atom.text}", *(f"{sign}{other}" for sign, other in signs)]
    )


def read_answer(text: str) -> Answer:
    """Read an answer of either form. Total: any text gives an `Answer`, and nothing is raised.

    What cannot be used (a bond to an atom that is not listed, a broken line) is left out and named
    among the problems.
    """
    end = len(re.sub(r"\n?```\s*$", "", text).rstrip())
    fence = re.match(r"\s*```[a-z]*\n?", text[:end])
    begin = fence.end() if fence else 0
    begin += len(text[begin:end]) - len(text[begin:end].lstrip())
    draft = _Draft()
    if text[begin : begin + 1] in ("[", "{"):
        _read_json(text[:end], begin, draft)
    else:
        _read_compact(text[:end], begin, draft)
    if draft.smiles is None:
        draft.problems.insert(0, "the answer ends before its SMILES")
    if not draft.atoms:
        draft.problems.insert(0, "the answer lists no atom")
    bonds = tuple(Bond(a, b, order) for (a, b), order, _ in draft.bonds.values())
    spans = Spans(
        tuple(draft.atom_spans),
        tuple(span for _, _, span in draft.bonds.values()),
        draft.smiles_span,
    )
    graph = MolGraph(tuple(draft.atoms), bonds, tuple(draft.brackets), tuple(draft.stereo_groups))
    return Answer(graph, draft.smiles, tuple(draft.problems), spans)


class _Draft:
    """A graph under construction, which refuses what would not be a graph and says so."""

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.atom_spans: list[Span] = []
        self.index_of: dict[int, int] = {}
        self.bonds: dict[tuple[int, int], tuple[tuple[int, int], BondOrder, Span]] = {}
        self.brackets: list[Bracket] = []
        self.stereo_groups: list[StereoGroup] = []
        self.smiles: str | None = None
        self.smiles_span: Span | None = None
        self.problems: list[str] = []

    def add_atom(
        self, number: int, label: str, place: tuple[float, float], span: Span, where: str
    ) -> None:
        if number in self.index_of:
            self.problems.append(f"{where}: atom {number} is listed twice")
            return
        self.index_of[number] = len(self.atoms)
        self.atoms.append(Atom.from_text(label, *place))
        self.atom_spans.append(span)

    def add_bond(self, begin: int, end: int, order: BondOrder, span: Span, where: str) -> None:
        missing = [number for number in (begin, end) if number not in self.index_of]
        if missing:
            self.problems.append(f"{where}: bond to atom {missing[0]}, which is not listed")
            return
        a, b = self.index_of[begin], self.index_of[end]
        if a == b:
            self.problems.append(f"{where}: atom {begin} is bonded to itself")
        elif (pair := (min(a, b), max(a, b))) in self.bonds:
            self.problems.append(f"{where}: the bond {begin}-{end} is listed twice")
        else:
            self.bonds[pair] = ((a, b), order, span)

    def add_group(self, kind: str, numbers: list[int], mark: str, where: str) -> None:
        """Brackets, or a group of relative stereo."""
        missing = [number for number in numbers if number not in self.index_of]
        if missing:
            self.problems.append(f"{where}: {kind} of atom {missing[0]}, which is not listed")
            return
        atoms = tuple(self.index_of[number] for number in numbers)
        if kind in get_args(BracketKind):
            try:
                self.brackets.append(Bracket(atoms, mark, cast(BracketKind, kind)))
            except ValueError as error:
                self.problems.append(f"{where}: {error}")
        elif not atoms or any(set(atoms) & set(group.atoms) for group in self.stereo_groups):
            self.problems.append(f"{where}: {kind} of no atom, or of one that has a group")
        else:
            self.stereo_groups.append(StereoGroup(atoms, cast(StereoKind, kind)))

    def set_smiles(self, smiles: str, span: Span, where: str) -> None:
        if self.smiles is not None:
            self.problems.append(f"{where}: a second SMILES")
            return
        self.smiles, self.smiles_span = smiles, span


# Numbers are kept short: no picture has a million pixels a side, and a runaway answer may.
_SIGN = f"[{re.escape(BOND_SIGNS)}]"
_COMPACT_ATOM = re.compile(rf"(-?\d{{1,6}}) (-?\d{{1,6}}) (\S.*?)((?: {_SIGN}\d{{1,6}})*)")
_COMPACT_BOND = re.compile(rf" ({_SIGN})(\d+)")
_KINDS = (*get_args(BracketKind), *get_args(StereoKind))
_COMPACT_GROUP = re.compile(rf"({'|'.join(_KINDS)}) (\d{{1,6}}(?:,\d{{1,6}})*)(?: (.*))?")


def _read_compact(text: str, begin: int, draft: _Draft) -> None:
    number, end = 0, begin
    for line_number, whole_line in enumerate(text[begin:].splitlines(keepends=True), start=1):
        where, line = f"line {line_number}", whole_line.strip()
        begin = end + len(whole_line) - len(whole_line.lstrip())
        end += len(whole_line)
        if not line:
            continue
        if line == "smiles" or line.startswith("smiles "):
            smiles = line.removeprefix("smiles").strip()
            last = begin + len(line)
            draft.set_smiles(smiles, (last - len(smiles), last), where)
            continue
        if match := _COMPACT_GROUP.fullmatch(line):
            kind, numbers, mark = match.groups(default="")
            draft.add_group(kind, [int(n) for n in numbers.split(",")], mark, where)
            continue
        match = _COMPACT_ATOM.fullmatch(line)
        if match is None:
            draft.problems.append(f"{where}: {line[:60]!r} is neither an atom nor a SMILES")
            continue
        x, y, label, bonds = match.groups()
        last = begin + match.end(3)
        draft.add_atom(number, label, (int(x), int(y)), (begin, last), where)
        for bond in _COMPACT_BOND.finditer(bonds):
            order, begins_here = _BOND_OF_SIGN[bond[1]]
            ends = (number, int(bond[2])) if begins_here else (int(bond[2]), number)
            draft.add_bond(*ends, order, (last + bond.start(1), last + bond.end()), where)
        number += 1


def _read_json(text: str, begin: int, draft: _Draft) -> None:
    for number, (item, span, problem) in enumerate(_json_objects(text, begin)):
        where = f"item {number}"
        if problem:
            draft.problems.append(f"{where}: {problem}")
        elif "a" in item:
            _read_json_atom(item, draft, span, where)
        elif "b" in item:
            _read_json_bond(item, draft, span, where)
        elif "k" in item:
            _read_json_group(item, draft, where)
        elif isinstance(item.get("smiles"), str):
            draft.set_smiles(item["smiles"], span, where)
        else:
            draft.problems.append(f"{where}: neither an atom, a bond nor a SMILES")


def _read_json_atom(item: dict[str, Any], draft: _Draft, span: Span, where: str) -> None:
    label, number, place = item["a"], item.get("id"), item.get("xy")
    if not (isinstance(label, str) and _is_int(number)):
        draft.problems.append(f"{where}: an atom needs a label and a number")
        return
    if not (isinstance(place, list) and len(place) == 2 and all(map(_is_place, place))):
        draft.problems.append(f"{where}: atom {number} has no place; expected two numbers in xy")
        place = [0, 0]
    draft.add_atom(number, label, (place[0], place[1]), span, where)


def _read_json_bond(item: dict[str, Any], draft: _Draft, span: Span, where: str) -> None:
    order, begin, end = item["b"], item.get("a1"), item.get("a2")
    if not (_is_int(order) and _is_int(begin) and _is_int(end)):
        draft.problems.append(f"{where}: a bond needs an order and two atom numbers")
    elif not 1 <= order <= max(BondOrder):
        draft.problems.append(f"{where}: bond order {order}; expected 1 to {max(BondOrder)}")
    else:
        draft.add_bond(begin, end, BondOrder(order), span, where)


def _read_json_group(item: dict[str, Any], draft: _Draft, where: str) -> None:
    kind, numbers, mark = item["k"], item.get("in"), item.get("mark", "")
    if not (isinstance(kind, str) and kind in _KINDS) or not isinstance(mark, str):
        draft.problems.append(f"{where}: a group needs a kind of {', '.join(_KINDS)}")
    elif not isinstance(numbers, list) or not all(map(_is_int, numbers)):
        draft.problems.append(f"{where}: {kind} without a list of atom numbers")
    else:
        draft.add_group(kind, numbers, mark, where)


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1_000_000


def _is_place(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) < 1_000_000


# An answer's objects are flat, so the next brace outside a string ends the attempt: linear time,
# where a JSON decoder started at every brace of a runaway answer would take quadratic time.
_FLAT_OBJECT = re.compile(r'\{(?:[^{}"\\]|"(?:[^"\\]|\\.)*")*\}', re.DOTALL)


def _json_objects(text: str, begin: int) -> Iterator[tuple[dict[str, Any], Span, str | None]]:
    """Each JSON object in turn and where it stands; a broken one as a problem."""
    place = text.find("{", begin)
    while place >= 0:
        match = _FLAT_OBJECT.match(text, place)
        end = match.end() if match else place + 1
        try:
            yield json.loads(match[0] if match else ""), (place, end), None
        except (ValueError, RecursionError):
            problem = f"{text[place : place + 60]!r} is not a whole JSON object"
            yield {}, (place, end), problem
        place = text.find("{", end)
