"""The one entry point to the data: ``python -m data_preprocess COMMAND ...``."""

from __future__ import annotations

import argparse
import importlib
import sys

from data_preprocess.commands import COMMANDS
from eyesmol.exceptions import EyesMolError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (EyesMolError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, EyesMolError) else EyesMolError.exit_code
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_preprocess",
        description="Drawings of molecules become training data for Qwen2.5-VL.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module(f"data_preprocess.commands.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
