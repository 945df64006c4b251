"""What is known of Gemini's models: prices by day, and which settings a model takes.

All of it stands in ``gemini_models.yaml``; a model that it does not name is asked all the same, but
has no price.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

__all__ = [
    "DEFAULT_MODEL",
    "THINKING_LEVELS",
    "Prices",
    "ThinkingLevel",
    "prices_of",
    "takes_temperature",
    "takes_thinking_level",
]

ThinkingLevel = Literal["minimal", "low", "medium", "high"]
THINKING_LEVELS: tuple[ThinkingLevel, ...] = get_args(ThinkingLevel)


@cache
def _known() -> dict[str, Any]:
    path = Path(__file__).with_name("gemini_models.yaml")
    known: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return known


DEFAULT_MODEL: str = _known()["default"]


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens of prompts and of answers, and when they were looked up."""

    prompt: float
    answer: float
    looked_up: datetime.date


def prices_of(model: str, day: datetime.date, *, batch: bool) -> Prices | None:
    """The prices of a model on a day; None for a model that is not listed."""
    known = _known()
    listed = known["models"].get(model)
    if listed is None:
        return None
    price = [one for one in listed if one.get("from", day) <= day][-1]
    share = known["batch"] if batch else 1
    return Prices(price["in"] * share, price["out"] * share, known["date"])


def takes_temperature(model: str) -> bool:
    """Whether a temperature changes anything; not said of a model without a version."""
    version = _version(model)
    return version is not None and version < _known()["takes_temperature_before"]


def takes_thinking_level(model: str) -> bool:
    """Whether a model takes a level of thinking; said of one without a version, too."""
    version = _version(model)
    return version is None or version >= _known()["takes_thinking_level_from"]


def _version(model: str) -> float | None:
    match = re.search(r"gemini-(\d+(?:\.\d+)?)", model)
    return float(match[1]) if match else None
