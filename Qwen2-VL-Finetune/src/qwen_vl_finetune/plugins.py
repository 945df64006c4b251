"""What the trainer knows by name only: plug-ins, ``module:name``, and optional packages."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import UserError


def is_maker(data_path: str) -> bool:
    """Whether `--data_path` names a plug-in and not a file."""
    return ":" in data_path and not Path(data_path).is_file()


def load_plugin(name: str, flag: str) -> Any:
    """What ``module:name`` names; modules of the working folder are found, too.

    Raises:
        UserError: no such module, or nothing of that name in it that can be called.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:  # noqa: PTH109 (compared with the texts of sys.path)
        sys.path.append(os.getcwd())  # noqa: PTH109
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{flag} {name}: expected module:name, such as my_package.module:function ({error})."
        ) from error
    if not callable(found):
        raise UserError(f"{flag} {name}: {attribute} is nothing that can be called.")
    return found


def raised(error: Exception) -> str:
    """What a plug-in raised, and where in it, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})"


def package_problems(flag: str, package: str) -> list[str]:
    """That a flag needs a package which is not installed, if so."""
    if find_spec(package) is not None:
        return []
    return [f"{flag} needs the package {package}: pip install {package.replace('_', '-')}"]
