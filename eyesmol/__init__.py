"""EyesMol: pictures of molecules become molecules, read step by step by a vision-language model."""

from typing import TYPE_CHECKING, Any

from eyesmol.graph import Atom, Bond, BondOrder, MolGraph

if TYPE_CHECKING:
    from eyesmol.recognition import Recognition
    from eyesmol.recognizer import Recognizer
    from eyesmol.remote import RemoteRecognizer

__version__ = "0.1.0"
__all__ = ["Atom", "Bond", "BondOrder", "MolGraph", "Recognition", "Recognizer", "RemoteRecognizer"]


def __getattr__(name: str) -> Any:
    """The reader, imported when it is asked for: it needs torch, the language of molecules not."""
    if name == "Recognizer":
        from eyesmol.recognizer import Recognizer

        return Recognizer
    if name == "RemoteRecognizer":
        from eyesmol.remote import RemoteRecognizer

        return RemoteRecognizer
    if name == "Recognition":
        from eyesmol.recognition import Recognition

        return Recognition
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
