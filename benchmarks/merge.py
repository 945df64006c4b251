"""Merging adapters: `merge_lora_weights.py`, file by file, against PEFT's merge of a loaded model.

    python benchmarks/merge.py                     # 1024 wide, 24 layers: 2.6 GB of weights
    python benchmarks/merge.py --size 2048x36      # about Qwen2.5-VL-3B

The base has random bf16 weights in several shards, Qwen2.5-VL's vocabulary and its vision tower;
the adapters have LoRA on language model and vision tower and a merger trained in full. Each merge
lives in a process of its own, so that peaks of memory can be told apart (they hold the libraries,
too); the ways take turns, so that a busy machine slows both alike. Shown are the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Qwen2-VL-Finetune" / "src")]

WAYS = ("peft", "ours")


# ---- a base and its adapters ----


def make_base(folder: Path, hidden: int, layers: int, shard: str) -> None:
    """A Qwen2.5-VL of random bf16 weights; all but width and depth as in the 3B model."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.initialization import no_init_weights

    from nano.model import create_nano

    create_nano(folder, width=32, layers=1)  # its tokenizer and processor files stay
    config = Qwen2_5_VLConfig.from_pretrained(folder)
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
              "out_hidden_size": hidden, "fullatt_block_indexes": [7, 15, 23, 31]}  # fmt: skip
    text = {"hidden_size": hidden, "num_hidden_layers": layers, "vocab_size": 151_936,
            "intermediate_size": hidden * 11 // 2, "num_attention_heads": hidden // 128,
            "num_key_value_heads": 2, "layer_types": ["full_attention"] * layers,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6,
                                "mrope_section": [16, 24, 24]}}  # fmt: skip
    for part, values in ((config.vision_config, vision), (config.text_config, text)):
        for name, value in values.items():
            setattr(part, name, value)
    torch.set_default_dtype(torch.bfloat16)
    with no_init_weights():
        model = Qwen2_5_VLForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data.uniform_(-0.03, 0.03)
    model.tie_weights()
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=shard)


def make_adapter(base: Path, folder: Path, rank: int, seed: int) -> None:
    """An adapter folder as a run leaves it, of random weights."""
    import torch
    from accelerate import init_empty_weights
    from peft import get_peft_model_state_dict
    from qwen_vl_finetune.adapters import add_trained_adapter, find_targets, lora_config
    from qwen_vl_finetune.run_record import ADAPTER, FULL_MODULES
    from safetensors.torch import save_file
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    with init_empty_weights():
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(base))
        full = {name: p.shape for name, p in model.named_parameters() if ".merger." in name}
        names = find_targets(model, {"language", "vision"}, ["lm_head", "embed_tokens"])
        config = lora_config(names, rank, 2 * rank, 0.0, False)
        stack = add_trained_adapter(model, config)
    config.save_pretrained(str(folder))
    random = torch.Generator().manual_seed(seed)

    def draw(shape: Any) -> torch.Tensor:
        return torch.rand(shape, generator=random) * 0.02 - 0.01

    state = get_peft_model_state_dict(stack, save_embedding_layers=False)
    save_file({name: draw(value.shape) for name, value in state.items()}, folder / ADAPTER)
    save_file({name: draw(shape) for name, shape in full.items()}, folder / FULL_MODULES)


# ---- the two ways ----


def merge_ours(base: Path, adapters: list[Path], target: Path) -> None:
    """What the merge doors do."""
    from qwen_vl_finetune.merge import merge

    merge(str(base), adapters, target, verify=False, tol=None)


def merge_peft(base: Path, adapters: list[Path], target: Path) -> None:
    """Load the base in its own precision, put the adapters on, merge, save."""
    import torch
    from qwen_vl_finetune.adapters import load_adapters
    from qwen_vl_finetune.model_folder import copy_processor_files
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.bfloat16)
    stack = load_adapters(model, adapters)
    merged = stack.merge_and_unload(adapter_names=list(stack.peft_config))
    merged.to(torch.bfloat16).save_pretrained(target, max_shard_size="1GB")
    copy_processor_files(base, target, None)


def work(way: str, folder: Path, target: Path) -> None:
    """One way in this process; prints seconds (libraries loaded) and the peak of memory."""
    for library in ("peft", "transformers"):  # both ways need them: loading them is nobody's time
        import_module(library)
    adapters = sorted(folder.glob("adapter_*"))
    start = time.perf_counter()
    if way != "nothing":
        (merge_ours if way == "ours" else merge_peft)(folder / "base", adapters, target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


# ---- the table ----


def child(*words: str | Path) -> str:
    """Run this file again; the last line it prints. A big parent would count in its peak."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds and peak of every way; the first round warms the page cache up."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ("nothing", *WAYS)}
    for number in range(rounds + 1):
        for way in found:
            with tempfile.TemporaryDirectory(dir=folder) as target:
                value = json.loads(child("--work", way, folder, Path(target) / "merged"))
            if number:
                found[way].append(value)
    return {
        way: {key: statistics.median(v[key] for v in values) for key in ("seconds", "peak")}
        for way, values in found.items()
    }


def main() -> None:
    """Make the models, measure, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="1024x24", help="width x layers of the language model")
    parser.add_argument("--adapters", type=int, default=1, help="how many, one on the other (1)")
    parser.add_argument("--rank", type=int, default=64, help="of each adapter (64)")
    parser.add_argument("--shard", default="300MB", help="largest file of the base (300MB)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds after a first one (3)")
    parser.add_argument("--folder", type=Path, help="where the models are made for a while")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        way, folder, target = options.work
        return work(way, Path(folder), Path(target))
    if options.make:
        hidden, layers = map(int, options.size.split("x"))
        make_base(options.make / "base", hidden, layers, options.shard)
        for number in range(options.adapters):
            make_adapter(
                options.make / "base", options.make / f"adapter_{number}", options.rank, number
            )
        return None
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        child("--make", folder, "--size", options.size, "--adapters", str(options.adapters),
              "--rank", str(options.rank), "--shard", options.shard)  # fmt: skip
        shards = [path.stat().st_size for path in (folder / "base").glob("*.safetensors")]
        print(f"base: {sum(shards) / 1e9:.2f} GB of weights in {len(shards)} shards, "
              f"the largest {max(shards) / 1e6:.0f} MB; {options.adapters} adapter(s)")  # fmt: skip
        show(measure(folder, options.rounds))
    return None


def show(found: dict[str, dict[str, float]]) -> None:
    """Peaks and times, and how often ours goes into PEFT's."""
    print(f"{'':28}{'peak':>10}{'over it':>10}{'time':>9}")
    names = {
        "nothing": "libraries only",
        "peft": "PEFT merge_and_unload",
        "ours": "merge_lora_weights.py",
    }
    floor = found["nothing"]["peak"]
    for way, name in names.items():
        value = found[way]
        print(f"{name:28}{value['peak'] / 1e6:7.0f} MB{(value['peak'] - floor) / 1e6:7.0f} MB"
              f"{value['seconds']:7.1f} s")  # fmt: skip
    peft, ours = found["peft"], found["ours"]
    print(f"memory: {peft['peak'] / ours['peak']:.1f} times less in all, "
          f"{(peft['peak'] - floor) / max(1, ours['peak'] - floor):.1f} times less over the "
          f"libraries; time: {peft['seconds'] / ours['seconds']:.2f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
