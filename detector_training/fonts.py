"""Says which fonts the training draws with, and which Debian packages would add more.

    python -m detector_training.fonts

The fonts that come with the requirements are enough to train; a reader that has seen more kinds of
letters reads more drawings. A run's images depend on the fonts of its machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data_preprocess.drawing.fonts import FontShelf, font_shelf

__all__ = ["PACKAGES", "main", "missing_packages"]

# A font of each package, by its file name without suffix and blanks.
PACKAGES = {
    "fonts-liberation": "LiberationSans-Regular",
    "fonts-urw-base35": "NimbusSans-Regular",
    "fonts-texgyre": "texgyreheros-regular",
    "fonts-freefont-ttf": "FreeSerif",
    "fonts-open-sans": "OpenSans-Regular",
    "fonts-roboto-unhinted": "Roboto-Regular",
    "fonts-lmodern": "lmroman10-regular",
    "fonts-courier-prime": "CourierPrime",
    "fonts-ipafont": "ipag",
    "fonts-noto-cjk": "NotoSansCJK-Regular",
    "fonts-unifont": "unifont",
    "fonts-comic-neue": "ComicNeue-Regular",
}


def missing_packages(shelf: FontShelf) -> list[str]:
    """Debian packages of which a shelf has no font."""
    names = {Path(name).stem.replace(" ", "") for kind in shelf.names().values() for name in kind}
    return [package for package, font in PACKAGES.items() if font not in names]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m detector_training.fonts", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--short", action="store_true", help="one line instead of a list")
    short = parser.parse_args(arguments).short
    shelf = font_shelf()
    found = shelf.names()
    if not short:
        for kind, names in found.items():
            print(f"{kind:12} {', '.join(names) or 'none; the nearest kind is drawn instead'}")
    without = [kind for kind, names in found.items() if not names]
    print(
        f"{sum(map(len, found.values()))} fonts found (list {shelf.fingerprint()})"
        + (f", none of the kinds {', '.join(without)}" if without else "")
    )
    if missing := missing_packages(shelf):
        print(f"more kinds of letters, on Debian: apt-get install {' '.join(missing)}")


if __name__ == "__main__":
    main()
