"""EyesMol: pictures of molecules become molecules, read step by step by a vision-language model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
    from eyesmol.reader.local import Recognizer
    from eyesmol.reader.remote import RemoteRecognizer
    from eyesmol.recognition import Recognition

__version__ = "0.1.0"
__all__ = ["Atom", "Bond", "BondOrder", "MolGraph", "Recognition", "Recognizer", "RemoteRecognizer"]

_MODULES = {
    "Atom": "eyesmol.chem.graph",
    "Bond": "eyesmol.chem.graph",
    "BondOrder": "eyesmol.chem.graph",
    "MolGraph": "eyesmol.chem.graph",
    "Recognition": "eyesmol.recognition",
    "Recognizer": "eyesmol.reader.local",
    "RemoteRecognizer": "eyesmol.reader.remote",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is asked for: the readers need torch, the rest does not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
