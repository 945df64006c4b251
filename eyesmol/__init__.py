"""EyesMol: pictures of molecules become molecules, read step by step by a vision-language model."""

from eyesmol.graph import Atom, Bond, BondOrder, MolGraph

__version__ = "0.1.0"
__all__ = ["Atom", "Bond", "BondOrder", "MolGraph"]
