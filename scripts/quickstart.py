"""All stages in one run: data, training, stacking, merging, reading, scores, a report.

Each stage calls the entry points that a real run uses, and prints the command before it runs it. A
finished stage is remembered in `stages.json`, and an unfinished one resumes from its own parts or
checkpoints, so the same command can be stopped and given again at any time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.stages import ROOT, TRAINER, StageError, StageRunner, run

NANO_FOLDER = ROOT / "eyesmol/weights/nano"
_VALID, _TEST = 0.002, 0.008  # together what nano has never seen: one in a hundred
_TRIES = 2  # times as many random molecules as are expected to give all that is held out
_STEP = 32  # rows that every training step sees, however many processes share them
# LoRA on language and vision over frozen weights; the merger between the two in full.
_LORA = (
    "--lora_enable true --vision_lora true "
    "--freeze_llm true --freeze_vision_tower true --freeze_merger false"
)


@dataclass(frozen=True)
class Lesson:
    """How one stage trains.

    Attributes:
        samples: rows seen.
        batch: the most of them that one process takes at a time; a step always sees 32.
        flags: the rest of the trainer's flags.
    """

    samples: int
    batch: int
    flags: tuple[str, ...]


def main() -> int:
    """Run all stages; returns the exit status."""
    options = parse_options()
    os.chdir(ROOT)
    try:
        run_stages(StageRunner(options.out, settings_of(options)), options)
    except StageError as error:
        print(f"\nquickstart: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nquickstart: stopped; the same command resumes", file=sys.stderr)
        return 130
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bash scripts/quickstart.sh",
        description="All stages in one run: build data, train a Qwen2.5-VL in two stacked LoRA "
        "steps, merge it, read held-out pictures, score them, write a report.",
        epilog="Without options it teaches nano, the small reader that comes with EyesMol and "
        "knows clean drawings only, to read drawings from a scanner; it needs ten to fifteen "
        "minutes on two CPU cores.",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="your own drawings")
    parser.add_argument("--molfiles", type=Path, metavar="DIR", help="a molfile for each drawing")
    parser.add_argument("--smiles", type=Path, metavar="TABLE",
                        help="instead of molfiles, a table of images and their SMILES: the "
                        "detector finds where the atoms are")  # fmt: skip
    parser.add_argument("--model", metavar="PATH_OR_NAME",
                        help="start from a checkpoint, such as Qwen/Qwen2.5-VL-3B-Instruct, "
                        "instead of nano")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart"), metavar="DIR",
                        help="where everything goes (runs/quickstart)")  # fmt: skip
    add_data_options(parser)
    parser.add_argument("--scale", type=float, default=1.0, metavar="X",
                        help="train X times as long as usual (1)")  # fmt: skip
    parser.add_argument("--read", type=int, default=250, metavar="N",
                        help="held-out images to read (250)")  # fmt: skip
    parser.add_argument("--max-new-tokens", type=int, metavar="N",
                        help="tokens of an answer at most (as many as the largest molecule needs; "
                        "4096 for a checkpoint of yours)")  # fmt: skip
    options = parser.parse_args()
    check_data_options(parser, options)
    if options.max_new_tokens is not None and options.max_new_tokens < 1:
        parser.error("--max-new-tokens: expected at least 1")
    molecules = [given for given in (options.molfiles, options.smiles) if given is not None]
    if len(molecules) != (options.images is not None):
        parser.error("--images goes with --molfiles, a molfile for each drawing by its name, or "
                     "with --smiles, a table")  # fmt: skip
    for folder in (options.images, options.molfiles):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    if options.smiles is not None and not options.smiles.is_file():
        parser.error(f"{options.smiles} is no file")
    for name in ("images", "molfiles", "smiles", "out"):
        if (folder := getattr(options, name)) is not None:
            setattr(options, name, folder.resolve())
    return options


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """What is drawn where the user gives no drawings."""
    parser.add_argument("--molecules", type=int, default=3000, metavar="N",
                        help="molecules to invent and draw (3000)")  # fmt: skip
    parser.add_argument("--max-atoms", type=int, default=8, metavar="N",
                        help="their heavy atoms (8)")  # fmt: skip
    parser.add_argument("--copies", type=int, default=4, metavar="N",
                        help="drawings of each (4)")  # fmt: skip


def check_data_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what draws nothing."""
    for name, least in (("molecules", 1), ("max_atoms", 2), ("copies", 1), ("read", 1)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')}: expected at least {least}")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What makes two runs the same run."""
    reading = ("out", "read", "max_new_tokens")
    return {name: str(value) for name, value in vars(options).items() if name not in reading}


def run_stages(runner: StageRunner, options: argparse.Namespace) -> None:
    """All stages in order."""
    folder = runner.folder
    cot, questions = folder / "data/cot", folder / "data/instruction"
    base = options.model or str(NANO_FOLDER)
    lessons = real_lessons(options.scale) if options.model else nano_lessons(options)
    first, second = folder / "instruction", folder / "cot_stack"
    held_out = folder / "held_out"

    def build() -> None:
        build_data(options, cot, "cot")
        build_data(options, questions, "instruction")
        hold_out(cot, held_out, options.read)

    runner.stage("data", build)
    runner.stage("instruction LoRA", lambda: train(base, questions, first, lessons["instruction"]))
    runner.stage(
        "chain-of-thought LoRA, stacked",
        lambda: train(base, cot, second, lessons["cot"], "--first_lora_path", first),
    )
    runner.stage("merge", lambda: merge(base, first, second, folder))
    systems = {"base" if options.model else "nano": base}
    systems |= {"instruction": str(folder / "merged_instruction"), "stack": str(folder / "merged")}
    pictures, found = held_out / "images", folder / "predictions"
    longest = options.max_new_tokens or longest_answer(options)
    # Whoever reads looks as often as nano's folder asks, so that all are compared alike.
    looks = 1 if options.model else nano_info()["looks"]
    runner.stage("read", lambda: read(systems, pictures, found, longest, looks))
    report(runner, list(systems), held_out / "gold.json")


# --- data -----------------------------------------------------------------------------------------


def nano_info() -> dict[str, Any]:
    """How the embedded reader sees a picture, as its folder says."""
    info: dict[str, Any] = json.loads((NANO_FOLDER / "dataset_info.json").read_text("utf-8"))
    return info


def nano_side() -> int:
    """Width and height, in pixels, at which the embedded reader sees a picture."""
    return math.isqrt(nano_info()["pixel_frame"]["max_pixels"])


def prompt_version(options: argparse.Namespace) -> int:
    """The version that the model to be trained knows; the newest where its folder does not say."""
    from eyesmol.answer.text import PROMPT_VERSION

    base = options.model or getattr(options, "base", None) or NANO_FOLDER
    info = Path(base, "dataset_info.json")
    known = json.loads(info.read_text("utf-8")) if info.is_file() else {}
    return int(known.get("prompt_version") or PROMPT_VERSION)


def build_data(options: argparse.Namespace, out: Path, task: str) -> None:
    """A dataset folder: the user's drawings, or invented molecules, drawn, printed and scanned."""
    words: list[str | Path | float] = ["-m", "data_preprocess", "build", task, "--out", out]
    pixels = nano_side() ** 2
    if options.images:
        words += ["--images", options.images]
        words += (
            ["--molfiles", options.molfiles] if options.molfiles else ["--smiles", options.smiles]
        )
        if not options.model:  # patent drawings need more room than small molecules
            words += ["--min-pixels", pixels, "--max-pixels", 6 * pixels]
    else:
        molecules = out.parent / "molecules.smi"
        if not molecules.exists():
            invent_molecules(molecules, options)
        copies = options.copies if task == "cot" else max(1, options.copies // 3)
        words += ["--smiles", molecules, "--style", "scanned", "--copies", copies]
        words += ["--valid", _VALID, "--test", _TEST]
        if not options.model:
            words += ["--size", f"{nano_side()}x{nano_side()}", "--max-pixels", pixels]
    run(*words, "--questions", 2, "--prompt-version", prompt_version(options))


def invent_molecules(file: Path, options: argparse.Namespace) -> None:
    """A list of SMILES: molecules to learn from, and some that nano has never seen, to read.

    Both go by the hash that splits datasets, so that `build` puts the latter into valid and test.
    """
    from data_preprocess.dataset.splits import connectivity_key, split_of
    from data_preprocess.sources.random_molecules import Sizes, random_molecules

    sizes = Sizes(mean=0.75 * options.max_atoms, spread=3.0, least=2, most=options.max_atoms)
    wanted = {"train": options.molecules, "valid": max(2, options.read // 4), "test": options.read}
    found: dict[str, dict[str, str]] = {part: {} for part in wanted}
    held_out = max(wanted["valid"] / _VALID, wanted["test"] / _TEST)
    tries = max(int(_TRIES * held_out), 20 * options.molecules)
    for smiles in itertools.islice(random_molecules(7, sizes), tries):
        key = connectivity_key(smiles) or smiles
        part = split_of(key, _VALID, _TEST)
        if len(found[part]) < wanted[part]:
            found[part][key] = smiles
        if all(len(found[part]) == wanted[part] for part in wanted):
            break
    if not all(found.values()):
        raise StageError(
            f"of {tries:,} molecules of up to {options.max_atoms} atoms none is left to read that "
            "nano has not seen; raise --max-atoms"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [smiles for part in found.values() for smiles in part.values()]
    file.write_text("\n".join(lines) + "\n", "utf-8")


def hold_out(dataset: Path, out: Path, most: int) -> None:
    """A folder of pictures to read and score: test rows spread evenly, all sizes in proportion."""
    rows = json.loads((dataset / "test.json").read_text("utf-8"))
    if not rows:
        raise StageError(f"{dataset / 'test.json'} holds no row: too few drawings to keep any back")
    (out / "images").mkdir(parents=True, exist_ok=True)
    step = max(1.0, len(rows) / most)
    chosen = [rows[int(place * step)] for place in range(min(most, len(rows)))]
    for row in chosen:
        picture = Path("images") / Path(row["image"]).name
        shutil.copyfile(dataset / row["image"], out / picture)
        row["image"] = picture.as_posix()
    text = json.dumps(chosen, ensure_ascii=False, indent=0)
    (out / "gold.json").write_text(text + "\n", "utf-8")


# --- training -------------------------------------------------------------------------------------


def nano_lessons(options: argparse.Namespace) -> dict[str, Lesson]:
    """Settings for nano: adapters on a model so small need ten times the rate of a large one's."""
    drawings = 0.1 if options.images else 1.0  # the user's drawings are larger and fewer
    samples = {
        name: int(count * options.scale * drawings)
        for name, count in {"instruction": 5_120, "cot": 16_000}.items()
    }
    lora = _flags(f"{_LORA} --lora_rank 16 --lora_alpha 32 --lora_dropout 0 "
                  "--learning_rate 1e-3 --merger_lr 3e-4 --vision_lr 5e-4")  # fmt: skip
    return {name: Lesson(count, _STEP, lora) for name, count in samples.items()}


def real_lessons(scale: float) -> dict[str, Lesson]:
    """The original runs' ranks and rates for a real checkpoint, in 16 bit."""
    common = f"{_LORA} --gradient_checkpointing true --merger_lr 1e-5"
    first = _flags(f"{common} --lora_rank 32 --lora_alpha 64 --lora_dropout 0.05 "
                   "--learning_rate 1e-5 --vision_lr 2e-6")  # fmt: skip
    second = _flags(f"{common} --lora_rank 64 --lora_alpha 128 --lora_dropout 0.1 "
                    "--learning_rate 1.5e-4 --vision_lr 1e-5")  # fmt: skip
    samples = int(6_400 * scale)
    return {"instruction": Lesson(samples, 2, first), "cot": Lesson(samples, 2, second)}


def _flags(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def train(base: Path | str, data: Path, out: Path, lesson: Lesson, *more: str | Path) -> None:
    """Call the trainer's door, on every GPU or on up to four CPU cores."""
    import torch

    gpus = torch.cuda.device_count()
    processes = gpus or min(4, 1 << ((os.cpu_count() or 1).bit_length() - 1))
    batch = max(1, min(lesson.batch, _STEP // processes))
    accumulate = max(1, _STEP // (batch * processes))
    steps = max(1, lesson.samples // _STEP)
    device = ["--bf16", "true"] if gpus else ["--use_cpu", "true", "--ddp_backend", "gloo"]
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    run(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes,
        f"{TRAINER}/train_sft.py", "--model_id", base, "--data_path", data / "train.json",
        "--eval_path", data / "valid.json", "--image_folder", data, "--output_dir", out,
        *lesson.flags, *more, *device, "--per_device_train_batch_size", batch,
        "--gradient_accumulation_steps", accumulate,
        "--max_steps", steps, "--warmup_steps", min(50, steps // 10 + 1),
        "--lr_scheduler_type", "linear", "--eval_strategy", "steps", "--save_strategy", "steps",
        "--eval_steps", max(1, steps // 4), "--save_steps", max(1, steps // 4),
        "--save_total_limit", 2, "--logging_steps", max(1, steps // 50), "--report_to", "none",
        "--dataloader_num_workers", 2 if gpus else 0,
    )  # fmt: skip


def merge(base: Path | str, first: Path, second: Path, folder: Path) -> None:
    """The first adapter alone (to compare), and the stack; logits are checked before it is kept."""
    run(f"{TRAINER}/merge_lora_weights.py", "--model-path", first, "--model-base", base,
        "--save-model-path", folder / "merged_instruction", "--verify")  # fmt: skip
    run(f"{TRAINER}/merge_lora_stack_weights.py", "--checkpoint-path", second,
        "--first-lora-path", first, "--model-base", base,
        "--save-model-path", folder / "merged", "--verify")  # fmt: skip


# --- reading --------------------------------------------------------------------------------------


def longest_answer(options: argparse.Namespace) -> int:
    """Tokens of an answer at most; a small model that has lost its way would go on for ever."""
    if options.model:
        return 4096
    return 800 if options.images else 40 * options.max_atoms  # an atom takes 5, its SMILES 2


def read(systems: dict[str, str], pictures: Path, out: Path, longest: int, looks: int = 1) -> None:
    """The held-out pictures, read by each system through the same command."""
    for name, model in systems.items():
        run("-m", "eyesmol", "recognize", pictures, "--model", model, "--batch-size", 32,
            "--max-new-tokens", longest, "--views", looks, "--min-confidence", 0,
            "--allow-errors", "--overwrite", "--out", out / f"{name}.jsonl")  # fmt: skip


def report(runner: StageRunner, systems: list[str], gold_file: Path) -> None:
    """Scores on the screen, and all that there is to look at on one page."""
    from eyesmol.evaluation.gold import load_gold
    from eyesmol.evaluation.metrics import evaluate, load_predictions
    from eyesmol.evaluation.report import pictures_of, write_report

    gold = load_gold(gold_file)
    evaluations = [
        evaluate(gold, load_predictions(runner.folder / f"predictions/{name}.jsonl"), name=name)
        for name in systems
    ]
    print(f"\nscores on {len(gold.rows)} pictures of molecules that no stage has trained on")
    print(evaluations[-1].table())
    exact = (f"{e.name} {e.shares()['exact'].value:.1%}" for e in evaluations)
    print(f"exact match after each step: {', '.join(exact)}")
    if not any(row.exact for row in evaluations[-1].rows):
        print("nothing was read right: a model with random weights needs many more drawings than "
              "these, or longer (--scale); to adapt one that can see, give --model")  # fmt: skip
    losses = {
        name: json.loads((runner.folder / run_folder / "trainer_state.json").read_text("utf-8"))[
            "log_history"
        ]
        for name, run_folder in {
            "instruction LoRA": "instruction",
            "chain-of-thought LoRA, stacked": "cot_stack",
        }.items()
        if (runner.folder / run_folder / "trainer_state.json").exists()
    }
    merged = json.loads((runner.folder / "merged/merge.json").read_text("utf-8"))
    difference = merged["verified"]["max_abs_difference"]
    page = write_report(
        runner.folder / "report.html",
        title="EyesMol quickstart",
        subtitle=f"From drawings to molecules: {systems[0]} as it was, a LoRA on instructions, a "
        "second LoRA stacked on it, merged, and read from held-out drawings.",
        evaluations=evaluations,
        pictures=pictures_of(evaluations[-1], before=evaluations[0]),
        losses=losses,
        seconds=runner.seconds,
        facts={"Merged against stacked": f"logits differ by at most {difference:.1e}"},
    )
    minutes = sum(runner.seconds.values()) / 60
    print(f"\nall done: {minutes:.1f} minutes of work. Look at {page}")


if __name__ == "__main__":
    sys.exit(main())
