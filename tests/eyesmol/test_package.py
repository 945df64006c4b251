"""The package itself: its public names come when asked for, and cost nothing until then."""

from __future__ import annotations

import subprocess
import sys

import pytest

import eyesmol


def test_importing_it_loads_neither_torch_nor_rdkit() -> None:
    program = (
        "import sys, eyesmol\n"
        "heavy = {'torch', 'transformers', 'rdkit', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from eyesmol import MolGraph, Recognition\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", eyesmol.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(eyesmol, name).__name__ == name
    assert name in dir(eyesmol)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Reader'"):
        eyesmol.Reader  # noqa: B018
