"""Greedy decoding that verifies drafts: one forward pass scores many tokens, see `drafts`.

With a tolerance of 0 the tokens are those that plain greedy decoding gives. transformers' own
assisted decoding takes one sequence at a time and knows neither our grammar nor near coordinates,
so the loop is here. Rows of a batch accept different numbers of tokens: what a row rejects stays in
the cache, masked, until no row needs that part of it; positions are given, not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from eyesmol.answer.text import AnswerForm
from eyesmol.reader.constrained_decoding import GrammarGuide, looping_rows
from eyesmol.reader.drafts import Draft, may_stand

__all__ = ["DraftCounts", "Row", "Verifier"]

_MOST_LOGITS = 1 << 26  # numbers of one forward pass: 256 MB in float32


@dataclass
class DraftCounts:
    """What drafts saved.

    Attributes:
        answers: decoded.
        tokens: written, the ends included.
        accepted: of these, taken from drafts.
        kept: of these, coordinates that the model would have written a little elsewhere.
        passes: forward passes of the model, the prompt's included; of a batch they count once.
    """

    answers: int = 0
    tokens: int = 0
    accepted: int = 0
    kept: int = 0
    passes: int = 0


@dataclass
class Row:
    """One answer that is being written.

    Attributes:
        draft: None decodes plainly.
        guide: the grammar, of a batch of one; None without.
        limit: tokens of the answer.
        tokens, log_probabilities: so far. Of a coordinate that was kept it is the model's own
            choice whose probability stands there.
        looping: stopped since it repeats itself, without a grammar.
    """

    draft: Draft | None
    guide: GrammarGuide | None
    limit: int
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    looping: bool = False
    ended: bool = False
    proposed: list[int] = field(default_factory=list)
    width: int | None = None  # tokens proposed at a time; None for all

    @property
    def done(self) -> bool:
        """Ended, stopped, or at its limit."""
        return self.ended or self.looping or len(self.tokens) >= self.limit

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the answer is not whole; empty where it is."""
        if self.guide and self.guide.closed:
            return (f"stopped: {self.guide.closed[0]}",)
        if self.looping:
            return ("stopped: the answer repeats itself without end",)
        if not self.ended:
            return (f"stopped: no end of the answer within {self.limit} tokens",)
        return ()


class Verifier:
    """Decodes with a model and its vocabulary.

    Args:
        model: a Qwen2-VL or Qwen2.5-VL for conditional generation.
        encode: token ids of a text.
        texts: what each token writes.
        end_ids: tokens that end an answer, the one that the model writes first.
        form: of the answers.
        tolerance: pixels within which a draft's coordinate is kept; 0 for the model's own.
    """

    def __init__(
        self,
        model: Any,
        encode: Callable[[str], list[int]],
        texts: dict[int, bytes],
        end_ids: Sequence[int],
        form: AnswerForm,
        tolerance: int,
    ) -> None:
        self._model, self._encode, self._texts = model, encode, texts
        self._end_ids, self._form, self._tolerance = list(end_ids), form, tolerance

    @torch.inference_mode()
    def decode(self, inputs: dict[str, torch.Tensor], rows: list[Row], counts: DraftCounts) -> None:
        """Write the answers of a batch into its rows.

        Args:
            inputs: of the model, left-padded.
            rows: one for each.
            counts: added to.
        """
        out = self._model(**inputs, use_cache=True, logits_to_keep=1)
        counts.passes += 1
        counts.answers += len(rows)
        batch = _Batch(self._model, inputs["attention_mask"], out.past_key_values)
        logits = out.logits
        while True:
            taken = [
                0 if row.done else self._take(row, scores, counts)
                for row, scores in zip(rows, logits, strict=True)
            ]
            batch.keep(taken)
            if all(row.done for row in rows):
                return
            most = max(1, _MOST_LOGITS // (len(rows) * logits.shape[-1]) - 1)
            for row in rows:
                row.proposed = [] if row.done else self._proposal(row, most)
            fed = [[] if row.done else [row.tokens[-1], *row.proposed] for row in rows]
            logits = batch.forward(fed)
            counts.passes += 1

    def _take(self, row: Row, logits: torch.Tensor, counts: DraftCounts) -> int:
        """Write what the model says after each token that was fed, as far as the draft held.

        Args:
            row: whose `proposed` was fed, after its last token.
            logits: [T, V], T - 1 at least as many as were proposed.
            counts: added to.

        Returns:
            How many of the tokens that were fed stay.
        """
        accepted = 0
        for place, offered in enumerate([*row.proposed, None]):
            scores = logits[place].float()[None]
            allowed = scores
            if row.guide:
                allowed = row.guide(torch.tensor([row.tokens], dtype=torch.long), scores)
            own = int(allowed.argmax(dim=-1))
            row.log_probabilities.append(float(allowed.amax() - scores.logsumexp(dim=-1)))
            near = (
                offered is not None
                and offered != own
                and self._is_near(row, own, place, allowed[0], scores[0])
            )
            row.tokens.append(offered if near and offered is not None else own)
            counts.tokens += 1
            row.ended = row.tokens[-1] in self._end_ids
            if row.guide is None:
                ids = torch.tensor([row.tokens], dtype=torch.long)
                row.looping = bool(looping_rows(ids, len(row.tokens)))
            if row.tokens[-1] != offered:
                break
            accepted += 1
            counts.kept += near
            if row.done:
                break
        counts.accepted += accepted
        if accepted == len(row.proposed):
            row.width = row.width and 4 * row.width
        else:  # as far as it held, it may hold again
            row.width = max(2, accepted)
        # The last token that was fed and held; what the model said instead is fed next.
        return min(1 + accepted, 1 + len(row.proposed))

    def _is_near(
        self, row: Row, own: int, place: int, allowed: torch.Tensor, scores: torch.Tensor
    ) -> bool:
        offered = row.proposed[place]
        if not self._tolerance or not torch.isfinite(allowed[offered]):
            return False
        return may_stand(
            self._text(row.tokens[-24:]),
            self._text([own]),
            self._text([offered]),
            self._text(row.proposed[place + 1 : place + 8]),
            self._form,
            float((scores[offered] - scores.logsumexp(dim=-1)).exp()),
            self._tolerance,
        )

    def _text(self, tokens: Sequence[int]) -> str:
        return b"".join(self._texts.get(t, b"") for t in tokens).decode("utf-8", errors="replace")

    def _proposal(self, row: Row, most: int) -> list[int]:
        """Tokens of the draft that may come next, no more than are worth a try."""
        if row.draft is None:
            return []
        width = min(most, row.limit - len(row.tokens) - 1, row.width or most)
        written = self._text(row.tokens)
        following = row.draft.after(written)
        if not following or width < 1:
            return []
        # Cut into tokens together with what is written, as the model learnt to cut.
        whole = self._encode(written + following)
        known = len(row.tokens)
        ahead = whole[known:] if whole[:known] == row.tokens else self._encode(following)
        return [*ahead, self._end_ids[0]][:width]


class _Batch:
    """The cache of a batch: which parts of it each row uses, and what position comes next.

    Args:
        model: see `Verifier`.
        mask: [B, S] of the prompts.
        cache: after the prompts.
    """

    def __init__(self, model: Any, mask: torch.Tensor, cache: Any) -> None:
        self._model, self._mask, self._cache = model, mask, cache
        self._next = mask.sum(dim=1, keepdim=True) + model.model.rope_deltas.to(mask.device)
        self._fed = 0  # columns of the last pass

    def keep(self, taken: list[int]) -> None:
        """Say how many tokens of the last pass each row keeps; the rest is masked or cut off."""
        if not self._fed:
            return
        kept = torch.tensor(taken, device=self._mask.device)[:, None]
        columns = torch.arange(self._fed, device=self._mask.device)
        fresh = (columns < kept).to(self._mask.dtype)
        unused = self._fed - max(taken)
        self._mask = torch.cat([self._mask[:, : -self._fed], fresh], dim=1)
        if unused:
            self._mask = self._mask[:, :-unused]
            self._cache.crop(-unused)
        self._next = self._next + kept

    def forward(self, fed: list[list[int]]) -> torch.Tensor:
        """Logits [B, T, V] after each of the tokens, [B] lists of up to T."""
        self._fed = max(map(len, fed))
        device = self._mask.device
        tokens = torch.tensor([row + [0] * (self._fed - len(row)) for row in fed], device=device)
        there = torch.tensor(
            [[1] * len(row) + [0] * (self._fed - len(row)) for row in fed], device=device
        )
        self._mask = torch.cat([self._mask, there.to(self._mask.dtype)], dim=1)
        positions = self._next + torch.arange(self._fed, device=device)
        out = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            position_ids=positions[None].expand(3, -1, -1),
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = out.logits
        return logits
