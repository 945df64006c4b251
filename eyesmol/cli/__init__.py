"""The commands of ``eyesmol``, a module each.

A module has one function, ``add(commands)``, which adds its parser and sets ``run``: the function
that takes the parsed options. It imports what it needs when it runs, so that ``--help`` and a
mistyped option answer at once.
"""

from __future__ import annotations

import argparse

__all__ = ["COMMANDS", "MIN_CONFIDENCE", "UsageError", "add_views", "fraction", "positive"]

# Below it `eyesmol recognize` withholds a guess. The detector is less sure where no two of its
# views agree; with the weights of 2026-11-29 it was right then in 6 of 53 drawings of clef300 and
# in 42 of 94 of trec1000, and in 59 % and 92 % of the others.
MIN_CONFIDENCE = 0.05

COMMANDS = ("recognize", "evaluate", "vote", "calibrate", "serve")


class UsageError(Exception):
    """What the user asked for cannot be done; the message says why."""


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return number


def fraction(text: str) -> float:
    """An argument from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 0 to 1")
    return number


def add_views(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """The option ``--views``."""
    parser.add_argument(
        "--views",
        "--looks",  # its name in earlier versions
        dest="views",
        type=int,
        choices=range(1, 8),
        metavar="N",
        help="read each image so often, and take what most views say (test-time augmentation): "
        "right more often, slower. The detector takes up to 3, at other scales, and one where the "
        "first is sure (3); others up to 7, with other margins (as the model's folder says: nano "
        "3, others 1)",
    )
