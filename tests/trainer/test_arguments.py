"""Flags: all mistakes at once, files under flags, the shipped configs, and what the flags cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from qwen_vl_finetune.arguments import REFUSED, make_parser, parse_arguments
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.optimizers import MuonAdamW, parameter_groups, part_rates

from .conftest import LORA, ROOM


def words(nano: Path, data: Path) -> list[str]:
    return ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "run"]


def test_all_mistakes_are_reported_at_once(nano: Path) -> None:
    wrong = "--lora_rnk 3 --lora_rank abc --do_train true --bits 5 --lora_enable true"
    more = "--vision_lora true --merger_lr 1 --freeze_merger true --data_path nowhere.json"
    with pytest.raises(UserError) as error:
        parse_arguments([*wrong.split(), *more.split(), "--image_min_pixels", "100"])
    for part in (
        "--lora_rnk: no such flag; did you mean --lora_rank?",
        "invalid int value: 'abc'",
        "--do_train is not taken",
        "--bits 5: expected 16, 8 or 4",
        "--model_id is missing",
        "nowhere.json: no such file",
        "add --freeze_llm true",
        "add --freeze_vision_tower true",
        "--merger_lr is set, but the merger does not train",
        "--image_min_pixels 100: in pixels",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--freeze_llm true --freeze_merger true --freeze_vision_tower true", "nothing trains"),
        ("--first_lora_path a", "needs --lora_enable true"),
        ("--eval_strategy epoch", "--eval_path is missing"),
        ("--optim_muon true --merger_lr 1e-3", "Muon has one rate"),
        (" ".join([*LORA, "--freeze_merger", "true", "--optim_muon", "true"]), "no matrix"),
        ("--lora_namespan_exclude [1", "not a list of names"),
        ("--lora_dropout 1", "expected 0 <= p < 1"),
    ],
)
def test_mistakes_in_combination(flags: str, said: str, nano: Path, data: Path) -> None:
    with pytest.raises(UserError, match=said):
        parse_arguments([*words(nano, data), *flags.split()])


def test_flags_override_the_file(nano: Path, data: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    values = {"lora_rank": 7, "lora_alpha": 9, "lora_enable": True, "freeze_llm": True}
    config.write_text(yaml.safe_dump({**values, "first_lora_path": None}))
    parsed = parse_arguments(
        [*words(nano, data), "--config", str(config), "--lora_rank", "5", "--warmup_ratio", "0.1"]
    )
    assert (parsed.lora.lora_rank, parsed.lora.lora_alpha) == (5, 9)
    assert parsed.train.warmup_steps == 0.1
    assert parsed.exclude == ["lm_head", "embed_tokens"]


@pytest.mark.parametrize("name", ["instruction", "cot", "cot_stack"])
def test_shipped_configs_hold_known_flags(name: str) -> None:
    path = ROOM / "configs" / f"{name}.yaml"
    assert path.read_text().startswith("# torchrun --nproc_per_node 4 Qwen2-VL-Finetune/src/train")
    known = {action.dest for action in make_parser()._actions}
    values = yaml.safe_load(path.read_text())
    assert values.keys() <= known - REFUSED.keys()
    batch = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
    assert 4 * batch == 64
    assert (ROOM.parent / values["deepspeed"]).is_file()


def test_deepspeed_files_are_json() -> None:
    for name in ("zero2", "zero3", "zero2_offload", "zero3_offload"):
        settings = json.loads((ROOM / "scripts" / f"{name}.json").read_text())
        assert str(settings["zero_optimization"]["stage"]) == name[4]
        assert ("offload_optimizer" in settings["zero_optimization"]) == ("offload" in name)


def test_every_part_has_its_rate(nano: Path) -> None:
    groups = parameter_groups(load_checked(nano), part_rates(1.0, 2.0, 3.0), 0.1, None)
    assert {(g["part"], g["lr"]) for g in groups} == {
        ("language", 1.0),
        ("vision", 2.0),
        ("merger", 3.0),
    }
    assert {g["weight_decay"] for g in groups} == {0.0, 0.1}


def test_muon_trains_hidden_matrices_only(nano: Path) -> None:
    model = load_checked(nano, dtype=torch.float32)
    names = {id(p): n for n, p in model.named_parameters()}
    groups = parameter_groups(model, part_rates(1e-3, None, None), 0.0, 3e-3)
    muon = {names[id(p)] for g in groups if g["use_muon"] for p in g["params"]}
    rest = {names[id(p)] for g in groups if not g["use_muon"] for p in g["params"]}
    assert muon | rest == set(names.values())
    assert all(model.get_parameter(n).ndim == 2 for n in muon)
    assert not any("embed" in n or "lm_head" in n or "norm" in n for n in muon)
    assert "model.visual.merger.mlp.0.weight" in muon
    assert "model.language_model.embed_tokens.weight" in rest


def test_muon_and_adamw_take_the_steps_of_their_originals() -> None:
    """One optimizer equals two apart, before and after its state went through a checkpoint."""
    torch.manual_seed(0)
    start = [torch.randn(6, 4), torch.randn(5)]

    def step(parameters: list[torch.nn.Parameter], *optimizers: torch.optim.Optimizer) -> None:
        for i, p in enumerate(parameters):
            p.grad = torch.sin(p.detach() + i)
        for optimizer in optimizers:
            optimizer.step()

    apart = [torch.nn.Parameter(t.clone()) for t in start]
    muon = torch.optim.Muon(apart[:1], 0.1, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(apart[1:], 0.01, weight_decay=0.0)
    ours = [torch.nn.Parameter(t.clone()) for t in start]
    kinds = zip(ours, (True, False), (0.1, 0.01), strict=True)
    groups = [{"params": [p], "use_muon": m, "lr": r, "weight_decay": 0.0} for p, m, r in kinds]
    both = MuonAdamW([dict(g) for g in groups])
    for turn in range(4):
        if turn == 2:
            state = both.state_dict()
            both = MuonAdamW([dict(g) for g in groups])
            both.load_state_dict(state)
        step(apart, muon, adamw)
        step(ours, both)
    for a, b in zip(apart, ours, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
