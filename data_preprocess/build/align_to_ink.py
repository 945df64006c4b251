"""A molfile's coordinates fitted onto the ink of its image: one scale and two offsets.

A molfile of a patent drawing holds the very coordinates that the image was printed from, in a
unit of its own and with y up. What is unknown is how large it was printed and where it was cut out.
The fit finds both from the ink alone, in two steps: a search over all scales and offsets at low
resolution (Dice overlap of the drawn bonds with the ink, by FFT), then a refinement of the best few
at full resolution (distances from bonds to ink and from ink to bonds). Labels hide the ends of
bonds and captions add ink that no bond explains, so nothing is asked near a label, and what one
point can cost is bounded. A molecule of two bonds that end in labels leaves the fit the slack of a
letter; from five bonds on the worst atom is 1 pixel off (median of noisy drawings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import fft, ndimage, optimize

from eyesmol.chem.graph import MolGraph
from eyesmol.exceptions import InputError
from eyesmol.image.ink import Pieces, ink_of

__all__ = ["AlignmentError", "Fit", "align", "ink_mask", "settle_labels"]

# Measured on 300 CLEF drawings. With its own molfile a drawing has all midpoints of bonds on ink
# (median; nine in ten in 98.7 % of the drawings) and 94 % of its ink explained (median; 73 % at
# least). With the molfile of another drawing it has 30 % of the midpoints on ink (median), and 1 of
# 150 reached nine in ten: a twin that differs in a label. The second bound is for parts of a larger
# molecule, which find ink for every bond and leave most of the ink over.
MIN_ON_INK = 0.9
MIN_EXPLAINED = 0.4
TOLERANCE = 3.0  # pixels of the original image

_COARSE_SIDE = 96  # pixels of the longer side in the search
_SCALE_STEP = 1.05  # 2.5 % off is 1 pixel at the rim of the coarse image: the blur covers it
_CANDIDATES = 4
_BLUR = 1.0  # standard deviation, in coarse pixels
_OVERHANG = 1.15  # a crop may cut labels off, and with them atoms
_SPECK = 4  # pixels that hang together; fewer are dirt
_BOND_MAP = 512  # pixels of the longer side of the map of distances to bonds
_INK_SAMPLE = 400  # ink pixels that are asked for their nearest bond
_LETTER = 0.5  # of a bond's length: so far round a labelled atom, ink may be letters
_ALONG = np.linspace(0.1, 0.9, 9)  # of a bond's length; the ends are often under labels

FloatArray = NDArray[np.float64]
_Placement = FloatArray  # scale, dx, dy


class AlignmentError(InputError):
    """The graph cannot be placed on the image; `reason` is one of a few fixed phrases."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Fit:
    """Where a molfile's coordinates lie in the image.

    Attributes:
        scale: pixels per molfile unit.
        dx, dy: pixel position of the molfile's origin.
        on_ink: fraction of the bond midpoints within `TOLERANCE` pixels of ink; 1 without bonds.
        explained: fraction of the ink that lies along the bonds; 1 without bonds.
    """

    scale: float
    dx: float
    dy: float
    on_ink: float
    explained: float

    @property
    def problem(self) -> str | None:
        """Why this fit cannot be trusted, as a short phrase; None for a good one."""
        if self.on_ink < MIN_ON_INK:
            return "no fit on the ink: bonds without ink"
        if self.explained < MIN_EXPLAINED:
            return "no fit on the ink: ink without bonds"
        return None

    def apply(self, graph: MolGraph) -> MolGraph:
        """The graph in the image's pixels, y down."""
        return graph.transformed(self.scale, self.dx, self.dy, flip=True)


def align(image: Image.Image, graph: MolGraph) -> Fit:
    """Fit a graph in molfile coordinates (y up) onto the ink of its image.

    Args:
        image: any mode, dark ink on light paper (or the reverse).
        graph: as `eyesmol.chem.molfile.parse_molblock` gives it.

    Returns:
        The best fit, however bad: see `Fit.problem`.

    Raises:
        AlignmentError: nothing to fit: no ink, no bond, or all atoms at one position.
    """
    ink = ink_mask(image)
    if not ink.any():
        raise AlignmentError("no ink in the image")
    if not graph.bonds:
        return _place_without_bonds(ink, graph)
    points = np.array([(atom.x, -atom.y) for atom in graph.atoms], dtype=np.float64)
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() <= 0:
        raise AlignmentError("no usable coordinates in the molfile")
    ends = np.array([(bond.begin, bond.end) for bond in graph.bonds])
    segments = points[ends]
    labelled = np.array([atom.text != "C" for atom in graph.atoms])
    match = _Match(ink, segments, labelled[ends])
    reach = 0.15 * match.bond_length
    rough = [_refined(start, match, reach * start[0]) for start in _candidates(ink, segments)]
    best = _refined(max(rough, key=match.agreement), match, TOLERANCE)
    scale, dx, dy = map(float, best)
    return Fit(scale, dx, dy, match.on_ink(best), match.explained(best))


def _place_without_bonds(ink: NDArray[np.bool_], graph: MolGraph) -> Fit:
    """A single atom stands in the middle of its ink; several, with no bond, give no scale."""
    if len(graph.atoms) != 1:
        raise AlignmentError("no bond to fit by")
    rows, columns = np.nonzero(ink)
    x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    atom = graph.atoms[0]
    return Fit(1.0, float(x - atom.x), float(y + atom.y), 1.0, 1.0)


def ink_mask(image: Image.Image) -> NDArray[np.bool_]:
    """Where the ink is, (height, width), without specks."""
    pieces = Pieces.of(ink_of(image))
    return pieces.mask(pieces.area >= _SPECK)


def _candidates(ink: NDArray[np.bool_], segments: FloatArray) -> list[_Placement]:
    """The most promising placements by the Dice overlap of drawn bonds and ink, both blurred.

    Dice counts ink without a bond and bonds without ink alike, so a molecule drawn too small, which
    finds ink everywhere, loses against the right one.
    """
    shrink = max(ink.shape) / _COARSE_SIDE
    size = tuple(max(1, math.ceil(side / shrink)) for side in ink.shape)
    # Room for a template that hangs over the edge: an FFT wraps round.
    room = tuple(
        fft.next_fast_len(math.ceil(side * (1 + _OVERHANG)) + 1, real=True) for side in size
    )
    blur = _gaussian_spectrum(room)
    ink_spectrum = fft.rfft2(_pooled(ink, shrink, size), room) * blur
    ink_energy = float((fft.irfft2(ink_spectrum, room) ** 2).sum())
    low, extent = segments.min(axis=(0, 1)), np.ptp(segments, axis=(0, 1))
    found = []
    for scale in _scales(extent, size):
        template = fft.rfft2(_drawn_bonds((segments - low) * scale, room), room) * blur
        energy = float((fft.irfft2(template, room) ** 2).sum())
        dice = 2 * fft.irfft2(ink_spectrum * np.conj(template), room) / (ink_energy + energy)
        row, column = np.unravel_index(int(np.argmax(dice)), dice.shape)
        # Offsets past the image are negative ones, wrapped.
        y, x = (int(at) - full if at >= side else int(at)
                for at, side, full in zip((row, column), size, room, strict=True))  # fmt: skip
        found.append((float(dice[row, column]), scale, x - low[0] * scale, y - low[1] * scale))
    best = sorted(found, reverse=True)[:_CANDIDATES]
    return [np.array([scale, x, y]) * shrink for _, scale, x, y in best]


def _pooled(ink: NDArray[np.bool_], shrink: float, size: tuple[int, ...]) -> FloatArray:
    """The ink at low resolution; a cell with any ink is full, so that thin lines stay whole."""
    coarse = np.zeros(size)
    rows, columns = np.nonzero(ink)
    coarse[(rows / shrink).astype(int), (columns / shrink).astype(int)] = 1
    return coarse


def _drawn_bonds(segments: FloatArray, size: tuple[int, ...]) -> FloatArray:
    canvas = Image.new("1", (size[1], size[0]))
    pen = ImageDraw.Draw(canvas)
    for begin, end in segments:
        pen.line([*begin, *end], fill=1)
    return np.asarray(canvas, dtype=np.float64)


def _gaussian_spectrum(size: tuple[int, ...]) -> FloatArray:
    rows, columns = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :]
    blur: FloatArray = np.exp(-2 * (np.pi * _BLUR) ** 2 * (rows**2 + columns**2))
    return blur


def _scales(extent: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """Scales at which the molecule fills the image, a little more, or down to a quarter of it."""
    with np.errstate(divide="ignore"):
        largest = float(np.min(np.array([size[1], size[0]]) / extent)) * _OVERHANG
    steps = math.ceil(math.log(4 * _OVERHANG) / math.log(_SCALE_STEP))
    return largest * _SCALE_STEP ** -np.arange(steps + 1, dtype=np.float64)


def _refined(start: _Placement, match: _Match, reach: float) -> _Placement:
    """The placement nearby at which bonds and ink are least apart.

    The arctan loss bounds what a point farther than `reach` pixels (under a label, in a gap) costs.
    """
    line_ink = match.line_ink(start, 2 * reach)
    fitted: _Placement = optimize.least_squares(
        lambda placement: match.residuals(placement, line_ink),
        start,
        x_scale=(start[0] * 0.01, 1.0, 1.0),
        diff_step=1e-3,
        loss="arctan",
        f_scale=max(reach, 1.0),
        xtol=1e-4,
        ftol=1e-4,
    ).x
    return fitted


class _Match:
    """How far bonds and ink are apart, for any placement.

    Both ways: from points along the bonds to the nearest ink, and from ink to the nearest bond.
    Only the second keeps a bond from being laid short along a longer line. Neither asks anything
    near a label, where letters take the place of lines.

    Args:
        ink: (height, width).
        segments: the bonds, (bonds, 2 ends, x and y), in molfile units, y down.
        labelled: (bonds, 2 ends), True for an end with a label.
    """

    def __init__(
        self, ink: NDArray[np.bool_], segments: FloatArray, labelled: NDArray[np.bool_]
    ) -> None:
        begin, end = segments[:, None, 0], segments[:, None, 1]
        self._ink, self._segments = ink, segments
        bare = ~(labelled[:, :1] & (_ALONG < _LETTER) | labelled[:, 1:] & (_ALONG > 1 - _LETTER))
        self._along = (begin + (end - begin) * _ALONG[None, :, None])[bare]
        self._labels = segments[labelled]
        self._middles = segments.mean(axis=1)
        self._to_ink = ndimage.distance_transform_edt(~ink)
        # Distances to the bonds are looked up in a drawing of them in molfile coordinates, `_zoom`
        # pixels a unit: it is made once and serves every placement.
        self._low = segments.min(axis=(0, 1))
        self._zoom = _BOND_MAP / float(np.ptp(segments, axis=(0, 1)).max())
        high = (segments.max(axis=(0, 1)) - self._low) * self._zoom
        width, height = (math.ceil(side) + 1 for side in high)
        drawn = _drawn_bonds((segments - self._low) * self._zoom, (height, width))
        self._to_bond = ndimage.distance_transform_edt(drawn == 0)
        self._pixels = np.argwhere(ink)[:, ::-1].astype(np.float64) + 0.5

    @property
    def bond_length(self) -> float:
        """Median, in molfile units."""
        lengths = np.linalg.norm(self._segments[:, 1] - self._segments[:, 0], axis=1)
        return float(np.median(lengths))

    def line_ink(self, placement: _Placement, reach: float) -> FloatArray:
        """A sample of the ink that must be bonds, (n, 2): near a bond, and not near a label.

        A close `reach` also leaves out the inner lines of double bonds, which pull rings together.
        """
        pixels = self._pixels[:: max(1, len(self._pixels) // (3 * _INK_SAMPLE))]
        length = self.bond_length * placement[0]
        keep = self._to_bonds(pixels, placement) < reach
        labels = self._labels * placement[0] + placement[1:]
        apart = np.linalg.norm(pixels[:, None] - labels[None], axis=2)
        keep &= (apart > _LETTER * length).all(axis=1)
        kept = pixels[keep]
        return kept[:: max(1, len(kept) // _INK_SAMPLE)]

    def residuals(self, placement: _Placement, line_ink: FloatArray) -> FloatArray:
        """Distances both ways, in pixels of the image; each way weighs the same."""
        to_ink = _looked_up(self._to_ink, self._along * placement[0] + placement[1:])
        to_bond = self._to_bonds(line_ink, placement)
        balance = math.sqrt(len(to_ink) / max(len(to_bond), 1))
        return np.concatenate([to_ink, to_bond * balance])

    def _to_bonds(self, pixels: FloatArray, placement: _Placement) -> FloatArray:
        """Distance from pixels (n, 2) to the nearest bond, in pixels of the image."""
        in_map = ((pixels - placement[1:]) / placement[0] - self._low) * self._zoom
        return _looked_up(self._to_bond, in_map + 0.5) * (placement[0] / self._zoom)

    def on_ink(self, placement: _Placement) -> float:
        """Share of bond midpoints within the tolerance of ink."""
        return self._share_on_ink(self._middles, placement)

    def explained(self, placement: _Placement) -> float:
        """Share of the ink within a quarter of a bond length of a bond."""
        canvas = Image.new("1", (self._ink.shape[1], self._ink.shape[0]))
        pen = ImageDraw.Draw(canvas)
        width = max(3, round(self.bond_length * placement[0] / 2))
        for begin, end in self._segments * placement[0] + placement[1:]:
            pen.line([*begin, *end], fill=1, width=width)
        return float(self._ink[np.asarray(canvas)].sum() / self._ink.sum())

    def agreement(self, placement: _Placement) -> float:
        """How well bonds and ink explain each other: the harmonic mean of both shares."""
        on_ink, explained = self._share_on_ink(self._along, placement), self.explained(placement)
        return 2 * on_ink * explained / max(on_ink + explained, 1e-9)

    def _share_on_ink(self, points: FloatArray, placement: _Placement) -> float:
        distances = _looked_up(self._to_ink, points * placement[0] + placement[1:])
        return float((distances <= TOLERANCE).mean())


def _looked_up(distance: FloatArray, points: FloatArray) -> FloatArray:
    """A distance map read at points (n, 2) as x, y; outside the map, the way back is added."""
    height, width = distance.shape
    # A pixel's centre lies half a pixel from its corner, where the image's coordinates begin.
    inside = np.clip(points, 0.5, (width - 0.5, height - 0.5))
    at = ndimage.map_coordinates(distance, inside[:, ::-1].T - 0.5, order=1, mode="nearest")
    return at + np.linalg.norm(points - inside, axis=1)


def settle_labels(image: Image.Image, graph: MolGraph) -> MolGraph:
    """Move abbreviations whose bond has no ink to where the bond is drawn.

    An abbreviation S-group stands at the position of the hidden atom that it is bonded by, and
    where that atom lies in the expanded drawing is not always where the label is printed (about one
    label in a hundred of the CLEF drawings). Such a label is turned about its neighbour until a
    bond of the usual length lies on ink. Labels with several bonds, and labels on labels, stay.

    Args:
        image: the image.
        graph: placed in its pixels.

    Raises:
        AlignmentError: a label's bond is nowhere to be found.
    """
    neighbours = graph.neighbours()
    to_ink: FloatArray | None = None
    points = np.array([(atom.x, atom.y) for atom in graph.atoms], dtype=np.float64)
    for index, atom in enumerate(graph.atoms):
        if atom.is_element or len(neighbours[index]) != 1:
            continue
        anchor = neighbours[index][0][0]
        if not graph.atoms[anchor].is_element:
            continue  # letters at both ends: too little of the bond is seen
        if to_ink is None:
            to_ink = ndimage.distance_transform_edt(~ink_mask(image))
        others = [other for other, _ in neighbours[anchor] if other != index]
        position = _with_ink_to(
            points[index], points[anchor], points[others], graph.median_bond_length(), to_ink
        )
        if position is None:
            raise AlignmentError("a label is not where the molfile says")
        points[index] = position
    return graph.placed((float(x), float(y)) for x, y in points)


def _with_ink_to(
    label: FloatArray, anchor: FloatArray, others: FloatArray, length: float, to_ink: FloatArray
) -> FloatArray | None:
    """The position for a label, as near as possible to the given one, whose bond is on ink."""
    along = np.linspace(0.2, 0.6, 9)[:, None]  # the rest may be under letters

    def distances(end: FloatArray) -> FloatArray:
        return _looked_up(to_ink, anchor + (end - anchor) * along)

    # Half of a bond is enough for the given position; a new one has to show more.
    if np.median(distances(label)) <= TOLERANCE:
        return label
    angles = np.arange(0, 2 * np.pi, np.pi / 60)
    ends = anchor + length * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # Another bond of the same atom is ink too, but it is taken.
    for other in others:
        cosine = (ends - anchor) @ (other - anchor) / (length * np.linalg.norm(other - anchor))
        ends = ends[cosine < math.cos(math.radians(30))]
    on_ink = [end for end in ends if distances(end).max() <= TOLERANCE]
    if not on_ink:
        return None
    nearest = min(on_ink, key=lambda end: float(np.linalg.norm(end - label)))
    # Of the directions round the nearest one that lie on ink, the middle one.
    alike = [end for end in on_ink if np.linalg.norm(end - nearest) < length / 3]
    middle: FloatArray = np.mean(alike, axis=0)
    return middle
