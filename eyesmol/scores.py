"""How well pictures were read: every gold row counts, every share has its interval.

What the columns mean (names as in GTR-CoT, arXiv 2506.07553, and in MolScribe's evaluation):

- exact match: the best guess has the gold's canonical SMILES, all stereo included
- without cis/trans: the same once the marks of double bonds are taken off both, as MolScribe does
- without stereo: the same once tetrahedral and double-bond stereo is taken off both
- InChI: the standard InChI is the gold's; it forgives tautomers and more, so it stands 6 to 8
  points above canonical SMILES and must not be compared with it. Golds with R groups have none
- Gen-SMILES: the SMILES that the model wrote, against the gold's
- Gra-SMILES: the SMILES of the graph that it listed, against the gold's
- Graph: the listed graph is the gold's, label for label and bond for bond, wherever the atoms lie
- agreement: the written SMILES and the graph are the same molecule
- validity: the best guess is a molecule that RDKit accepts
- Tanimoto: similarity of Morgan fingerprints (radius 2, 2,048 bits), 0 where there is no molecule
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from eyesmol.answer import read_answer
from eyesmol.chemistry import canonical_smiles
from eyesmol.gold import Gold, GoldSet, ScoreError
from eyesmol.graph import MolGraph
from eyesmol.predictions import load_predictions
from eyesmol.recognition import Recognition, molecule_of

__all__ = [
    "METRICS",
    "Evaluation",
    "RowScore",
    "Share",
    "evaluate",
    "load_predictions",
    "same_graph",
    "score_answers",
]


# ---- comparing two molecules ----


@lru_cache(maxsize=65536)
def _canonical(smiles: str, stereo: bool = True) -> str | None:
    """Canonical SMILES, twice round: RDKit's first is not always a fixed point."""
    once = canonical_smiles(smiles, stereo=stereo)
    return once and (canonical_smiles(once, stereo=stereo) or once)


def _same(first: str | None, second: str | None, *, stereo: bool = True) -> bool:
    if not first or not second:
        return False
    canonical = _canonical(first, stereo)
    return canonical is not None and canonical == _canonical(second, stereo)


def _without_cis_trans(smiles: str | None) -> str | None:
    return smiles and smiles.replace("/", "").replace("\\", "")


@lru_cache(maxsize=65536)
def _inchi(smiles: str) -> str | None:
    """Standard InChI; None where there is none, as for R groups."""
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        return str(Chem.MolToInchi(mol)) or None if mol is not None else None


def _same_inchi(gold: str, read: str | None) -> bool | None:
    """None where the gold has no InChI."""
    truth = _inchi(gold)
    return None if truth is None else bool(read) and _inchi(read or "") == truth


_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)


def _tanimoto(first: str | None, second: str | None) -> float:
    """Similarity 0 to 1 of two SMILES; 0 where one is no molecule."""
    if not first or not second or not _canonical(first) or not _canonical(second):
        return 0.0
    prints = [_MORGAN.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in (first, second)]
    return float(DataStructs.TanimotoSimilarity(*prints))


def same_graph(first: MolGraph, second: MolGraph) -> bool:
    """True where two graphs are the same drawing but for places and numbering.

    Labels (abbreviations, charges and isotopes included), bond kinds and the narrow ends of wedges
    all count, so two Kekulé forms of a ring differ, as they do on paper.
    """
    if (len(first.atoms), len(first.bonds)) != (len(second.atoms), len(second.bonds)):
        return False
    labels = sorted({atom.text for atom in (*first.atoms, *second.atoms)})
    colour = {label: number for number, label in enumerate(labels, start=1)}
    return _graph_key(first, colour) == _graph_key(second, colour)


def _graph_key(graph: MolGraph, colour: dict[str, int]) -> str:
    """A canonical text of a labelled graph, by RDKit's canonical ranking.

    RDKit ranks molecules, so the graph becomes one whose only property is the isotope: atoms carry
    the number of their label, and each bond becomes an atom of its own that carries its kind, two
    in a row for a wedge, so that its narrow end shows.
    """
    mol = Chem.RWMol()

    def add(isotope: int) -> int:
        atom = Chem.Atom(6)
        atom.SetNoImplicit(True)
        atom.SetIsotope(isotope)
        return int(mol.AddAtom(atom))

    atoms = [add(colour[atom.text]) for atom in graph.atoms]
    kinds = len(colour)
    for bond in graph.bonds:
        chain = [atoms[bond.begin], add(kinds + int(bond.order))]
        if bond.order.is_directed:
            chain.append(add(kinds + 100))
        chain.append(atoms[bond.end])
        for here, there in itertools.pairwise(chain):
            mol.AddBond(here, there, Chem.BondType.SINGLE)
    Chem.FastFindRings(mol)
    return str(Chem.MolToSmiles(mol))


# ---- one row ----


@dataclass(frozen=True)
class RowScore:
    """One gold row and what was made of it.

    Attributes:
        gold: the truth.
        prediction: None where there is none, which counts as wrong.
        exact, exact_without_cis_trans, exact_without_stereo, written_exact, graph_smiles_exact,
            agreement, valid: see the columns above.
        inchi: None where the gold has no InChI.
        graph_match: None where the gold holds no graph.
        tanimoto: 0 to 1.
    """

    gold: Gold
    prediction: Recognition | None
    exact: bool
    exact_without_cis_trans: bool
    exact_without_stereo: bool
    inchi: bool | None
    written_exact: bool
    graph_smiles_exact: bool
    graph_match: bool | None
    agreement: bool
    valid: bool
    tanimoto: float


def _score_row(gold: Gold, prediction: Recognition | None) -> RowScore:
    read = prediction or Recognition(gold.image)
    written, listed = read.molecule.written_canonical, read.molecule.graph_smiles
    graph_match = None
    if gold.graph is not None:
        graph_match = read.graph is not None and same_graph(gold.graph, read.graph)
    return RowScore(
        gold=gold,
        prediction=prediction,
        exact=_same(read.smiles, gold.smiles),
        exact_without_cis_trans=_same(
            _without_cis_trans(read.smiles), _without_cis_trans(gold.smiles)
        ),
        exact_without_stereo=_same(read.smiles, gold.smiles, stereo=False),
        inchi=_same_inchi(gold.smiles, read.smiles),
        written_exact=_same(written, gold.smiles),
        graph_smiles_exact=_same(listed, gold.smiles),
        graph_match=graph_match,
        agreement=_same(written, listed),
        valid=bool(read.smiles) and _canonical(read.smiles or "") is not None,
        tanimoto=_tanimoto(read.smiles, gold.smiles),
    )


# ---- a whole set ----


@dataclass(frozen=True)
class Share:
    """A mean over rows with its 95 % interval.

    Attributes:
        value: 0 to 1; `low` and `high` bound it.
        n: rows that it is taken over.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def _wilson(values: Sequence[float]) -> Share:
    """A share of yes among yes and no, with Wilson's score interval."""
    n, z = len(values), 1.959964
    share = sum(values) / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), n)


def _bootstrap(values: Sequence[float]) -> Share:
    """A mean with its percentile bootstrap interval: 1,000 resamples, the same ones every time."""
    array, random = np.asarray(values, dtype=float), np.random.default_rng(0)
    means = [random.choice(array, len(array)).mean() for _ in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Share(float(array.mean()), float(low), float(high), len(array))


@dataclass(frozen=True)
class Metric:
    """A column: its title, how a row's value is found (None: not scored), and its interval."""

    title: str
    value: Callable[[RowScore], float | None]
    share: Callable[[Sequence[float]], Share] = _wilson


METRICS: dict[str, Metric] = {
    "exact": Metric("Exact match", lambda row: row.exact),
    "exact_without_cis_trans": Metric(
        "Exact, without cis/trans", lambda row: row.exact_without_cis_trans
    ),
    "exact_without_stereo": Metric("Exact, without stereo", lambda row: row.exact_without_stereo),
    "inchi": Metric("InChI", lambda row: row.inchi),
    "gen_smiles": Metric("Gen-SMILES (written)", lambda row: row.written_exact),
    "gra_smiles": Metric("Gra-SMILES (from the graph)", lambda row: row.graph_smiles_exact),
    "graph": Metric("Graph", lambda row: row.graph_match),
    "agreement": Metric("Written and graph agree", lambda row: row.agreement),
    "validity": Metric("Valid molecule", lambda row: row.valid),
    "tanimoto": Metric("Tanimoto similarity", lambda row: row.tanimoto, _bootstrap),
}


@dataclass(frozen=True)
class Evaluation:
    """The scores of one system on one gold set.

    Attributes:
        name: the system.
        rows: one for each gold row that can be scored, in the gold's order.
        unscorable: picture and reason of each gold row that cannot.
        missing: gold rows without a prediction; they count as wrong.
        errors: predictions that say that the picture could not be read; they count as wrong.
        unused: predictions for pictures that are not in the gold.
    """

    name: str
    rows: tuple[RowScore, ...]
    unscorable: tuple[tuple[str, str], ...] = ()
    missing: int = 0
    errors: int = 0
    unused: int = 0

    def shares(self) -> dict[str, Share]:
        """Each metric by its key; one that no prediction or no gold speaks to is left out."""
        read = [row.prediction for row in self.rows if row.prediction and not row.prediction.error]
        # Another tool's table may hold nothing but a SMILES. Of our own reader's rows, silence is a
        # failure rather than a missing column.
        unknown: set[str] = set()
        if read and not any(p.answer for p in read):
            if not any(p.graph for p in read):
                unknown.add("graph")
            if not any(p.written_smiles for p in read):
                unknown |= {"gen_smiles", "agreement"}
            if not any(p.molecule.graph_smiles for p in read):
                unknown |= {"gra_smiles", "agreement"}
        shares = {}
        for key, metric in METRICS.items():
            values = [v for row in self.rows if (v := metric.value(row)) is not None]
            if values and key not in unknown:
                shares[key] = metric.share(values)
        return shares

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file: the scores, then every row."""
        return {
            "name": self.name,
            "gold_rows": len(self.rows) + len(self.unscorable),
            "scored": len(self.rows),
            "missing": self.missing,
            "errors": self.errors,
            "unused_predictions": self.unused,
            "scores": {
                key: {"value": s.value, "low": s.low, "high": s.high, "n": s.n}
                for key, s in self.shares().items()
            },
            "unscorable": [{"image": i, "reason": reason} for i, reason in self.unscorable],
            "rows": [_row_dict(row) for row in self.rows],
        }

    def table(self) -> str:
        """The scores as lines of text."""
        shares = self.shares()
        lines = [f"{self.name}: {len(self.rows)} pictures scored"]
        width = max(len(METRICS[key].title) for key in shares) if shares else 0
        for key, share in shares.items():
            numbers = (share.value, share.low, share.high)
            value, low, high = (f"{number * 100:5.1f}" for number in numbers)
            lines.append(f"  {METRICS[key].title:<{width}}  {value} %   [{low}, {high}]")
        return "\n".join([*lines, *(f"  {line}" for line in self.count_lines())])

    def count_lines(self) -> list[str]:
        """What the columns leave out or count as wrong."""
        lines = []
        for count, what in (
            (self.missing, "without a prediction (counted as wrong)"),
            (self.errors, "could not be read (counted as wrong)"),
            (self.unused, "predictions for pictures that are not in the gold set (ignored)"),
            (len(self.unscorable), "gold rows that cannot be scored (left out):"),
        ):
            if count:
                lines.append(f"{self.name}: {count} {what}")
        reasons = Counter(reason for _, reason in self.unscorable)
        lines += [f"  {count} x {reason}" for reason, count in reasons.most_common(10)]
        if len(reasons) > 10:
            lines.append(f"  ... and {len(reasons) - 10} other reasons: see --out FILE.json")
        return lines


def _row_dict(row: RowScore) -> dict[str, Any]:
    values = {key: metric.value(row) for key, metric in METRICS.items()}
    read = row.prediction
    return {
        "image": row.gold.image,
        "gold_smiles": row.gold.smiles,
        "smiles": read.smiles if read else None,
        "confidence": read.confidence if read else None,
        "error": (read.error if read else "no prediction"),
        **values,
    }


def evaluate(gold: GoldSet, predictions: Iterable[Recognition], *, name: str) -> Evaluation:
    """Score predictions against the gold.

    Args:
        gold: from `eyesmol.gold.load_gold`.
        predictions: of `Recognizer.recognize` or `load_predictions`, in any order.
        name: of the system, for tables.

    Raises:
        ScoreError: no prediction belongs to any gold row, or it is unclear which does.
    """
    if not gold.rows:
        raise ScoreError(f"{gold.source}: none of its {len(gold.unscorable)} rows can be scored")
    by_image = _matched(gold, list(predictions))
    rows = tuple(_score_row(row, by_image.get(row.image)) for row in gold.rows)
    used = [row.prediction for row in rows if row.prediction is not None]
    return Evaluation(
        name=name,
        rows=rows,
        unscorable=gold.unscorable,
        missing=len(rows) - len(used),
        errors=sum(p.error is not None for p in used),
        unused=by_image.unused,
    )


class _Matches(dict[str, Recognition]):
    """Predictions by the gold's picture names, and how many belong to none."""

    unused = 0


_KEYS: tuple[Callable[[str], str], ...] = (
    lambda name: Path(name).as_posix(),
    lambda name: Path(name).name,
    lambda name: Path(name).stem,
)


def _matched(gold: GoldSet, predictions: list[Recognition]) -> _Matches:
    """By the key that brings most together: path, else file name, else name without ending."""
    images = [row.image for row in gold.rows]

    def shared(key: Callable[[str], str]) -> set[str]:
        return set(map(key, images)) & {key(p.image) for p in predictions}

    key = max(_KEYS, key=lambda key: len(shared(key)))  # of equals the first, the strictest
    if not shared(key):
        examples = repr(predictions[0].image) if predictions else "nothing: there are none"
        raise ScoreError(
            f"no prediction belongs to a picture of {gold.source}: gold pictures are named like "
            f"{images[0]!r}, predicted ones like {examples}; names must agree but for folder and "
            "ending"
        )
    golds, reads = Counter(map(key, images)), Counter(key(p.image) for p in predictions)
    if doubled := sorted(k for k in shared(key) if golds[k] > 1 or reads[k] > 1):
        raise ScoreError(
            f"{len(doubled)} picture names are ambiguous, such as {doubled[0]!r}: "
            f"{golds[doubled[0]]} gold rows and {reads[doubled[0]]} predictions have it; give the "
            "pictures names of their own"
        )
    read = {key(p.image): p for p in predictions}
    matches = _Matches({image: read[k] for image in images if (k := key(image)) in read})
    known = {*map(key, images), *(key(image) for image, _ in gold.unscorable)}
    matches.unused = sum(key(p.image) not in known for p in predictions)
    return matches


# ---- for the trainer ----


def score_answers(predictions: list[str], references: list[str]) -> dict[str, float]:
    """Scores of answer texts, the plug-in that a trainer calls as ``eyesmol.scores:score_answers``.

    Args:
        predictions: what the model answered.
        references: the true answers, in the same order.

    Returns:
        Shares 0 to 1 over all pairs: ``exact_match``, ``validity``, ``graph_match``.

    Raises:
        ValueError: the lists differ in length.
    """
    exact = valid = graph = 0
    for predicted, reference in zip(predictions, references, strict=True):
        read, truth = read_answer(predicted), read_answer(reference)
        smiles = molecule_of(read).smiles
        valid += smiles is not None
        exact += _same(smiles, truth.smiles)
        graph += same_graph(read.graph, truth.graph)
    count = max(len(references), 1)
    return {
        "exact_match": exact / count,
        "validity": valid / count,
        "graph_match": graph / count,
    }
