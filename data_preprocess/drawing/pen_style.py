"""How the pen draws: everything that chemists, programs, printers and scanners may choose.

Lengths are in bond lengths, so a style says the same at every resolution. The families are named
after where such drawings are met; their ranges overlap widely, for none keeps to itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from data_preprocess.drawing.clutter import Clutter
from data_preprocess.drawing.fonts import FontKind, FontShelf, font_shelf
from data_preprocess.drawing.wear import Wear

__all__ = ["FAMILIES", "PenStyle"]

HashKind = Literal["tapered", "parallel", "dashed", "bar"]
WedgeKind = Literal["solid", "hollow", "bar"]
SignPlace = Literal["upper right", "above", "below", "upper left", "far"]
Script = Literal["high", "low", "line"]


@dataclass(frozen=True)
class PenStyle:
    """How a drawing looks. Lengths are in bond lengths, angles in degrees.

    Attributes:
        family: whose drawings these are.
        bond_length: in pixels of the finished image.
        font: the file that letters are drawn with.
        em: size of the font.
        line_width: of bonds.
        double_gap: from line to line of a double bond, middle to middle.
        centre_ends: a double bond to an end of the chain is centred on its atoms.
        centre_all: so are all that lie in no ring.
        inner_cut: how much the second line of a double bond is shorter, at each end.
        triple_cut: the same for the outer lines of a triple bond.
        wedge: filled, only its outline, or a bar of one width.
        wedge_width: at the wide end.
        hash: strokes across that grow wider; strokes of one width; a dashed line along the bond;
            or dashes along it as wide as a bar.
        hash_step: from stroke to stroke.
        hash_line: width of a stroke, in line widths.
        dash, dash_space: of dashed lines along a bond.
        wave_step, wave_height: of wavy bonds.
        label_margin: white round the letters.
        round_ends: lines end round.
        bold_ring: fraction of the drawings' bonds, in one connected piece, that are drawn bold.
        bold_factor: how much wider they are.
        crossing_gap: white at each side of a bond that crosses another; 0 for none.
        circle: radius of an aromatic ring's circle, in the ring's own.
        methyl: CH3 is written at the ends of chains.
        written: fraction of the other carbons that are written out.
        script_size: of numbers and signs, in sizes of the font.
        script_drop, script_rise: of their base line, in cap heights.
        r_script: where the number of an R group stands.
        sign_place: of charges.
        sign_circled: fraction of the charges in a circle.
        minus: the character.
        letter_gap: extra room between letters, in em; negative where they touch.
        script_gap: extra room before numbers, in em.
        row_gap: from base line to base line of stacked letters, in cap heights.
        stack: fraction of the labels within a chain (SO2, CO, NMe) that are stacked.
        hydrogen_stack: hydrogens stand above or below where both sides are taken.
        symbol_middle: a symbol of two letters is bonded in its middle, else at its first letter.
        label_shade: grey value of the letters, 0 black.
        element_shades: letters have the grey values of their element's usual colour.
        half_bonds: so have the halves of the bonds.
        end_stretch: least and greatest factor on the bonds at the ends of chains.
        jitter: standard deviation of the atoms' positions.
        rotation: of the layout.
        stretch: factor on x.
        wobble: amplitude of a trembling hand along the lines.
        margin: least and greatest white beyond the ink, on any side.
        shelf: the fonts that captions and salts may be written with.
        clutter: what stands beside the molecule.
        wear: what printer, scanner and file format did to the drawing.
    """

    family: str = "us_patent"
    bond_length: float = 50.0
    font: str = ""
    em: float = 0.6
    line_width: float = 0.045
    double_gap: float = 0.16
    centre_ends: bool = True
    centre_all: bool = False
    inner_cut: float = 0.1
    triple_cut: float = 0.0
    wedge: WedgeKind = "solid"
    wedge_width: float = 0.18
    hash: HashKind = "tapered"
    hash_step: float = 0.1
    hash_line: float = 1.0
    dash: float = 0.1
    dash_space: float = 0.08
    wave_step: float = 0.2
    wave_height: float = 0.08
    label_margin: float = 0.06
    round_ends: bool = False
    bold_ring: float = 0.0
    bold_factor: float = 2.5
    crossing_gap: float = 0.0
    circle: float = 0.6
    methyl: bool = False
    written: float = 0.0
    script_size: float = 0.72
    script_drop: float = 0.28
    script_rise: float = 0.5
    r_script: Script = "high"
    sign_place: SignPlace = "upper right"
    sign_circled: float = 0.0
    minus: str = "\u2212"
    letter_gap: float = 0.0
    script_gap: float = 0.0
    row_gap: float = 1.15
    stack: float = 0.0
    hydrogen_stack: bool = True
    symbol_middle: bool = False
    label_shade: int = 0
    element_shades: bool = False
    half_bonds: bool = False
    end_stretch: tuple[float, float] = (1.0, 1.0)
    jitter: float = 0.0
    rotation: float = 0.0
    stretch: float = 1.0
    wobble: float = 0.0
    margin: tuple[float, float] = (0.0, 0.5)
    shelf: FontShelf = field(default_factory=lambda: font_shelf(packaged=True), repr=False)
    clutter: Clutter = field(default_factory=Clutter)
    wear: Wear = field(default_factory=Wear)

    @classmethod
    def random(cls, rng: Random, shelf: FontShelf | None = None) -> PenStyle:
        """A style of one of the families; patents are about half.

        Args:
            rng: chooses.
            shelf: the fonts to choose from; those of this machine by default.
        """
        names = list(FAMILIES)
        name = rng.choices(names, [FAMILIES[n][1] for n in names])[0]
        return cls.of_family(name, rng, shelf)

    @classmethod
    def of_family(cls, name: str, rng: Random, shelf: FontShelf | None = None) -> PenStyle:
        """A style of the family of that name (`FAMILIES`)."""
        shelf = shelf or font_shelf()
        style = FAMILIES[name][0](rng, shelf)
        white = max(0.05, 1.3 / style.bond_length)  # between the lines of a double bond
        gap = max(style.double_gap, style.line_width + white)
        style = replace(style, shelf=shelf, double_gap=gap)
        if style.wear.bilevel:  # a threshold would take the greys away
            return replace(style, label_shade=0, element_shades=False, half_bonds=False)
        return style


def _plain(rng: Random) -> PenStyle:
    """What most drawings share, whatever their family."""
    bond = rng.uniform(40, 70)
    width = rng.triangular(0.022, 0.075, 0.04)
    return PenStyle(
        bond_length=bond,
        em=rng.triangular(0.4, 0.78, 0.56),
        line_width=width,
        double_gap=max(rng.triangular(0.1, 0.26, 0.16), width + 0.06),
        centre_ends=rng.random() < 0.8,
        centre_all=rng.random() < 0.1,
        inner_cut=rng.choice((0.0, rng.uniform(0.05, 0.2), rng.uniform(0.08, 0.16))),
        triple_cut=rng.choice((0.0, 0.0, rng.uniform(0.0, 0.2))),
        wedge="hollow" if rng.random() < 0.03 else "solid",
        wedge_width=rng.triangular(0.1, 0.34, 0.18),
        hash=rng.choices(("tapered", "parallel", "dashed"), (74, 13, 13))[0],
        hash_step=rng.uniform(0.07, 0.15),
        hash_line=rng.uniform(0.5, 1.2),
        dash=rng.uniform(0.05, 0.16),
        dash_space=rng.uniform(0.05, 0.12),
        wave_step=rng.uniform(0.14, 0.28),
        wave_height=rng.uniform(0.05, 0.12),
        label_margin=rng.triangular(-0.01, 0.16, 0.07),
        round_ends=rng.random() < 0.3,
        crossing_gap=rng.uniform(0.04, 0.12) if rng.random() < 0.5 else 0.0,
        circle=rng.uniform(0.5, 0.66),
        methyl=rng.random() < 0.14,
        script_size=rng.uniform(0.6, 0.82),
        script_drop=rng.uniform(0.12, 0.38),
        script_rise=rng.uniform(0.35, 0.65),
        r_script=rng.choice(("high", "high", "high", "low", "line")),
        sign_place=_sign_place(rng, (70, 8, 8, 4, 10)),
        sign_circled=1.0 if rng.random() < 0.04 else 0.0,
        minus=rng.choices(("\u2212", "-", "\u2013"), (60, 30, 10))[0],
        row_gap=rng.uniform(1.05, 1.3),
        stack=rng.choice((0.0, 0.3, 0.9)),
        hydrogen_stack=rng.random() < 0.93,
        symbol_middle=rng.random() < 0.5,
        end_stretch=_end_stretch(rng, 0.15),
        jitter=rng.uniform(0.01, 0.05) if rng.random() < 0.05 else 0.0,
        rotation=rng.gauss(0, 1.5) if rng.random() < 0.12 else 0.0,
        stretch=rng.choice((rng.uniform(0.9, 1.1), rng.uniform(0.75, 1.3)))
        if rng.random() < 0.1
        else 1.0,
        margin=_margin(rng),
    )


def _sign_place(rng: Random, weights: tuple[int, int, int, int, int]) -> SignPlace:
    positions: tuple[SignPlace, ...] = ("upper right", "above", "below", "upper left", "far")
    return rng.choices(positions, weights)[0]


def _end_stretch(rng: Random, chance: float) -> tuple[float, float]:
    if rng.random() >= chance:
        return (1.0, 1.0)
    return rng.choice(((0.5, 0.8), (0.7, 1.0), (0.8, 1.2), (1.0, 1.4), (0.55, 1.4)))


def _margin(rng: Random) -> tuple[float, float]:
    """Half of all drawings are cropped to their ink."""
    if rng.random() < 0.5:
        return (0.0, rng.uniform(0.0, 0.2))
    return (0.1, rng.choice((0.5, 1.0, rng.uniform(1.0, 4.0))))


def _any_font(rng: Random, shelf: FontShelf, weights: dict[FontKind, int]) -> str:
    kind = rng.choices(list(weights), list(weights.values()))[0]
    return rng.choice(shelf.of(kind))


def _us_patent(rng: Random, shelf: FontShelf) -> PenStyle:
    """ChemDraw at 300 dpi, thin lines, black and white; some firms have bars and short dashes."""
    style = _plain(rng)
    weights: dict[FontKind, int] = {"serif": 50, "sans": 38, "bold_serif": 3, "bold_sans": 4,
                                    "other_sans": 3, "other_serif": 2}  # fmt: skip
    style = replace(
        style,
        family="us_patent",
        font=_any_font(rng, shelf, weights),
        label_margin=rng.triangular(0.0, 0.13, 0.055),
        line_width=rng.triangular(0.02, 0.07, 0.036),
        methyl=rng.random() < 0.3,
        clutter=Clutter.of_patent(rng),
        wear=Wear.of_patent(rng),
    )
    if rng.random() < 0.15:
        style = replace(style, wedge="bar", hash=rng.choice(("bar", "dashed", "parallel")),
                        wedge_width=rng.uniform(0.07, 0.2))  # fmt: skip
    return style


def _catalogue(rng: Random, shelf: FontShelf) -> PenStyle:
    """Helvetica, thick lines, the hydrogen of a nitrogen above or below it."""
    return replace(
        _plain(rng),
        family="catalogue",
        bond_length=rng.uniform(30, 75),
        font=_any_font(rng, shelf, {"sans": 70, "other_sans": 12, "bold_sans": 18}),
        em=rng.uniform(0.45, 0.72),
        line_width=rng.uniform(0.05, 0.11),
        double_gap=rng.uniform(0.17, 0.28),
        hydrogen_stack=True,
        clutter=Clutter.of_catalogue(rng),
        wear=Wear.of_patent(rng) if rng.random() < 0.6 else Wear.of_file(rng),
    )


def _dictionary(rng: Random, shelf: FontShelf) -> PenStyle:
    """Drug dictionaries: methyls written, dashed lines for hashes, charges anywhere, salts."""
    return replace(
        _plain(rng),
        family="dictionary",
        bond_length=rng.uniform(32, 75),
        font=_any_font(rng, shelf, {"sans": 85, "other_sans": 5, "serif": 10}),
        em=rng.uniform(0.4, 0.62),
        line_width=rng.uniform(0.022, 0.055),
        methyl=rng.random() < 0.8,
        written=rng.uniform(0.0, 0.05) if rng.random() < 0.3 else 0.0,
        hash=rng.choices(("dashed", "tapered", "parallel"), (70, 20, 10))[0],
        end_stretch=_end_stretch(rng, 0.35),
        sign_place=_sign_place(rng, (30, 22, 18, 6, 24)),
        clutter=Clutter.of_dictionary(rng),
        wear=Wear.of_patent(rng) if rng.random() < 0.45 else Wear.of_file(rng),
    )


def _jp_patent(rng: Random, shelf: FontShelf) -> PenStyle:
    """Canvases of all sizes, letters of all kinds, often far apart or touching."""
    style = _plain(rng)
    bond = 12 * 10 ** rng.uniform(0, 1)  # 12 to 120 pixels, as many small as large
    weights: dict[FontKind, int] = {
        "gothic": 20, "mincho": 20, "mono": 14, "bitmap": 8, "bold_mono": 7, "bold_sans": 8,
        "bold_serif": 6, "sans": 8, "serif": 7, "other_sans": 1, "other_serif": 1,
    }  # fmt: skip
    gap = rng.random()
    width = max(rng.choice((rng.uniform(0.015, 0.045), rng.uniform(0.04, 0.12))), 0.9 / bond)
    return replace(
        style,
        family="jp_patent",
        bond_length=bond,
        font=_any_font(rng, shelf, weights),
        em=max(rng.triangular(0.32, 0.95, 0.6), 9.0 / bond),
        line_width=width,
        double_gap=max(rng.uniform(0.08, 0.34), width + max(0.06, 1.6 / bond)),
        letter_gap=rng.uniform(0.05, 0.4)
        if gap < 0.3
        else -rng.uniform(0.02, 0.12)
        if gap > 0.85
        else 0.0,
        script_gap=rng.uniform(0.1, 0.5) if rng.random() < 0.12 else 0.0,
        script_size=rng.choice((1.0, rng.uniform(0.6, 0.85), rng.uniform(0.6, 0.85))),
        methyl=rng.random() < 0.4,
        written=rng.choice((0.0, 0.0, 0.0, 0.05, 0.3)),
        stack=rng.choice((0.0, 0.5, 0.9)),
        end_stretch=_end_stretch(rng, 0.3),
        wedge=rng.choices(("solid", "bar", "hollow"), (85, 12, 3))[0],
        clutter=Clutter.of_jp_patent(rng),
        wear=Wear.of_patent(rng) if rng.random() < 0.85 else Wear.of_file(rng),
    )


def _journal(rng: Random, shelf: FontShelf) -> PenStyle:
    """Colours, which come out as greys; bold pieces, numbers at atoms, arrows."""
    coloured = rng.random() < 0.4
    return replace(
        _plain(rng),
        family="journal",
        bond_length=rng.uniform(16, 60),
        font=_any_font(rng, shelf, {"sans": 65, "other_sans": 12, "bold_sans": 15, "serif": 8}),
        element_shades=coloured,
        half_bonds=coloured and rng.random() < 0.4,
        label_shade=rng.randrange(40, 170) if rng.random() < 0.25 else 0,
        bold_ring=rng.uniform(0.1, 0.6) if rng.random() < 0.35 else 0.0,
        bold_factor=rng.uniform(1.6, 3.2),
        clutter=Clutter.of_journal(rng),
        wear=Wear.of_file(rng) if rng.random() < 0.75 else Wear.of_paper(rng),
    )


def _software(rng: Random, shelf: FontShelf) -> PenStyle:
    """What RDKit, Indigo or CDK write: antialiased, small, methyls bare."""
    coloured = rng.random() < 0.5
    return replace(
        _plain(rng),
        family="software",
        bond_length=rng.uniform(15, 45),
        font=_any_font(rng, shelf, {"sans": 55, "other_sans": 40, "serif": 5}),
        em=rng.uniform(0.42, 0.75),
        line_width=rng.uniform(0.025, 0.09),
        double_gap=rng.uniform(0.13, 0.24),
        methyl=rng.random() < 0.1,
        element_shades=coloured,
        half_bonds=coloured and rng.random() < 0.7,
        end_stretch=(1.0, 1.0),
        clutter=Clutter.of_file(rng),
        wear=Wear.of_file(rng),
    )


def _hand_ruled(rng: Random, shelf: FontShelf) -> PenStyle:
    """Ruler and typewriter or stencil: lengths and angles are about right."""
    weights: dict[FontKind, int] = {"mono": 30, "bold_mono": 10, "sans": 25, "serif": 15,
                                    "mincho": 8, "hand": 12}  # fmt: skip
    return replace(
        _plain(rng),
        family="hand_ruled",
        bond_length=rng.uniform(30, 90),
        font=_any_font(rng, shelf, weights),
        jitter=rng.uniform(0.02, 0.09),
        end_stretch=_end_stretch(rng, 0.6),
        label_margin=rng.uniform(0.0, 0.14),
        double_gap=rng.uniform(0.1, 0.3),
        clutter=Clutter.of_patent(rng),
        wear=Wear.of_paper(rng),
    )


def _hand_drawn(rng: Random, shelf: FontShelf) -> PenStyle:
    """A trembling hand."""
    return replace(
        _plain(rng),
        family="hand_drawn",
        bond_length=rng.uniform(30, 80),
        font=_any_font(rng, shelf, {"hand": 60, "other_sans": 20, "sans": 20}),
        jitter=rng.uniform(0.03, 0.1),
        wobble=rng.uniform(0.01, 0.035),
        line_width=rng.uniform(0.03, 0.1),
        double_gap=rng.uniform(0.14, 0.3),
        round_ends=True,
        end_stretch=_end_stretch(rng, 0.6),
        clutter=Clutter.of_file(rng),
        wear=Wear.of_paper(rng),
    )


_Family = Callable[[Random, FontShelf], PenStyle]
FAMILIES: dict[str, tuple[_Family, float]] = {
    "us_patent": (_us_patent, 0.34),
    "jp_patent": (_jp_patent, 0.18),
    "dictionary": (_dictionary, 0.15),
    "catalogue": (_catalogue, 0.08),
    "software": (_software, 0.10),
    "journal": (_journal, 0.08),
    "hand_ruled": (_hand_ruled, 0.05),
    "hand_drawn": (_hand_drawn, 0.02),
}
