"""How much may be spent on descriptions, in tokens or in money."""

from __future__ import annotations

import re
from dataclasses import dataclass

from data_preprocess.gemini_models import Prices
from eyesmol.exceptions import InputError

__all__ = ["Budget", "Tokens"]

_TOKENS = re.compile(r"(\d+(?:\.\d+)?) ?([kmb]?) ?tok(?:ens?)?", re.IGNORECASE)
_MONEY = re.compile(r"([$€£])? ?(\d+(?:\.\d+)?) ?([$€£]|[a-z]{3})?", re.IGNORECASE)
_DOLLARS = ("$", "USD")
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


@dataclass(frozen=True)
class Tokens:
    """Tokens of a prompt, and of its answer with the thoughts before it."""

    prompt: int = 0
    answer: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.answer + other.answer)

    def __sub__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt - other.prompt, self.answer - other.answer)


@dataclass(frozen=True)
class Budget:
    """An upper bound on everything that is spent on one catalogue.

    Attributes:
        amount: in `unit`; None for no bound.
        unit: ``tokens``, or a currency as it was written.
        price_in, price_out: money for a million tokens of prompts and of answers.
    """

    amount: float | None = None
    unit: str = "tokens"
    price_in: float | None = None
    price_out: float | None = None

    @classmethod
    def read(
        cls,
        text: str | None,
        price_in: float | None,
        price_out: float | None,
        known: Prices | None = None,
    ) -> Budget:
        """From ``2M tok``, ``500k tokens``, ``5 USD`` or ``$5``.

        Args:
            text: None for no bound.
            price_in, price_out: for a million tokens, as a contract has them.
            known: the model's prices, taken for dollars where those are not given.

        Raises:
            InputError: neither of the two, or money without both prices.
        """
        for price in (price_in, price_out):
            if price is not None and price < 0:
                raise InputError(f"price {price}: expected money for a million tokens, 0 or more")
        if text is None:
            return cls(None, "tokens", price_in, price_out)
        if match := _TOKENS.fullmatch(text.strip()):
            amount = float(match[1]) * _THOUSANDS[match[2].lower()]
            return cls(amount, "tokens", price_in, price_out)
        match = _MONEY.fullmatch(text.strip())
        if match is None or bool(match[1]) == bool(match[3]):
            raise InputError(f"budget {text!r}: expected tokens, as '2M tok', or money, as '5 USD'")
        unit = match[1] or match[3].upper()
        if known and unit in _DOLLARS and price_in is None and price_out is None:
            price_in, price_out = known.prompt, known.answer
        if price_in is None or price_out is None:
            raise InputError(
                f"budget {text!r}: money needs --price-in and --price-out, the prices of a million "
                "tokens of prompt and of answer as your contract has them (those of batch jobs, "
                "with --batch); or give a budget in tokens, as '2M tok'"
                + (", or in US dollars, whose prices are known" if known else "")
            )
        return cls(float(match[2]), unit, price_in, price_out)

    def cost(self, tokens: Tokens) -> float:
        """Of so many tokens, in `unit`."""
        if self.unit == "tokens":
            return tokens.prompt + tokens.answer
        assert self.price_in is not None, "`read` sees to it"
        assert self.price_out is not None, "`read` sees to it"
        return (tokens.prompt * self.price_in + tokens.answer * self.price_out) / 1e6

    def admits(self, spent: Tokens, next_one: Tokens) -> bool:
        """True where the next call, at its dearest, stays within the bound."""
        return self.amount is None or self.cost(spent + next_one) <= self.amount
