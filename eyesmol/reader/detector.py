"""The reader that comes with EyesMol: the detector, on one core of any CPU, without torch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from eyesmol.answer.confidence import Calibration
from eyesmol.answer.text import write_answer
from eyesmol.detector.engine import Engine
from eyesmol.detector.network_shape import BOND, FINE
from eyesmol.detector.reading import Reading, read
from eyesmol.detector.reading import ReadOptions as Scales
from eyesmol.exceptions import ModelError
from eyesmol.image.levels import on_white
from eyesmol.image.loading import Source
from eyesmol.reader.base import Opened, Recognizer, RecognizerError, read_calibration
from eyesmol.reader.options import ReadOptions
from eyesmol.recognition import Recognition

__all__ = ["DetectorRecognizer", "raw_confidence"]

_SCALES = Scales.scales
_PLENTY = 1_000_000  # pixels that a reduced image keeps at least
_AS_SEEN = FINE * BOND * max(_SCALES)  # pixels of a bond in the largest view of the network
_NO_AGREEMENT = 0.1  # what counts for an agreement of none; one of three views is 0.33


class DetectorRecognizer(Recognizer):
    """Reads with the detector: at up to three scales, and at one where the first is sure."""

    most_views = len(_SCALES)

    def __init__(
        self,
        engine: Engine,
        calibration: Calibration | None = None,
        options: ReadOptions | None = None,
    ) -> None:
        """Of a network that is loaded; `Recognizer.from_pretrained` is the usual way.

        Raises:
            ValueError: more views than there are scales.
        """
        super().__init__(calibration, options)
        self._engine = engine

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        calibration: Path | str | None = None,
        options: ReadOptions | None = None,
        threads: int | None = None,
    ) -> DetectorRecognizer:
        """Load what ``detector_training.export`` wrote.

        Args:
            folder: of the weights.
            calibration: a file of ``eyesmol calibrate``; the folder's ``calibration.json`` where
                there is one.
            options: how images are read.
            threads: of the CPU; one by default.

        Raises:
            RecognizerError: the folder lacks something, or is of another version.
            ValueError: more views than there are scales.
        """
        from eyesmol.detector.onnx_engine import OnnxEngine

        try:
            engine = OnnxEngine(Path(folder), threads or 1)
        except ModelError as error:
            raise RecognizerError(str(error)) from None
        return cls(engine, read_calibration(calibration, folder), options)

    def _read(
        self, sources: Iterable[Source | Recognition], options: ReadOptions
    ) -> Iterator[Recognition]:
        scales = Scales(scales=_SCALES[: options.views])
        for number, source in enumerate(sources):
            opened = self._open(source, number, options)
            if isinstance(opened, Opened):
                opened = self._finished(self._read_one(opened, scales, options), opened)
            yield opened

    def _read_one(self, opened: Opened, scales: Scales, options: ReadOptions) -> Recognition:
        start = time.perf_counter()
        reading, reduction = self._reading(opened.image, scales)
        assembly = reading.assembly
        graph = assembly.graph.transformed(reduction, 0, 0)
        found = Recognition.from_graph(
            opened.name,
            graph,
            size=opened.image.size,
            atom_confidence=assembly.atom_confidence,
            bond_confidence=assembly.bond_confidence,
            raw_confidence=raw_confidence(reading),
            problems=assembly.changes,
            seconds=time.perf_counter() - start,
        )
        if not found.smiles:
            return found
        if not options.any_image and (why := reading.no_molecule):
            return found.abstained(f"no molecule: {why}")
        # In the form that vision-language models write, to compare or to teach with.
        return replace(found, answer=write_answer(graph, found.smiles, "compact"))

    def _reading(self, image: Image.Image, scales: Scales) -> tuple[Reading, int]:
        """What was read, and how many pixels of the image a pixel of it is.

        A camera's image has many times the pixels that the network looks at, and most of the time
        goes where the ink and the scale are searched in all of them. So a reduced copy is read
        first. Where its bonds are shorter than the network sees them, one reduced less is read,
        and where it shows none, the image itself.
        """
        reduction = math.isqrt(image.width * image.height // _PLENTY)
        if reduction > 1:
            reading = read(self._engine, on_white(image).reduce(reduction), scales)
            enough = int(reduction * reading.bond_length / _AS_SEEN)
            if enough >= reduction:
                return reading, reduction
            reduction = enough
        if reduction > 1:
            return read(self._engine, on_white(image).reduce(reduction), scales), reduction
        return read(self._engine, image, scales), 1


def raw_confidence(reading: Reading) -> float:
    """0 to 1: ranks readings by the agreement of their views, then by their probability.

    The cube of the share of views that agree is more than twice that of one view less; within it
    the log probability p of all choices together counts as 1 / (1 - p), from half to all of it.
    Where no view agrees with the result there is a little left, for a calibration takes logarithms.
    """
    if reading.assembly.smiles is None:
        return 0.0
    sure = 1 / (1 - reading.assembly.log_probability)
    return round(max(reading.agreement, _NO_AGREEMENT) ** 3 * (1 + sure) / 2, 6)
