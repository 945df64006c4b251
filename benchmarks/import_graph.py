"""The imports between the sub-packages of eyesmol, as the Mermaid graph of CONTRIBUTING.md.

pip install grimp
python benchmarks/import_graph.py            # prints the graph
python benchmarks/import_graph.py --check    # fails where CONTRIBUTING.md shows another

Read with grimp, without running the code. An arrow that follows from others is left out, as are
`exceptions` and `atomic`, which everything may import. An arrow upwards would close a circle, and a
circle is an error.
"""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "eyesmol"
FOR_ALL = {"exceptions", "atomic"}


def imports(package: str) -> nx.DiGraph[str]:
    """Which direct child of a package imports which other."""
    graph = grimp.build_graph(package, exclude_type_checking_imports=False, cache_dir=None)
    found: nx.DiGraph[str] = nx.DiGraph()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            begin, end = (name.split(".")[1:2] for name in (module, imported))
            if begin and end and begin != end and not FOR_ALL & {*begin, *end}:
                found.add_edge(begin[0], end[0])
    found.remove_nodes_from(["__main__"])
    return found


def mermaid(found: nx.DiGraph[str]) -> str:
    """The graph in Mermaid's words, without the arrows that follow from others."""
    reduced = nx.transitive_reduction(found)  # an error where there is a circle
    lines = [f"  {begin} --> {end}" for begin, end in sorted(reduced.edges)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def main() -> int:
    """Print the graph, or check it; returns the exit status."""
    sys.path.insert(0, str(ROOT))  # this checkout, whichever is installed
    shown = mermaid(imports(PACKAGE))
    if "--check" not in sys.argv[1:]:
        print(shown)
        return 0
    if shown in (ROOT / "CONTRIBUTING.md").read_text("utf-8"):
        return 0
    print(f"CONTRIBUTING.md shows other imports than these; put them there:\n{shown}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
