"""What a folder of the detector's weights holds: one file of weights, graphs, a description.

`detector_training.export` writes it, `eyesmol.detector.onnx_engine` loads it.
"""

from __future__ import annotations

__all__ = ["DESCRIPTION", "FORMAT", "GRAPHS", "WEIGHTS"]

FORMAT = 1  # of the folder; raised when graphs take or give something else
DESCRIPTION = "detector.json"
WEIGHTS = "weights.safetensors"
GRAPHS = ("look.onnx", "decide.onnx", "see.onnx", "spell.onnx")
