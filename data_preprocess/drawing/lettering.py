"""From an atom to letters on paper: what is written, how high each letter stands, which is bonded.

Three steps: `runs_of` cuts a text into runs on the line, above and below it; `lettered` adds
hydrogens, isotope, charge and dots on the sides that are free; `placed_letters` gives each run its
position, so that the bonded letter's middle is at the atom.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from rdkit import Chem

from data_preprocess.drawing.ink import Box, Point, cap_height, measure, writable
from data_preprocess.drawing.pen_style import PenStyle, Script, SignPlace
from data_preprocess.drawing.subject import HYDROGENS_RIGHT
from eyesmol.chem.graph import Atom

__all__ = ["Letter", "Lettering", "Run", "lettered", "placed_letters", "runs_of"]

Level = Literal[-1, 0, 1]  # subscript, on the line, superscript


@dataclass(frozen=True, slots=True)
class Run:
    """Letters of one size on one line."""

    text: str
    level: Level = 0


@dataclass(frozen=True, slots=True)
class Lettering:
    """A label before it has a position.

    Attributes:
        line: from left to right.
        bonded: which run of the line stands at the atom.
        above, below: rows that begin over or under the bonded letter.
        sign: a charge that is not part of the line, and where it stands.
        circled: the charge stands in a circle.
    """

    line: tuple[Run, ...]
    bonded: int = 0
    above: tuple[Run, ...] = ()
    below: tuple[Run, ...] = ()
    sign: tuple[str, SignPlace] | None = None
    circled: bool = False

    @property
    def text(self) -> str:
        """All that is written on the line."""
        return "".join(run.text for run in self.line)


@dataclass(frozen=True, slots=True)
class Letter:
    """A run at its position: x of its beginning, its base line, its size, and its ink's box."""

    text: str
    x: float
    base: float
    em: float
    box: Box
    circled: bool = False


# Isotopes; the numbers of variables; groups' numbers; words; and what is left, one by one.
_TOKEN = re.compile(
    r"(?P<isotope>(?<![A-Za-z\d)\]])(?:1[1345678]|2|3|7[56]|12[345]|131)(?=(?:C|N|O|F|S|P|H|D|I|Br|Se)(?![a-z])))"
    r"|(?P<behind>(?<=H)3(?=1[1345]C))"
    r"|(?P<variable>(?:Ar|Het|R|X|Y|Z|A|L|Q|W|E|G|T|J|V|M)(?=\d)|R(?=[a-f](?![a-z])))"
    r"|(?P<number>\d+)"
    r"|(?P<count>(?<=[)\]])[nmpqrstxy](?![a-z]))"
    r"|(?P<sign>(?<=[\d)\]A-Za-z])[+-](?=Na|K|Li|Cl|Br|I|$)|^[+-](?=[A-Z]))"
    r"|(?P<element>[A-Z][a-z]?(?![a-z]))"
    r"|(?P<word>[A-Za-z][a-z]*|.)"
)
_LEVEL: dict[Script, Level] = {"high": 1, "low": -1, "line": 0}


def runs_of(text: str, r_script: Script = "high", minus: str = "-") -> tuple[Run, ...]:
    """Cut a label's text into runs; put together they are the text again, but for `minus`.

    Numbers are subscripts, those of R groups stand as `r_script` says, isotopes and charges are
    superscripts. A number at the very beginning that is no isotope stays on the line.
    """
    runs: list[Run] = []
    variable = False
    for match in _TOKEN.finditer(text):
        kind, token = match.lastgroup, match.group()
        level: Level = 0
        if variable:
            level = _LEVEL[r_script]
            variable = False
        elif kind == "isotope":
            level = 1
        elif kind in ("number", "count", "behind"):
            level = -1 if runs and not runs[-1].text.endswith(("-", ",", " ")) else 0
        elif kind == "sign":
            level, token = 1, token.replace("-", minus)
        variable = kind == "variable"
        runs.append(Run(token, level))
    return tuple(runs)


def lettered(
    atom: Atom,
    mol_atom: Chem.Atom,
    directions: Sequence[Point],
    style: PenStyle,
    rng: Random,
    *,
    written: bool,
) -> Lettering | None:
    """The letters of an atom; None for a bare corner or end.

    Args:
        atom: of the drawing.
        mol_atom: the same in the molecule, for its hydrogens and its label's two texts.
        directions: unit vectors to its neighbours.
        style: how it is written.
        rng: chooses where the style has a habit with exceptions.
        written: a carbon that is written out whatever the style says.
    """
    if not atom.is_element or mol_atom.HasProp("molFileAlias"):
        return _of_label(atom, mol_atom, directions, style, rng)
    plain = atom.label == "C" and not (atom.charge or atom.isotope or atom.radical)
    if plain and not written and directions:
        ends = len(directions) == 1
        if not ((ends and style.methyl) or rng.random() < style.written):
            return None
    return _of_element(atom, mol_atom, directions, style, rng)


def _of_element(
    atom: Atom, mol_atom: Chem.Atom, directions: Sequence[Point], style: PenStyle, rng: Random
) -> Lettering:
    hydrogens = mol_atom.GetTotalNumHs()
    core = [Run(str(atom.isotope), 1)] if atom.isotope else []
    core.append(Run(atom.label))
    sign, detached = _sign(atom, bool(directions), style, rng)
    tail = [Run("\u2022" * atom.radical, 1)] if atom.radical else []
    if not hydrogens:
        return _line([*core, *sign, *tail], len(core) - 1, detached, style, rng)
    beside = [Run("H")] + ([Run(str(hydrogens), -1)] if hydrogens > 1 else [])
    side = _free_side(atom.label, directions, style)
    if side in ("above", "below") and mol_atom.HasProp(HYDROGENS_RIGHT):
        side = "right"
    if side == "right":
        return _line([*core, *beside, *sign, *tail], len(core) - 1, detached, style, rng)
    if side == "left":
        bonded = len(beside) + len(core) - 1
        return _line([*beside, *core, *sign, *tail], bonded, detached, style, rng)
    lettering = _line([*core, *sign, *tail], len(core) - 1, detached, style, rng)
    rows: tuple[Run, ...] = tuple(beside)
    return _stacked(lettering, rows, side)


def _stacked(lettering: Lettering, rows: tuple[Run, ...], side: str) -> Lettering:
    return Lettering(
        lettering.line, lettering.bonded,
        rows if side == "above" else (), rows if side == "below" else (),
        lettering.sign, lettering.circled,
    )  # fmt: skip


def _line(
    runs: list[Run], bonded: int, detached: tuple[str, SignPlace] | None, style: PenStyle,
    rng: Random,
) -> Lettering:  # fmt: skip
    circled = style.sign_circled > 0 and rng.random() < style.sign_circled
    return Lettering(tuple(runs), bonded, sign=detached, circled=circled)


def _sign(
    atom: Atom, is_bonded: bool, style: PenStyle, rng: Random
) -> tuple[list[Run], tuple[str, SignPlace] | None]:
    """The charge as runs of the line, or as a sign of its own."""
    if not atom.charge:
        return [], None
    text = "+" if atom.charge > 0 else style.minus
    size = abs(atom.charge)
    if size > 1:
        text = f"{size}{text}" if rng.random() < 0.6 else f"{text}{size}"
    if style.sign_place != "upper right" and is_bonded and rng.random() < 0.85:
        return [], (text, style.sign_place)
    return [Run(text, 1)], None


def _free_side(label: str, directions: Sequence[Point], style: PenStyle) -> str:
    """Where hydrogens stand: right if that is free, else left, else above or below."""
    if not directions:
        return "left" if label in ("F", "Cl", "Br", "I", "O", "S") else "right"
    right = any(x > 0.35 for x, _ in directions)
    left = any(x < -0.35 for x, _ in directions)
    if not right:
        return "right"
    if not left:
        return "left"
    if not style.hydrogen_stack:
        return "right"
    return _free_row(directions)


def _free_row(directions: Sequence[Point]) -> str:
    up = max((-y for _, y in directions), default=-1.0)
    down = max((y for _, y in directions), default=-1.0)
    return "above" if up < down else "below"


def _of_label(
    atom: Atom, mol_atom: Chem.Atom, directions: Sequence[Point], style: PenStyle, rng: Random
) -> Lettering:
    runs = list(runs_of(atom.label, style.r_script, style.minus))
    sign, detached = _sign(atom, bool(directions), style, rng)
    capitals = [k for k, run in enumerate(runs) if run.level == 0 and run.text[0].isupper()]
    backward = _is_backward(atom.label, mol_atom, directions)
    bonded = (capitals[-1] if backward else capitals[0]) if capitals else 0
    lettering = _line([*runs, *sign], bonded, detached, style, rng)
    if (
        len(directions) == 2 and not sign and not backward and bonded == 0 and len(runs) > 1
        and len(atom.label) <= 4 and not runs[1].text.isdigit() and rng.random() < style.stack
    ):  # fmt: skip
        return _stacked(_line([runs[0]], 0, detached, style, rng), tuple(runs[1:]),
                        _free_row(directions))  # fmt: skip
    return lettering


def _is_backward(label: str, mol_atom: Chem.Atom, directions: Sequence[Point]) -> bool:
    """True where the last letter is bonded."""
    if not mol_atom.HasProp("_labelBackward"):
        return False
    forward = mol_atom.GetProp("_labelForward") if mol_atom.HasProp("_labelForward") else ""
    if mol_atom.GetProp("_labelBackward") != label:
        return False
    return forward != label or bool(directions and directions[0][0] > 0.34)


def placed_letters(lettering: Lettering, at: Point, style: PenStyle, em: float) -> list[Letter]:
    """Each run at its position, the bonded letter's middle at `at`; lengths are in pixels."""
    setter = _Setter(style, em)
    cap = cap_height(style.font) * em
    base = at[1] + cap / 2
    line = [setter.pieces(run) for run in lettering.line]
    bonded = line[lettering.bonded]
    symbol = bonded if style.symbol_middle else bonded[:1]
    x = at[0] - setter.width(symbol) / 2 - sum(setter.width(p) for p in line[: lettering.bonded])
    letters: list[Letter] = []
    for pieces in line:
        x = setter.put(letters, pieces, x, base)
    start = at[0] - setter.width(symbol) / 2
    step = style.row_gap * cap
    for rows, row_base in ((lettering.above, base - step), (lettering.below, base + step)):
        x = start
        for run in rows:
            x = setter.put(letters, setter.pieces(run), x, row_base)
    if lettering.sign is not None:
        setter.put_sign(letters, lettering, at, base)
    if lettering.circled:
        letters = [_circled(letter, style) for letter in letters]
    return letters


def _circled(letter: Letter, style: PenStyle) -> Letter:
    if letter.text not in ("+", "-", style.minus):
        return letter
    return Letter(letter.text, letter.x, letter.base, letter.em, letter.box, True)


class _Setter:
    """Puts runs next to each other as one style's hand does."""

    def __init__(self, style: PenStyle, em: float) -> None:
        self.style, self.em = style, em
        self.cap = cap_height(style.font) * em

    def pieces(self, run: Run) -> list[tuple[str, Level]]:
        """The run itself, or its characters where letters keep apart."""
        text = writable(self.style.font, run.text) or "-"
        if self.style.letter_gap and len(text) > 1:
            return [(character, run.level) for character in text]
        if not self.style.symbol_middle and len(text) > 1 and text[0].isupper():
            return [(text[0], run.level), (text[1:], run.level)]
        return [(text, run.level)]

    def width(self, pieces: list[tuple[str, Level]]) -> float:
        return sum(self._advance(text, level) for text, level in pieces)

    def _size(self, level: Level) -> float:
        return self.em * (self.style.script_size if level else 1.0)

    def _advance(self, text: str, level: Level) -> float:
        size = self._size(level)
        return measure(self.style.font, text)[0] * size + self.style.letter_gap * size

    def put(
        self, letters: list[Letter], pieces: list[tuple[str, Level]], x: float, base: float
    ) -> float:
        """Add pieces from x on; where they end."""
        for text, level in pieces:
            if level and letters:
                x += self.style.script_gap * self.em
            rise = (-self.style.script_drop, 0.0, self.style.script_rise)[level + 1] * self.cap
            self._add(letters, text, x, base - rise, self._size(level))
            x += self._advance(text, level)
        return x

    def _add(self, letters: list[Letter], text: str, x: float, base: float, size: float) -> None:
        left, top, right, bottom = measure(self.style.font, text)[1]
        box = (x + left * size, base + top * size, x + right * size, base + bottom * size)
        letters.append(Letter(text, x, base, size, box))

    def put_sign(self, letters: list[Letter], lettering: Lettering, at: Point, base: float) -> None:
        """A sign that stands apart from the line."""
        assert lettering.sign is not None
        text, position = lettering.sign
        text = writable(self.style.font, text) or "-"
        size = self._size(1)
        width = measure(self.style.font, text)[0] * size
        ink = measure(self.style.font, text)[1]
        left = min(letter.box[0] for letter in letters)
        right = max(letter.box[2] for letter in letters)
        top = min(letter.box[1] for letter in letters)
        bottom = max(letter.box[3] for letter in letters)
        gap = 0.18 * self.cap
        x, y = {
            "above": (at[0] - width / 2, top - gap - ink[3] * size),
            "below": (at[0] - width / 2, bottom + gap - ink[1] * size),
            "upper left": (left - width, base - self.style.script_rise * self.cap),
            "far": (right + 0.25 * self.em, base - 0.9 * self.cap),
            "upper right": (right, base - self.style.script_rise * self.cap),
        }[position]
        self._add(letters, text, x, y, size)
