"""Train the embedded reader, in pieces if need be, and make the folder that is shipped.

A piece begins with random weights or with those of earlier pieces (``--start``), shows the trainer
rows that no piece has seen, and leaves ``nano/``: a model folder with its record of training
(`training.json`) and its checksums. Within a piece a run that was stopped goes on exactly; from
piece to piece the weights are handed on, and the optimizer begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from eyesmol.atomic import atomic_path, write_json
from scripts.stages import ROOT, TRAINER, StageError, run

if TYPE_CHECKING:
    from eyesmol.image.pixel_frame import PixelFrame

CONFIG = "Qwen2-VL-Finetune/configs/nano.yaml"
SHIPPED = "eyesmol/weights/nano"
_REMADE = ("*.safetensors", "SHA256SUMS", "calibration.json")  # by each piece
_SHIPPED_BYTES = 25_000_000  # of the weights, at most
_PART = 15_000_000  # bytes of a kept file: what is lent often takes no larger ones
_NAME = "nano.tar"
_TEXTS = 2_000  # molecules whose SMILES the tokenizer learns from
_WORDINGS = 5  # times the words of the questions beside them
_LOOKS = 3  # at each picture when it reads
_APART = 100  # steps from one showing of a drawing to the next
_EVALUATED = 500  # at most so many held-out drawings; answers are generated for some of them


@dataclass(frozen=True)
class Plan:
    """What a kind of machine trains.

    Attributes:
        width, layers: of the model.
        flags: of the trainer, in place of the config's.
        options: of the rows, in place of the config's.
    """

    width: int
    layers: int
    flags: dict[str, Any]
    options: dict[str, Any]


CPU = Plan(96, 3, {"use_cpu": True, "ddp_backend": "gloo"}, {})
# Twelve million weights, 24 MB in bf16. Not run on a GPU yet: batch and rates are a beginning.
GPU = Plan(
    256,
    6,
    {
        "bf16": True,
        "per_device_train_batch_size": 256,
        "max_steps": 20_000,
        "muon_lr": 2e-3,
        "learning_rate": 2e-3,
        "warmup_steps": 200,
        "logging_steps": 50,
        "save_steps": 500,
        "eval_max_new_tokens": 400,
    },
    {
        "side": 224,
        "most": 30,
        "mean": 16,
        "spread": 8,
        "start": 8,
        "varied": 0.4,
        "shrunk": 0.25,
    },
)


def main() -> int:
    """Train a piece; returns the exit status."""
    options = parse_options()
    os.chdir(ROOT)
    try:
        train(options)
    except StageError as error:
        print(f"\ntrain_nano: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ntrain_nano: stopped; the same command resumes", file=sys.stderr)
        return 130
    return 0


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bash scripts/train_nano.sh",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"Settings: {CONFIG}. What stands behind -- goes to the trainer.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), metavar="DIR",
                        help="where the piece goes (runs/nano)")  # fmt: skip
    parser.add_argument("--gpu", action="store_true",
                        help="the plan for a GPU: a larger model, larger pictures")  # fmt: skip
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="stop after so long, with a checkpoint")  # fmt: skip
    parser.add_argument("--steps", type=int, metavar="N", help="of this piece (the plan's)")
    parser.add_argument("--decay", type=int, metavar="N",
                        help="steps at the end in which the rate falls (a third)")  # fmt: skip
    parser.add_argument("--more-follows", action="store_true",
                        help="keep the rate high to the end: another piece goes on")  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="DIR",
                        help="weights to begin with: a nano folder, or kept files")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR",
                        help="put the weights here, in files of at most 15 MB")  # fmt: skip
    parser.add_argument("--ship", action="store_true",
                        help=f"put the model into {SHIPPED}: it is the default then")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of weights and molecules (0)")
    parser.add_argument("--rows", type=row_options, default={}, metavar="JSON",
                        help="options of the rows, in place of the plan's")  # fmt: skip
    parser.add_argument("--exclude", type=Path, nargs="+", default=[], metavar="FILE",
                        help="molecules that no row shows: as for build --exclude")  # fmt: skip
    parser.add_argument("--width", type=int,
                        help="of the model (the plan's); with --start, more than it has: it is "
                        "made wider, and says the same to begin with")  # fmt: skip
    parser.add_argument("--layers", type=int,
                        help="of each of its halves (the plan's; not with --start)")  # fmt: skip
    parser.add_argument("--batch", type=int, metavar="N",
                        help="drawings that a process takes at a time (the plan's)")  # fmt: skip
    parser.add_argument("flags", nargs="*", metavar="-- FLAGS", help="of the trainer")
    options = parser.parse_args()
    for name in ("minutes", "steps", "decay", "batch"):
        if (value := getattr(options, name)) is not None and value <= 0:
            parser.error(f"--{name} {value:g}: expected more than 0")
    for name in ("out", "start", "keep"):
        if (folder := getattr(options, name)) is not None:
            setattr(options, name, folder.resolve())
    options.exclude = [path.resolve() for path in options.exclude]
    return options


def row_options(text: str) -> dict[str, Any]:
    """Options of the rows from the command line."""
    try:
        options = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: no JSON ({error})") from None
    if not isinstance(options, dict):
        raise argparse.ArgumentTypeError(f'{text}: expected an object such as {{"most": 8}}')
    return options


def train(options: argparse.Namespace) -> None:
    """One piece, from its beginning to the folder that it leaves."""
    plan = GPU if options.gpu else CPU
    base = beginning(options, plan)
    pieces = read_pieces(base)
    flags = trainer_flags(options, plan, len(pieces))
    rows = flags.pop("data_options")
    valid = evaluation_rows(options.out, rows)
    output = options.out / "run"
    words = [word for name, value in flags.items() for word in (f"--{name}", text(value))]
    run(
        "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", processes(options.gpu),
        f"{TRAINER}/train_sft.py", "--config", CONFIG, "--model_id", base, "--output_dir", output,
        "--data_options", json.dumps(rows), "--eval_path", valid, *words, *options.flags,
    )  # fmt: skip
    folder = assemble(output, base, options.out / "nano", [*pieces, piece_of(output, rows)])
    if options.keep:
        pack(folder, options.keep)
    if options.ship:
        calibrate(folder, valid)
        ship(folder, ROOT / SHIPPED)
    report(folder)


def text(value: Any) -> str:
    """A flag's value as a word of the command line."""
    return json.dumps(value) if isinstance(value, bool | dict | list) else str(value)


def processes(gpu: bool) -> int:
    """One for each GPU, or for each of up to two cores: the batch of the plan is for two."""
    if gpu:
        import torch

        return max(1, torch.cuda.device_count())
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return min(2, os.cpu_count() or 1)


def trainer_flags(options: argparse.Namespace, plan: Plan, pieces: int) -> dict[str, Any]:
    """The plan's flags with what this piece changes, rows included."""
    config = yaml.safe_load((ROOT / CONFIG).read_text("utf-8"))
    flags = dict(plan.flags)
    steps = options.steps or flags.get("max_steps", config["max_steps"])
    flags["max_steps"] = steps
    flags["warmup_steps"] = min(flags.get("warmup_steps", config["warmup_steps"]), steps // 10 + 1)
    if options.more_follows:
        flags |= {"lr_scheduler_type": "constant_with_warmup", "lr_scheduler_kwargs": {}}
    else:
        flags["lr_scheduler_kwargs"] = {"num_decay_steps": options.decay or steps // 3}
    if options.minutes:
        flags["max_minutes"] = options.minutes
    if options.gpu:  # every core but the trainer's own draws
        flags["dataloader_num_workers"] = max(1, (os.cpu_count() or 2) - 1)
    if options.batch:
        flags["per_device_train_batch_size"] = options.batch
    batch = flags.get("per_device_train_batch_size", config["per_device_train_batch_size"])
    batch *= processes(options.gpu)
    # Answers of a step are about equally long, so that no process waits for another.
    kept = {"alike": batch, "apart": _APART * batch}
    rows = {**config["data_options"], **plan.options, **kept, **options.rows}
    rows["count"] = steps * batch
    rows["seed"] = options.seed + 1 + pieces  # the tokenizer has had those of the seed itself
    if pieces:
        rows["grow"] = 0.0  # it knows small molecules
    if version := known_prompt_version(options.out / "start"):
        rows["prompt_version"] = version
    if options.exclude:
        rows["exclude"] = [str(path) for path in options.exclude]
    return {**flags, "data_options": rows}


def known_prompt_version(folder: Path) -> int | None:
    """The version of the prompt that a model folder was trained with, where it says so."""
    info = folder / "dataset_info.json"
    return json.loads(info.read_text("utf-8")).get("prompt_version") if info.exists() else None


# --- what a piece begins with ---------------------------------------------------------------------


def beginning(options: argparse.Namespace, plan: Plan) -> Path:
    """The model folder that the piece trains."""
    folder: Path = options.out / "start"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder) as draft:
            if options.start is None:
                create(draft, options, plan)
            elif (options.start / "config.json").exists():
                shutil.copytree(options.start, draft)
            else:
                unpack(options.start, draft)
            if options.start:
                widen(draft, options)
    return folder


def widen(folder: Path, options: argparse.Namespace) -> None:
    """More width for a model that has learnt already, where it is asked for."""
    from nano.model import widen_nano

    shape = json.loads((folder / "config.json").read_text("utf-8"))["text_config"]
    if options.layers not in (None, shape["num_hidden_layers"]):
        raise StageError(
            f"--start {options.start} --layers {options.layers}: it has "
            f"{shape['num_hidden_layers']} layers, and only its width can grow"
        )
    if options.width in (None, shape["hidden_size"]):
        return
    narrow = folder.with_name("narrow.tmp")
    shutil.rmtree(narrow, ignore_errors=True)
    folder.rename(narrow)
    try:
        widen_nano(narrow, folder, options.width, seed=options.seed)
    except ValueError as error:
        raise StageError(f"--start {options.start} --width {options.width}: {error}") from None
    shutil.rmtree(narrow)


def create(folder: Path, options: argparse.Namespace, plan: Plan) -> None:
    """Random weights, and a tokenizer that knows SMILES and the words of the questions."""
    import data_preprocess.tasks as tasks
    from data_preprocess.sources.random_molecules import random_molecule
    from nano.model import create_nano

    wordings = Path(tasks.__file__).with_name("wordings.yaml").read_text("utf-8")
    side = options.rows.get("side") or plan.options.get("side", 112)
    create_nano(
        folder,
        seed=options.seed,
        width=options.width or plan.width,
        layers=options.layers or plan.layers,
        frame=square(side),
        texts=[
            *(random_molecule(options.seed, number) for number in range(_TEXTS)),
            *[wordings] * _WORDINGS,
        ],
    )


def square(side: int) -> PixelFrame:
    """The pixel frame of pictures of so many pixels in width and height."""
    from eyesmol.image.pixel_frame import PixelFrame

    return PixelFrame(side * side, side * side)


def evaluation_rows(out: Path, rows: dict[str, Any]) -> Path:
    """Drawings of molecules that are kept from training, with the loss and scores taken on them."""
    file = out / "valid/valid.json"
    if not file.exists():
        from data_preprocess.build.online import Drawings, store

        count = min(max(rows["count"] // 1000, 10), _EVALUATED)
        wanted = {**rows, "count": count, "part": "held_out", "grow": 0.0, "alike": 1, "times": 1}
        store(Drawings(**wanted), file.parent, "valid")
    return file


# --- what a piece leaves --------------------------------------------------------------------------


def read_pieces(folder: Path) -> list[dict[str, Any]]:
    """The record of training of a model folder, a piece after the other."""
    file = folder / "training.json"
    pieces: list[dict[str, Any]] = json.loads(file.read_text("utf-8")) if file.exists() else []
    return pieces


def piece_of(output: Path, rows: dict[str, Any]) -> dict[str, Any]:
    """What the record says about the piece that the run in `output` trained."""
    import torch

    weights = latest(output)
    state = json.loads((weights / "trainer_state.json").read_text("utf-8"))
    record = json.loads((output / "run.json").read_text("utf-8"))
    config = json.loads((weights / "config.json").read_text("utf-8"))
    log = state["log_history"]
    speeds = [(0, 0.0), *((e["step"], e["samples_per_second"]) for e in log if "loss" in e)]
    batch = state["train_batch_size"] * int(record["settings"]["processes"])
    seconds = sum(batch * (b[0] - a[0]) / b[1] for a, b in pairwise(speeds))
    gpu = torch.cuda.is_available() and not record["settings"]["use_cpu"]
    machine = (
        torch.cuda.get_device_name() if gpu else f"{record['settings']['processes']} CPU cores"
    )
    kept = ("loss", "eval_loss", "eval_exact_match", "step", "learning_rate")
    return {
        "date": date.today().isoformat(),
        "machine": machine,
        "minutes": round(seconds / 60, 1),
        "steps": state["global_step"],
        "pictures": state["global_step"] * batch,
        "width": config["text_config"]["hidden_size"],
        "rows": {k: [Path(p).name for p in v] if k == "exclude" else v for k, v in rows.items()},
        "versions": record["versions"],
        "log": [{k: entry[k] for k in kept if k in entry} for entry in log],
    }


def latest(output: Path) -> Path:
    """The newest weights of a run: the run folder's own, or its last whole checkpoint's."""
    if (output / "model.safetensors").exists():
        return output
    from qwen_vl_finetune.run_record import last_whole_checkpoint

    checkpoint = last_whole_checkpoint(output)
    if checkpoint is None:
        raise StageError(f"{output} holds no weights: not one checkpoint was written")
    return checkpoint


def assemble(output: Path, base: Path, folder: Path, pieces: list[dict[str, Any]]) -> Path:
    """A model folder that needs nothing else: what the piece began with, its weights, its frame."""
    from eyesmol.answer.text import PROMPT_VERSION

    weights = latest(output)
    info = {
        "pixel_frame": square(pieces[-1]["rows"]["side"]).to_dict(),
        "answer_form": "compact",
        "prompt_version": pieces[-1]["rows"].get("prompt_version", PROMPT_VERSION),
        "looks": _LOOKS,
    }
    with atomic_path(folder) as draft:
        shutil.copytree(base, draft, ignore=shutil.ignore_patterns(*_REMADE))
        for name in ("model.safetensors", "preprocessor_config.json"):
            shutil.copyfile(weights / name, draft / name)
        write_json(draft / "dataset_info.json", info, indent=1)
        write_json(draft / "training.json", pieces, indent=1)
        write_checksums(draft)
    return folder


def calibrate(folder: Path, valid: Path) -> None:
    """Let its confidences be shares of right answers, on drawings that are kept from training."""
    answers = valid.with_name("answers.jsonl")
    answers.unlink(missing_ok=True)
    run("-m", "eyesmol", "recognize", valid.parent / "images", "--model", folder,
        "--batch-size", 16, "--min-confidence", 0, "--allow-errors", "--out", answers)  # fmt: skip
    run("-m", "eyesmol", "calibrate", valid, answers, "--out", folder / "calibration.json")
    write_checksums(folder)


def ship(folder: Path, shipped: Path) -> None:
    """Put a nano folder where the project carries it, in bf16 where fp32 would be too large."""
    from safetensors.torch import load_file, save_file

    weights = folder / "model.safetensors"
    shutil.rmtree(shipped, ignore_errors=True)
    shutil.copytree(folder, shipped)
    if weights.stat().st_size > _SHIPPED_BYTES:
        import torch

        halves = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(weights).items()}
        save_file(halves, shipped / weights.name, metadata={"format": "pt"})
        config = json.loads((shipped / "config.json").read_text("utf-8"))
        write_json(shipped / "config.json", {**config, "dtype": "bfloat16"}, indent=1)
        write_checksums(shipped)


def write_checksums(folder: Path) -> None:
    """`SHA256SUMS` as ``sha256sum --check`` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in files]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n", "utf-8")


def pack(folder: Path, keep: Path) -> None:
    """A model folder as an archive in parts, named so that their order is that of their names."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.add(folder, "nano")
    whole.seek(0)
    keep.mkdir(parents=True, exist_ok=True)
    drafts = []
    for number, part in enumerate(iter(lambda: whole.read(_PART), b"")):
        drafts.append(keep / f"new.{_NAME}.{number:03d}")
        drafts[-1].write_bytes(part)
    for old in keep.glob(f"{_NAME}.*"):
        old.unlink()
    for draft in drafts:
        draft.rename(draft.with_name(draft.name.removeprefix("new.")))


def unpack(keep: Path, folder: Path) -> None:
    """What `pack` left, as a folder again.

    Raises:
        StageError: no part is there, or they are no archive of one nano folder.
    """
    parts = sorted(keep.glob(f"{_NAME}.*"))
    whole = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    unpacked = folder.with_name(f"{folder.name}.unpacked")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        with tarfile.open(fileobj=whole) as archive:
            archive.extractall(unpacked, filter="data")
        (unpacked / "nano").rename(folder)
    except (tarfile.TarError, OSError) as error:
        raise StageError(
            f"--start {keep}: found {len(parts)} parts {_NAME}.NNN that make no whole archive "
            f"({error}); expected a model folder, or all the files that --keep wrote"
        ) from None
    unpacked.rmdir()


def report(folder: Path) -> None:
    """The log's rows, as docs/nano-log.md has them, and where the model is."""
    print("\n| date | machine | minutes | pictures | loss | exact |\n|---|---|---|---|---|---|")
    for piece in read_pieces(folder):
        print(f"| {' | '.join(log_row(piece))} |")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"\n{folder} ({size:.1f} MB): eyesmol recognize PICTURE --model {folder}")


def log_row(piece: dict[str, Any]) -> Iterator[str]:
    """A piece as the cells of a table."""
    yield from (piece["date"], piece["machine"], f"{piece['minutes']:g}", f"{piece['pictures']:,}")
    for name in ("eval_loss", "eval_exact_match"):
        found = [entry[name] for entry in piece["log"] if name in entry]
        yield f"{found[-1]:.3f}" if found else "-"


if __name__ == "__main__":
    sys.exit(main())
