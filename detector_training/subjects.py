"""What the detector is shown: random molecules whose labels say anything, and sheets of words.

`subject` takes one of the project's random molecules, or one of a rare kind, lays it out and then
changes what is drawn, whatever the chemistry: the detector learns what is written. Everything
depends on the seed and the number alone.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from rdkit import Chem, rdBase

from data_preprocess.drawing.depiction import RenderError, depict
from data_preprocess.drawing.style import Style
from data_preprocess.drawing.subject import Subject
from data_preprocess.sources.random_molecules import Sizes, random_molecule
from detector_training import changes
from detector_training.draft import Draft
from detector_training.letter_rows import letter_rows
from detector_training.rare import companion, enriched, rare_molecule
from detector_training.sheets import label_sheet

__all__ = ["Shares", "label_sheet", "subject"]


@dataclass(frozen=True)
class Shares:
    """Shares of the subjects.

    Attributes:
        rare: whole molecules of a rare kind.
        enriched: of the others, those that get one or two rare groups.
        companions: with an acid, a base, an ion or a solvent drawn beside.
        small, large: of the random molecules, those of 2 to 7 and of 60 to 90 atoms.
    """

    rare: float = 0.18
    enriched: float = 0.4
    companions: float = 0.07
    small: float = 0.08
    large: float = 0.03


_SMALL = Sizes(mean=5, spread=2, least=2, most=7)
_LARGE = Sizes(mean=70, spread=9, least=60, most=90)
_STEREO = 0.5
_CHANGES = (
    (changes.new_labels, 0.72),
    (changes.other_elements, 0.12),
    (changes.hydrogens, 0.12),
    (changes.hetero_hydrogens, 0.08),
    (changes.stereo_bonds, 0.14),
    (changes.unsure_bonds, 0.05),
    (changes.crossing_bonds, 0.08),
    (changes.cut_lines, 0.07),
    (changes.uneven_bonds, 0.06),
    (changes.written_carbons, 0.17),
    (letter_rows, 0.07),
)


def subject(
    seed: int, number: int, sizes: Sizes | None = None, shares: Shares | None = None
) -> Subject | None:
    """One random drawing, not yet drawn; the same arguments give the same one.

    Args:
        seed: of the whole series.
        number: of the subject in the series.
        sizes: heavy atoms of the random molecules; None for those of patents, with some very small
            and some large ones.
        shares: how much of what is rare.

    Returns:
        None where atoms lie upon each other in the layout.
    """
    rng = random.Random(f"subject {seed} {number}")
    mol = _molecule(seed, number, sizes, shares or Shares(), rng)
    try:
        with rdBase.BlockLogs():
            draft = Draft.of(depict(mol, _style(rng), rng))
    except RenderError:
        return None
    for change, share in _CHANGES:
        if rng.random() < share:
            change(draft, rng)
    draft.mark_crossings()
    return draft.subject()


def _molecule(
    seed: int, number: int, sizes: Sizes | None, shares: Shares, rng: random.Random
) -> Chem.Mol:
    mol = rare_molecule(rng) if rng.random() < shares.rare else None
    if mol is None:
        if sizes is None:
            sizes = rng.choices(
                (_SMALL, _LARGE, None),
                (shares.small, shares.large, 1 - shares.small - shares.large),
            )[0]
        mol = Chem.MolFromSmiles(random_molecule(seed, number, sizes, stereo=_STEREO))
        if rng.random() < shares.enriched:
            mol = enriched(mol, rng)
    if rng.random() < shares.companions:
        for _ in range(rng.choice((1, 1, 2))):
            mol = Chem.CombineMols(mol, companion(rng))
        Chem.SanitizeMol(mol)
    return mol


def _style(rng: random.Random) -> Style:
    """How it is laid out; what lines and letters look like is chosen by who draws."""

    def mostly_none(chance: float) -> float:
        return rng.random() if rng.random() < chance else 0.0

    return Style(
        rotation=rng.randrange(12) * 30 if rng.random() < 0.88 else rng.uniform(0, 360),
        mirror=rng.random() < 0.5,
        layout="coordgen" if rng.random() < 0.22 else "rdkit",
        straight=rng.random() < 0.85,
        circles=rng.random() < 0.06,
        abbreviations=mostly_none(0.25),
        r_groups=rng.choice((1, 1, 2, 2, 3, 4)) if rng.random() < 0.12 else 0,
        r_labels=True,
        hydrogens=mostly_none(0.15),
        carbons=mostly_none(0.04),
        open_stereo=mostly_none(0.3),
        legible=True,
    )
