"""The merge scripts: files in, a finished folder out, or nothing at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from qwen_vl_finetune.adapters import ADAPTER, FULL_MODULES
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.merge import MERGE_RECORD, TensorFile, merge
from qwen_vl_finetune.merge_cli import main_one, main_stack
from qwen_vl_finetune.model_folder import PROCESSOR_FILES, memory_name, read_header, weight_shards
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from .conftest import TRAINER


@pytest.fixture(scope="module")
def sharded(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in bf16 and several shards."""
    folder = shutil.copytree(nano, tmp_path_factory.mktemp("models") / "sharded")
    (folder / "model.safetensors").unlink()
    model = AutoModelForImageTextToText.from_pretrained(nano, dtype=torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(weight_shards(folder)) >= 3
    return folder


def without_record(adapter: Path, target: Path) -> Path:
    """An adapter that says nothing of its base, so that it goes on a bf16 copy."""
    shutil.copytree(adapter, target)
    (target / "run.json").unlink()
    return target


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All weights of a model folder, by names in memory."""
    found = {}
    for shard in weight_shards(folder):
        found.update({memory_name(key): value for key, value in load_file(shard).items()})
    return found


def test_each_weight_is_rounded_once(sharded: Path, first: Path, tmp_path: Path) -> None:
    """bf16 shards: base plus B A times scale, all in fp32, then to bf16; the rest bit by bit."""
    adapter = without_record(first, tmp_path / "adapter")
    merge(str(sharded), [adapter], tmp_path / "merged", verify=False, tol=None)
    base, merged = tensors(sharded), tensors(tmp_path / "merged")
    lora, full = load_file(adapter / ADAPTER), load_file(adapter / FULL_MODULES)
    config = json.loads((adapter / "adapter_config.json").read_text())
    changed = 0
    assert merged.keys() == base.keys()
    for name, value in base.items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        expected = full.get(name, value).float()
        if f"{key}A.weight" in lora:
            a, b = lora[f"{key}A.weight"].float(), lora[f"{key}B.weight"].float()
            expected = expected + config["lora_alpha"] / config["r"] * (b @ a)
            # a sum may land on the other side of a rounding edge
            torch.testing.assert_close(merged[name].float(), expected, rtol=2**-8, atol=1e-7)
        else:
            assert torch.equal(merged[name], expected.to(value.dtype)), name
        changed += not torch.equal(merged[name], value)
    assert changed >= len(lora) // 2
    for shard in weight_shards(sharded):  # same names, shapes, precision and order in every file
        assert read_header(shard) == read_header(tmp_path / "merged" / shard.name)


def test_base_and_adapters_stay_as_they_are(nano: Path, first: Path, tmp_path: Path) -> None:
    """Shards are written over in place: in the copy, never in the base."""
    files = [path for folder in (nano, first) for path in folder.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    merge(str(nano), [first], tmp_path / "merged", verify=False, tol=None)
    assert {path: path.read_bytes() for path in files} == before


def test_all_that_a_reader_needs_is_inside(nano: Path, first: Path, tmp_path: Path) -> None:
    """Processor, chat template and generation settings travel with the weights."""
    merge(str(nano), [first], tmp_path / "merged", verify=False, tol=None)
    there = {path.name for path in nano.iterdir()} & set(PROCESSOR_FILES)
    assert "generation_config.json" in there
    for name in there:
        assert (tmp_path / "merged" / name).read_bytes() == (nano / name).read_bytes()
    text = "".join(path.read_text() for path in (tmp_path / "merged").glob("*chat_template*"))
    text += (tmp_path / "merged" / "tokenizer_config.json").read_text()
    assert "im_start" in text


def test_killed_merge_leaves_nothing_that_looks_finished(
    nano: Path, first: Path, tmp_path: Path
) -> None:
    """kill -9 in the middle of the shards; the same command then does it all."""
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from qwen_vl_finetune import merge as merging\n"
        "stock = merging.TensorFile.write_over\n"
        "def slow(self, *args):\n"
        "    stock(self, *args); print('wrote', flush=True); time.sleep(60)\n"
        "merging.TensorFile.write_over = slow\n"
        "merging.merge(sys.argv[1], [Path(sys.argv[2])], Path(sys.argv[3]), False, None)\n"
    )
    target = tmp_path / "merged"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(nano), str(first), str(target)],
        env={"PYTHONPATH": str(TRAINER / "src"), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "wrote"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == [".merged.part"]
    merge(str(nano), [first], target, verify=True, tol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    assert (target / MERGE_RECORD).is_file()


def test_weights_that_cannot_be_merged_are_named(nano: Path, first: Path, tmp_path: Path) -> None:
    """A tensor of eight bits, and a file that was cut off."""
    file = tmp_path / "small.safetensors"
    save_file({"w": torch.zeros(4, dtype=torch.int8), "v": torch.zeros(4)}, file)
    with pytest.raises(UserError, match="w is stored as I8, expected one of"):
        TensorFile(file).read("w")
    assert torch.equal(TensorFile(file).read("v"), torch.zeros(4))
    broken = shutil.copytree(first, tmp_path / "broken")
    data = (broken / ADAPTER).read_bytes()
    (broken / ADAPTER).write_bytes(data[:-100])
    (broken / "run.json").unlink()
    with pytest.raises(UserError, match="cut off at"):
        merge(str(nano), [broken], tmp_path / "merged", verify=False, tol=None)
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("stack", [False, True])
def test_original_flags(
    stack: bool, nano: Path, first: Path, second: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The flags of the original scripts, as people give them."""
    one = ["--model-path", first]
    two = ["--checkpoint-path", second, "--first-lora-path", first]
    words = ["--model-base", nano, "--save-model-path", tmp_path / "merged"]
    monkeypatch.setattr(sys, "argv", [str(w) for w in ["script", *(two if stack else one), *words]])
    assert (main_stack if stack else main_one)() == 0
    record = json.loads((tmp_path / "merged" / MERGE_RECORD).read_text())
    assert len(record["adapters"]) == (2 if stack else 1)
