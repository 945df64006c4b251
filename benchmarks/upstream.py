"""Training beside upstream's own code: time, memory and losses on the same rows, in one run.

    python benchmarks/upstream.py --upstream DIR --molfiles MOLFILES

DIR is a checkout of https://github.com/2U1/Qwen2-VL-Finetune, which is no part of this repository.
Its `train_sft.py` and ours (padded and packed) fine-tune the same tiny Qwen2.5-VL in full, as
programs of their own that take turns. Each trains for one epoch and for two; what the second epoch
costs is the cost of an epoch, and the rest is start-up. Counted is processor time, so that a busy
machine does not show. Packages that upstream imports and a CPU run never needs (liger-kernel,
qwen-vl-utils for videos, ujson, torchvision) are stood in for where they are missing.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Qwen2-VL-Finetune" / "src")]

from benchmarks.train_speed import write_data  # noqa: E402

OURS = ROOT / "Qwen2-VL-Finetune" / "src" / "train_sft.py"
THEIRS = Path("src") / "train" / "train_sft.py"
MODEL = "Qwen2.5-VL-tiny"  # upstream chooses its class by this name


@dataclass
class Run:
    """One training run, start to end.

    Attributes:
        seconds: of processor time, user and system.
        peak: bytes of memory at the highest.
        losses: of every step.
    """

    seconds: float
    peak: int
    losses: list[float]


# ---- one run ----


def shared_flags(options: argparse.Namespace, folder: Path, output: Path, epochs: int) -> list[str]:
    """What both command lines say."""
    pixels = str(options.side**2)
    return [
        *("--model_id", str(folder / MODEL), "--data_path", str(folder / "train.json")),
        *("--image_folder", str(folder), "--output_dir", str(output)),
        *("--image_min_pixels", pixels, "--image_max_pixels", pixels),
        *("--num_train_epochs", str(epochs), "--learning_rate", "1e-4", "--warmup_steps", "0"),
        *("--per_device_train_batch_size", str(options.batch), "--lr_scheduler_type", "constant"),
        *("--use_cpu", "True", "--logging_steps", "1", "--save_strategy", "no"),
        *("--report_to", "none", "--disable_tqdm", "True"),
        *("--freeze_vision_tower", "False", "--freeze_llm", "False", "--freeze_merger", "False"),
    ]


def commands(options: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """How each way is started, but for the flags that all share."""
    theirs = [
        *(sys.executable, __file__, "--as", str(options.upstream.absolute())),
        *("--disable_flash_attn2", "True", "--use_liger", "False", "--bf16", "False"),
        *("--lazy_preprocess", "True", "--remove_unused_columns", "False"),
        *options.upstream_flags.split(),
    ]
    ours = [sys.executable, str(OURS)]
    packed = ["--packing", "true", "--tokens_per_batch", str(tokens_of_a_batch(options, folder))]
    return {"upstream": theirs, "ours, padded": ours, "ours, packed": [*ours, *packed]}


def tokens_of_a_batch(options: argparse.Namespace, folder: Path) -> int:
    """As many real tokens as a padded batch holds on average, and at least the longest row's."""
    lengths = lengths_of(folder)
    return max(max(lengths), options.batch * sum(lengths) // len(lengths))


def lengths_of(folder: Path) -> list[int]:
    """Tokens of every row."""
    from qwen_vl_finetune.dataset import LlavaDataset
    from qwen_vl_finetune.processing import load_processor

    return LlavaDataset(folder / "train.json", folder, load_processor(folder / MODEL)).lengths()


def run(command: list[str], output: Path) -> Run:
    """Run one program and say what it took; its own words are shown if it fails."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(command)}\n{log.read()[-4000:]}")
    history = json.loads((output / "trainer_state.json").read_text("utf-8"))["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    scale = 1 if sys.platform == "darwin" else 1024
    return Run(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale, losses)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[tuple[Run, Run]]]:
    """Runs of one and of two epochs of every way, which take turns."""
    found: dict[str, list[tuple[Run, Run]]] = {}
    for number in range(options.rounds):
        for way, command in commands(options, folder).items():
            pair = []
            for epochs in (1, 2):
                output = folder / f"{way}-{number}-{epochs}"
                flags = shared_flags(options, folder, output, epochs)
                pair.append(run([*command, *flags], output))
            found.setdefault(way, []).append((pair[0], pair[1]))
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return found


def table(found: dict[str, list[tuple[Run, Run]]], tokens: int) -> str:
    """Medians over the rounds, and ratios against upstream of the same round."""
    epochs = {way: [two.seconds - one.seconds for one, two in runs] for way, runs in found.items()}
    lines = [
        f"{'way':<15}{'tokens/s':>10}{'against upstream':>18}{'start-up':>10}{'peak memory':>13}"
        "  losses of the first steps, and of the last"
    ]
    for way, runs in found.items():
        pairs = zip(epochs["upstream"], epochs[way], strict=True)
        ratio = statistics.median(theirs / own for theirs, own in pairs)
        start = statistics.median(2 * one.seconds - two.seconds for one, two in runs)
        losses = runs[0][0].losses
        shown = ", ".join(f"{loss:.4f}" for loss in [*losses[:3], losses[-1]])
        lines.append(
            f"{way:<15}{tokens / statistics.median(epochs[way]):>10,.0f}{ratio:>17.2f}x"
            f"{start:>8.1f} s{runs[0][1].peak / 2**20:>9,.0f} MiB  {shown}"
        )
    return "\n".join(lines)


# ---- upstream's program, with stand-ins ----


def start_upstream(folder: Path, flags: list[str]) -> None:
    """Run upstream's own entry point in this process, as its launch scripts do."""
    entry = folder / THEIRS
    if not entry.is_file():
        raise SystemExit(f"{entry}: no such file; --upstream takes a checkout of the trainer.")
    stand_in()
    sys.path[:0] = [str(entry.parent), str(folder / "src"), str(folder)]
    sys.argv = [str(entry), *flags]
    runpy.run_path(str(entry), run_name="__main__")


def stand_in() -> None:
    """Put something in place of packages that are imported, missing, and not needed here."""

    def nothing(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("a package that is stood in for was used; install it")

    class Missing(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return nothing

    for name in ("liger_kernel", "liger_kernel.transformers", "qwen_vl_utils", "ujson"):
        if name.partition(".")[0] not in sys.modules and importlib.util.find_spec(
            name.partition(".")[0]
        ):
            continue
        module = Missing(name)
        module.__path__ = []  # so that modules inside it are looked for
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        sys.modules[name] = module
    utils, quick_json = sys.modules.get("qwen_vl_utils"), sys.modules.get("ujson")
    if isinstance(utils, Missing):
        vars(utils)["process_vision_info"] = images_of
    if isinstance(quick_json, Missing):
        vars(quick_json).update(vars(json))
    if importlib.util.find_spec("torchvision") is None:
        _process_images_only()


def images_of(messages: list[dict[str, Any]], **_: Any) -> tuple[list[Any], None]:
    """The images of messages, resized as qwen-vl-utils does it."""
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    images = []
    for part in (part for message in messages for part in message["content"]):
        image = Image.open(part["image"]).convert("RGB")
        height, width = smart_resize(
            image.height, image.width, factor=28,
            min_pixels=part["min_pixels"], max_pixels=part["max_pixels"],
        )  # fmt: skip
        images.append(image.resize((width, height)))
    return images, None


def _process_images_only() -> None:
    """Let `AutoProcessor` give the stock processor without its video part."""
    from qwen_vl_finetune.processing import load_processor
    from transformers import AutoProcessor
    from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

    class ImageProcessor(Qwen2_5_VLProcessor):
        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None):
            super().__init__(image_processor, tokenizer, None, chat_template=chat_template)

    def of(folder: str, **_: Any) -> Any:
        parts = load_processor(Path(folder))
        return ImageProcessor(parts.image_processor, parts.tokenizer, parts.tokenizer.chat_template)

    AutoProcessor.from_pretrained = of


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of upstream")
    parser.add_argument("--upstream_flags", default="", help="more flags for upstream, in one word")
    parser.add_argument("--molfiles", type=Path, help="folder of molfiles, for real lengths")
    parser.add_argument("--rows", type=int, default=96, help="samples to train on (96)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (3)")
    parser.add_argument("--batch", type=int, default=8, help="samples in a padded batch (8)")
    parser.add_argument("--form", choices=("json", "compact"), default="compact",
                        help="of the answers (compact)")  # fmt: skip
    parser.add_argument("--side", type=int, default=224, help="of an image, in pixels (224)")
    parser.add_argument("--width", type=int, default=96, help="of the model (96)")
    parser.add_argument("--layers", type=int, default=3, help="of the model (3)")
    return parser.parse_args()


def main() -> None:
    """Measure and print; as upstream's own process, train."""
    if sys.argv[1:2] == ["--as"]:
        start_upstream(Path(sys.argv[2]), sys.argv[3:])
        return
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HF_HOME"] = str(folder / "home")
        write_data(options, folder)
        (folder / "model").rename(folder / MODEL)
        found = measure(options, folder)
        tokens = sum(lengths_of(folder))
    print(f"{options.rows} rows, {options.form} answers, batches of {options.batch}")
    print(table(found, tokens))


if __name__ == "__main__":
    main()
