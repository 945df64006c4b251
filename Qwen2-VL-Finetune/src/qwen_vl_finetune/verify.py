"""Does a merged model answer as its adapters do? Logits of both, in fp32, on text and an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import nn

from .adapters import load_adapters
from .errors import UserError
from .model import load_checked
from .model_folder import weight_shards
from .processing import Processor, load_processor
from .upstream import check_full_modules, in_our_form, trained_in_full

# rounding the merged weights once costs this much, as a fraction of the largest logit
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.05}


def sample_inputs(processor: Processor) -> dict[str, dict[str, torch.Tensor]]:
    """A text and a text with an image, as inputs of the model; always the same."""
    side = 8 * processor.patch * processor.merge
    shade = np.add.outer(np.arange(side), 2 * np.arange(side)) % 256
    image = processor.image_patches(Image.fromarray(shade.astype(np.uint8)).convert("RGB"))
    question = {"type": "text", "text": "What is shown? 0 1 2 CCO {}"}
    answer = {"role": "assistant", "content": "A grey ramp, 3 by 4."}
    samples = {}
    for name, grids in (("text", []), ("image", [image.grid])):
        content = [{"type": "image"}] * len(grids) + [question]
        encoded = processor.encode([{"role": "user", "content": content}, answer], grids)
        ids = torch.from_numpy(encoded["input_ids"])[None]
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "position_ids": torch.from_numpy(encoded["position_ids"])[:, None],
        }
        if grids:
            inputs["pixel_values"] = processor.pixel_values(image.pixels)
            inputs["image_grid_thw"] = torch.tensor(grids)
        samples[name] = inputs
    return samples


def logits_of(
    model: nn.Module, samples: dict[str, dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Logits [1, S, vocabulary] of every sample."""
    model.eval()
    with torch.no_grad():
        return {
            name: model(**inputs, use_cache=False).logits.float()
            for name, inputs in samples.items()
        }


def stored_dtype(folder: Path) -> torch.dtype:
    """The precision of a model folder's weights, by its first tensor."""
    with safe_open(weight_shards(folder)[0], framework="pt") as file:
        dtype: torch.dtype = file.get_tensor(next(iter(file.keys()))).dtype
    return dtype


def compare(
    base: Path, folders: list[Path], merged: Path, tolerance: float | None = None
) -> dict[str, Any]:
    """Compare a merged folder with base, adapters and what trained in full; raises if they differ.

    Args:
        base: the base model's folder.
        folders: adapter folders as they were given, oldest first.
        merged: the merged model's folder.
        tolerance: largest absolute difference of a logit; by the stored precision if None.

    Returns:
        `max_abs_difference` overall and a sample, the `largest_logit` and the `tolerance`.
    """
    samples = sample_inputs(load_processor(merged))
    bare = load_checked(base, dtype=torch.float32)
    full = trained_in_full(bare, folders)
    stack = load_adapters(bare, [in_our_form(folder, base) for folder in folders])
    check_full_modules(stack, full)
    expected = logits_of(stack, samples)
    del bare, stack  # one model at a time in memory
    found = logits_of(load_checked(merged, dtype=torch.float32), samples)
    by_sample = {name: float((found[name] - expected[name]).abs().max()) for name in samples}
    largest = max(float(value.abs().max()) for value in expected.values())
    if tolerance is None:
        tolerance = TOLERANCE.get(stored_dtype(merged), 0.05) * max(1.0, largest)
    difference = max(by_sample.values())
    print(f"verify: max |merged - adapters| = {difference:.3g} (largest logit {largest:.3g}, "
          f"tolerance {tolerance:.3g})", flush=True)  # fmt: skip
    if not difference <= tolerance:  # also true for NaN
        raise UserError(
            f"the merged model differs from its adapters by {difference:.3g} in a logit "
            f"(tolerance {tolerance:.3g}; {by_sample}). Nothing was kept."
        )
    return {
        "max_abs_difference": difference,
        "by_sample": by_sample,
        "largest_logit": largest,
        "tolerance": tolerance,
        "computed_in": "float32",
    }
