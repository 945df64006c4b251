"""The comparison with upstream starts what a checkout holds, and tells epochs from start-up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("torch")
from benchmarks import upstream
from benchmarks.upstream import Run, run, table

# what upstream's own entry point imports and asks for, without a model
CHECKOUT = """
import json, pathlib, sys
import ujson
from liger_kernel.transformers import apply_liger_kernel_to_qwen2_5_vl
from qwen_vl_utils import process_vision_info
from src.constants import IGNORE_INDEX
from train_beside import beside

assert ujson.loads("[1]") == [1] and IGNORE_INDEX == -100 and beside
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
part = {"image": flags["--image"], "min_pixels": 56 * 56, "max_pixels": 56 * 56}
images, _ = process_vision_info([{"role": "user", "content": [part]}])
output = pathlib.Path(flags["--output_dir"])
output.mkdir()
log = [{"step": 1, "loss": images[0].width}, {"step": 1, "eval_loss": 3}]
(output / "trainer_state.json").write_text(json.dumps({"log_history": log}))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    entry = tmp_path / "checkout" / upstream.THEIRS
    entry.parent.mkdir(parents=True)
    entry.write_text(CHECKOUT)
    (entry.parent / "train_beside.py").write_text("beside = True")
    (entry.parents[1] / "constants.py").write_text("IGNORE_INDEX = -100")
    return tmp_path / "checkout"


def test_a_checkout_is_started_as_its_own_scripts_do(checkout: Path, tmp_path: Path) -> None:
    Image.new("L", (112, 112)).save(tmp_path / "x.png")
    command = [sys.executable, upstream.__file__, "--as", str(checkout)]
    flags = ["--output_dir", str(tmp_path / "run"), "--image", str(tmp_path / "x.png")]
    found = run([*command, *flags], tmp_path / "run")
    assert found.losses == [56]
    assert found.seconds > 0
    assert found.peak > 2**20
    with pytest.raises(SystemExit, match="takes a checkout of the trainer"):
        run([*command[:-1], str(tmp_path), *flags], tmp_path / "run")


def test_an_epoch_is_what_a_second_one_costs() -> None:
    runs = {
        "upstream": [(Run(10, 2**30, [3.0, 2.0]), Run(14, 2**30, []))],
        "ours, packed": [(Run(9, 2**29, [3.0, 2.0]), Run(11, 2**29, []))],
    }
    lines = table(runs, tokens=800).splitlines()
    assert lines[1].split()[:5] == ["upstream", "200", "1.00x", "6.0", "s"]
    assert lines[2].split()[2:8] == ["400", "2.00x", "7.0", "s", "512", "MiB"]
    assert json.dumps(lines[2]).endswith('3.0000, 2.0000, 2.0000"')
