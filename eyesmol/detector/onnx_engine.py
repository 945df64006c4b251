"""The network run by ONNX Runtime: what reads where EyesMol is used, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from eyesmol.detector.engine import FloatArray
from eyesmol.detector.ink import Ink
from eyesmol.detector.spelling import Spellings, spellings
from eyesmol.detector.weights import DESCRIPTION, FORMAT, GRAPHS, WEIGHTS
from eyesmol.exceptions import ModelError

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """An `eyesmol.detector.engine.Engine`."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load what `detector_training.export` wrote.

        Args:
            folder: of the weights.
            threads: of the network; one reads a drawing in a moment.

        Raises:
            ModelError: no such folder, or one that this version cannot use.
        """
        _check(folder)
        sessions = [_session(folder / name, threads) for name in GRAPHS]
        self._look, self._decide, self._see, self._spell = sessions

    def look(self, ink: Ink) -> OnnxView:
        """See `Engine.look`."""
        fine, coarse, heat = self._look.run(None, {"ink": ink})
        return OnnxView(self._decide, self._see, self._spell, fine, coarse, heat)


class OnnxView:
    """An `eyesmol.detector.engine.View`."""

    def __init__(
        self, decide: Any, see: Any, spell: Any, fine: FloatArray, coarse: FloatArray,
        heat: FloatArray,
    ) -> None:  # fmt: skip
        self._decide, self._see, self._spell = decide, see, spell
        self._fine, self._coarse = fine, coarse
        self.heat = heat

    def decide(
        self, places: FloatArray, pairs: NDArray[np.int64], scale: float
    ) -> tuple[FloatArray, FloatArray]:
        """See `View.decide`."""
        if len(pairs) == 0:  # which no graph can do: one pair far away from all that is asked
            far = np.concatenate([places, np.full((2, 2), -1e4, np.float32)])
            labels, bonds = self.decide(far, np.array([[len(places), len(places) + 1]]), scale)
            return labels[:-2], bonds[:0]
        labels, bonds = self._decide.run(None, {
            "fine": self._fine, "coarse": self._coarse, "places": places, "pairs": pairs,
            "scale": np.array(scale, np.float32),
        })  # fmt: skip
        return labels, bonds

    def spell(self, places: FloatArray) -> Spellings:
        """See `View.spell`."""
        count = len(places)
        if count == 0:
            return []
        [seen] = self._see.run(None, {"fine": self._fine, "places": places})
        known = np.zeros((count, 0, seen.shape[2]), np.float32)

        def step(rows: NDArray[np.int64], characters: NDArray[np.int64]) -> FloatArray:
            nonlocal seen, known
            if len(rows) != len(seen) or (rows != np.arange(len(rows))).any():
                seen, known = seen[rows], known[rows]
            following, known = self._spell.run(
                None, {"seen": seen, "past": known, "character": characters}
            )
            return following

        return spellings(count, step)


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    # Every image has a size of its own: memory kept for the last one would only add up.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder; expected the detector's weights")
    found = {path.name for path in folder.iterdir()}
    if missing := sorted({DESCRIPTION, WEIGHTS, *GRAPHS} - found):
        raise ModelError(
            f"{folder}: the detector's weights lack {', '.join(missing)}; write the folder again "
            "with python -m detector_training.export"
        )
    about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    if (version := about.get("format")) != FORMAT:
        raise ModelError(
            f"{folder / DESCRIPTION}: found format {version}, expected {FORMAT}; use the weights "
            "that come with this version of EyesMol"
        )
