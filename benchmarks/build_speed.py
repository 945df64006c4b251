"""How fast rows are built, in how much memory, and beside the published algorithm.

    python benchmarks/build_speed.py --molfiles DIR                     all of it, small
    python benchmarks/build_speed.py --molfiles DIR --only builds --rows 10000 680000
                                                                        the memory at full size
    python benchmarks/build_speed.py --molfiles DIR --task instruction  questions, not chains
    python benchmarks/build_speed.py --molfiles DIR --only builds --shards 4
                                                                        shards, not one list

Real molfiles are repeated under new ids until there are as many rows as asked for, in a catalogue;
pictures are left out (``build --no-pictures``), so what is measured is molfile -> graph -> SMILES,
InChIKey, answer, row. Sides that are compared run in turns: a busy machine slows both alike.
Each build is a process of its own; its peak of memory is what the kernel says.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from data_preprocess.build.examples import Drop, Molecule, layout_only, molecule_of
from data_preprocess.build.rows import _row
from data_preprocess.catalogue.compounds import COMPOUNDS, Compound
from data_preprocess.dataset.splits import connectivity_key, split_of
from data_preprocess.sources.files import Item
from data_preprocess.tasks import cot_turn
from eyesmol import MolGraph
from eyesmol.answer.text import write_answer
from eyesmol.chem.molfile import MolfileError, block_to_mol, mol_to_graph, read_molblock
from eyesmol.chem.smiles import graph_to_smiles, molblock_to_smiles
from eyesmol.image.pixel_frame import PixelFrame

_FRAME = PixelFrame()
TASKS = ("cot", "instruction")


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--molfiles", type=Path, required=True, help="a folder of real molfiles")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1000, 4000], help="sizes of builds (1000 4000)"
    )
    parser.add_argument("--task", choices=TASKS, default="cot", help="that is built (cot)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument(
        "--questions", type=int, default=2, help="instruction rows of a molecule (2)"
    )
    parser.add_argument("--shards", type=int, help="of the builds (one list a split)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each comparison (3)")
    parser.add_argument("--most", type=int, default=2000, help="molfiles in the comparison (2000)")
    parser.add_argument("--only", choices=["builds", "stop", "original"], help="one part of it")
    options = parser.parse_args()
    blocks = readable(options.molfiles, options.most)
    print(f"{len(blocks)} molfiles that RDKit reads; {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}\n")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="build_speed") as scratch:
        if options.only in (None, "original"):
            compare_with_original(blocks, options.rounds)
            show_profile(blocks)
        if options.only in (None, "builds"):
            compare_builds(blocks, options, Path(scratch))
        if options.only in (None, "stop"):
            stop_and_go_on(blocks, min(options.rows), Path(scratch))
    return 0


def readable(folder: Path, most: int) -> list[str]:
    """Molblocks that become rows."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            block = read_molblock(path)
            molecule_of(item_of(block), draw=False)
        except (MolfileError, Drop):
            continue
        found.append(block)
        if len(found) == most:
            break
    return found


def item_of(block: str) -> Item:
    """As a catalogue gives it; its picture is never opened."""
    return Item("a", "uspto", image=Path("none.png"), molfile=block)


# ---- builds: rows a second, memory, workers ----


def compare_builds(blocks: list[str], options: argparse.Namespace, scratch: Path) -> None:
    """Builds of several sizes with several numbers of workers, in turns."""
    sizes, workers = options.rows, options.workers
    per_molecule = options.questions if options.task == "instruction" else 1
    seconds: dict[tuple[int, int], list[float]] = defaultdict(list)
    last: dict[tuple[int, int], dict[str, float]] = {}
    for size in sizes:
        write_catalogue(blocks, size // per_molecule, scratch / str(size))
        # One round is enough where it takes long: noise is averaged within.
        for _ in range(options.rounds if size <= 20_000 else 1):
            for count in workers:
                words = command(scratch / str(size), scratch / "out", count, options.task)
                if options.task == "instruction":
                    words += ["--questions", str(options.questions)]
                if options.shards:
                    words += ["--shards", str(options.shards)]
                ran = built(words)
                seconds[size, count].append(ran["seconds"])
                last[size, count] = ran | written(scratch / "out")
                shutil.rmtree(scratch / "out")
        shutil.rmtree(scratch / str(size))
    print("     rows  workers  seconds  rows/s  rows a CPU second   peak MiB: builder  largest "
          "worker   bytes a row  files")  # fmt: skip
    for (size, count), times in seconds.items():
        median = statistics.median(times)
        ran = last[size, count]
        print(f"{size:9,}  {count:7}  {median:7.1f}  {size / median:6.0f}  "
              f"{size / ran['cpu']:17.0f}  {ran['parent']:18.0f}  {ran['worker']:14.0f}  "
              f"{ran['bytes'] / size:12.0f}  {ran['files']:5.0f}")  # fmt: skip
    for size in sizes:
        first = seconds[size, workers[0]]
        for count in workers[1:]:
            gain = statistics.median(
                a / b for a, b in zip(first, seconds[size, count], strict=True)
            )
            print(f"  {size:,} rows: {count} workers are {gain:.2f} times as fast as {workers[0]}")
    print()


def write_catalogue(blocks: list[str], rows: int, folder: Path) -> None:
    """The molfiles over and over, under new ids."""
    with COMPOUNDS.writer(folder) as writer:
        for number, block in zip(range(rows), itertools.cycle(blocks), strict=False):
            writer.add(Compound(f"r{number:07d}", "uspto", "none", image="none.png", molfile=block))
    assert (folder / COMPOUNDS.name).is_file()


_CHILD = """
import json, resource, sys, time
from data_preprocess.__main__ import main
start = time.perf_counter()
status = main(sys.argv[1:])
seconds = time.perf_counter() - start
of = lambda who: resource.getrusage(who).ru_maxrss / 1024
both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"seconds": seconds, "parent": of(resource.RUSAGE_SELF),
                  "worker": of(resource.RUSAGE_CHILDREN),
                  "cpu": sum(use.ru_utime + use.ru_stime for use in both)}))
sys.exit(status)
"""


def command(catalogue: Path, out: Path, workers: int, task: str = "cot") -> list[str]:
    """The build of a catalogue in a process of its own."""
    words = ["build", task, "--catalogue", str(catalogue), "--no-pictures", "--out", str(out)]
    if task == "instruction":
        words += ["--recipe", "v2"]
    return [sys.executable, "-c", _CHILD, *words, "--workers", str(workers)]


def built(words: list[str]) -> dict[str, float]:
    """Seconds (imports left out), CPU seconds (with them), and peaks of memory in MiB."""
    ran = subprocess.run(words, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    values: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return values


def written(out: Path) -> dict[str, float]:
    """Files of a dataset, and their bytes."""
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


# ---- stop and go on ----


def stop_and_go_on(blocks: list[str], rows: int, scratch: Path) -> None:
    """A build that is killed half way, and what is left to do afterwards."""
    write_catalogue(blocks, rows, scratch / "catalogue")
    whole = built(command(scratch / "catalogue", scratch / "whole", 2))
    out = scratch / "stopped"
    process = subprocess.Popen(
        command(scratch / "catalogue", out, 2),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    half = rows // 200
    while process.poll() is None and len(list((out / "parts").glob("*.part"))) < half:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list((out / "parts").glob("*.part")))
    rest = built(command(scratch / "catalogue", out, 2))
    same = digests(out) == digests(scratch / "whole")
    print(f"killed after {done} of {-(-rows // 100)} parts; whole {whole['seconds']:.1f} s, the "
          f"rest {rest['seconds']:.1f} s; the same bytes: {'yes' if same else 'NO'}\n")  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# ---- beside the original's algorithm ----


def compare_with_original(blocks: list[str], rounds: int) -> None:
    """The same rows from molfile to answer text, by either algorithm, in turns on one core."""
    mols = [block_to_mol(block, sanitize=False) for block in blocks]
    # The original draws the atoms that an abbreviation hides, the walk alone gets the same graphs.
    graphs = [mol_to_graph(mol, collapse=False) for mol in mols]
    table = pd.DataFrame([table_row(g, b) for g, b in zip(graphs, blocks, strict=True)])
    placed = [laid_out_graph(graph) for graph in graphs]
    lists = [
        (ast.literal_eval(row["node_coords"]), ast.literal_eval(row["edges"]),
         [atom.text for atom in graph.atoms])
        for (_, row), graph in zip(table.iterrows(), graphs, strict=True)
    ]  # fmt: skip

    tasks: dict[str, Callable[[], Any]] = {
        "original: row of the table -> answer": lambda: original_answers(table),
        "ours:     molfile -> answer": lambda: [answer_of(block) for block in blocks],
        "ours:     molfile -> whole row": lambda: [whole_row(block) for block in blocks],
        "original: walk and text alone": lambda: [original_walk(*one) for one in lists],
        "ours:     walk and text alone": lambda: [write_answer(g, "C", "json") for g in placed],
    }
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for count, (name, task) in itertools.product(range(rounds + 1), tasks.items()):
        start = time.process_time()
        task()
        if count:  # the first round does not count
            seconds[name].append(time.process_time() - start)
    atoms = sum(len(graph.atoms) for graph in graphs) / len(graphs)
    print(f"{len(blocks)} molecules of {atoms:.1f} atoms, one core, pictures left out")
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"  {name:<38} {median / len(blocks) * 1e6:8.0f} us   {len(blocks) / median:8.0f}/s")
    names = list(tasks)
    for slow, fast in ((0, 1), (0, 2), (3, 4)):
        ratio = statistics.median(
            a / b for a, b in zip(seconds[names[slow]], seconds[names[fast]], strict=True)
        )
        print(f"  {names[fast]}: {ratio:.2f} times as fast as {names[slow]}")
    print("\n  atoms   walk and text, original / ours")
    for low, high in ((1, 20), (21, 40), (41, 60), (61, 999)):
        chosen = [i for i, graph in enumerate(graphs) if low <= len(graph.atoms) <= high]
        if chosen:
            with timed() as slow_time:
                for i in chosen:
                    original_walk(*lists[i])
            with timed() as fast_time:
                for i in chosen:
                    write_answer(placed[i], "C", "json")
            print(f"  {low:3}-{high:<3} {slow_time[0] / fast_time[0]:6.2f}   ({len(chosen)})")
    print()


@contextmanager
def timed() -> Iterator[list[float]]:
    """CPU seconds of the block, in the list when it ends."""
    found: list[float] = []
    start = time.process_time()
    yield found
    found.append(time.process_time() - start)


def laid_out_graph(graph: MolGraph) -> MolGraph:
    """On the frame, as the builder lays it out without a picture."""
    placed = layout_only(Molecule("", graph), _FRAME).graph
    assert placed is not None
    return placed


def answer_of(block: str) -> str:
    """What the original makes of a row: the molfile read, the walk, the text."""
    graph = mol_to_graph(block_to_mol(block, sanitize=False))
    return write_answer(laid_out_graph(graph), "C", "json")


def whole_row(block: str) -> str:
    """What the builder makes of it: SMILES and InChIKey too, the reading back, the split, JSON."""
    molecule = molecule_of(item_of(block), draw=False)
    split = split_of(connectivity_key(molecule.smiles) or "", 0.1, 0.1)
    placed = layout_only(molecule, _FRAME)
    assert placed.graph is not None
    graph_to_smiles(placed.graph.rounded())
    row = _row("a", None, cot_turn(placed.graph, placed.smiles, "json"), "uspto")
    return json.dumps({"split": split, "row": row})


def table_row(graph: MolGraph, block: str) -> dict[str, str]:
    """A row as MolScribe's table has it: lists as text, coordinates in molfile units."""
    edges = [[b.begin, b.end, int(b.order)] for b in graph.bonds]
    return {
        "SMILES": "C",
        "node_coords": str([[round(a.x, 4), round(a.y, 4)] for a in graph.atoms]),
        "edges": str(edges),
        "molblock": block,
    }


def original_answers(table: pd.DataFrame) -> list[str]:
    """The published loop, written afresh: row after row by `iterrows`, lists parsed from their
    text, labels taken from the lines of the molfile."""
    answers = []
    for _, row in table.iterrows():
        coords, edges = ast.literal_eval(row["node_coords"]), ast.literal_eval(row["edges"])
        labels = original_labels(row["molblock"])
        if len(labels) == len(coords):  # others it passes over
            answers.append(original_walk(coords, edges, labels))
    return answers


def original_labels(block: str) -> list[str]:
    """The symbols of a molfile's atom lines, or their aliases."""
    lines = block.splitlines()
    count = int(lines[3][:3])
    labels = [line[31:34].strip() for line in lines[4 : 4 + count]]
    for line in lines[4 + count :]:
        words = line.split()
        if line.startswith("A ") and len(words) > 2:
            labels[int(words[1]) - 1] = words[2]
    return labels


def original_walk(coords: list[list[float]], edges: list[list[int]], symbols: list[str]) -> str:
    """The published walk, written afresh: recursive, from atom 0, neighbours by number.

    An edge to an atom that was seen is told from one that was walked by looking through the list.
    """
    around: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for a, b, order in edges:
        around[a].append((b, order))
        around[b].append((a, order))
    seen: set[int] = set()
    walked: list[list[int]] = []

    def visit(node: int) -> None:
        seen.add(node)
        for other, order in sorted(around[node]):
            if other not in seen:
                walked.append([node, other, order])
                visit(other)
            elif [node, other, order] not in walked and [other, node, order] not in walked:
                walked.append([node, other, order])

    visit(0)
    atoms = [{"a": label, "id": n, "xy": coords[n]} for n, label in enumerate(symbols)]
    items: list[dict[str, Any]] = [atoms[0]]
    listed = {0}
    for begin, end, order in walked:
        if end not in listed:
            items.append(atoms[end])
            listed.add(end)
        items.append({"b": order, "a1": begin, "a2": end})
    return json.dumps({"cot": items, "smiles": "C"})


# ---- where the time goes ----


def show_profile(blocks: list[str]) -> None:
    """CPU time of each step of a row."""
    seconds: dict[str, float] = defaultdict(float)

    def step(name: str, task: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = task()
        seconds[name] += time.process_time() - start
        return result

    for block in blocks:
        mol = step("RDKit parses the molfile", partial(block_to_mol, block, sanitize=False))
        graph = step("graph of what is drawn", partial(mol_to_graph, mol))
        smiles = step("canonical SMILES", partial(molblock_to_smiles, block, mol=mol))
        step("InChIKey", partial(connectivity_key, smiles))
        placed = step("places in the frame", partial(laid_out_graph, graph))
        step("reads back", lambda: graph_to_smiles(placed.rounded()))  # noqa: B023
        turn = step("walk and answer", partial(cot_turn, placed, smiles, "compact"))
        step("row as JSON", lambda: json.dumps(_row("a", None, turn, "uspto")))  # noqa: B023
    whole = sum(seconds.values())
    print(f"  one row of `build cot`, {whole / len(blocks) * 1e6:.0f} us:")
    for name, value in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"    {name:<26} {value / len(blocks) * 1e6:7.0f} us  {value / whole:5.1%}")
    print()


if __name__ == "__main__":
    sys.exit(main())
