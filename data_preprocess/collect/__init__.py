"""Clients of the sources, a module each: real interfaces, polite, and able to resume after a kill.

A module has one function, ``add(sources)``, which adds the parser of ``collect NAME`` and sets
``run``: the function that takes the parsed options and returns the exit status.
"""

SOURCES: tuple[str, ...] = (
    "pubchem",
    "chebi",
    "uspto",
    "pixmo",
)
