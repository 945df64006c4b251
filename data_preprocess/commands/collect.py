"""``collect SOURCE``: fetch compounds, drawings and charts into a catalogue."""

from __future__ import annotations

import importlib
from typing import Any

from data_preprocess.collect import SOURCES


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "collect",
        help="fetch compounds, drawings and charts from their sources",
        description="Fetch from one source into a folder that `describe` and `build` read. Stop it "
        "whenever you like: the same command resumes, and asks for nothing twice.",
    )
    sources = parser.add_subparsers(required=True, metavar="SOURCE")
    for name in SOURCES:
        importlib.import_module(f"data_preprocess.collect.{name}").add(sources)
