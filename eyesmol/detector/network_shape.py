"""Sizes that the network and its reading share, whoever runs it."""

from __future__ import annotations

__all__ = ["BOND", "FINE", "MULTIPLE", "WINDOW"]

BOND = 20.0  # grid pixels: length of a median bond where the network reads best
FINE = 2  # image pixels a grid pixel
MULTIPLE = 64  # image pixels: width and height of what the network takes are multiples of it
WINDOW = (65, 13)  # cells of two grid pixels, across and down, that are spelt round a junction
