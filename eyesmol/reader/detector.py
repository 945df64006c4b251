"""The reader that comes with EyesMol: the detector, on one core of any CPU, without torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from eyesmol.answer.confidence import Calibration
from eyesmol.answer.text import write_answer
from eyesmol.detector.engine import Engine
from eyesmol.detector.reading import Reading, ReadOptions, read
from eyesmol.exceptions import ModelError
from eyesmol.image.loading import Source
from eyesmol.reader.base import Opened, Recognizer, RecognizerError, read_calibration
from eyesmol.recognition import Recognition

__all__ = ["DetectorRecognizer", "raw_confidence"]

_SCALES = ReadOptions.scales
MOST_LOOKS = len(_SCALES)


class DetectorRecognizer(Recognizer):
    """Reads with the detector.

    Attributes:
        looks: at how many scales an image is read, at most; where the first is sure it is the only
            one.
    """

    def __init__(
        self, engine: Engine, calibration: Calibration | None = None, looks: int = MOST_LOOKS
    ) -> None:
        """Of a network that is loaded; `Recognizer.from_pretrained` is the usual way.

        Raises:
            ValueError: a number of looks that there are not.
        """
        if not 1 <= looks <= MOST_LOOKS:
            raise ValueError(f"looks {looks}: expected 1 to {MOST_LOOKS} with the detector")
        super().__init__(calibration, looks)
        self._engine = engine
        self._options = ReadOptions(scales=_SCALES[:looks])

    @classmethod
    def from_folder(
        cls,
        folder: Path | str,
        *,
        calibration: Path | str | None = None,
        looks: int | None = None,
        threads: int | None = None,
    ) -> DetectorRecognizer:
        """Load what ``detector_training.export`` wrote.

        Args:
            folder: of the weights.
            calibration: a file of ``eyesmol calibrate``; the folder's ``calibration.json`` where
                there is one.
            looks: see the class; all by default.
            threads: of the CPU; one by default.

        Raises:
            RecognizerError: the folder lacks something, or is of another version.
            ValueError: a number of looks that there are not.
        """
        from eyesmol.detector.onnx_engine import OnnxEngine

        looks = MOST_LOOKS if looks is None else looks
        try:
            engine = OnnxEngine(Path(folder), threads or 1)
        except ModelError as error:
            raise RecognizerError(str(error)) from None
        return cls(engine, read_calibration(calibration, folder), looks)

    def recognize(
        self,
        images: Iterable[Source],
        *,
        batch_size: int = 8,
        max_new_tokens: int | None = None,
        grammar: bool = True,
        any_picture: bool = False,
        min_confidence: float = 0.0,
    ) -> Iterator[Recognition]:
        """Read images one after another, as `Recognizer.recognize` says."""
        if batch_size < 1 or (max_new_tokens is not None and max_new_tokens < 1):
            raise ValueError(
                f"batch_size {batch_size}, max_new_tokens {max_new_tokens}: expected at least 1 "
                "each"
            )
        for number, source in enumerate(images):
            opened = self._open(source, number, any_picture)
            if isinstance(opened, Opened):
                opened = self._finished(self._read(opened, any_picture), opened)
            yield self._doubted(opened, min_confidence)

    def _read(self, opened: Opened, any_picture: bool) -> Recognition:
        start = time.perf_counter()
        reading = read(self._engine, opened.image, self._options)
        assembly = reading.assembly
        found = Recognition.from_graph(
            opened.name,
            assembly.graph,
            size=opened.image.size,
            atom_confidence=assembly.atom_confidence,
            bond_confidence=assembly.bond_confidence,
            raw_confidence=raw_confidence(reading),
            problems=assembly.changes,
            seconds=time.perf_counter() - start,
        )
        if not found.smiles:
            return found
        if not any_picture and (why := reading.no_molecule):
            return found.abstained(f"no molecule: {why}")
        # In the form that vision-language models write, to compare or to teach with.
        return replace(found, answer=write_answer(assembly.graph, found.smiles, "compact"))


def raw_confidence(reading: Reading) -> float:
    """0 to 1: ranks readings by the agreement of their views, then by their probability.

    The cube of the share of views that agree is more than twice that of one view less; within it
    the log probability p of all choices together counts as 1 / (1 - p), from half to all of it.
    """
    if reading.assembly.smiles is None:
        return 0.0
    sure = 1 / (1 - reading.assembly.log_probability)
    return round(reading.agreement**3 * (1 + sure) / 2, 6)
