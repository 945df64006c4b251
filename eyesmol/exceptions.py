"""The exceptions that are the user's to solve, in one tree; each knows the exit code of a command.

A message names the file and the row, what was found, what was expected and what to do. Whatever is
not an `EyesMolError` is a fault of ours and shows its traceback.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["DataError", "EyesMolError", "InputError", "ModelError", "ServerError", "shown"]


class EyesMolError(Exception):
    """The root: what was asked for cannot be done, and the message says why.

    Attributes:
        exit_code: with which a command ends. 2 is a wrong command line's, too; 3 to 5 tell a script
            which part to look at.
    """

    exit_code: ClassVar[int] = 1


class InputError(EyesMolError, ValueError):
    """An option, a path or a file that nothing can be made from."""

    exit_code = 2


class DataError(EyesMolError, ValueError):
    """A dataset, gold or predictions that can be opened, and not used for what they are given."""

    exit_code = 3


class ModelError(EyesMolError):
    """A model that cannot be loaded, or not be used as asked."""

    exit_code = 4


class ServerError(EyesMolError):
    """A service on the network, or a cluster, that does not answer or refuses."""

    exit_code = 5


def shown(value: Any) -> str:
    """A wrong value as a message names it: in short, and nothing where there is none."""
    text = repr(value)
    return "nothing" if value is None else text if len(text) <= 60 else f"{text[:57]}..."
