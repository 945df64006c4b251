"""Counts by reason, with a few examples of each: what an info file calls drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from typing_extensions import TypedDict  # typing's own is none for pydantic before Python 3.12

__all__ = ["Dropped", "Tally", "print_drops", "summary"]

_EXAMPLES = 5


class Dropped(TypedDict):
    """How often, and the first few."""

    count: int
    examples: list[str]


class Tally:
    """Counts by reason."""

    def __init__(self) -> None:
        self._counts: dict[str, Dropped] = {}

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count `reason` so many times more, because of `example`."""
        self._merge(reason, {"count": count, "examples": [example]})

    def update(self, other: Tally | Mapping[str, Dropped], prefix: str = "") -> None:
        """Take over the counts of another tally, or its JSON, its reasons with `prefix`."""
        for reason, entry in other.items():
            self._merge(prefix + reason, entry)

    def _merge(self, reason: str, entry: Dropped) -> None:
        own = self._counts.setdefault(reason, {"count": 0, "examples": []})
        own["count"] += entry["count"]
        own["examples"] += entry["examples"][: _EXAMPLES - len(own["examples"])]

    def count(self, reason: str) -> int:
        """How often; 0 for a reason that never was."""
        return self._counts[reason]["count"] if reason in self._counts else 0

    def total(self) -> int:
        """Of all reasons."""
        return sum(entry["count"] for entry in self._counts.values())

    def items(self) -> Iterator[tuple[str, Dropped]]:
        """Reasons with their counts, the most frequent first."""
        return iter(self.to_dict().items())

    def to_dict(self) -> dict[str, Dropped]:
        """For JSON: reason -> ``count`` and ``examples``, the most frequent first."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1]["count"], item[0])))

    def __len__(self) -> int:
        return len(self._counts)


def print_drops(drops: Mapping[str, Dropped]) -> None:
    """A line for each reason."""
    for reason, entry in drops.items():
        print(f"  {entry['count']:>9,}  {reason}, such as {entry['examples'][0]}")


def summary(drops: Mapping[str, Dropped]) -> str:
    """All reasons in one line, as errors name them."""
    return "; ".join(f"{reason}: {entry['count']:,}" for reason, entry in drops.items())
