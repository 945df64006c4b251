"""What holds something open until its `with` block ends."""

from __future__ import annotations

from typing import Self

__all__ = ["Closing"]


class Closing:
    """A mixin: ``with`` calls `close` at the end, whatever happened in between."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
