"""Counts by reason, with a few examples of each: what `dataset_info.json` calls drops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Count", "Tally"]

_EXAMPLES = 5


@dataclass
class Count:
    """How often, and the first few."""

    count: int = 0
    examples: list[str] = field(default_factory=list)


class Tally:
    """Counts by reason."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}

    def add(self, reason: str, example: str) -> None:
        """Count `reason` once more, because of `example`."""
        entry = self._counts.setdefault(reason, Count())
        entry.count += 1
        if len(entry.examples) < _EXAMPLES:
            entry.examples.append(example)

    def update(self, other: Tally, prefix: str = "") -> None:
        """Take over the counts of another tally, its reasons with `prefix`."""
        for reason, entry in other.items():
            own = self._counts.setdefault(prefix + reason, Count())
            own.count += entry.count
            own.examples += entry.examples[: _EXAMPLES - len(own.examples)]

    def items(self) -> Iterator[tuple[str, Count]]:
        """Reasons with their counts, the most frequent first."""
        return iter(sorted(self._counts.items(), key=lambda item: (-item[1].count, item[0])))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: reason -> ``count`` and ``examples``."""
        return {
            reason: {"count": entry.count, "examples": entry.examples}
            for reason, entry in self.items()
        }

    def __len__(self) -> int:
        return len(self._counts)
