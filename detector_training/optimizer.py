"""Muon: momentum, made orthogonal, for weights that are matrices or filters.

After K. Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024). torch.optim.Muon
takes matrices only; here a filter (out, in, height, width) is a matrix of out rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "optimizers"]

# Parts of the names of weights that are tables or last layers.
_NO_MATRICES = ("character", "seen_at", "place", ".label.", ".order.", ".out.", "heat.1")


class Muon(torch.optim.Optimizer):
    """Stochastic gradient descent along the orthogonal matrix nearest to the momentum.

    Args:
        params: of two or more dimensions.
        lr: size of a step, for a square matrix about the spectral norm of the change.
        momentum: share of the old momentum that is kept.
        weight_decay: share of the weights, times `lr`, that is lost at each step.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step with the gradients that are there."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = torch.lerp(weight.grad, momentum, group["momentum"])  # Nesterov
                change = _orthogonal(ahead.flatten(1))
                stretch = max(1.0, change.shape[0] / change.shape[1]) ** 0.5
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(change.view_as(weight), alpha=-group["lr"] * stretch)


def _orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal factor of a matrix X: five quintic Newton-Schulz steps.

    Every step multiplies X from the left by a polynomial of X Xᵀ, so the steps are taken on that
    small matrix alone, and X is multiplied once: a third of the work for wide matrices.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    square, factor, one = x @ x.T, None, torch.eye(len(x))
    for _ in range(5):
        step = a * one + b * square + c * square @ square
        factor = step if factor is None else step @ factor
        square = step @ square @ step
    assert factor is not None
    x = factor @ x
    return x.T if tall else x


def optimizers(network: nn.Module, lr: float, muon_lr: float) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the filters and hidden matrices, AdamW for all else.

    Embeddings, last layers, scales and biases are no matrices in Muon's sense.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in network.named_parameters():
        plain = weight.ndim < 2 or any(part in name for part in _NO_MATRICES)
        (others if plain else matrices).append(weight)
    adam = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.99), weight_decay=0.0)
    return Muon(matrices, lr=muon_lr), adam
