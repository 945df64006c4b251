"""Drops are counted by reason, with their first examples, and named the same way everywhere."""

from __future__ import annotations

import pytest

from data_preprocess.tally import Tally, print_drops, summary


def test_counts_examples_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    tally, other = Tally(), Tally()
    for number in range(1_200):
        tally.add("unreadable", f"row {number}")
    tally.add("empty", "row 7", count=3)
    other.add("unreadable", "row 9")
    tally.update(other)
    tally.update(other, prefix="second: ")
    drops = tally.to_dict()
    assert list(drops) == ["unreadable", "empty", "second: unreadable"]
    assert drops["unreadable"] == {"count": 1_201, "examples": [f"row {n}" for n in range(5)]}
    assert drops["empty"] == {"count": 3, "examples": ["row 7"]}
    assert other.to_dict()["unreadable"]["count"] == 1, "the other one is left as it was"
    assert summary(drops) == "unreadable: 1,201; empty: 3; second: unreadable: 1"
    print_drops(drops)
    assert capsys.readouterr().out.splitlines()[1] == "          3  empty, such as row 7"
