"""The name of the reader that comes along: found beside any folder, unless a model is called so."""

from __future__ import annotations

from pathlib import Path

import pytest

from eyesmol.reader.embedded import NANO, model_folder


def test_only_a_model_of_that_name_is_taken_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = model_folder(NANO)
    assert Path(shipped, "config.json").is_file()
    Path(NANO).mkdir()  # such as the project's own package
    assert model_folder(NANO) == shipped
    Path(NANO, "config.json").touch()
    assert model_folder(NANO) == NANO
    assert model_folder("some/hub-name") == "some/hub-name"
