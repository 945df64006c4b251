"""The language of well-formed answers, as an automaton that reads them byte by byte.

What `eyesmol.answer.text.write_answer` writes is in the language, and what is in the language
`read_answer` reads without a problem: atoms numbered in a row, places inside the picture, bonds
from the newest atom to older ones and none twice, labels that are elements or stand in brackets,
groups of atoms in ascending order, a SMILES of SMILES' own words, and the end. Ring closures and
valences of the SMILES are not checked.

An answer is a chain of *fields* (a number, a label, a SMILES) with *literals* between them
(``,"xy":[``). A form is a table that says which literal and which field may follow a field; the
fields know their own text. The automaton's `State` is plain data, so that what may follow can be
worked out once for a state and kept: see `eyesmol.reader.constrained_decoding`, which brings it to
tokens.

No torch in here.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Any, NamedTuple, Protocol

from eyesmol.answer.text import PROMPT_VERSION, AnswerForm, bond_orders, write_answer
from eyesmol.chem.graph import Atom, Bond, MolGraph, is_element

__all__ = [
    "ATOM_NUMBERS",
    "NUMBERS",
    "AnswerGrammar",
    "Bonded",
    "Gates",
    "Outline",
    "State",
    "answer_pattern",
]

_SYMBOLS = tuple(filter(is_element, (a + b for a in "ABCDEFGHIKLMNOPRSTUVWXYZ"
                                     for b in ("", *"abcdefghiklmnoprstuvy"))))  # fmt: skip


# ---- fields: each knows its own text, and a short way to finish it ----


class Field(Protocol):
    """A part of an answer. What has been read of it is `sub`, any hashable value."""

    first: Any

    def step(self, sub: Any, byte: int) -> Any | None:
        """What has been read once the byte is; None where it cannot stand here."""

    def done(self, sub: Any) -> bool:
        """True where the field may end here."""

    def finish(self, sub: Any) -> bytes:
        """Short text that leads to an end of the field."""


class Words:
    """One word of a list."""

    first = b""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = {word.encode() for word in words}
        self._prefixes = {word[:length] for word in self._words for length in range(len(word) + 1)}

    def step(self, sub: bytes, byte: int) -> bytes | None:
        longer = sub + bytes([byte])
        return longer if longer in self._prefixes else None

    def done(self, sub: bytes) -> bool:
        return sub in self._words

    def finish(self, sub: bytes) -> bytes:
        return min((w for w in self._words if w.startswith(sub)), key=len)[len(sub) :]


class Number:
    """A whole number from `low` to `high` but for some, without leading zeros."""

    first = b""

    def __init__(self, low: int, high: int, without: frozenset[int] = frozenset()) -> None:
        self._low, self._high, self._without = low, high, without

    def _smallest(self, sub: bytes) -> int | None:
        """The smallest number that is allowed and begins like this."""
        if not sub:
            return self._free(self._low, self._high)
        begin, size = int(sub), 1
        while begin <= self._high:
            found = self._free(max(begin, self._low), min(begin + size - 1, self._high))
            if found is not None or sub == b"0":
                return found
            begin, size = begin * 10, size * 10
        return None

    def _free(self, low: int, high: int) -> int | None:
        return next((n for n in range(low, high + 1) if n not in self._without), None)

    def step(self, sub: bytes, byte: int) -> bytes | None:
        if not 48 <= byte <= 57 or sub == b"0":
            return None
        longer = sub + bytes([byte])
        return longer if self._smallest(longer) is not None else None

    def done(self, sub: bytes) -> bool:
        return bool(sub) and self._low <= int(sub) <= self._high and int(sub) not in self._without

    def finish(self, sub: bytes) -> bytes:
        return str(self._smallest(sub)).encode()[len(sub) :]


@cache
def _printable() -> dict[bytes, bytes]:
    """Beginnings of printable characters in UTF-8 that are not ASCII, and the rest of one each.

    ASCII is left to simple comparisons. Line ends and blanks of Unicode are not printable, and a
    label must hold none of them: they would break its line.
    """
    rest: dict[bytes, bytes] = {}
    for code in range(0x80, 0x10000):
        if chr(code).isprintable():
            text = chr(code).encode()
            for length in range(1, len(text)):
                rest.setdefault(text[:length], text[length:])
            rest[text] = b""
    return rest


class Label:
    """An element, or anything printable in brackets, inner brackets balanced: ``[CH2[Ph]]``.

    `sub` is the symbol so far, or (open brackets, anything in them yet, bytes of a character that
    has begun).
    """

    first = b""
    _element = Words(_SYMBOLS)
    _DEEPEST = 8

    def step(self, sub: Any, byte: int) -> Any | None:
        if isinstance(sub, bytes):
            return (1, False, b"") if not sub and byte == 0x5B else self._element.step(sub, byte)
        depth, filled, begun = sub
        if depth == 0:
            return None
        if begun or byte >= 0x80:
            rest = _printable().get(begun + bytes([byte]))
            return None if rest is None else (depth, True, begun + bytes([byte]) if rest else b"")
        if byte == 0x5B:
            return (depth + 1, filled, b"") if depth < self._DEEPEST else None
        if byte == 0x5D:
            return (depth - 1, True, b"") if filled else None
        if (byte == 0x20 and not filled) or not 0x20 <= byte < 0x7F:
            return None
        return (depth, True, b"")

    def done(self, sub: Any) -> bool:
        return self._element.done(sub) if isinstance(sub, bytes) else sub[0] == 0

    def finish(self, sub: Any) -> bytes:
        if isinstance(sub, bytes):
            return self._element.finish(sub) if sub else b"C"
        depth, filled, begun = sub
        return (_printable()[begun] if begun else b"" if filled else b"C") + b"]" * depth


class Mark:
    """What stands at the corner of brackets: anything printable that begins with no blank.

    `sub` is (anything in it yet, bytes of a character that has begun).
    """

    first = (False, b"")

    def step(self, sub: Any, byte: int) -> Any | None:
        filled, begun = sub
        if begun or byte >= 0x80:
            rest = _printable().get(begun + bytes([byte]))
            return None if rest is None else (True, begun + bytes([byte]) if rest else b"")
        return (True, b"") if 0x20 + (not filled) <= byte < 0x7F else None

    def done(self, sub: Any) -> bool:
        return sub[0] and not sub[1]

    def finish(self, sub: Any) -> bytes:
        return _printable()[sub[1]] if sub[1] else b"" if sub[0] else b"n"


class Smiles:
    """SMILES' own words: atoms, bracket atoms, bonds, ring numbers, branches that are closed again.

    `sub` is (open branches, what came last, text since the bracket).
    """

    first = (0, "open", b"")
    _DEEPEST = 48
    _ATOMS = b"BCNOPSFIbcnops*"
    _BONDS = b"-=#$:/\\~"
    # In brackets the parts have their order: isotope, symbol, chirality, hydrogens, charge, class.
    _symbols = Words((*_SYMBOLS, "*", "b", "c", "n", "o", "p", "s", "se", "as", "te", "si"))
    # What came last behind the symbol; "!" is a hydrogen count, since "H" itself is a symbol.
    _MARKS = (b"@", b"!", b"+", b":")

    def step(self, sub: Any, byte: int) -> Any | None:
        depth, last, text = sub
        if last == "[":
            return self._in_bracket(depth, text, byte)
        if last + chr(byte) in ("Br", "Cl"):
            return (depth, "atom", b"")
        if last == "%":
            digits = text + bytes([byte])
            if not 48 <= byte <= 57:
                return None
            return (depth, "atom", b"") if len(digits) == 2 else (depth, "%", digits)
        return self._outside(depth, last, byte)

    def _outside(self, depth: int, last: str, byte: int) -> Any | None:
        if byte in self._ATOMS:
            return (depth, chr(byte) if byte in b"BC" else "atom", b"")
        if byte == 0x5B:
            return (depth, "[", b"")
        after_atom = last in ("atom", "B", "C")
        if last == "arrow":
            return (depth, "bond", b"") if byte == 0x2D else None
        if after_atom or last in ("bond", "dash"):
            if 48 <= byte <= 57:
                return (depth, "atom", b"")
            if byte == 0x25:
                return (depth, "%", b"")
        if (byte == 0x3E and last == "dash") or (byte == 0x2E and after_atom):
            return (depth, "open", b"")  # "->", a dative bond; ".", another fragment
        if after_atom and byte == 0x28 and depth < self._DEEPEST:
            return (depth + 1, "branch", b"")
        if after_atom and byte == 0x29 and depth:
            return (depth - 1, "atom", b"")
        if after_atom or last == "branch":
            if byte in self._BONDS:
                return (depth, "dash" if byte == 0x2D else "bond", b"")
            if byte == 0x3C:
                return (depth, "arrow", b"")  # "<-", a dative bond the other way
        return None

    def _in_bracket(self, depth: int, text: bytes, byte: int) -> Any | None:
        """`text` is the isotope's digits, then the symbol so far, then a mark of the last part."""
        if not text or text.isdigit():
            if 48 <= byte <= 57:
                return (depth, "[", text + bytes([byte])) if len(text) < 3 else None
            text = b""
        if text not in self._MARKS:
            longer = self._symbols.step(text, byte)
            if longer is not None:
                return (depth, "[", longer)
            if not self._symbols.done(text):
                return None
            text = b""
        return self._after_symbol(depth, text, byte)

    def _after_symbol(self, depth: int, text: bytes, byte: int) -> Any | None:
        rank = (b"", *self._MARKS).index(text)
        if byte == 0x5D:
            return (depth, "atom", b"")
        if byte == 0x40 or (rank == 1 and byte in b"TSPBOAL"):
            return (depth, "[", b"@") if rank <= 1 else None
        if 48 <= byte <= 57:
            return (depth, "[", text) if rank else None
        if byte == 0x48:
            return (depth, "[", b"!") if rank < 2 else None
        if byte in b"+-":
            return (depth, "[", b"+") if rank <= 3 else None
        return (depth, "[", b":") if byte == 0x3A and rank < 4 else None

    def done(self, sub: Any) -> bool:
        return sub[0] == 0 and sub[1] in ("atom", "B", "C")

    def finish(self, sub: Any) -> bytes:
        depth, last, text = sub
        close = b")" * depth
        if last in ("atom", "B", "C"):
            return close
        if last == "%":
            return b"11"[len(text) :] + close
        if last == "[":
            if not text or text.isdigit():
                return b"C]" + close
            rest = b"" if text in self._MARKS else self._symbols.finish(text)
            return rest + b"]" + close
        return (b"-C" if last == "arrow" else b"C") + close


class Quoted:
    """A field inside a JSON string, where a quote and a backslash have a backslash before them."""

    def __init__(self, inner: Field) -> None:
        self._inner = inner
        self.first = (False, inner.first)

    def step(self, sub: Any, byte: int) -> Any | None:
        escaped, inner = sub
        if escaped:
            after = self._inner.step(inner, byte) if byte in b'"\\' else None
        elif byte == 0x5C:
            return (True, inner) if self._escapable(inner) else None
        else:
            after = None if byte == 0x22 else self._inner.step(inner, byte)
        return None if after is None else (False, after)

    def _escapable(self, inner: Any) -> int | None:
        return next((b for b in b'\\"' if self._inner.step(inner, b) is not None), None)

    def done(self, sub: Any) -> bool:
        return not sub[0] and self._inner.done(sub[1])

    def finish(self, sub: Any) -> bytes:
        escaped, inner = sub
        if not escaped:
            return self._inner.finish(inner)
        byte = self._escapable(inner) or 0
        return bytes([byte]) + self._inner.finish(self._inner.step(inner, byte))


# ---- forms: which literal and which field follow a field ----

_Table = dict[str, tuple[tuple[bytes, str], ...]]

# The field behind each kind of group: brackets with any mark, with a number, and stereocentres.
_FIRST_OF_GROUP = {"SRU": "in", "GEN": "in", "MUL": "in_copies", "ABS": "centre", "AND": "centre",
                   "OR": "centre"}  # fmt: skip


def _compact_table(version: int) -> _Table:
    kinds = _FIRST_OF_GROUP if version > 2 else {}
    groups = tuple((f"\n{kind} ".encode(), field) for kind, field in kinds.items())
    last = (b"\nsmiles ", "smiles")
    after_atom = ((b" ", "sign"), (b"\n", "x"), *groups, last)
    table: _Table = {
        "start": ((b"", "x"),),
        "x": ((b" ", "y"),),
        "y": ((b" ", "label"),),
        "label": after_atom,
        "sign": ((b"", "partner"),),
        "partner": after_atom,
        "smiles": ((b"", "end"),),
    }
    for field in kinds.values():
        marked = {"in": ((b" ", "mark"),), "in_copies": ((b" ", "copies"),)}.get(field, ())
        rest = (*marked, *groups, last) if field != "in_copies" else marked
        table[field] = table[f"{field}+"] = ((b",", f"{field}+"), *rest)
        table["mark"] = table["copies"] = (*groups, last)
    return table


def _json_table(version: int) -> _Table:
    kinds = _FIRST_OF_GROUP if version > 2 else {}
    smiles = b',{"smiles":"'
    groups = tuple((f',{{"k":"{kind}","in":['.encode(), field) for kind, field in kinds.items())

    def behind(close: bytes, *more: tuple[bytes, str]) -> tuple[tuple[bytes, str], ...]:
        return tuple((close + literal, name) for literal, name in (*more, (smiles, "smiles")))

    items = ((b',{"a":"', "label"), (b',{"b":', "order"), *groups)
    table: _Table = {
        "start": ((b'[{"a":"', "label"),),
        "label": ((b'","id":', "id"),),
        "id": ((b',"xy":[', "x"),),
        "x": ((b",", "y"),),
        "y": behind(b"]}", *items),
        "order": ((b',"a1":', "a1"),),
        "a1": ((b',"a2":', "a2"),),
        "a2": behind(b"}", *items),
        "smiles": ((b'"}]', "end"),),
    }
    for field in kinds.values():
        name = "mark" if field == "in" else "copies"
        marked = ((b'],"mark":"', name),) if field != "centre" else ()
        rest = marked if field == "in_copies" else (*marked, *behind(b"]}", *groups))
        table[field] = table[f"{field}+"] = ((b",", f"{field}+"), *rest)
        table["mark"] = table["copies"] = behind(b'"}', *groups)
    return table


@cache
def _signs(version: int) -> tuple[str, ...]:
    """The bond signs of compact answers, as `write_answer` writes them."""
    atoms = (Atom("C", 0, 0), Atom("C", 0, 9))
    texts = (
        write_answer(MolGraph(atoms, (Bond(*ends, order),)), "", "compact")
        for order in bond_orders(version)
        for ends in ((0, 1), (1, 0))
    )
    return tuple(
        dict.fromkeys(text.splitlines()[1].split()[-1].removesuffix("0") for text in texts)
    )


class Bonded(NamedTuple):
    """What the numbers of atoms may be: it changes with every atom, bond and group."""

    atoms: int = 0  # listed so far
    partners: frozenset[int] = frozenset()  # of the newest atom
    a1: int = -1  # of the bond that is being written, in JSON
    member: int = -1  # the last atom of the group that is being written
    centres: frozenset[int] = frozenset()  # atoms that have their stereo group


class Gates(NamedTuple):
    """Which fields can come once the field of a state is done, as far as the atoms decide it."""

    bond: bool  # there is an older atom that is not bonded yet
    member: bool  # there is an atom behind the group's last one
    centre: bool  # there is an atom that has no stereo group
    next_centre: bool  # there is one behind the group's last one


_GATE_OF = {"sign": "bond", "order": "bond", "in+": "member", "in_copies+": "member",
            "centre": "centre", "centre+": "next_centre"}  # fmt: skip


class State(NamedTuple):
    """Where an answer stands.

    Attributes:
        field: the field that is being read, or that was read last.
        sub: what has been read of it; None between fields.
        typed: between fields, what has been read of the literal.
        bonded: the atoms and bonds listed so far.
    """

    field: str
    sub: Any
    typed: bytes
    bonded: Bonded


class AnswerGrammar:
    """The automaton of one answer form and one size of picture.

    Args:
        form: of the answer.
        width, height: of the picture in the model's frame, in pixels; places lie from 0 to these.
        version: of the prompt that the answer is to; one to version 2 knows eight kinds of bond and
            no groups.
    """

    def __init__(
        self, form: AnswerForm, width: int, height: int, version: int = PROMPT_VERSION
    ) -> None:
        self.size = (width, height)
        self._table = _json_table(version) if form == "json" else _compact_table(version)
        texts: tuple[Field, ...] = (Label(), Mark(), Smiles())
        if form == "json":
            texts = tuple(map(Quoted, texts))
        self._fields: dict[str, Field] = {
            "label": texts[0],
            "mark": texts[1],
            "smiles": texts[2],
            "x": Number(0, width),
            "y": Number(0, height),
            "sign": Words(_signs(version)),
            "order": Words(tuple(str(int(order)) for order in bond_orders(version))),
            "copies": Number(1, 999),
        }
        self.start = State("start", None, b"", Bonded())

    def step(self, state: State, byte: int) -> State | None:
        """The state after one more byte; None where the byte cannot stand there."""
        if state.sub is None:
            return self._step_between(state, byte)
        field = self.field(state)
        sub = field.step(state.sub, byte)
        if sub is not None:
            return state._replace(sub=sub)
        return self._step_between(self.leave(state), byte) if field.done(state.sub) else None

    def leave(self, state: State) -> State:
        """The state between this field, which is done, and the next."""
        return State(state.field, None, b"", self._noted(state))

    def is_whole(self, state: State) -> bool:
        """True where the answer may end."""
        if state.field != "smiles":
            return False
        if state.sub is not None:
            return self._fields["smiles"].done(state.sub) and self._table["smiles"][0][0] == b""
        return state.typed == self._table["smiles"][0][0]

    def closing(self, state: State) -> bytes:
        """The shortest text, or nearly so, that makes the answer whole: no new atom, no new bond
        but the one that has begun."""
        text = b""
        while not self.is_whole(state):
            if state.sub is not None:
                rest = self.field(state).finish(state.sub)
            else:
                literal, after = next(
                    choice for choice in reversed(self._table[state.field])
                    if choice[0].startswith(state.typed) and self._possible(choice[1], state.bonded)
                )  # fmt: skip
                field = self._field(after, state.bonded) if after != "end" else None
                rest = literal[len(state.typed) :] + (field.finish(field.first) if field else b"")
            if not rest:  # the field is done: what follows is a literal
                state = self.leave(state)
                continue
            text += rest
            for byte in rest:
                state = self.step(state, byte)  # type: ignore[assignment]
        return text

    def field(self, state: State) -> Field:
        """The field of a state that is inside one."""
        return self._field(state.field, state.bonded)

    def exits(self, name: str) -> bytes:
        """First bytes of the literals that may follow a field."""
        return bytes({literal[0] for literal, _ in self._table[name] if literal})

    def gates(self, state: State) -> Gates:
        """What can come once the field of this state is done."""
        return self._gates(state.bonded if state.sub is None else self._noted(state))

    def _field(self, name: str, bonded: Bonded) -> Field:
        return self._fields[name] if name in self._fields else _atom_number(name, bonded)

    def _possible(self, name: str, bonded: Bonded) -> bool:
        """True where a field can come."""
        gate = _GATE_OF.get(name)
        return gate is None or getattr(self._gates(bonded), gate)

    def _gates(self, bonded: Bonded) -> Gates:
        atoms, member = bonded.atoms, bonded.member
        return Gates(
            bond=len(bonded.partners) < atoms - 1,
            member=member < atoms - 1,
            centre=len(bonded.centres) < atoms,
            next_centre=any(n not in bonded.centres for n in range(member + 1, atoms)),
        )

    def _step_between(self, state: State, byte: int) -> State | None:
        choices = [
            (literal, name)
            for literal, name in self._table[state.field]
            if literal.startswith(state.typed) and self._possible(name, state.bonded)
        ]
        longer = state.typed + bytes([byte])
        if any(literal.startswith(longer) for literal, _ in choices):
            return state._replace(typed=longer)
        for literal, name in choices:
            if literal == state.typed and name != "end":
                field = self._field(name, state.bonded)
                sub = field.step(field.first, byte)
                if sub is not None:
                    return State(name, sub, b"", state.bonded)
        return None

    def _noted(self, state: State) -> Bonded:
        """The atoms and bonds once the field of this state is done."""
        bonded, name = state.bonded, state.field
        if name == "id" or (name == "label" and "id" not in self._table):
            return Bonded(bonded.atoms + 1)
        if name == "a1":
            return bonded._replace(a1=int(state.sub))
        if name in ("a2", "partner"):
            number = int(state.sub)
            partner = number if name == "partner" else min(number, bonded.a1)
            return Bonded(bonded.atoms, bonded.partners | {partner})
        if name in _MEMBERS:
            member = int(state.sub)
            is_centre = name.startswith("centre")
            centres = bonded.centres | {member} if is_centre else bonded.centres
            return bonded._replace(member=member, centres=centres)
        return bonded


class Outline(AnswerGrammar):
    """The automaton up to its next number.

    What it allows depends neither on the picture nor on the list of atoms, but for the gates, so
    what is worked out from it holds for every answer of its form.

    Args:
        form: of the answer.
        gates: see `AnswerGrammar.gates`.
        version: of the prompt.
    """

    def __init__(self, form: AnswerForm, gates: Gates, version: int = PROMPT_VERSION) -> None:
        super().__init__(form, 0, 0, version)
        self._fixed = gates

    def _field(self, name: str, bonded: Bonded) -> Field:
        return _ANY_NUMBER if name in NUMBERS else self._fields[name]

    def _gates(self, bonded: Bonded) -> Gates:
        return self._fixed


_MEMBERS = frozenset(name + more for name in _FIRST_OF_GROUP.values() for more in ("", "+"))
ATOM_NUMBERS = frozenset({"id", "a1", "a2", "partner"}) | _MEMBERS  # fields that name an atom
NUMBERS = ATOM_NUMBERS | {"x", "y"}  # fields that hold a number that the picture or atoms bound
_ANY_NUMBER = Number(0, 10**9)


@lru_cache(maxsize=4096)
def _atom_number(name: str, bonded: Bonded) -> Number:
    """What a field that names an atom may hold."""
    newest = bonded.atoms - 1
    if name == "id":
        return Number(bonded.atoms, bonded.atoms)
    if name == "a1":
        return Number(0, newest, bonded.partners)
    if name == "a2" and bonded.a1 != newest:
        return Number(newest, newest)
    if name in _MEMBERS:
        low = bonded.member + 1 if name.endswith("+") else 0
        taken = bonded.centres if name.startswith("centre") else frozenset()
        return Number(low, newest, taken)
    return Number(0, newest - 1, bonded.partners)


# ---- the same as a regular expression, for decoders that know no more ----


@cache
def answer_pattern(form: AnswerForm, version: int = PROMPT_VERSION) -> str:
    """A regular expression that all answers of the grammar match, and little else.

    What a regular expression cannot say is left open: that atoms are numbered in a row, that bonds
    lead to older ones, that places lie inside the picture, that brackets are closed. It uses
    character classes, groups and repetition only, which every engine of guided decoding knows.
    """
    letters = r"[^\x00-\x1f\x7f]"
    number, smiles = "[0-9]{1,5}", r"[A-Za-z0-9@+\[\]()=#$:/%*.~<>\-"
    numbers = rf"{number}(,{number})*"
    if form == "compact":
        signs = re.sub(r"([-^\\])", r"\\\1", "".join(_signs(version)))
        label = rf"([A-Z][a-z]?|\[{letters}+\])"
        groups = rf"((SRU|GEN|MUL|ABS|AND|OR) {numbers}( {letters}+)?\n)*" if version > 2 else ""
        return rf"({number} {number} {label}( [{signs}]{number})*\n)+{groups}smiles {smiles}\\]+"
    letters = r'([^\x00-\x1f\x7f"\\]|\\["\\])'
    label = rf"([A-Z][a-z]?|\[{letters}+\])"
    atom = rf'\{{"a":"{label}","id":{number},"xy":\[{number},{number}\]\}}'
    orders = "|".join(str(int(order)) for order in bond_orders(version))
    bond = rf'\{{"b":({orders}),"a1":{number},"a2":{number}\}}'
    group = rf'\{{"k":"(SRU|GEN|MUL|ABS|AND|OR)","in":\[{numbers}\](,"mark":"{letters}+")?\}}'
    groups = rf"(,{group})*" if version > 2 else ""
    return rf'\[{atom}(,{atom}|,{bond})*{groups},\{{"smiles":"({smiles}]|\\\\)+"\}}\]'
