"""The commands of ``eyesmol``, a module each.

A module has one function, ``add(commands)``, which adds its parser and sets ``run``: the function
that takes the parsed options. It imports what it needs when it runs, so that ``--help`` and a
mistyped option answer at once.
"""

from __future__ import annotations

import argparse

__all__ = ["COMMANDS", "UsageError", "add_looks", "positive", "share"]

COMMANDS = ("recognize", "evaluate", "calibrate", "serve")


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return number


def share(text: str) -> float:
    """An argument from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 to 1")
    return number


def add_looks(parser: argparse.ArgumentParser) -> None:
    """The option ``--looks``."""
    parser.add_argument(
        "--looks",
        type=int,
        choices=range(1, 8),
        metavar="N",
        help="read each picture so often, and take what most looks say: right more often, slower. "
        "The detector looks at up to 3 scales, once where the first is sure (3); others with other "
        "margins each time, up to 7 (as the model's folder says: nano 3, others 1)",
    )
