"""The dataset card: a README.md with Hugging Face's front matter, from what the dataset says.

Everything in it stands in ``dataset_info.json`` or in the rows; what neither says is left out, or
named as not known. The page itself is `templates/card.md`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from data_preprocess.dataset.info import DatasetInfo
from data_preprocess.dataset.preview import choose, task_of
from data_preprocess.dataset.reading import find_lists
from data_preprocess.dataset.schema import images_of
from data_preprocess.dataset.splits import SPLITS
from data_preprocess.dataset.text_only import solved_in
from eyesmol.atomic import write_text
from eyesmol.exceptions import InputError

__all__ = ["write_card"]

_LONGEST = 1_500  # characters of an answer in the card
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# What sources call their licences -> the names that Hugging Face knows.
_LICENCES = {
    "cc0-1.0": "cc0-1.0",
    "cc0 1.0": "cc0-1.0",
    "cc by 4.0": "cc-by-4.0",
    "cc-by-4.0": "cc-by-4.0",
    "odc-by 1.0": "odc-by",
    "odc-by-1.0": "odc-by",
    "odc-by": "odc-by",
    "mit": "mit",
    "apache-2.0": "apache-2.0",
}


def write_card(
    dataset: Path,
    out: Path | None = None,
    *,
    rows: int = 3,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the card of a finished dataset.

    Args:
        dataset: a dataset folder with ``dataset_info.json``.
        out: the file; ``README.md`` in the folder by default, where the images are found.
        rows: examples, each of another task where there are as many.
        seed: chooses them.
        overwrite: replace a file that is there.
        progress: show a bar.

    Returns:
        The path of the card.

    Raises:
        InputError: no finished dataset there, or a card that may not be replaced.
    """
    out = out or dataset / "README.md"
    if out.exists() and not overwrite:
        raise InputError(f"{out}: is there already; give --overwrite to write it again")
    info = DatasetInfo.of(dataset) if dataset.is_dir() else None
    if info is None:
        raise InputError(
            f"{dataset}: no dataset_info.json there; expected a dataset folder, as `build` makes it"
        )
    chosen = choose(dataset, 0, seed, progress=progress)
    models = sorted({m for s in info.sources for m in s.get("visual_models", [])})
    environment = Environment(
        loader=PackageLoader("data_preprocess.dataset"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _cell, "number": "{:,}".format}
    page = environment.get_template("card.md").render(
        front_matter=_front_matter(dataset, info, sum(chosen.lists.values())),
        title=_title(dataset),
        info=info,
        settings=info.settings,
        splits={split: info.splits.get(split, 0) for split in SPLITS},
        tasks=dict(sorted(chosen.tasks.items(), key=lambda item: (-item[1], item[0]))),
        solved=solved_in(find_lists(dataset).values()),
        settings_json=json.dumps(_settings(info), indent=2, ensure_ascii=False),
        command=info.made_by or f"build {_options(info)}",
        models=models,
        may_be_gemini=not models or any("gemini" in model.lower() for model in models),
        examples=[_example(row, dataset, out) for row in _examples(chosen.measured, rows, seed)],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, page)
    return out


def _examples(
    measured: list[tuple[str, dict[str, Any]]], count: int, seed: int
) -> list[dict[str, Any]]:
    """Random rows, of different tasks as far as there are any."""
    rows = [row for _, row in random.Random(seed).sample(measured, len(measured))]
    first = {task_of(row): row for row in reversed(rows)}
    others = [row for row in rows if first[task_of(row)] is not row]
    return [*list(first.values())[::-1], *others][:count]


def _title(dataset: Path) -> str:
    return dataset.resolve().name


def _front_matter(dataset: Path, info: DatasetInfo, rows: int) -> str:
    """The YAML that Hugging Face reads: licence, size, splits and what it is for."""
    stated = [str(licence) for licence in info.licences]
    known = sorted({_LICENCES.get(licence.lower(), "other") for licence in stated}) or ["unknown"]
    language = (info.settings.get("recipe") or {}).get("language", "en")
    values: dict[str, Any] = {"pretty_name": _title(dataset), "language": [language]}
    values["license"] = known[0] if len(known) == 1 else known
    if known == ["other"]:
        values["license_name"] = "as-the-sources"
    task = info.settings.get("task")
    values["task_categories"] = ["image-to-text" if task == "cot" else "visual-question-answering"]
    values["tags"] = ["chemistry", "molecules", "optical-chemical-structure-recognition"]
    values["size_categories"] = [next((name for most, name in _SIZES if rows < most), "n>1M")]
    # Hugging Face calls it validation.
    names = {"train": "train", "valid": "validation", "test": "test"}
    files = [
        {"split": names[split], "path": f"{split}.json"}
        for split in SPLITS
        if info.splits.get(split)
    ]
    values["configs"] = [{"config_name": "default", "data_files": files}]
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).strip()


def _settings(info: DatasetInfo) -> dict[str, Any]:
    """The settings, without the hundreds of numbers of the recipe's balance."""
    settings = dict(info.settings)
    if recipe := settings.get("recipe"):
        settings["recipe"] = {key: value for key, value in recipe.items() if key != "balance"}
    return settings


def _options(info: DatasetInfo) -> str:
    """The options of `build` that the settings stand for; those of the inputs are not in there."""
    settings = info.settings
    words = [str(settings.get("task", ""))]
    recipe = settings.get("recipe")
    if recipe:
        words += ["--recipe", str(recipe.get("name"))]
        for name, usual in (("language", "en"), ("replay", 0)):
            if recipe.get(name, usual) != usual:
                words += [f"--{name}", str(recipe[name])]
    elif settings.get("form"):
        words += ["--form", str(settings["form"])]
        if version := settings.get("prompt_version"):
            words += ["--prompt-version", str(version)]
    for name in ("valid", "test", "seed", "split_by"):
        if name in settings:
            words += [f"--{name.replace('_', '-')}", str(settings[name])]
    if settings.get("draw"):
        words.append("--draw")
    if settings.get("images") is False:
        words.append("--no-images")
    if frame := info.pixel_frame:
        words += ["--min-pixels", str(frame.min_pixels), "--max-pixels", str(frame.max_pixels)]
    return " ".join(words)


def _example(row: dict[str, Any], dataset: Path, out: Path) -> dict[str, Any]:
    """A row as the card shows it; images only where the card lies beside them."""
    beside = out.resolve().parent == dataset.resolve()
    turns = []
    for turn in row["conversations"]:
        words = str(turn.get("value")).replace("<image>", "").strip()
        if len(words) > _LONGEST:
            words = words[:_LONGEST] + "\n..."
        turns.append((str(turn.get("from")), words))
    return {
        "id": str(row.get("id")),
        "task": task_of(row),
        "images": (images_of(row) or []) if beside else [],
        "turns": turns,
    }


def _cell(value: Any) -> str:
    """A value as a cell of a Markdown table."""
    return str(value).replace("|", "\\|").replace("\n", " ")
