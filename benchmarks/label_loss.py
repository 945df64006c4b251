"""Memory and time of the loss over Qwen's vocabulary: stock's, and that of labelled tokens alone.

    python benchmarks/label_loss.py --tokens 1024 --labelled 0.75

Forward and backward of a head and its loss on random hidden states; each way in a process of its
own, so that peaks of memory can be told apart. `--bf16` computes the logits in bf16, as training on
a GPU does.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Qwen2-VL-Finetune" / "src")]

VOCABULARY = 151_936
WAYS = ("stock", "labelled tokens, in chunks")


def peak_memory() -> int:
    """Bytes of memory that this process held at the highest so far."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def measure(way: str, options: argparse.Namespace) -> tuple[int, float, float]:
    """Bytes above what was held before, seconds of processor time, and the loss."""
    import torch
    from qwen_vl_finetune.label_loss import label_loss
    from qwen_vl_finetune.processing import IGNORED
    from transformers.loss.loss_utils import ForCausalLMLoss

    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = torch.nn.Linear(options.width, VOCABULARY, bias=False).requires_grad_(False)
    hidden = torch.randn(1, options.tokens, options.width, requires_grad=True)
    labels = torch.randint(VOCABULARY, (1, options.tokens))
    labels[:, : round(options.tokens * (1 - options.labelled))] = IGNORED
    before, start = peak_memory(), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        if way == "stock":
            loss = ForCausalLMLoss(head(hidden), labels, VOCABULARY)
        else:
            loss = label_loss(hidden, labels, head, VOCABULARY)
    loss.backward()
    return peak_memory() - before, time.process_time() - start, loss.item()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=1024, help="of the batch (1024)")
    parser.add_argument("--labelled", type=float, default=0.75, help="share that is (0.75)")
    parser.add_argument("--width", type=int, default=64, help="of the hidden states (64)")
    parser.add_argument("--bf16", action="store_true", help="logits in bf16")
    options = parser.parse_args()
    print(f"{'way':<28}{'peak memory':>13}{'seconds':>9}{'loss':>10}")
    for way in WAYS:
        with ProcessPoolExecutor(1, get_context("spawn")) as worker:
            peak, seconds, loss = worker.submit(measure, way, options).result()
        print(f"{way:<28}{peak / 2**20:>9,.0f} MiB{seconds:>9.1f}{loss:>10.4f}")


if __name__ == "__main__":
    main()
