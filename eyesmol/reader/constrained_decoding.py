"""Decoding that cannot run away: only tokens that keep an answer well-formed can be chosen.

`eyesmol.answer.grammar` knows the language of answers byte by byte; this file brings it to the
tokens of any tokenizer, whose tokens span fields (``]},{"a":"``) or parts of characters.

Why not xgrammar or outlines? Both take a grammar that is fixed before decoding (a JSON schema, a
regular or context-free grammar). Ours is not context-free: an id must be the next number, a bond
must lead to an atom that is listed and not yet bonded, a place must lie inside this image, and
the answer must be closed before its tokens run out. With either of them all of this would still
have to be checked here, with a compiled dependency besides. What we take over is xgrammar's idea
(arXiv 2411.15100) of splitting the vocabulary: of the tokens all that is true for every answer is
worked out once a state, and only those that write digits of a number (a dozen in Qwen's vocabulary)
are looked at again for each image and each list of atoms.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch

from eyesmol.answer.grammar import (
    ATOM_NUMBERS,
    NUMBERS,
    AnswerGrammar,
    Gates,
    Outline,
    State,
)
from eyesmol.answer.text import PROMPT_VERSION, AnswerForm

__all__ = ["AnswerTokens", "GrammarGuide", "looping_rows", "token_bytes"]

_CACHE_BYTES = 1 << 27  # of allowed-token masks; a byte a token of the vocabulary each
_MARGIN = 64  # bytes that one more token may add to what closes an answer, and some to spare
_MOST_NUMBERS = 1 << 14  # lists of tokens that may go on in a number
_DIGITS = b"0123456789"
_NEAR = 512  # tokens before the limit at which it is begun to look at the distance to the end


def token_bytes(tokenizer: Any) -> dict[int, bytes]:
    """What each token id writes, special tokens left out.

    Byte-level vocabularies (GPT-2's, Qwen's) are read from their own alphabet, so tokens that hold
    a part of a character are exact. Of others each token is decoded.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    added = tokenizer.added_tokens_decoder
    alphabet = _byte_alphabet()
    is_byte_level = "\u0120" in vocabulary
    texts: dict[int, bytes] = {}
    for name, number in vocabulary.items():
        if number in added:
            if not added[number].special:
                texts[number] = added[number].content.encode()
        elif is_byte_level:
            texts[number] = bytes(alphabet[letter] for letter in name)
        else:
            # Behind another token, since some tokenizers drop a blank at the beginning.
            anchor = tokenizer.encode("C", add_special_tokens=False)
            text = tokenizer.decode([*anchor, number])[len(tokenizer.decode(anchor)) :]
            if "\ufffd" not in text:
                texts[number] = text.encode()
    return texts


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's byte-level alphabet: printable bytes are themselves, others count from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


class _Vocabulary:
    """Texts of tokens, sorted, to be walked like a tree of their beginnings."""

    def __init__(self, ids: dict[bytes, list[int]]) -> None:
        self.ids = ids
        self._words = sorted(ids)
        self._first: dict[int, tuple[int, int]] = {}  # first byte -> where its words lie
        for place, word in enumerate(self._words):
            begin, _ = self._first.get(word[0], (place, place))
            self._first[word[0]] = (begin, place + 1)
        self.longest = max(map(len, self._words), default=0)

    def walk(
        self,
        step: Callable[[Any, bytes], Any | None],
        start: Any,
        first: bytes = bytes(range(256)),
    ) -> Iterator[int]:
        """Ids of the tokens whose bytes can all be stepped.

        Args:
            step: gives the state after the last byte of a beginning, from the state before it, or
                None. Each beginning is stepped once, and the words of a dead one are jumped over.
            start: the state before a token.
            first: bytes that a token may begin with.
        """
        for byte in first:
            if byte in self._first:
                after = step(start, bytes([byte]))
                if after is not None:
                    yield from self._walk_range(step, after, *self._first[byte])

    def beginning_with(self, beginning: bytes) -> Iterator[tuple[bytes, list[int]]]:
        """The texts that begin with a text, and the ids of each."""
        place = bisect_left(self._words, beginning)
        while place < len(self._words) and self._words[place].startswith(beginning):
            yield self._words[place], self.ids[self._words[place]]
            place += 1

    def _walk_range(
        self, step: Callable[[Any, bytes], Any | None], start: Any, place: int, end: int
    ) -> Iterator[int]:
        """The same for words with one first byte, which has been stepped."""
        words = self._words
        states, last = [start], words[place][:1]  # states[n]: after n + 1 bytes
        while place < end:
            word = words[place]
            common, most = 1, min(len(last), len(word))
            while common < most and last[common] == word[common]:
                common += 1
            del states[common:]
            last = word
            for depth in range(common, len(word)):
                after = step(states[-1], word[: depth + 1])
                if after is None:
                    last = word[:depth]
                    place = bisect_left(words, _successor(word[: depth + 1]), place + 1, end)
                    break
                states.append(after)
            else:
                yield from self.ids[word]
                place += 1


def _successor(prefix: bytes) -> bytes:
    """The first text behind all those that begin like this."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\xff" * 64


class _Outlined(NamedTuple):
    """What may come next but for numbers, and by the field of the number the tokens that reach one
    (or begin with one), named by their text from there on."""

    mask: torch.Tensor
    numbers: dict[str, _Vocabulary]


class AnswerTokens:
    """Which tokens may come next: the grammar of one answer form over one vocabulary.

    Args:
        texts: what each token id writes, as `token_bytes` gives it.
        end_ids: tokens that end an answer.
        form: of the answers.
        size: length of the model's logits, at least that of the vocabulary.
        device: where the masks are kept.
        version: of the prompt that the model answers.
    """

    def __init__(
        self,
        texts: dict[int, bytes],
        end_ids: list[int],
        form: AnswerForm,
        size: int,
        device: torch.device | str = "cpu",
        version: int = PROMPT_VERSION,
    ) -> None:
        self._texts, self._size, self._device = texts, size, device
        ids: dict[bytes, list[int]] = {}
        for number, text in texts.items():
            if text:
                ids.setdefault(text, []).append(number)
        self._vocabulary = _Vocabulary(ids)
        self.ends = self._mask_of(end_ids)
        self._inside: dict[tuple[str, Any], tuple[torch.Tensor, _Vocabulary]] = {}
        self._outline: Callable[[Gates], Outline] = lru_cache(maxsize=16)(
            lambda gates: Outline(form, gates, version)
        )
        self._known: dict[tuple[str, Any, bytes, Gates], _Outlined] = {}
        self._numbers_known: dict[tuple[Any, ...], list[int]] = {}
        self._most_known = max(256, _CACHE_BYTES // size)
        self.grammar: Callable[[int, int], AnswerGrammar] = lru_cache(maxsize=256)(
            lambda width, height: AnswerGrammar(form, width, height, version)
        )

    def advance(self, grammar: AnswerGrammar, state: State, token: int) -> State | None:
        """The state after a token; None where the token cannot stand there."""
        after: State | None = state
        for byte in self._texts.get(token, b"\0"):
            after = grammar.step(after, byte) if after is not None else None
        return after

    def allowed(self, grammar: AnswerGrammar, state: State) -> torch.Tensor:
        """Mask [size] of the tokens that may come next; the ends where the answer may end."""

        if state.field in NUMBERS and state.sub is not None:
            more = self._numbers(grammar, state, self._vocabulary, _DIGITS)
            if not grammar.field(state).done(state.sub):
                return self._mask_of(more)
            state = grammar.leave(state)
        else:
            more = []
        known = self._outlined(grammar, state)
        bonded = state.bonded if state.sub is None else grammar.leave(state).bonded
        for name, vocabulary in known.numbers.items():
            start = State(name, b"", b"", bonded)
            more = more + self._numbers(grammar, start, vocabulary)
        if not more:
            return known.mask
        mask = known.mask.clone()
        mask[more] = True
        return mask

    def _numbers(
        self,
        grammar: AnswerGrammar,
        state: State,
        vocabulary: _Vocabulary,
        first: bytes = bytes(range(256)),
    ) -> list[int]:
        """Ids of the tokens that may go on in a number; each place and each set of bonds once.

        A place depends on the image's size alone, unless a token reaches the number of an atom.
        """
        reaches_an_atom = False

        def step(state: State, beginning: bytes) -> State | None:
            nonlocal reaches_an_atom
            after = grammar.step(state, beginning[-1])
            reaches_an_atom |= after is not None and after.field in ATOM_NUMBERS
            return after

        exact: tuple[Any, ...] = (state, grammar.size, id(vocabulary))
        place = exact
        if state.field in ("x", "y"):
            rest = (state.field, state.sub, grammar.gates(state))
            place = (rest, grammar.size, id(vocabulary))
        for key in (place, exact):
            if (known := self._numbers_known.get(key)) is not None:
                return known
        found = list(vocabulary.walk(step, state, first))
        if len(self._numbers_known) >= _MOST_NUMBERS:
            self._numbers_known.clear()
        self._numbers_known[exact if reaches_an_atom else place] = found
        return found

    def prefixes(self, text: bytes) -> torch.Tensor:
        """Mask [size] of the tokens that a text may begin with; the ends of an empty one."""
        if not text:
            return self.ends
        lengths = range(1, min(len(text), self._vocabulary.longest) + 1)
        found = (self._vocabulary.ids.get(text[:length], []) for length in lengths)
        return self._mask_of([number for ids in found for number in ids])

    def text_of(self, token: int) -> bytes:
        """What a token writes; nothing for a special one."""
        return self._texts.get(token, b"")

    def _mask_of(self, ids: list[int]) -> torch.Tensor:
        mask = torch.zeros(self._size, dtype=torch.bool)
        mask[ids] = True
        return mask.to(self._device)

    def _outlined(self, grammar: AnswerGrammar, state: State) -> _Outlined:
        """What may come next in any answer that stands so; worked out once."""
        key = (state.field, state.sub, state.typed, grammar.gates(state))
        if (known := self._known.get(key)) is not None:
            return known
        ids: list[int] = []
        outline = self._outline(key[-1])
        numbers: dict[str, dict[bytes, list[int]]] = {}

        def walk(vocabulary: _Vocabulary, start: State) -> None:
            def step(state: State, beginning: bytes) -> State | None:
                after = outline.step(state, beginning[-1])
                if after is None or after.field not in NUMBERS or after.sub is None:
                    return after
                rests = numbers.setdefault(after.field, {})
                for word, found in vocabulary.beginning_with(beginning):
                    rests.setdefault(word[len(beginning) - 1 :], []).extend(found)
                return None

            ids.extend(vocabulary.walk(step, start))

        if state.field in ("label", "mark", "smiles") and state.sub is not None:
            inside, leaving = self._inside_of(outline, state)
            walk(leaving, outline.leave(state))
        else:
            inside = self._mask_of([])
            walk(self._vocabulary, state)
        mask = inside | self._mask_of(ids)
        if outline.is_whole(state):
            mask |= self.ends
        if len(self._known) >= self._most_known:
            self._known.clear()
            self._numbers_known.clear()  # named by vocabularies that are gone now
        self._known[key] = _Outlined(mask, {n: _Vocabulary(r) for n, r in numbers.items()})
        return self._known[key]

    def _inside_of(self, grammar: AnswerGrammar, state: State) -> tuple[torch.Tensor, _Vocabulary]:
        """Tokens that stay in a text field; and of those that leave it, what stands behind it."""
        key = (state.field, state.sub)
        if key not in self._inside:
            field, exits = grammar.field(state), grammar.exits(state.field)
            leaving: dict[bytes, list[int]] = {}

            def leave(beginning: bytes) -> None:
                for word, numbers in self._vocabulary.beginning_with(beginning):
                    leaving.setdefault(word[len(beginning) - 1 :], []).extend(numbers)

            def step(sub: Any, beginning: bytes) -> Any | None:
                after = field.step(sub, beginning[-1])
                if after is None and beginning[-1] in exits and field.done(sub):
                    leave(beginning)
                return after

            mask = self._mask_of(list(self._vocabulary.walk(step, state.sub)))
            self._inside[key] = (mask, _Vocabulary(leaving))
        return self._inside[key]


class GrammarGuide:
    """Masks the logits of a batch, one answer a row, as it is decoded.

    When a row's limit comes near, or the row repeats itself, only what closes the answer is left.

    Args:
        tokens: of the model's vocabulary.
        sizes: width and height of each image in the model's frame.
        prompt_length: tokens of the (padded) prompt.
        limit: tokens that an answer may have, its end included.

    Attributes:
        closed: rows that were closed so, and the reason.
    """

    def __init__(
        self, tokens: AnswerTokens, sizes: list[tuple[int, int]], prompt_length: int, limit: int
    ) -> None:
        self._tokens, self._prompt_length, self._limit = tokens, prompt_length, limit
        self._grammars = [tokens.grammar(*size) for size in sizes]
        self._states: list[State | None] = [grammar.start for grammar in self._grammars]
        self._closing: dict[int, bytes] = {}
        self.closed: dict[int, str] = {}

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Logits [B, V], with minus infinity where a token may not come."""
        length = input_ids.shape[1] - self._prompt_length
        if length:
            for row, token in enumerate(input_ids[:, -1].tolist()):
                self._advance(row, token)
        for row in looping_rows(input_ids, length):
            self._close(row, "the answer repeats itself without end")
        left = self._limit - length
        masks = torch.stack([self._mask(row, left) for row in range(len(self._states))])
        # A vocabulary that lacks the letters it would need ends its answers there.
        masks |= ~masks.any(dim=1, keepdim=True) & self._tokens.ends
        return scores.masked_fill(~masks, float("-inf"))

    def _advance(self, row: int, token: int) -> None:
        state = self._states[row]
        if state is None:
            return
        if row in self._closing:
            text = self._tokens.text_of(token)
            if not text:
                self._states[row] = None
            self._closing[row] = self._closing[row][len(text) :]
        else:
            self._states[row] = self._tokens.advance(self._grammars[row], state, token)

    def _mask(self, row: int, left: int) -> torch.Tensor:
        state = self._states[row]
        if state is None:  # ended: `generate` pads
            return self._tokens.ends
        if row not in self._closing and left <= _NEAR:
            rest = self._grammars[row].closing(state)
            if left <= len(rest) + 1 + _MARGIN:
                self._close(row, f"no end of the answer within {self._limit} tokens")
        if row in self._closing:
            return self._tokens.prefixes(self._closing[row])
        return self._tokens.allowed(self._grammars[row], state)

    def _close(self, row: int, reason: str) -> None:
        state = self._states[row]
        if state is not None and row not in self._closing:
            self._closing[row] = self._grammars[row].closing(state)
            self.closed[row] = reason


_WINDOW, _LONGEST_PHRASE, _EVERY = 160, 40, 16


def looping_rows(input_ids: torch.Tensor, length: int) -> list[int]:
    """Rows whose last 160 tokens repeat a phrase of at most 40.

    A good answer never does: each atom has another place, and a SMILES of 160 equal tokens is no
    drawing. Rows are looked at every 16 steps, which costs next to nothing.

    Args:
        input_ids: prompt and answer so far, [B, S].
        length: tokens of the answer so far.
    """
    if length < _WINDOW or length % _EVERY:
        return []
    tail = input_ids[:, -_WINDOW:]
    looping = torch.zeros(len(tail), dtype=torch.bool, device=tail.device)
    for phrase in range(1, _LONGEST_PHRASE + 1):
        looping |= (tail[:, phrase:] == tail[:, :-phrase]).all(dim=1)
    found: list[int] = looping.nonzero().flatten().tolist()
    return found
