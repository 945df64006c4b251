"""What a finished run leaves to look at: `loss.png` and `summary.md`."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from .progress import TIMES

PLOT, SUMMARY = "loss.png", "summary.md"

Entry = dict[str, Any]


def write_summary(run: Path, record: dict[str, Any], history: list[Entry]) -> None:
    """Write the plot and the summary of a finished run into its folder.

    Args:
        run: the run folder.
        record: its run record.
        history: the trainer's log history.
    """
    plot_losses(run / PLOT, history)
    (run / SUMMARY).write_text(summary(run.name, record, history), encoding="utf-8")


def evaluations(history: list[Entry]) -> list[Entry]:
    """Step, loss and scores of every evaluation, without its times."""
    return [
        {k: v for k, v in entry.items() if k not in TIMES and k != "epoch"}
        for entry in history
        if "eval_loss" in entry
    ]


def plot_losses(path: Path, history: list[Entry]) -> None:
    """Training and evaluation loss by step; scores of answers below, where there are any."""
    from matplotlib.figure import Figure

    evaluated = evaluations(history)
    scores = sorted({key for entry in evaluated for key in entry} - {"eval_loss", "step"})
    figure = Figure(figsize=(7, 6 if scores else 3.5), layout="constrained")
    panels = figure.subplots(2 if scores else 1, 1, sharex=True, squeeze=False)[:, 0]
    trained = [entry for entry in history if "loss" in entry]
    panels[0].plot([e["step"] for e in trained], [e["loss"] for e in trained], label="training")
    if evaluated:
        steps = [entry["step"] for entry in evaluated]
        losses = [entry["eval_loss"] for entry in evaluated]
        panels[0].plot(steps, losses, "o-", label="evaluation")
    panels[0].set_ylabel("loss (nats a token)")
    for key in scores:
        having = [entry for entry in evaluated if key in entry]
        label = key.removeprefix("eval_")
        panels[1].plot([e["step"] for e in having], [e[key] for e in having], "o-", label=label)
        panels[1].set_ylabel("score of answers")
    for panel in panels:
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    panels[-1].set_xlabel("step")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=120)


def summary(name: str, record: dict[str, Any], history: list[Entry]) -> str:
    """The summary as Markdown."""
    parts = [f"# {name}", _what(record), _speed(history), _evaluation_table(evaluations(history))]
    return "\n\n".join(part for part in [*parts, f"![loss by step]({PLOT})"] if part) + "\n"


def _what(record: dict[str, Any]) -> str:
    """Base, parents, parts, data and steps as a list."""
    data, metrics = record["data"], record.get("metrics", {})
    lora, full = (", ".join(record[key]) or "nothing" for key in ("lora_parts", "full_parts"))
    lines = [f"- base: `{record['base']['path']}` ({record['base']['model_type']})"]
    lines += [f"- stacked on: `{parent['path']}`" for parent in record["parents"]]
    lines += [
        f"- LoRA on {lora}; trained in full: {full}",
        f"- data: `{data['path']}`, {data['rows']:,} rows",
        *(f"- dropped: {count:,} rows {reason}" for reason, count in data["dropped"].items()),
        f"- {record.get('steps', 0):,} steps on {record['settings']['processes']} process(es)",
    ]
    saved = record.get("saved", {})
    if "best" in saved:
        lines.append(
            f"- saved: the weights of step {saved['step']:,}, the best {saved['best']} "
            f"({saved['value']:.4f})"
        )
    if "train_loss" in metrics:
        lines.append(f"- mean training loss since the last start: {metrics['train_loss']:.4f}")
    return "\n".join(lines)


def _speed(history: list[Entry]) -> str:
    """The median speed of the lines of the log, and the most memory held."""
    rates = [entry for entry in history if "tokens_per_second" in entry]
    if not rates:
        return ""
    tokens = median(entry["tokens_per_second"] for entry in rates)
    samples = median(entry["samples_per_second"] for entry in rates)
    text = f"Median speed: {tokens:,.0f} real tokens/s, {samples:,.1f} samples/s"
    mfus = [entry["mfu"] for entry in rates if "mfu" in entry]
    text += f", {median(mfus):.1%} MFU" if mfus else ""
    memory = [entry["memory_gib"] for entry in rates if "memory_gib" in entry]
    return text + (f". Memory: at most {max(memory):.1f} GiB." if memory else ".")


def _evaluation_table(evaluated: list[Entry]) -> str:
    """Losses and scores by step as a table."""
    if not evaluated:
        return ""
    scores = {key for entry in evaluated for key in entry} - {"step", "eval_loss"}
    keys = ["step", "eval_loss", *sorted(scores)]
    lines = ["| " + " | ".join(key.removeprefix("eval_") for key in keys) + " |"]
    lines.append("|" + "---|" * len(keys))
    for entry in evaluated:
        cells = [
            f"{value:.4f}" if isinstance(value := entry.get(key, ""), float) else str(value)
            for key in keys
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
