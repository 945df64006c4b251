"""How well pictures were read: every gold row counts, every share has its interval.

What the columns mean (names as in GTR-CoT, arXiv 2506.07553, and in MolScribe's evaluation):

- exact match: the best guess has the gold's canonical SMILES, all stereo included
- without cis/trans: the same once the marks of double bonds are taken off both, as MolScribe does
- without stereo: the same once tetrahedral and double-bond stereo is taken off both
- any R: the same once every open place is called the same. An open place is a dummy atom of the
  SMILES, whatever is written there: R, R1, R', X, Ar, a label that nobody can expand, a point of
  attachment. Its place in the molecule has to be right; its name has not
- chirality: without cis/trans, of the golds with tetrahedral stereo only (MolScribe's "chiral")
- InChI: the standard InChI is the gold's; it forgives tautomers and more, so it stands 6 to 8
  points above canonical SMILES and must not be compared with it. Golds with R groups have none
- Gen-SMILES: the SMILES that the model wrote, against the gold's
- Gra-SMILES: the SMILES of the graph that it listed, against the gold's
- Graph: the listed graph is the gold's, label for label and bond for bond, wherever the atoms lie
- agreement: the written SMILES and the graph are the same molecule
- validity: the best guess is a molecule that RDKit accepts
- Tanimoto: similarity of Morgan fingerprints (radius 2, 2,048 bits), 0 where there is no molecule
- atom F1, bond F1: twice what the best guess and the gold have in common, over what the two have
  together (the two terms of GTR-CoT's graph reward, each times two). Abbreviations are expanded,
  and what is common is what `eyesmol.evaluation.align` finds: atoms alike in element, charge and
  isotope or R number, bonds alike in type between partners. Where the best guess has an impossible
  valence its atoms count all the same; without any, both are 0
- MolRecBench-Wild's tracks, of golds in CARBON: see `eyesmol.evaluation.carbon`. A gold without a
  SMILES counts in its graphs, validity and cost alone
- exact among the first 3, 5, 10: of the first so many SMILES of a list, where predictions are lists
- seconds: per image, where the predictions say
- peak memory: the most main memory that the reading process took, in MiB, where they say

Shares of yes among yes and no carry Wilson's 95 % interval, and a bootstrapped one besides in JSON;
means carry the bootstrapped one. Where the gold set draws a molecule several times, these drawings
are no independent rows: Wilson's interval is then that of the effective number of rows (Korn and
Graubard, Surv. Methodol. 1998, 24, 193), and the bootstrap draws molecules, not rows.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rdkit import Chem, DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from eyesmol.answer.text import read_answer
from eyesmol.chem.graph import MolGraph
from eyesmol.chem.molfile import block_to_mol, graph_to_molblock
from eyesmol.chem.smiles import canonical_smiles, expand_abbreviations
from eyesmol.evaluation.carbon import read_carbon, same_carbon
from eyesmol.evaluation.error_analysis import ERROR_KINDS, aligned, error_kinds
from eyesmol.evaluation.gold import Gold, GoldSet, ScoreError
from eyesmol.evaluation.isomorphism import LabelledGraph, isomorphic
from eyesmol.evaluation.predictions import load_predictions
from eyesmol.recognition import Recognition, molecule_of

__all__ = [
    "METRICS",
    "Evaluation",
    "RowScore",
    "Share",
    "evaluate",
    "image_keys",
    "load_predictions",
    "molecule_key",
    "same_graph",
    "score_answers",
]


# ---- comparing two molecules ----


@lru_cache(maxsize=65536)
def molecule_key(smiles: str, stereo: bool = True) -> str | None:
    """What tells molecules apart: canonical SMILES, or None where a text is none.

    Twice round: RDKit's first is not always a fixed point.
    """
    once = canonical_smiles(smiles, stereo=stereo)
    return once and (canonical_smiles(once, stereo=stereo) or once)


def same_smiles(first: str | None, second: str | None, *, stereo: bool = True) -> bool:
    """Whether two SMILES are the same molecule; False where one is none."""
    if not first or not second:
        return False
    canonical = molecule_key(first, stereo)
    return canonical is not None and canonical == molecule_key(second, stereo)


def _without_cis_trans(smiles: str | None) -> str | None:
    return smiles and smiles.replace("/", "").replace("\\", "")


@lru_cache(maxsize=65536)
def _any_r(smiles: str) -> str | None:
    """Canonical SMILES with the names of its open places taken off."""
    canonical = molecule_key(smiles)
    if canonical is None or "*" not in canonical:
        return canonical
    mol = Chem.MolFromSmiles(canonical)
    for atom in mol.GetAtoms():
        if not atom.GetAtomicNum():
            atom.SetIsotope(0)
            atom.SetAtomMapNum(0)
    return molecule_key(Chem.MolToSmiles(mol))


def _same_any_r(first: str | None, second: str | None) -> bool:
    if not first or not second:
        return False
    named = _any_r(first)
    return named is not None and named == _any_r(second)


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


def tanimoto(first: str | None, second: str | None) -> float:
    """Similarity 0 to 1 of two SMILES; 0 where one is no molecule."""
    if not first or not second or not molecule_key(first) or not molecule_key(second):
        return 0.0
    prints = [_MORGAN.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in (first, second)]
    return float(DataStructs.TanimotoSimilarity(*prints))


def same_graph(first: MolGraph, second: MolGraph) -> bool:
    """True where two graphs are the same drawing but for places and numbering.

    Labels (abbreviations, charges and isotopes included), bond kinds, the narrow ends of wedges and
    brackets all count, so two Kekulé forms of a ring differ, as they do on paper. A graph without
    an atom is nothing that was read, and the same as none.
    """
    return bool(first.atoms) and isomorphic(_labelled(first), _labelled(second))


def _labelled(graph: MolGraph) -> LabelledGraph:
    return LabelledGraph(
        tuple(atom.text for atom in graph.atoms),
        tuple((b.begin, b.end, b.order.name, b.order.is_directed) for b in graph.bonds),
        (
            *((f"{bracket.kind} {bracket.mark}", bracket.atoms) for bracket in graph.brackets),
            *((group.kind, group.atoms) for group in graph.stereo_groups),
        ),
    )


# ---- one row ----


@dataclass(frozen=True)
class RowScore:
    """One gold row and what was made of it.

    Attributes:
        gold: the truth.
        prediction: None where there is none, which counts as wrong.
        exact, exact_without_cis_trans, exact_without_stereo, any_r, written_exact,
            graph_smiles_exact, agreement, valid: see the columns above.
        inchi: None where the gold has no InChI.
        chirality: None where the gold has no tetrahedral stereo.
        graph_match: None where the gold holds no graph.
        carbon_simplified, carbon_graph: None where the gold is no CARBON record.
        tanimoto, atom_f1, bond_f1: 0 to 1.
        rank: of the gold in the prediction's list of SMILES, from 1; None where it is not there.
        seconds, memory_mib: None where the prediction does not say.
        kinds: of error, keys of `eyesmol.evaluation.error_analysis.ERROR_KINDS`; empty where
            `exact`.
    """

    gold: Gold
    prediction: Recognition | None
    exact: bool
    exact_without_cis_trans: bool
    exact_without_stereo: bool
    any_r: bool
    chirality: bool | None
    inchi: bool | None
    written_exact: bool
    graph_smiles_exact: bool
    graph_match: bool | None
    carbon_simplified: bool | None
    carbon_graph: bool | None
    agreement: bool
    valid: bool
    tanimoto: float
    atom_f1: float
    bond_f1: float
    rank: int | None
    seconds: float | None
    memory_mib: float | None
    kinds: tuple[str, ...]

    @property
    def molecule(self) -> str:
        """What drawings of one molecule have in common."""
        return self.gold.smiles or self.gold.image

    @property
    def is_right(self) -> bool:
        """An exact match; of a gold without a SMILES, the graph."""
        return self.exact if self.gold.smiles else bool(self.carbon_graph)


def _score_row(gold: Gold, prediction: Recognition | None) -> RowScore:
    read = prediction or Recognition(gold.image)
    written, listed = read.molecule.written_canonical, read.molecule.graph_smiles
    graph_match = None
    if gold.graph is not None:
        graph_match = read.graph is not None and same_graph(gold.graph, read.graph)
    simplified, carbon_graph = _carbon_tracks(gold, read)
    exact = same_smiles(read.smiles, gold.smiles)
    no_cis_trans = same_smiles(_without_cis_trans(read.smiles), _without_cis_trans(gold.smiles))
    atom_f1, bond_f1 = (1.0, 1.0) if exact or not gold.smiles else _f1(gold, read)
    return RowScore(
        gold=gold,
        prediction=prediction,
        exact=exact,
        exact_without_cis_trans=no_cis_trans,
        exact_without_stereo=same_smiles(read.smiles, gold.smiles, stereo=False),
        any_r=_same_any_r(read.smiles, gold.smiles),
        chirality=no_cis_trans if "@" in gold.smiles else None,
        inchi=_same_inchi(gold.smiles, read.smiles),
        written_exact=same_smiles(written, gold.smiles),
        graph_smiles_exact=same_smiles(listed, gold.smiles),
        graph_match=graph_match,
        carbon_simplified=simplified,
        carbon_graph=carbon_graph,
        agreement=same_smiles(written, listed),
        valid=bool(read.smiles) and molecule_key(read.smiles or "") is not None,
        tanimoto=tanimoto(read.smiles, gold.smiles),
        atom_f1=atom_f1,
        bond_f1=bond_f1,
        rank=_rank(gold, read),
        seconds=read.seconds or None,
        memory_mib=read.memory_mib,
        kinds=() if exact or not gold.smiles else _kinds(gold, read),
    )


def _carbon_tracks(gold: Gold, read: Recognition) -> tuple[bool | None, bool | None]:
    """Simplified graph and graph; None where the gold is no CARBON record."""
    if gold.carbon is None:
        return None, None
    found = read_carbon(read)
    if found is None:
        return False, False
    return (
        same_carbon(gold.carbon, found, simplified=True),
        same_carbon(gold.carbon, found, simplified=False),
    )


def _rank(gold: Gold, read: Recognition) -> int | None:
    guesses = enumerate((read.smiles, *read.alternatives), start=1)
    return next((rank for rank, guess in guesses if same_smiles(guess, gold.smiles)), None)


def _f1(gold: Gold, read: Recognition) -> tuple[float, float]:
    """Atom and bond F1 of the best guess, or of what was listed where there is none."""
    guess = read.smiles or (_unchecked_smiles(read.graph) if read.graph else None)
    alignment = aligned(gold.smiles, guess) if guess else None
    return (alignment.atom_f1, alignment.bond_f1) if alignment else (0.0, 0.0)


def _unchecked_smiles(graph: MolGraph) -> str | None:
    """SMILES of a graph that RDKit refuses as a molecule, impossible valences and all."""
    try:
        block = graph_to_molblock(expand_abbreviations(graph)[0])
        return str(Chem.MolToSmiles(block_to_mol(block, sanitize=False)))
    except (ValueError, IndexError, RuntimeError):  # hundreds of crossing bonds confuse RDKit
        return None


def _kinds(gold: Gold, read: Recognition) -> tuple[str, ...]:
    if read.smiles is None and read.graph is not None and read.graph.atoms:
        return ("invalid",)
    truth, guess = molecule_key(gold.smiles) or gold.smiles, read.smiles
    return error_kinds(truth, guess and (molecule_key(guess) or guess))


# ---- a whole set ----


@dataclass(frozen=True)
class Share:
    """A mean over rows with its 95 % interval.

    Attributes:
        value: `low` and `high` bound it.
        n: rows that it is taken over.
        bootstrap: the percentile bootstrap interval; for a mean the same as `low` and `high`.
        molecules: that the rows draw; fewer than `n` where one is drawn several times.
    """

    value: float
    low: float
    high: float
    n: int
    bootstrap: tuple[float, float]
    molecules: int

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n,
                "molecules": self.molecules, "bootstrap": list(self.bootstrap)}  # fmt: skip


_RESAMPLES = 1000


def _wilson(values: Sequence[float], molecules: Sequence[str] | None = None) -> Share:
    """A share of yes among yes and no, with Wilson's score interval."""
    share = sum(values) / len(values)
    sums, counts = _by_molecule(values, molecules)
    n, z = _effective(share, sums, counts), 1.959964
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and 1 an end is the share itself, which rounding misses by a hair.
    low, high = min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
    if len(counts) < len(values):
        drawn = _resampled(sums, counts)
    else:  # to draw rows of yes and no anew is to draw one binomial number
        drawn = np.random.default_rng(0).binomial(len(values), share, _RESAMPLES) / len(values)
    return Share(share, low, high, len(values), _middle_95(drawn), len(counts))


def _bootstrap(values: Sequence[float], molecules: Sequence[str] | None = None) -> Share:
    """A mean with its percentile bootstrap interval: 1,000 resamples, the same ones every time."""
    sums, counts = _by_molecule(values, molecules)
    interval = _middle_95(_resampled(sums, counts))
    mean = float(np.asarray(values, dtype=float).mean())
    return Share(mean, *interval, len(values), interval, len(counts))


def _highest(values: Sequence[float], molecules: Sequence[str] | None = None) -> Share:
    """The highest value, which has no interval."""
    highest = float(max(values))
    return Share(highest, highest, highest, len(values), (highest, highest), len(values))


_Numbers = npt.NDArray[np.float64]


def _by_molecule(
    values: Sequence[float], molecules: Sequence[str] | None
) -> tuple[_Numbers, _Numbers]:
    """Sum and number of the values of each molecule; without names each value is its own."""
    array = np.asarray(values, dtype=float)
    if molecules is None:
        return array, np.ones(len(array))
    number = np.unique(np.asarray(molecules), return_inverse=True)[1]
    sums, counts = np.bincount(number, array), np.bincount(number)
    return sums.astype(np.float64), counts.astype(np.float64)


def _effective(share: float, sums: _Numbers, counts: _Numbers) -> float:
    """How many independent rows tell as much about a share as rows of so many molecules do."""
    n, groups = float(counts.sum()), len(counts)
    if groups == n or groups == 1:
        return float(groups)
    variance = groups / (groups - 1) * float(((sums - share * counts) ** 2).sum()) / n**2
    # Without any variance to see, molecules are what can be counted on.
    return min(n, share * (1 - share) / variance) if variance else float(groups)


def _resampled(sums: _Numbers, counts: _Numbers) -> _Numbers:
    """Means of the values of molecules drawn anew."""
    random, groups = np.random.default_rng(0), len(counts)
    drawn = (random.integers(groups, size=groups) for _ in range(_RESAMPLES))
    return np.array([sums[chosen].sum() / counts[chosen].sum() for chosen in drawn])


def _middle_95(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Metric:
    """A column.

    Attributes:
        title: its head.
        value: how a row's value is found; None: not scored.
        share: the mean of a column and its interval.
        unit: how a value is written: per cent, a number from 0 to 1, seconds, or MiB.
        needs_smiles: whether a gold without a SMILES is left out.
    """

    title: str
    value: Callable[[RowScore], float | None]
    share: Callable[[Sequence[float], Sequence[str] | None], Share] = _wilson
    unit: Literal["%", "", "s", "MiB"] = "%"
    needs_smiles: bool = True

    def of(self, row: RowScore) -> float | None:
        """The value of a row; None where it is not scored."""
        return self.value(row) if row.gold.smiles or not self.needs_smiles else None

    def over(self, rows: Iterable[RowScore]) -> Share | None:
        """The column over some rows, clustered by molecule; None where none is scored."""
        known = [(v, row.molecule) for row in rows if (v := self.of(row)) is not None]
        return self.share([v for v, _ in known], [m for _, m in known]) if known else None

    @property
    def less_is_better(self) -> bool:
        """True of costs."""
        return self.unit in ("s", "MiB")

    def text(self, value: float) -> str:
        """A value as tables show it, without its unit."""
        if self.unit == "%":
            return f"{value * 100:.1f}"
        if self.unit == "MiB":
            return f"{value:,.0f}"
        return f"{value:.2f}" if value >= 0.1 or not self.unit else f"{value:.2g}"


# A column is shown where some list is longer than the one before it takes.
_RANKS = (3, 5, 10)


def _within(most: int) -> Callable[[RowScore], float | None]:
    """Whether the gold is among the first so many of a list."""
    return lambda row: row.rank is not None and row.rank <= most


METRICS: dict[str, Metric] = {
    "exact": Metric("Exact match", lambda row: row.exact),
    "exact_without_cis_trans": Metric(
        "Exact, without cis/trans", lambda row: row.exact_without_cis_trans
    ),
    "exact_without_stereo": Metric("Exact, without stereo", lambda row: row.exact_without_stereo),
    **{f"top_{most}": Metric(f"Exact among the first {most}", _within(most)) for most in _RANKS},
    "any_r": Metric("Exact, any R", lambda row: row.any_r),
    "chirality": Metric("Chirality (golds with it)", lambda row: row.chirality),
    "inchi": Metric("InChI", lambda row: row.inchi),
    "gen_smiles": Metric("Gen-SMILES (written)", lambda row: row.written_exact),
    "gra_smiles": Metric("Gra-SMILES (from the graph)", lambda row: row.graph_smiles_exact),
    "graph": Metric("Graph", lambda row: row.graph_match, needs_smiles=False),
    "wild_smiles": Metric(
        "MolRecBench-Wild, SMILES",
        lambda row: row.exact_without_cis_trans if row.gold.carbon else None,
    ),
    "wild_simplified": Metric(
        "MolRecBench-Wild, simplified graph", lambda row: row.carbon_simplified, needs_smiles=False
    ),
    "wild_graph": Metric(
        "MolRecBench-Wild, graph", lambda row: row.carbon_graph, needs_smiles=False
    ),
    "agreement": Metric("Written and graph agree", lambda row: row.agreement),
    "validity": Metric("Valid molecule", lambda row: row.valid, needs_smiles=False),
    "tanimoto": Metric("Tanimoto similarity", lambda row: row.tanimoto, _bootstrap, ""),
    "atom_f1": Metric("Atom F1", lambda row: row.atom_f1, _bootstrap, ""),
    "bond_f1": Metric("Bond F1", lambda row: row.bond_f1, _bootstrap, ""),
    "seconds": Metric("Seconds an image", lambda row: row.seconds, _bootstrap, "s", False),
    "memory": Metric("Peak memory", lambda row: row.memory_mib, _highest, "MiB", False),
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
        longest = max((1 + len(p.alternatives) for p in read), default=0)
        for fewer, most in itertools.pairwise((1, *_RANKS)):
            if longest <= fewer:
                unknown.add(f"top_{most}")
        found = {key: metric.over(self.rows) for key, metric in METRICS.items()
                 if key not in unknown}  # fmt: skip
        return {key: share for key, share in found.items() if share is not None}

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file: the scores, then every row."""
        return {
            "name": self.name,
            "gold_rows": len(self.rows) + len(self.unscorable),
            "scored": len(self.rows),
            "missing": self.missing,
            "errors": self.errors,
            "unused_predictions": self.unused,
            "scores": {key: share.to_dict() for key, share in self.shares().items()},
            "error_kinds": self.kind_counts(),
            "unscorable": [{"image": i, "reason": reason} for i, reason in self.unscorable],
            "rows": [_row_dict(row) for row in self.rows],
        }

    def table(self) -> str:
        """The scores as lines of text."""
        shares = self.shares()
        lines = [f"{self.name}: {len(self.rows)} pictures scored"]
        width = max(len(METRICS[key].title) for key in shares) if shares else 0
        for key, share in shares.items():
            metric = METRICS[key]
            numbers = (share.value, share.low, share.high)
            value, low, high = (f"{metric.text(number):>5}" for number in numbers)
            interval = f"   [{low}, {high}]" if metric.share is not _highest else ""
            lines.append(f"  {metric.title:<{width}}  {value} {metric.unit:1}{interval}")
        return "\n".join([*lines, *(f"  {line}" for line in self.count_lines())])

    def kind_counts(self) -> dict[str, int]:
        """Rows by the first of their kinds of error, in the order of `ERROR_KINDS`."""
        counts = Counter(row.kinds[0] for row in self.rows if row.kinds)
        return {kind: counts[kind] for kind in ERROR_KINDS if counts[kind]}

    def count_lines(self) -> list[str]:
        """What the columns leave out or count as wrong."""
        lines = []
        molecules = len({row.molecule for row in self.rows})
        if molecules < len(self.rows):
            lines.append(
                f"{self.name}: {len(self.rows)} images of {molecules} molecules: intervals and "
                "tests are clustered by molecule"
            )
        for count, what in (
            (self.missing, "without a prediction (counted as wrong)"),
            (self.errors, "could not be read (counted as wrong)"),
            (self.unused, "predictions for pictures that are not in the gold set (ignored)"),
        ):
            if count:
                lines.append(f"{self.name}: {count} {what}")
        if self.unscorable:
            lines.append(f"{len(self.unscorable)} gold rows that cannot be scored (left out):")
        reasons = Counter(reason for _, reason in self.unscorable)
        lines += [f"  {count} x {reason}" for reason, count in reasons.most_common(10)]
        if len(reasons) > 10:
            lines.append(f"  ... and {len(reasons) - 10} other reasons: see --out FILE.json")
        return lines


def _row_dict(row: RowScore) -> dict[str, Any]:
    values = {key: metric.of(row) for key, metric in METRICS.items()}
    read = row.prediction
    return {
        "image": row.gold.image,
        "gold_smiles": row.gold.smiles,
        "smiles": read.smiles if read else None,
        "confidence": read.confidence if read else None,
        "error": (read.error if read else "no prediction"),
        "error_kinds": list(row.kinds),
        **values,
    }


def evaluate(gold: GoldSet, predictions: Iterable[Recognition], *, name: str) -> Evaluation:
    """Score predictions against the gold.

    Args:
        gold: from `eyesmol.evaluation.gold.load_gold`.
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


def image_keys() -> tuple[Callable[[str], str], ...]:
    """Ways in which two names may be one image's, the strictest first: path, file name, stem."""
    return (
        lambda name: Path(name).as_posix(),
        lambda name: Path(name).name,
        lambda name: Path(name).stem,
    )


def _matched(gold: GoldSet, predictions: list[Recognition]) -> _Matches:
    """By the key that brings most together: path, else file name, else name without ending."""
    images = [row.image for row in gold.rows]

    def shared(key: Callable[[str], str]) -> set[str]:
        return set(map(key, images)) & {key(p.image) for p in predictions}

    key = max(image_keys(), key=lambda key: len(shared(key)))  # of equals the first, the strictest
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
    """Scores of answer texts, for a trainer: ``eyesmol.evaluation.metrics:score_answers``.

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
        exact += same_smiles(smiles, truth.smiles)
        graph += same_graph(read.graph, truth.graph)
    count = max(len(references), 1)
    return {
        "exact_match": exact / count,
        "validity": valid / count,
        "graph_match": graph / count,
    }
