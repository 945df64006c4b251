"""Fonts that come with our own requirements, so that every machine draws the same picture."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

__all__ = ["Font", "font_file"]

Font = Literal["sans", "serif", "wide"]


@lru_cache
def font_file(font: Font) -> str:
    """A path: FreeSans (as Helvetica), STIX (as Times) or DejaVu Sans (as Verdana)."""
    if font == "sans":
        from rdkit.Chem import Draw

        return str(Path(Draw.__file__).with_name("FreeSans.ttf"))
    import matplotlib

    file = {"serif": "STIXGeneral.ttf", "wide": "DejaVuSans.ttf"}[font]
    return str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file)
