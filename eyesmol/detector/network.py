"""The detector's network: a fully convolutional backbone, and heads that look at places.

It draws on heat-map key points (CenterNet, arXiv 1904.07850), line-of-interest pooling (L-CNN,
arXiv 1905.03246) and message passing over candidate bonds (as MolGrapher, arXiv 2308.12234, decides
atoms and bonds together).

Coordinates are pixels of the **grid**, at which a bond is about `BOND` (20) pixels long. The image
itself comes at twice that resolution: its 4 x 4 blocks become 16 channels at stride 2, so that fine
print costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eyesmol.detector.network_shape import FINE, WINDOW
from eyesmol.detector.vocabulary import CHARACTERS, LABEL_CLASSES, LONGEST_LABEL, BondClass

__all__ = ["Features", "Network", "Shape"]

_CHARACTER_COUNT = len(CHARACTERS) + 3
_INK = (2 * FINE) ** 2  # channels of the ink at stride 2


@dataclass(frozen=True)
class Shape:
    """Widths of a network.

    Attributes:
        channels: at strides 2, 4, 8, 16 and 32.
        junction: width of a junction's embedding.
        bond: width of a bond's.
        letter: width of the speller.
        rounds: of messages between junctions and bonds.
    """

    channels: tuple[int, int, int, int, int] = (32, 64, 96, 160, 192)
    junction: int = 160
    bond: int = 128
    letter: int = 96
    rounds: int = 2

    def as_dict(self) -> dict[str, object]:
        """For a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Shape:
        """Back from a file."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
        }
        return cls(**known)


class Features(NamedTuple):
    """What the backbone makes of a batch of B images.

    Attributes:
        fine: (B * H/2 * W/2, C): features at stride 2, and the ink itself in the last 16 channels.
        coarse: (B * H/4 * W/4, C): features at stride 4.
        height, width: H and W in grid pixels.
        heat: (B, 3, H/2, W/2): a junction's logit, and its offset (x, y) in cells of stride 2.
    """

    fine: Tensor
    coarse: Tensor
    height: int
    width: int
    heat: Tensor


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(inputs, outputs, stride=2), *(_Residual(outputs) for _ in range(blocks))
    )


class Backbone(nn.Module):
    """A U-Net whose outputs are features at strides 2 and 4 and a heat map of junctions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = shape.channels
        self.stem = _convolution(_INK, c2)
        self.down4, self.down8 = _stage(c2, c4, 1), _stage(c4, c8, 2)
        self.down16, self.down32 = _stage(c8, c16, 3), _stage(c16, c32, 2)
        self.side16, self.side8 = nn.Conv2d(c32, c16, 1), nn.Conv2d(c16, c8, 1)
        self.side4, self.side2 = nn.Conv2d(c8, c4, 1), nn.Conv2d(c4, c2, 1)
        self.up16, self.up8 = _convolution(c16, c16), _Residual(c8)
        self.up4 = _convolution(c4, c4)
        self.fine = _Residual(c2)
        last = self.fine.second[1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)  # nothing is added at first
        self.heat = nn.Sequential(_convolution(c2, 24), nn.Conv2d(24, 3, 1))
        bias = self.heat[1].bias
        assert isinstance(bias, Tensor)
        nn.init.zeros_(bias)
        with torch.no_grad():
            bias[0] = -3.0  # few cells are junctions

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of a batch.

        Args:
            image: (B, 1, 2H, 2W) ink from 0 to 1; 2H and 2W are multiples of `MULTIPLE`.

        Returns:
            (B, c2 + 16, H/2, W/2), (B, c4, H/4, W/4), (B, 3, H/2, W/2): see `Features`.
        """
        ink = F.pixel_unshuffle(image, 2 * FINE)
        s2 = self.stem(ink)
        s4 = self.down4(s2)
        s8 = self.down8(s4)
        s16 = self.down16(s8)
        s32 = self.down32(s16)
        f16 = self.up16(s16 + _doubled(self.side16(s32)))
        f8 = self.up8(s8 + _doubled(self.side8(f16)))
        f4 = self.up4(s4 + _doubled(self.side4(f8)))
        f2 = self.fine(F.relu(s2 + _doubled(self.side2(f4))))
        return torch.cat([f2, ink], 1), f4, self.heat(f2)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _grid(columns: int, rows: int, step: float) -> Tensor:
    """(rows * columns, 2): places round a junction, as (x, y) in grid pixels."""
    y = (torch.arange(rows) - (rows - 1) / 2) * step
    x = (torch.arange(columns) - (columns - 1) / 2) * step
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2).flip(-1)


def _at(
    flat: Tensor, height: int, width: int, image: Tensor, places: Tensor, stride: int
) -> Tensor:
    """Features of the cells in which places lie.

    Args:
        flat: (B * height * width, C).
        height, width: of the feature map.
        image: (N,) which image of the batch.
        places: (N, K, 2) grid pixels; outside the map, the nearest cell counts.
        stride: grid pixels a cell.

    Returns:
        (N, K, C).
    """
    x = (places[..., 0] / stride).floor().long().clamp(0, width - 1)
    y = (places[..., 1] / stride).floor().long().clamp(0, height - 1)
    index = (image[:, None] * height + y) * width + x
    return flat.index_select(0, index.reshape(-1)).reshape(*index.shape, flat.shape[1])


_LENGTH_UNIT = 16.0  # grid pixels
_LINE_POINTS = 12  # along a bond
_LINE_OFFSETS = (-2.2, 0.0, 2.2)  # grid pixels beside it: the lines of a double bond


class Junctions(nn.Module):
    """Embeddings of junctions from the features round them."""

    near_grid: Tensor
    wide_grid: Tensor
    context_grid: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        c2, c4 = shape.channels[:2]
        self.c2 = c2
        self.near = nn.Linear(25 * c2, shape.junction)
        self.wide = nn.Linear(75 * c2, shape.junction)
        self.context = nn.Linear(25 * c4, shape.junction)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(shape.junction, shape.junction), nn.ReLU())
        self.register_buffer("near_grid", _grid(5, 5, 2.0), persistent=False)
        self.register_buffer("wide_grid", _grid(15, 5, 3.0), persistent=False)
        self.register_buffer("context_grid", _grid(5, 5, 6.0), persistent=False)

    def forward(self, f: Features, image: Tensor, places: Tensor) -> Tensor:
        """(N, junction) for junctions at (N, 2) grid pixels."""
        h, w, here = f.height, f.width, places[:, None]
        fine = f.fine[:, : self.c2]
        near = _at(fine, h // 2, w // 2, image, here + self.near_grid, 2).flatten(1)
        wide = _at(fine, h // 2, w // 2, image, here + self.wide_grid, 2).flatten(1)
        context = _at(f.coarse, h // 4, w // 4, image, here + self.context_grid, 4).flatten(1)
        return self.last(self.near(near) + self.wide(wide) + self.context(context))


class Lines(nn.Module):
    """Embeddings of directed pairs of junctions from the features along the line between them."""

    along: Tensor
    beside: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        c2, c4 = shape.channels[:2]
        self.c2 = c2
        self.fine = nn.Linear(_LINE_POINTS * len(_LINE_OFFSETS) * c2, shape.bond)
        self.coarse = nn.Linear(_LINE_POINTS // 2 * c4, shape.bond)
        self.first = nn.Linear(shape.junction, shape.bond)
        self.second = nn.Linear(shape.junction, shape.bond)
        self.geometry = nn.Linear(2, shape.bond)
        self.last = nn.Sequential(nn.ReLU(), nn.Linear(shape.bond, shape.bond), nn.ReLU())
        self.register_buffer("along", torch.linspace(0, 1, _LINE_POINTS), persistent=False)
        self.register_buffer("beside", torch.tensor(_LINE_OFFSETS), persistent=False)

    def forward(
        self,
        f: Features,
        image: Tensor,
        places: Tensor,
        junctions: Tensor,
        pairs: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """(M, bond) for pairs (M, 2) of the junctions at `places`.

        Args:
            f: of the batch.
            image: (N,) of each junction.
            places: (N, 2) grid pixels.
            junctions: (N, junction) embeddings.
            pairs: (M, 2) indices of junctions, first and second.
            scale: (N,) the median bond length in each junction's image, grid pixels.
        """
        first, second = pairs[:, 0], pairs[:, 1]
        start, way = places[first], places[second] - places[first]
        length = way.norm(dim=1, keepdim=True).clamp(min=1e-3)
        across = torch.stack([-way[:, 1], way[:, 0]], 1) / length
        line = start[:, None] + way[:, None] * self.along[None, :, None]
        band = line[:, :, None] + across[:, None, None] * self.beside[None, None, :, None]
        of, h, w = image[first], f.height, f.width
        fine = _at(f.fine[:, : self.c2], h // 2, w // 2, of, band.flatten(1, 2), 2).flatten(1)
        coarse = _at(f.coarse, h // 4, w // 4, of, line[:, ::2], 4).flatten(1)
        geometry = torch.cat([length / _LENGTH_UNIT, length / scale[first][:, None]], 1)
        return self.last(
            self.fine(fine)
            + self.coarse(coarse)
            + self.geometry(geometry)
            + self.first(junctions)[first]
            + self.second(junctions)[second]
        )


class Decision(nn.Module):
    """Rounds of messages between junctions and bonds, then the classes of both.

    What a ring, a valence or a caption nearby says about an atom reaches it here.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        j, b = shape.junction, shape.bond
        self.message = nn.ModuleList(nn.Linear(j + b, b) for _ in range(shape.rounds))
        self.gate = nn.ModuleList(nn.Linear(b, b) for _ in range(shape.rounds))
        self.junction = nn.ModuleList(
            nn.Sequential(nn.Linear(j + b, j), nn.ReLU(), nn.Linear(j, j))
            for _ in range(shape.rounds)
        )
        self.bond = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * j + 2 * b, b), nn.ReLU(), nn.Linear(b, b))
            for _ in range(shape.rounds)
        )
        self.junction_norm = nn.ModuleList(nn.LayerNorm(j) for _ in range(shape.rounds))
        self.bond_norm = nn.ModuleList(nn.LayerNorm(b) for _ in range(shape.rounds))
        self.label = nn.Linear(j, LABEL_CLASSES)
        self.order = nn.Linear(b, len(BondClass))

    def forward(
        self, junctions: Tensor, lines: Tensor, pairs: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Logits before the first round and after each.

        Args:
            junctions: (N, junction).
            lines: (2M, bond): M pairs, then the same M the other way round.
            pairs: (2M, 2) likewise.

        Returns:
            Lists of (N, LABEL_CLASSES) and of (2M, number of `BondClass`).
        """
        first, second = pairs[:, 0], pairs[:, 1]
        half = pairs.shape[0] // 2
        labels, orders = [self.label(junctions)], [self.order(lines)]
        for n in range(len(self.message)):
            gate = torch.sigmoid(self.gate[n](lines))
            message = F.relu(self.message[n](torch.cat([junctions[second], lines], 1))) * gate
            heard = message.new_zeros(junctions.shape[0], message.shape[1])
            heard = heard.scatter_add(0, first[:, None].expand_as(message), message)
            update = self.junction[n](torch.cat([junctions, heard], 1))
            junctions = self.junction_norm[n](junctions + update)
            back = torch.cat([lines[half:], lines[:half]])
            ends = torch.cat([junctions[first], junctions[second], lines, back], 1)
            lines = self.bond_norm[n](lines + self.bond[n](ends))
            labels.append(self.label(junctions))
            orders.append(self.order(lines))
        return labels, orders


class Speller(nn.Module):
    """Reads the label round a junction, character by character, from the ink alone.

    It owes nothing to the backbone, so it also learns from words that no network has looked at.
    At a bare corner it says nothing at all.
    """

    window: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        e, columns, rows = shape.letter, *WINDOW
        self.width = e
        # From image pixels on: a letter looks alike wherever it stands, not only every four pixels.
        self.strokes = nn.Sequential(
            nn.PixelShuffle(2 * FINE),
            nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(),
            nn.Conv2d(16, 24, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(),
        )  # fmt: skip
        self.look = nn.Sequential(
            nn.Conv2d(48, e, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(e, e, 3, 1, 1), nn.ReLU(),
        )  # fmt: skip
        seen = ((columns + 1) // 2) * ((rows + 1) // 2)
        self.seen_at = nn.Parameter(torch.randn(seen, e) * 0.5)
        self.seen_norm = nn.LayerNorm(e)
        self.character = nn.Embedding(_CHARACTER_COUNT, e)
        nn.init.normal_(self.character.weight, std=0.3)
        self.place = nn.Parameter(torch.randn(LONGEST_LABEL + 1, e) * 0.3)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(e, 4, 2 * e, 0.0, batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(e)
        self.out = nn.Linear(e, _CHARACTER_COUNT)
        self.register_buffer("window", _grid(*WINDOW, 2.0), persistent=False)

    def see(self, f: Features, image: Tensor, places: Tensor) -> Tensor:
        """(N, cells, letter): what stands round junctions."""
        columns, rows = WINDOW
        ink = f.fine[:, -_INK:]
        cells = _at(ink, f.height // 2, f.width // 2, image, places[:, None] + self.window, 2)
        return self.see_ink(cells.reshape(places.shape[0], rows, columns, _INK).permute(0, 3, 1, 2))

    def see_ink(self, cells: Tensor) -> Tensor:
        """(N, cells, letter) of windows of ink (N, 16, rows, columns), as `F.pixel_unshuffle`
        makes them of image pixels."""
        seen = self.look(self.strokes(cells))
        return self.seen_norm(seen.flatten(2).transpose(1, 2) + self.seen_at)

    def forward(self, seen: Tensor, characters: Tensor) -> Tensor:
        """(N, L, characters): logits of what follows each of the (N, L) characters."""
        length = characters.shape[1]
        hidden = self.character(characters) + self.place[:length]
        mask = torch.full((length, length), float("-inf")).triu(1)
        for layer in self.layers:
            hidden = layer(hidden, seen, tgt_mask=mask)
        return self.out(self.norm(hidden))


class Network(nn.Module):
    """All parts of the detector."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.backbone = Backbone(self.shape)
        self.junctions = Junctions(self.shape)
        self.lines = Lines(self.shape)
        self.decision = Decision(self.shape)
        self.speller = Speller(self.shape)

    def features(self, image: Tensor) -> Features:
        """Features of (B, 1, 2H, 2W) images of ink from 0 to 1; see `Backbone`."""
        fine, coarse, heat = self.backbone(image)
        height, width = image.shape[2] // FINE, image.shape[3] // FINE
        return Features(
            fine.permute(0, 2, 3, 1).flatten(0, 2),
            coarse.permute(0, 2, 3, 1).flatten(0, 2),
            height, width, heat,
        )  # fmt: skip

    def decide(
        self, f: Features, image: Tensor, places: Tensor, pairs: Tensor, scale: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Labels of junctions and orders of the bonds between M pairs of them.

        Args:
            f: features of the batch.
            image: (N,) image of each junction.
            places: (N, 2) grid pixels.
            pairs: (M, 2) junctions of one image, each pair once.
            scale: (N,) median bond length of each junction's image, grid pixels.

        Returns:
            Logits before and after each round of messages: (N, LABEL_CLASSES), and
            (2M, number of `BondClass`), first all pairs as given, then all the other way round.
        """
        embedded = self.junctions(f, image, places)
        both = torch.cat([pairs, pairs.flip(1)])
        lines = self.lines(f, image, places, embedded, both, scale)
        return self.decision(embedded, lines, both)
