"""EyesMol: images of molecules become molecules.

The detector, which comes with it, finds atoms and bonds at once; vision-language models that are
trained here read step by step.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eyesmol.chem.graph import Atom, Bond, BondOrder, Bracket, MolGraph, StereoGroup
    from eyesmol.outputs import to_dataframe
    from eyesmol.reader.base import Recognizer
    from eyesmol.reader.options import ReadOptions
    from eyesmol.reader.remote import RemoteRecognizer
    from eyesmol.recognition import Recognition

__version__ = "0.1.0"
__all__ = [
    "Atom",
    "Bond",
    "BondOrder",
    "Bracket",
    "MolGraph",
    "ReadOptions",
    "Recognition",
    "Recognizer",
    "RemoteRecognizer",
    "StereoGroup",
    "to_dataframe",
]

_MODULES = {
    "Atom": "eyesmol.chem.graph",
    "Bond": "eyesmol.chem.graph",
    "BondOrder": "eyesmol.chem.graph",
    "Bracket": "eyesmol.chem.graph",
    "MolGraph": "eyesmol.chem.graph",
    "ReadOptions": "eyesmol.reader.options",
    "Recognition": "eyesmol.recognition",
    "Recognizer": "eyesmol.reader.base",
    "RemoteRecognizer": "eyesmol.reader.remote",
    "StereoGroup": "eyesmol.chem.graph",
    "to_dataframe": "eyesmol.outputs",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: readers need more than the rest does."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
