"""Several looks at one image: the drawing a little elsewhere on the paper each time, and a vote.

What a small model gets wrong depends on where on its grid of patches a drawing happens to lie. With
other margins it slips elsewhere, while what is right stays the same; so the molecule on which most
looks agree, each counting by its confidence, is right more often than that of any one look (known
as test-time augmentation). `docs/nano.md` says how much it gains and costs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from eyesmol.image.ink import ink_of
from eyesmol.image.levels import on_white
from eyesmol.image.loading import Box
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.recognition import Recognition

__all__ = ["MOST_LOOKS", "Look", "looks_at", "vote"]

_LONGEST = 800  # pixels; ink is looked for in about this size
_TIGHT = 0.05  # paper around the ink, in shares of its longer side
# Paper that is added on the left, above, on the right and below, in shares of width and height.
_WIDER = (
    (0.08, 0.08, 0.08, 0.08),
    (0.07, 0.07, 0.0, 0.0),
    (0.0, 0.0, 0.07, 0.07),
    (0.1, 0.0, 0.1, 0.0),
    (0.0, 0.1, 0.0, 0.1),
)
MOST_LOOKS = 2 + len(_WIDER)


@dataclass(frozen=True)
class Look:
    """An image as the model sees it.

    Attributes:
        fitted: in the model's frame.
        shown: what part of the original image that is; it may reach beyond, where paper is added.
    """

    fitted: Image.Image
    shown: Box


def looks_at(image: Image.Image, frame: PixelFrame, count: int) -> tuple[Look, ...]:
    """The first of the looks at an image: as it is, close to its ink, with more and more paper.

    Args:
        image: of any mode.
        frame: of the model.
        count: 1 to `MOST_LOOKS`.

    Raises:
        ValueError: an image that the frame refuses.
    """
    whole = Look(frame.fit(image), (0, 0, *image.size))
    if count == 1:
        return (whole,)
    image = on_white(image)
    boxes = list(_boxes(image))[: count - 1]
    return (whole, *(Look(frame.fit(_part(image, box)), box) for box in boxes))


def _boxes(image: Image.Image) -> Iterator[Box]:
    width, height = image.size
    yield _around_ink(image)
    for left, top, right, bottom in _WIDER:
        yield (
            -round(left * width),
            -round(top * height),
            width + round(right * width),
            height + round(bottom * height),
        )


def _around_ink(image: Image.Image) -> Box:
    shrink = max(1, max(image.size) // _LONGEST)
    rows, columns = np.nonzero(ink_of(image.reduce(shrink)))
    if not len(rows):
        return (0, 0, *image.size)
    left, top = shrink * int(columns.min()), shrink * int(rows.min())
    right, bottom = shrink * int(columns.max() + 1), shrink * int(rows.max() + 1)
    margin = 1 + round(_TIGHT * max(right - left, bottom - top))
    return left - margin, top - margin, right + margin, bottom + margin


def _part(image: Image.Image, box: Box) -> Image.Image:
    """What lies in a box, with the colour of the image's rim wherever the box goes beyond it."""
    pixels = np.asarray(image)
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = tuple(int(value) for value in np.median(rim, axis=0))
    part = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), paper)
    part.paste(image, (-box[0], -box[1]))
    return part


def vote(readings: Sequence[Recognition]) -> Recognition:
    """The reading on whose molecule most agree, each by its raw confidence; the surest of those.

    Its confidence is the sum of theirs, shared out over all looks, so that a look that says
    something else counts as doubt. Where no look gave a molecule it is the first reading; a single
    one stays as it is.

    Args:
        readings: of one image, at least one.
    """
    if len(readings) == 1:
        return readings[0]
    said: dict[str, list[Recognition]] = defaultdict(list)
    for reading in readings:
        if reading.smiles:
            said[reading.smiles].append(reading)
    if not said:
        return readings[0]
    agreed = max(said.values(), key=lambda group: sum(map(_weight, group)))
    best = max(agreed, key=_weight)
    if best.raw_confidence is not None:
        mean = float(f"{sum(map(_weight, agreed)) / len(readings):.4g}")
        best = replace(best, confidence=mean, raw_confidence=mean)
    if len(agreed) == len(readings):
        return best
    note = f"{len(agreed)} of {len(readings)} looks at the image gave this molecule"
    molecule = replace(best.molecule, problems=(*best.problems, note))
    return replace(best, molecule=molecule)


def _weight(reading: Recognition) -> float:
    return 1.0 if reading.raw_confidence is None else reading.raw_confidence
