"""Fonts: the three that every machine has, and all that a machine offers, by kind.

The packaged fonts come with our own requirements, so every machine draws the same image with them.
The machine's own are found by file name in the usual folders; a run that uses them records the
list, for on another machine the list, and with it the images, may be another.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

__all__ = ["Font", "FontKind", "FontShelf", "font_file", "font_shelf"]

Font = Literal["sans", "serif", "wide"]


@lru_cache
def font_file(font: Font) -> str:
    """A path: FreeSans (as Helvetica), STIX (as Times) or DejaVu Sans (as Verdana)."""
    name = {"sans": "FreeSans", "serif": "STIXGeneral", "wide": "DejaVuSans"}[font]
    return next(str(folder / f"{name}.ttf") for folder in _packaged_folders()
                if (folder / f"{name}.ttf").exists())  # fmt: skip


FontKind = Literal[
    "sans", "other_sans", "serif", "other_serif", "mono", "gothic", "mincho", "bitmap",
    "bold_sans", "bold_serif", "bold_mono", "hand",
]  # fmt: skip

# By file name without its suffix. `sans` and `serif` are cut like Helvetica and like Times, which
# nearly all chemists use; what else has serifs or none is listed apart.
_NAMES: dict[FontKind, str] = {
    "sans": "FreeSans LiberationSans-Regular NimbusSans-Regular texgyreheros-regular Arial arial",
    "other_sans": "DejaVuSans Vera OpenSans-Regular Roboto-Regular lmsans10-regular "
    "LiberationSansNarrow-Regular NimbusSansNarrow-Regular DejaVuSansCondensed "
    "RobotoCondensed-Regular texgyreadventor-regular Cantarell-Regular",
    "serif": "STIXGeneral LiberationSerif-Regular NimbusRoman-Regular FreeSerif "
    "texgyretermes-regular times Times_New_Roman",
    "other_serif": "DejaVuSerif VeraSe C059-Roman P052-Roman URWBookman-Light lmroman10-regular "
    "DejaVuSerifCondensed texgyrepagella-regular texgyrebonum-regular texgyreschola-regular",
    "mono": "DejaVuSansMono LiberationMono-Regular NimbusMonoPS-Regular FreeMono CourierPrime "
    "lmmono10-regular VeraMono texgyrecursor-regular NotoMono-Regular",
    "gothic": "ipag ipagp ipaexg NotoSansCJK-Regular",
    "mincho": "ipam ipamp ipaexm NotoSerifCJK-Regular",
    "bitmap": "unifont unifont_jp",
    "bold_sans": "LiberationSans-Bold NimbusSans-Bold FreeSansBold texgyreheros-bold "
    "DejaVuSans-Bold OpenSans-Bold Roboto-Bold VeraBd",
    "bold_serif": "STIXGeneralBol LiberationSerif-Bold NimbusRoman-Bold FreeSerifBold "
    "texgyretermes-bold DejaVuSerif-Bold C059-Bold",
    "bold_mono": "DejaVuSansMono-Bold LiberationMono-Bold NimbusMonoPS-Bold FreeMonoBold "
    "CourierPrimeBold lmmonolt10-bold VeraMoBd",
    "hand": "ComicNeue-Regular Comfortaa-Regular",
}

# Where a machine has none of a kind.
_INSTEAD: dict[FontKind, FontKind] = {
    "gothic": "other_sans", "mincho": "serif", "bitmap": "mono", "hand": "other_sans",
}  # fmt: skip

_SYSTEM_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/texmf/fonts/opentype",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "~/.fonts",
    "~/.local/share/fonts",
)


@dataclass(frozen=True)
class FontShelf:
    """The fonts that a run draws with: for each kind the paths of its files, sorted by name."""

    files: tuple[tuple[FontKind, tuple[str, ...]], ...]

    def of(self, kind: FontKind) -> tuple[str, ...]:
        """Paths of the fonts of a kind; of the nearest kind where the machine has none of it."""
        table = dict(self.files)
        return table[kind] or table[_INSTEAD[kind]]

    def names(self) -> dict[str, list[str]]:
        """The list to record with a run: file names by kind."""
        return {kind: [Path(file).name for file in files] for kind, files in self.files}

    def fingerprint(self) -> str:
        """Eight hexadecimal digits that tell two lists apart."""
        return hashlib.sha256(repr(self.names()).encode()).hexdigest()[:8]


@lru_cache
def font_shelf(*, packaged: bool = False) -> FontShelf:
    """All usable fonts by kind.

    Args:
        packaged: only those that come with our requirements: the same on every machine.
    """
    found: dict[str, str] = {}
    for folder in _packaged_folders():
        for file in sorted(folder.glob("*.[to]tf")):
            found.setdefault(file.stem, str(file))
    if not packaged:
        for name in _SYSTEM_FOLDERS:
            for file in sorted(Path(name).expanduser().rglob("*.[to]t[fc]")):
                found.setdefault(file.stem.replace(" ", ""), str(file))
    return FontShelf(
        tuple(
            (kind, tuple(found[name] for name in sorted(names.split()) if name in found))
            for kind, names in _NAMES.items()
        )
    )


def _packaged_folders() -> tuple[Path, ...]:
    import matplotlib
    from rdkit import RDConfig
    from rdkit.Chem import Draw

    return (
        Path(Draw.__file__).parent,
        Path(matplotlib.get_data_path()) / "fonts" / "ttf",
        Path(RDConfig.RDDataDir) / "Fonts",
    )
