"""The `eyesmol` command: read molecules from images, and score what was read."""

from __future__ import annotations

import argparse
import importlib
import sys

from eyesmol import __version__
from eyesmol.cli import COMMANDS, UsageError
from eyesmol.outputs import OutputError

__all__ = ["main"]

_OF_EXTRAS = {"jinja2", "matplotlib", "scipy", "yaml"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: what it says, or 2 where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except BrokenPipeError:  # of `eyesmol recognize ... | head`
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("\neyesmol: stopped", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        # What a light installation lacks: reading with the detector needs no extra.
        if (error.name or "").partition(".")[0] not in _OF_EXTRAS:
            raise
        extra = {"recognize": "pdf", "serve": "serve"}.get(options.command, "evaluate")
        print(
            f"eyesmol: {options.command} needs {error.name} for this: "
            f"pip install 'eyesmol[{extra}]'",
            file=sys.stderr,
        )
        return 2
    except _expected_errors() as error:
        print(f"eyesmol: {error}", file=sys.stderr)
        return 2


def _expected_errors() -> tuple[type[Exception], ...]:
    """Errors that are the user's to mend; any other is ours and shows its traceback."""
    from eyesmol.evaluation.gold import ScoreError

    kinds: list[type[Exception]] = [UsageError, OutputError, ScoreError]
    if "eyesmol.reader.base" in sys.modules:
        from eyesmol.reader.base import RecognizerError

        kinds.append(RecognizerError)
    return tuple(kinds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="eyesmol", description="Read molecules from images, and score what was read."
    )
    parser.add_argument("--version", action="version", version=f"eyesmol {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name in COMMANDS:
        importlib.import_module(f"eyesmol.cli.{name}").add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
