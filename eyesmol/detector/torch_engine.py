"""The network run by torch: for training's own scores, and to check the exported one against."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file

from eyesmol.detector.engine import FloatArray
from eyesmol.detector.ink import Ink
from eyesmol.detector.network import Features, Network, Shape
from eyesmol.detector.spelling import Spellings, spellings
from eyesmol.detector.vocabulary import BEGIN, PADDING, BondClass

__all__ = ["TorchEngine", "load_network"]


def load_network(path: Path) -> Network:
    """The network of a weights file: safetensors whose metadata names its shape."""
    with safe_open(path, "pt") as file:
        shape = Shape.from_dict(json.loads(file.metadata()["shape"]))
    network = Network(shape)
    network.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return network.eval()


class TorchEngine:
    """An `eyesmol.detector.engine.Engine`."""

    def __init__(self, network: Network) -> None:
        self.network = network.eval()

    @torch.inference_mode()
    def look(self, ink: Ink) -> TorchView:
        """See `Engine.look`."""
        image = torch.from_numpy(ink.astype(np.float32) / 255)[None, None]
        return TorchView(self.network, self.network.features(image))


class TorchView:
    """An `eyesmol.detector.engine.View`."""

    def __init__(self, network: Network, features: Features) -> None:
        self._network, self._features = network, features
        heat = features.heat[0].clone()
        heat[0] = heat[0].sigmoid()
        self.heat: FloatArray = heat.numpy()

    @torch.inference_mode()
    def decide(
        self, places: FloatArray, pairs: NDArray[np.int64], scale: float
    ) -> tuple[FloatArray, FloatArray]:
        """See `View.decide`."""
        count = len(places)
        labels, orders = self._network.decide(
            self._features,
            torch.zeros(count, dtype=torch.long),
            torch.from_numpy(places),
            torch.from_numpy(pairs),
            torch.full((count,), scale),
        )
        there, back = orders[-1][: len(pairs)], orders[-1][len(pairs) :]
        both = (there + back[:, [int(kind.reverse) for kind in BondClass]]) / 2
        return labels[-1].softmax(1).numpy(), both.softmax(1).numpy()

    @torch.inference_mode()
    def spell(self, places: FloatArray) -> Spellings:
        """See `View.spell`."""
        count = len(places)
        if count == 0:
            return []
        speller = self._network.speller
        seen = speller.see(
            self._features, torch.zeros(count, dtype=torch.long), torch.from_numpy(places)
        )
        characters = torch.zeros((count, 0), dtype=torch.long)

        def step(rows: NDArray[np.int64], following: NDArray[np.int64]) -> FloatArray:
            nonlocal seen, characters
            going = torch.from_numpy(rows)
            seen = seen[going]
            characters = torch.cat([characters[going], torch.from_numpy(following)[:, None]], 1)
            logits = speller(seen, characters)[:, -1]
            logits[:, [PADDING, BEGIN]] = -1e9
            return logits.log_softmax(1).numpy()

        return spellings(count, step)
