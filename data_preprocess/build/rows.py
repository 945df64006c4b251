"""The rows of one part: items in, images and a file of records out, in whatever process.

A record is what `data_preprocess.dataset.folder` streams into the lists: a row with its split, or a
drop with its reason. It carries the molecule's connectivity key (``key``) where the molecule was
readable.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_preprocess.build.examples import (
    Drop,
    Example,
    Molecule,
    fit_to_frame,
    is_drawn,
    layout_only,
    molecule_of,
    opened,
    render_or_load,
    save,
)
from data_preprocess.build.exclude import excluded_in
from data_preprocess.build.settings import Settings, Task
from data_preprocess.dataset.folder import Record, write_part
from data_preprocess.dataset.splits import connectivity_key, number_of, split_of
from data_preprocess.recipes import Subject
from data_preprocess.sources.files import Item
from data_preprocess.tasks import Turn, cot_turn
from eyesmol.answer.text import can_say
from eyesmol.chem.smiles import canonical_smiles, graph_to_smiles

if TYPE_CHECKING:
    from data_preprocess.build.chart_mixing import ChartItem

__all__ = ["Job", "build_part"]


@dataclass(frozen=True)
class Job:
    """One part for one process; small and picklable.

    Attributes:
        number: of the part; its images lie in a folder of this name.
        items: what goes in.
        settings: of the dataset.
        out: the dataset folder.
        path: of the file of records.
        excluded: the file of connectivity keys that become no row; None for none.
        shards: of the dataset.
    """

    number: int
    items: tuple[Item | ChartItem, ...]
    settings: Settings
    out: Path
    path: Path
    excluded: Path | None = None
    shards: int = 1


def build_part(job: Job) -> int:
    """Write a part, unless it is there; returns the number of its items."""
    if not job.path.exists():
        folder = Path("images") / f"{job.number:06d}"
        if job.settings.images:
            (job.out / folder).mkdir(parents=True, exist_ok=True)
        records = [record for item in job.items for record in _records(item, folder, job)]
        write_part(job.path, records, job.shards)
    return len(job.items)


def _records(item: Item | ChartItem, folder: Path, job: Job) -> list[Record]:
    """The rows of an item, or its drop."""
    if item.problem:
        return [_dropped(item, item.problem)]
    if isinstance(item, Item):
        return _molecule_records(item, folder, job)
    try:
        return list(_chart_records(item, folder, job))
    except Drop as drop:
        return [_dropped(item, drop)]


def _dropped(item: Item | ChartItem, reason: Drop | str) -> Record:
    return {"drop": str(reason), "name": _example_of(item)}


def _example_of(item: Item | ChartItem) -> str:
    """An item as an example of a drop: its file, or the row and the SMILES of its list."""
    if not isinstance(item, Item):
        return item.name
    file = item.image or item.molfile
    if isinstance(file, Path):
        return file.name
    return item.name if file else f"{item.name} {item.smiles}"


def _molecule_records(item: Item, folder: Path, job: Job) -> list[Record]:
    """From an item to its molecule, its example, its turns and its rows."""
    settings = job.settings
    try:
        molecule = molecule_of(item, draw=settings.draw, repeat_once=settings.task == "cot")
    except Drop as drop:
        return [_dropped(item, drop)]
    side = _side(item, molecule, settings)
    try:
        if side["key"] in excluded_in(job.excluded):
            raise Drop("on the exclude list")
        example = _example(item, molecule, settings)
        turns = _turns(item, example, settings)
        about = {**side, "item": item.name, **_proof(molecule, example)}
        if is_drawn(item, draw=settings.draw) and molecule.graph is None:
            about["drawn"] = _drawing(item, molecule, settings)
        if example.labelled is not None:
            about["labelled"] = example.labelled
    except Drop as drop:
        # With its molecule, for a split by groups counts it among those that it has seen.
        return [{**_dropped(item, drop), **side}]
    image = None
    if example.image is not None:
        image = folder / f"{item.name}.png"
        save(example.image, job.out / image)
    ids = _row_ids(item.name, turns, settings)
    return [
        {**about, "row": _row(row_id, image, turn, item.source)}
        for row_id, turn in zip(ids, turns, strict=True)
    ]


def _side(item: Item, molecule: Molecule, settings: Settings) -> dict[str, str]:
    """The molecule's connectivity key, and the split that it belongs to."""
    key = connectivity_key(molecule.smiles) or molecule.smiles
    by = f"group {item.group}" if settings.split_by == "group" and item.group else key
    return {"key": key, "split": split_of(by, settings.valid, settings.test)}


def _drawing(item: Item, molecule: Molecule, settings: Settings) -> str:
    """What two items share that would be the same drawing with the same words about it."""
    words = f"{item.title} {item.description}" if settings.task == "instruction" else ""
    return f"{number_of(f'{molecule.smiles} {item.copy} {words}'):x}"


def _example(item: Item, molecule: Molecule, settings: Settings) -> Example:
    if _replays(item, settings):
        try:
            return _example_for("cot", item, molecule, settings)
        except Drop:  # its questions need no positions
            pass
    return _example_for(settings.task, item, molecule, settings)


def _example_for(task: Task, item: Item, molecule: Molecule, settings: Settings) -> Example:
    if not settings.images:
        if task == "instruction":
            return Example(None, None, molecule.smiles)
        return layout_only(molecule, settings.frame)
    example = render_or_load(
        item,
        molecule,
        task=task,
        draw=settings.draw,
        size=settings.size,
        style=settings.style,
        seed=settings.seed,
        labeller=settings.labeller,
    )
    return fit_to_frame(example, settings.frame)


def _turns(item: Item, example: Example, settings: Settings) -> list[Turn]:
    """At least one.

    Raises:
        Drop: the recipe has no question that fits.
    """
    if settings.recipe is None:
        assert example.graph is not None, "the chain of thought is always placed"
        version = settings.prompt_version
        if not can_say(example.graph, version):
            raise Drop(f"the prompt of version {version} has no words for what is drawn")
        return [cot_turn(example.graph, example.smiles, settings.form, version)]
    rng = random.Random(number_of(f"{settings.seed} questions {item.name}"))
    shows_own = settings.images and not is_drawn(item, draw=settings.draw)
    subject = Subject(
        example.smiles,
        name=item.title,
        description=item.description,
        # A drawing of ours does not look as the source's image was described.
        visual_description=item.visual_description if shows_own else None,
    )
    if not (turns := settings.recipe.turns(subject, rng)):
        raise Drop("no question of the recipe fits")
    if example.graph is not None and _replays(item, settings):
        turns[-1] = cot_turn(example.graph, example.smiles, settings.form)
    return turns


def _replays(item: Item, settings: Settings) -> bool:
    """Whether an item of an instruction set is also read atom by atom, in place of a question.

    It has to have positions: a molfile, or no image yet.
    """
    recipe = settings.recipe
    if recipe is None or not (item.molfile or is_drawn(item, draw=settings.draw)):
        return False
    fraction = recipe.replay * recipe.questions
    return number_of(f"{settings.seed} replay {item.name}") < fraction * 2**64


def _row_ids(name: str, turns: list[Turn], settings: Settings) -> Iterator[str]:
    """The item's name, with the task where there are several; a task's second row is ``~2``."""
    if settings.recipe is None:
        yield name
        return
    seen: Counter[str] = Counter()
    for turn in turns:
        seen[turn.task] += 1
        again = f"~{seen[turn.task]}" if seen[turn.task] > 1 else ""
        yield f"{name}-{turn.task}{again}"


def _chart_records(chart: ChartItem, folder: Path, job: Job) -> Iterator[Record]:
    settings = job.settings
    split = split_of(f"chart {chart.name}", settings.valid, settings.test)
    image = None
    if settings.images:
        image = folder / f"{chart.name}.png"
        example = fit_to_frame(Example(opened(chart.image), None, ""), settings.frame)
        assert example.image is not None
        save(example.image, job.out / image)
    for number, (question, answer) in enumerate(chart.turns, start=1):
        row = _row(f"{chart.name}-chart~{number}", image, Turn("chart", question, answer),
                   chart.source)  # fmt: skip
        yield {"split": split, "row": row}


def _row(row_id: str, image: Path | None, turn: Turn, source: str) -> dict[str, Any]:
    question = f"<image>\n{turn.question}" if image else turn.question
    return {
        "id": row_id,
        **({"image": image.as_posix()} if image else {}),
        "conversations": [
            {"from": "human", "value": question},
            {"from": "gpt", "value": turn.answer},
        ],
        "source": source,
        "task": turn.task,
    }


def _proof(molecule: Molecule, example: Example) -> dict[str, str]:
    """How the graph of an item reads back; nothing where an image has a SMILES alone.

    Raises:
        Drop: it says another molecule than the SMILES. Some public molfiles hide other atoms behind
            a label than it stands for (an isocyanide behind NC), and in whole pixels a crowded cage
            may turn inside out. No row can be true to both.
    """
    drawn = molecule.graph and molecule.graph.transformed(1, 0, 0, flip=True)
    placed = example.graph and example.graph.rounded()
    if (graph := placed or drawn) is None:
        return {}
    found, problems = graph_to_smiles(graph)
    if found == example.smiles:
        return {"reads_back": "unknown label" if problems else "same"}
    if placed and (drawn is None or graph_to_smiles(drawn)[0] == example.smiles):
        raise Drop("in whole pixels it is another molecule")
    if problems:
        raise Drop("a label that cannot be read hides atoms")
    if found and _flat(found) == _flat(example.smiles):
        raise Drop("the drawn stereo is not that of the hidden atoms")
    raise Drop("the molfile contradicts its own labels")


def _flat(smiles: str) -> str | None:
    return canonical_smiles(smiles, stereo=False)
