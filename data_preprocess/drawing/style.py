"""How a drawing looks: everything that a chemist, a program or a journal may choose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from data_preprocess.drawing.fonts import Font
from data_preprocess.drawing.scan import CLEAN_SCAN, Scan
from data_preprocess.drawing.surroundings import NOTHING_BESIDE, Surroundings

__all__ = ["Engine", "Style", "StyleRange"]

Engine = Literal["rdkit", "indigo"]
StyleRange = Literal["clean", "scanned", "varied"]


@dataclass(frozen=True)
class Style:
    """How a drawing looks.

    Attributes:
        rotation: of the layout, in degrees.
        mirror: turn the layout over; wedges are chosen afterwards, so the molecule stays itself.
        bond_length: in pixels; shorter where the molecule would not fit otherwise.
        bond_width: of the lines, in pixels.
        scaled: lines grow thinner with the bonds where the molecule does not fit otherwise.
        font_size: of the labels, in bond lengths.
        margin: empty fraction of the image at each side.
        engine: who draws.
        font: ``sans``, ``serif``, ``wide``, or None for the engine's own. Indigo takes the
            machine's sans serif font whatever is asked.
        layout: ``rdkit``, or ``coordgen`` for its other way with large rings and crowded centres.
        straight: turn the layout so that most bonds lie on multiples of 30 degrees.
        double_gap: from line to line of a double bond, middle to middle, in bond lengths.
        wedge_width: of a wedge's wide end, in bond lengths (RDKit: of dashed wedges).
        hash_width: of the strokes of a dashed wedge, in widths of a line, for RDKit, whose own are
            one pixel thin whatever its lines are; 0 leaves them so.
        colour: labels of elements in their usual colours, else black.
        methyl: write CH3 at the ends of chains.
        circles: draw benzene and pyridine rings with a circle: bonds of order 4.
        abbreviations: fraction of the substituents with a label that are drawn as one atom.
        r_groups: how many ends of the molecule give way to R1, R2, X, Ar ...; the molecule is then
            another one, and the drawing says which.
        r_labels: write the open ends of a molecule as R1 or X, where RDKit writes 1* or *.
        r_script: the number of an R group stands ``high``, ``low`` or on the ``line`` (RDKit).
        hydrogens: fraction of the stereo centres whose hydrogen is drawn.
        carbons: fraction of the carbons without hydrogens that are written as C.
        open_stereo: fraction of the open stereo centres and double bonds that are drawn so, wavy or
            crossed. An open double bond is else drawn, and read, as cis or trans.
        legible: refuse a drawing with bonds of less than 9 pixels or atoms upon each other.
        beside: what stands beside the molecule.
        scan: what happens to the finished drawing.
    """

    rotation: float = 0.0
    mirror: bool = False
    bond_length: float = 30.0
    bond_width: float = 1.5
    scaled: bool = False
    font_size: float = 0.5
    margin: float = 0.06
    engine: Engine = "rdkit"
    font: Font | None = None
    layout: Literal["rdkit", "coordgen"] = "rdkit"
    straight: bool = False
    double_gap: float = 0.15
    wedge_width: float = 0.2
    hash_width: float = 0.0
    colour: bool = False
    methyl: bool = False
    circles: bool = False
    abbreviations: float = 0.0
    r_groups: int = 0
    r_labels: bool = False
    r_script: Literal["high", "low", "line"] = "high"
    hydrogens: float = 0.0
    carbons: float = 0.0
    open_stereo: float = 0.0
    legible: bool = False
    beside: Surroundings = NOTHING_BESIDE
    scan: Scan = CLEAN_SCAN

    def line_width(self, bond_length: float) -> float:
        """Of bonds that came out so long, in pixels."""
        shrunk = min(bond_length / self.bond_length, 1.0) if self.scaled else 1.0
        return max(1.0, self.bond_width * shrunk)

    @classmethod
    def random(cls, rng: Random, size: tuple[int, int]) -> Style:
        """A clean style as programs vary it, for images of `size` (width, height)."""
        bond = min(rng.uniform(0.2, 0.3) * min(size), rng.uniform(32, 48))
        return cls(
            # Most drawings keep their bonds on multiples of 30 degrees, the rest stands askew.
            rotation=rng.randrange(12) * 30 if rng.random() < 0.7 else rng.uniform(0, 360),
            mirror=rng.random() < 0.5,
            bond_length=bond,
            bond_width=rng.uniform(0.03, 0.07) * bond,
            font_size=rng.uniform(0.42, 0.6),
            margin=rng.uniform(0.03, 0.12),
        )

    @classmethod
    def scanned(cls, rng: Random, size: tuple[int, int]) -> Style:
        """A clean style that went over paper: printed, and then scanned."""
        style, scan = cls.random(rng, size), CLEAN_SCAN
        while scan == CLEAN_SCAN:  # one of some thousand scanners changes nothing
            scan = Scan.of_paper(rng)
        return replace(style, legible=True, scan=scan)

    @classmethod
    def varied(cls, rng: Random, size: tuple[int, int], engine: Engine | None = None) -> Style:
        """A style as patents, papers, slides and their scans vary it.

        Args:
            rng: chooses.
            size: width and height of the image.
            engine: instead of a random one.
        """
        bond = min(rng.uniform(0.12, 0.3) * min(size), rng.uniform(18, 56))
        width = rng.uniform(0.025, 0.1) * bond
        straight = rng.random() < 0.7

        def mostly_none(chance: float) -> float:
            return rng.random() if rng.random() < chance else 0.0

        return cls(
            rotation=rng.randrange(12) * 30 if straight else rng.uniform(0, 360),
            mirror=rng.random() < 0.5,
            bond_length=bond,
            bond_width=width,
            scaled=True,
            font_size=rng.uniform(0.42, 0.68),
            margin=rng.choice((0.01, rng.uniform(0.02, 0.15))),
            engine=engine or ("rdkit" if rng.random() < 0.6 else "indigo"),
            font=rng.choice((None, "sans", "sans", "serif", "wide")),
            layout="rdkit" if rng.random() < 0.85 else "coordgen",
            straight=straight,
            double_gap=max(rng.uniform(0.1, 0.2), width / bond + 0.08),  # white between the lines
            wedge_width=rng.uniform(0.16, 0.3),
            hash_width=rng.uniform(0.7, 1.0),
            colour=rng.random() < 0.2,
            methyl=rng.random() < 0.2,
            circles=rng.random() < 0.12,
            abbreviations=mostly_none(0.6),
            r_groups=rng.choice((1, 1, 2, 3)) if rng.random() < 0.12 else 0,
            r_labels=True,
            r_script=rng.choice(("high", "low", "line")),
            hydrogens=mostly_none(0.2),
            carbons=mostly_none(0.08),
            open_stereo=mostly_none(0.4),
            legible=True,
            beside=Surroundings.random(rng),
            scan=Scan.random(rng),
        )
