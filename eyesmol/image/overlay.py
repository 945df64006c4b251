"""A graph drawn over the image it belongs to, so that people can judge with their own eyes.

Bonds are translucent lines coloured by kind, atoms are dots, and every atom that is not a plain
carbon carries its label a little outside the drawing, so that the drawing itself stays readable.
"""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from eyesmol.chem.graph import Atom, Bond, BondOrder, MolGraph
from eyesmol.image.levels import on_white

__all__ = ["BOND_COLOURS", "draw_overlay"]

# Okabe and Ito's palette, which colour-blind readers can tell apart; public for legends.
BOND_COLOURS: dict[BondOrder, str] = {
    BondOrder.SINGLE: "#0072b2",
    BondOrder.DOUBLE: "#d55e00",
    BondOrder.TRIPLE: "#cc79a7",
    BondOrder.AROMATIC: "#e69f00",
    BondOrder.SOLID_WEDGE: "#009e73",
    BondOrder.DASHED_WEDGE: "#009e73",
    BondOrder.WAVY: "#56b4e9",
    BondOrder.CROSSED_DOUBLE: "#d55e00",
    BondOrder.DATIVE: "#000000",
    BondOrder.HYDROGEN: "#999999",
    BondOrder.HOLLOW_WEDGE: "#009e73",
    BondOrder.BOLD: "#0072b2",
    BondOrder.ANY: "#f0e442",
    BondOrder.ATTACHMENT: "#56b4e9",
}
_ALPHA = 150  # of 255: strong enough to see on black ink, weak enough to see the ink
_ATOM_COLOUR = "#b3003c"
_SUPERSAMPLE = 2  # Pillow draws without anti-aliasing: draw larger, then shrink
_LINES = {BondOrder.DOUBLE: 2, BondOrder.CROSSED_DOUBLE: 2, BondOrder.TRIPLE: 3}

_Point = tuple[float, float]


def draw_overlay(image: Image.Image, graph: MolGraph, *, scale: float = 1.0) -> Image.Image:
    """The image, paled, with the graph over it.

    Args:
        image: any mode; transparent parts become white.
        graph: places in the pixels of `image`, y down. Any graph is drawn, far-off places included.
        scale: enlarge the image first; 4 suits an image of 112 pixels, 1 one of 500 or more.

    Returns:
        An RGB image of `scale` times the size of `image`.
    """
    width, height = (max(1, round(side * scale)) for side in image.size)
    base = on_white(image).resize((width, height), Image.Resampling.BICUBIC)
    base = Image.blend(base, Image.new("RGB", base.size, "white"), 0.25)
    factor = _SUPERSAMPLE
    layer = Image.new("RGBA", (width * factor, height * factor), (255, 255, 255, 0))
    placed = graph.transformed(scale * factor, 0, 0)
    # Everything is sized by the bond length, within what the eye can take.
    length = placed.median_bond_length() or 40.0 * factor
    stroke = min(max(length * 0.09, 1.5 * factor), 6.0 * factor)
    pen = ImageDraw.Draw(layer)
    for bond in placed.bonds:
        _draw_bond(pen, placed, bond, stroke)
    for index, atom in enumerate(placed.atoms):
        _draw_atom(pen, atom, stroke)
        if atom.text != "C" or len(placed.atoms) == 1:
            font = ImageFont.load_default(min(max(length * 0.42, 11.0 * factor), 22.0 * factor))
            _draw_label(pen, atom, _outward(placed, index), stroke, font)
    layer = layer.resize((width, height), Image.Resampling.BOX)
    return Image.alpha_composite(base.convert("RGBA"), layer).convert("RGB")


def _draw_bond(pen: ImageDraw.ImageDraw, graph: MolGraph, bond: Bond, stroke: float) -> None:
    begin, end = graph.atoms[bond.begin], graph.atoms[bond.end]
    start, along = (begin.x, begin.y), (end.x - begin.x, end.y - begin.y)
    length = math.hypot(*along)
    if length < 1:
        return
    colour = (*_rgb(BOND_COLOURS[bond.order]), _ALPHA)
    across = (-along[1] / length, along[0] / length)

    def at(share: float, aside: float) -> _Point:
        return (
            start[0] + along[0] * share + across[0] * aside,
            start[1] + along[1] * share + across[1] * aside,
        )

    if bond.order in (BondOrder.SOLID_WEDGE, BondOrder.HOLLOW_WEDGE):
        pen.polygon([start, at(1, 2 * stroke), at(1, -2 * stroke)], fill=colour)
    elif bond.order == BondOrder.DASHED_WEDGE:
        for share in (step / 6 for step in range(1, 7)):
            half = 2 * stroke * share
            pen.line([at(share, half), at(share, -half)], fill=colour, width=round(stroke * 0.7))
    elif bond.order == BondOrder.WAVY:
        wave = [at(s / 32, stroke * math.sin(s / 32 * 6 * math.pi)) for s in range(33)]
        pen.line(wave, fill=colour, width=round(stroke * 0.8), joint="curve")
    else:
        count = _LINES.get(bond.order, 1)
        for number in range(count):
            aside = (number - (count - 1) / 2) * stroke * 1.6
            crossed = bond.order == BondOrder.CROSSED_DOUBLE
            ends = [at(0, aside), at(1, -aside if crossed else aside)]
            pen.line(ends, fill=colour, width=round(stroke))


def _draw_atom(pen: ImageDraw.ImageDraw, atom: Atom, stroke: float) -> None:
    radius = stroke * 1.1
    box = (atom.x - radius, atom.y - radius, atom.x + radius, atom.y + radius)
    pen.ellipse(box, fill=(*_rgb(_ATOM_COLOUR), 220))


def _draw_label(
    pen: ImageDraw.ImageDraw,
    atom: Atom,
    direction: _Point,
    stroke: float,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    text = atom.text.removeprefix("[").removesuffix("]")
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font, anchor="mm")
    # Half the label's extent in the direction it is pushed, so that it clears the dot.
    half = abs(direction[0]) * (right - left) / 2 + abs(direction[1]) * (bottom - top) / 2
    x = atom.x + direction[0] * (half + 3 * stroke)
    y = atom.y + direction[1] * (half + 3 * stroke)
    # Never past the image's edge: a label that nobody sees helps nobody.
    canvas = pen.im.size
    x = min(max(x, -left + stroke), canvas[0] - right - stroke)
    y = min(max(y, -top + stroke), canvas[1] - bottom - stroke)
    pen.text(
        (x, y),
        text,
        font=font,
        anchor="mm",
        fill=(*_rgb(_ATOM_COLOUR), 255),
        stroke_width=2 * _SUPERSAMPLE,  # a white halo: legible on ink, and the ink stays visible
        stroke_fill=(255, 255, 255, 200),
    )


def _outward(graph: MolGraph, index: int) -> _Point:
    """Unit vector away from an atom's neighbours; straight up where they leave no preference."""
    here, x, y = graph.atoms[index], 0.0, 0.0
    for bond in graph.bonds:
        if index in (bond.begin, bond.end):
            other = graph.atoms[bond.end if index == bond.begin else bond.begin]
            distance = math.hypot(here.x - other.x, here.y - other.y) or 1.0
            x += (here.x - other.x) / distance
            y += (here.y - other.y) / distance
    size = math.hypot(x, y)
    return (x / size, y / size) if size > 0.1 else (0.0, -1.0)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
