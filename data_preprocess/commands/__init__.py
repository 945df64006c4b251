"""The commands of ``python -m data_preprocess``, a module each, in the order in which data walks.

A module has one function, ``add(commands)``, which adds its parser and sets ``run``: the function
that takes the parsed options and returns the exit status.
"""

COMMANDS = ("collect", "describe", "import_", "build", "check", "preview", "card")
