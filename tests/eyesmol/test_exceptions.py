"""One tree of exceptions, each with an exit code that a script can tell apart."""

from __future__ import annotations

import pytest

from eyesmol.exceptions import (
    DataError,
    EyesMolError,
    InputError,
    ModelError,
    ServerError,
    shown,
)

KINDS = (EyesMolError, InputError, DataError, ModelError, ServerError)


def test_each_kind_has_an_exit_code_of_its_own() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(KINDS)
    assert all(0 < code < 64 for code in codes)
    assert InputError.exit_code == 2  # as argparse ends on a wrong option


@pytest.mark.parametrize("kind", KINDS[1:])
def test_one_clause_catches_them_all(kind: type[EyesMolError]) -> None:
    with pytest.raises(EyesMolError, match=r"rows\.json, row 3"):
        raise kind("rows.json, row 3: found nothing")


def test_a_wrong_value_is_shown_in_short() -> None:
    assert shown(None) == "nothing"
    assert shown("C") == "'C'"
    assert shown("C" * 100) == "'" + "C" * 56 + "..."
