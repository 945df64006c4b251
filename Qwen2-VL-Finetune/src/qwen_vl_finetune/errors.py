"""Mistakes a user can correct, and how commands show them: one message, no traceback, code 2."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Callable


class UserError(Exception):
    """A mistake in what was asked. The text says what was found, what was expected, what to do."""


class DataError(UserError):
    """A mistake in the data. The text names the file and the row."""


def raise_all(problems: list[str], heading: str, show: int = 10) -> None:
    """Raise one `UserError` that lists the first `show` problems and counts the rest."""
    if not problems:
        return
    lines = [f"  - {problem}" for problem in problems[:show]]
    if len(problems) > show:
        lines.append(f"  ... and {len(problems) - show} more")
    raise UserError("\n".join([f"{heading} ({len(problems)}):", *lines]))


def plain(error: UserError) -> str:
    """A mistake's own words; a worker of a data loader wraps them into its traceback."""
    return re.split(rf"{re.escape(__name__)}\.\w+: ", str(error))[-1].strip()


def entry_point(main: Callable[[], int | None]) -> Callable[[], None]:
    """Wrap a command so that a `UserError` ends it with its message and exit code 2.

    Deprecation notes of the libraries are for us, not for who trains: they stay silent.
    """

    @functools.wraps(main)
    def run() -> None:
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            code = main()
        except UserError as error:
            print(f"error: {plain(error)}", file=sys.stderr, flush=True)
            sys.exit(2)
        sys.exit(code or 0)

    return run
