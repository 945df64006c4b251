"""``vote``: of several readers' predictions the answer that most of them give."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eyesmol.cli import UsageError
from eyesmol.outputs import FORMATS, check_output, write_as

if TYPE_CHECKING:
    from eyesmol.evaluation.vote import Ballot, Learnt, Trust

_EXAMPLES = """examples:
  eyesmol vote ours.jsonl osra.jsonl molvec.sdf molscribe.csv --out voted.jsonl
  eyesmol vote valid/*.csv --learn gold.csv --save-calibration vote.json
  eyesmol vote all/*.csv --calibration vote.json --out voted.jsonl"""


def add(commands: Any) -> None:
    """Add the command to the parsers."""
    parser = commands.add_parser(
        "vote",
        help="take the answer that most of several readers give",
        description="Of several readers' predictions take the molecule that most of them give, "
        "and say how many agreed and how likely that is right. Of equally many votes the better "
        "reader's counts, or the one named first where nothing was learnt: name the best first.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="PREDICTIONS",
        help="of two readers or more: files of eyesmol recognize, or of OSRA, MolVec, MolScribe, "
        "DECIMER and others as they are, as for eyesmol evaluate",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=f"file to write: {', '.join(FORMATS)}; .jsonl tells who gave which molecule",
    )
    parser.add_argument(
        "--learn",
        metavar="GOLD",
        help="the truth of some or all of the images, as for eyesmol evaluate: learn from it how "
        "likely an answer is right. An image of GOLD gets what the others teach (5-fold)",
    )
    parser.add_argument("--save-calibration", metavar="FILE.json", help="keep what --learn learns")
    parser.add_argument(
        "--calibration",
        metavar="FILE.json",
        help="what was learnt before, from the same readers in the same order",
    )
    parser.add_argument(
        "--name", action="append", help="a reader's name (its file's); once for each of them"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a FILE that is there")
    parser.set_defaults(run=_vote)


def _vote(options: argparse.Namespace) -> None:
    from eyesmol.evaluation.gold import load_gold
    from eyesmol.evaluation.predictions import load_predictions
    from eyesmol.evaluation.vote import Trust, ballots, learn, vote_row, voted

    _check(options)
    names = options.name or [Path(path).stem for path in options.files]
    known = Trust.read(options.calibration) if options.calibration else None
    if known and len(known.readers) != len(names):
        raise UsageError(
            f"{options.calibration}: of {len(known.readers)} readers ({', '.join(known.readers)}), "
            f"found {len(names)}; give the same readers in the same order"
        )
    predictions = [load_predictions(path) for path in options.files]
    found = ballots(predictions, names)
    learnt = None
    if options.learn:
        learnt = learn(found, names, load_gold(options.learn))
        known = learnt.trust
        if options.save_calibration:
            known.write(Path(options.save_calibration))
    order = known.order if known else range(len(names))
    answers = [
        voted(ballot, order, names, _probability(ballot, order, known, learnt)) for ballot in found
    ]
    if options.out:
        rows = (vote_row(b, answer, names) for b, answer in zip(found, answers, strict=True))
        write_as(Path(options.out), rows)
    print(_summary(found, order, names, learnt), file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    """Say what does not go together, before anything is read."""
    if len(options.files) < 2:
        raise UsageError("expected predictions of at least two readers")
    if options.name and len(options.name) != len(options.files):
        raise UsageError(
            f"{len(options.files)} predictions, but {len(options.name)} times --name: give as many"
        )
    if options.save_calibration and not options.learn:
        raise UsageError("--save-calibration goes with --learn GOLD")
    if options.learn and options.calibration:
        raise UsageError("--learn and --calibration: give one of the two")
    if not (options.out or options.save_calibration):
        raise UsageError("give --out FILE, or --learn GOLD with --save-calibration FILE")
    if options.out:
        check_output(Path(options.out))
        if Path(options.out).exists() and not options.overwrite:
            raise UsageError(f"--out {options.out}: is there already; --overwrite replaces it")


def _probability(
    ballot: Ballot, order: Sequence[int], trust: Trust | None, learnt: Learnt | None
) -> float | None:
    """That the answer is right, never learnt from the image itself; None where nothing is known."""
    if learnt and ballot.image in learnt.honest:
        return learnt.honest[ballot.image]
    ranked = ballot.ranked(order)
    return trust.probability(ballot, ranked[0]) if trust and ranked else None


def _summary(
    found: Sequence[Ballot], order: Sequence[int], names: Sequence[str], learnt: Learnt | None
) -> str:
    """How many readers agreed on how many images, and how often that was right."""

    def agreed(ballot: Ballot) -> int:
        ranked = ballot.ranked(order)
        return len(ballot.answers[ranked[0]]) if ranked else 0

    images = Counter(map(agreed, found))
    lines = [f"{len(found)} images, {len(names)} readers"]
    for count in sorted(images, reverse=True):
        line = f"  {count} agree: {images[count]} images"
        if learnt:
            known = [right for ballot, right in learnt.rows if agreed(ballot) == count]
            if known:
                line += f", {sum(known) / len(known):.1%} right of {len(known)} with a truth"
        lines.append(line)
    if learnt:
        from eyesmol.answer.confidence import reliability

        right = [is_right for _, is_right in learnt.rows]
        honest = reliability([learnt.honest[ballot.image] for ballot, _ in learnt.rows], right)
        trust = learnt.trust
        readers = zip(trust.readers, trust.right, trust.weights, strict=True)
        lines += (f"  {name}: {share:.1%} right, weight {w:.2f}" for name, share, w in readers)
        lines.append(
            f"  vote: {sum(right) / len(right):.1%} right of {len(right)}; probability, 5-fold: "
            f"Brier {honest.brier:.4f}, calibration error {honest.error:.4f}"
        )
    return "\n".join(lines)
