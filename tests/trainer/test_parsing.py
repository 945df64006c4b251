"""Flags: all mistakes at once, files under flags, the shipped configs, and what the flags cause."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
import yaml
from qwen_vl_finetune import plugins
from qwen_vl_finetune.errors import UserError
from qwen_vl_finetune.flags import DataArguments, LoraArguments, ModelArguments, TrainArguments
from qwen_vl_finetune.model import load_checked
from qwen_vl_finetune.optimizers import MuonAdamW, parameter_groups, part_rates
from qwen_vl_finetune.parsing import REFUSED, make_parser, parse_arguments, read_config_file
from qwen_vl_finetune.sharding import sharding_problems
from transformers import TrainingArguments

from .conftest import LORA, TRAINER, Train


def words(nano: Path, data: Path) -> list[str]:
    return ["--model_id", str(nano), "--data_path", str(data), "--output_dir", "run"]


def test_tensorboard_is_the_default_tracker(nano: Path, data: Path) -> None:
    assert parse_arguments(words(nano, data)).train.report_to == ["tensorboard"]
    assert parse_arguments([*words(nano, data), "--report_to", "none"]).train.report_to == []


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


def test_a_config_lies_over_its_base(nano: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("lora_rank: 7\nlora_alpha: 9\nlora_dropout: 0.5\n")
    (tmp_path / "over.yaml").write_text("base: base.yaml\nlora_alpha: 3\nlora_dropout:\n")
    (tmp_path / "top.yaml").write_text("base: over.yaml\nlora_enable: true\nfreeze_llm: true\n")
    lora = parse_arguments([*words(nano, data), "--config", str(tmp_path / "top.yaml")]).lora
    assert (lora.lora_rank, lora.lora_alpha, lora.lora_dropout) == (7, 3, 0.05)


@pytest.mark.parametrize("name", ["instruction", "cot", "cot_stack"])
def test_shipped_configs_hold_known_flags(name: str) -> None:
    path = TRAINER / "configs" / f"{name}.yaml"
    assert path.read_text().startswith("# torchrun --nproc_per_node 4 Qwen2-VL-Finetune/src/train")
    known = {action.dest for action in make_parser()._actions}
    values = read_config_file(path)
    assert values.keys() <= known - REFUSED.keys()
    batch = values["per_device_train_batch_size"] * values["gradient_accumulation_steps"]
    assert 4 * batch == 64
    assert values["per_device_eval_batch_size"] == 2
    assert (TRAINER.parent / values["deepspeed"]).is_file()


def test_deepspeed_files_are_json() -> None:
    for name in ("zero2", "zero3", "zero2_offload", "zero3_offload"):
        settings = json.loads((TRAINER / "scripts" / f"{name}.json").read_text())
        assert str(settings["zero_optimization"]["stage"]) == name[4]
        assert ("offload_optimizer" in settings["zero_optimization"]) == ("offload" in name)


@pytest.mark.parametrize("name", ["zero2", "zero3", "zero2_offload", "zero3_offload"])
def test_deepspeed_takes_its_files(name: str) -> None:
    """DeepSpeed's own reader, once the trainer has filled in what says "auto"."""
    pytest.importorskip("deepspeed", reason="deepspeed is not installed")
    from deepspeed.runtime.config import DeepSpeedConfig
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    file = HfTrainerDeepSpeedConfig(str(TRAINER / "scripts" / f"{name}.json"))
    arguments = TrainArguments(
        output_dir="run", use_cpu=True, bf16=True, per_device_train_batch_size=3,
        gradient_accumulation_steps=2, max_grad_norm=0.7,
    )  # fmt: skip
    file.trainer_config_process(arguments)
    for key, value in list(file.config["zero_optimization"].items()):
        if value == "auto":  # from the model's hidden size, once it is loaded
            file.config["zero_optimization"][key] = 64
    assert "auto" not in json.dumps({k: v for k, v in file.config.items() if k != "fp16"})
    config = DeepSpeedConfig(file.config)
    assert config.zero_config.stage == int(name[4])
    assert bool(config.zero_config.offload_optimizer) == ("offload" in name)
    assert bool(config.zero_config.offload_param) == (name == "zero3_offload")
    assert (config.bfloat16_config.enabled, config.gradient_clipping) == (True, 0.7)
    assert config.train_batch_size == 6


def read_names(path: Path) -> set[str]:
    """Names that a module reads as attributes; checks of the command line do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checks = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name.endswith("_problems")
        for node in ast.walk(function)
    }
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and id(node) not in checks
    }


def test_no_flag_is_dead() -> None:
    """Every flag of ours is read by the trainer; every stock one by stock, or it is refused."""
    sources = list((TRAINER / "src" / "qwen_vl_finetune").glob("*.py"))
    read = set().union(*(read_names(path) for path in sources))
    stock = {f.name for f in fields(TrainingArguments)}
    groups = (ModelArguments, DataArguments, LoraArguments, TrainArguments)
    ours = {f.name for group in groups for f in fields(group)} - stock
    assert ours - read == set()
    library = Path(transformers.__file__).parent
    files = [*library.glob("trainer*.py"), *library.glob("integrations/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    # these are read by TrainingArguments itself, which sets torch, the log or another flag by them
    itself = (library / "training_args.py").read_text(encoding="utf-8")
    dead = {
        name
        for name in stock - REFUSED.keys()
        if not re.search(rf"args\.{name}\b", text) and len(re.findall(rf"\b{name}\b", itself)) < 3
    }
    assert dead == set()


def test_flags_of_upstream_are_taken_with_a_note(
    nano: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "--lazy_preprocess True --remove_unused_columns=False --resume_from_checkpoint true"
    parsed = parse_arguments([*words(nano, data), *flags.split(), "--group_by_length", "True"])
    assert parsed.sampling == "group_by_length"
    notes = capsys.readouterr().out
    assert notes.count("note: --") == 4
    assert "note: --lazy_preprocess changes nothing: images are always read" in notes
    assert parse_arguments([*words(nano, data), "--group_by_length", "false"]).sampling == "random"
    with pytest.raises(UserError, match=r"--resume_from_checkpoint runs/x: expected true or false"):
        parse_arguments([*words(nano, data), "--resume_from_checkpoint", "runs/x"])


def test_a_tracker_that_is_not_installed_is_named(
    nano: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = plugins.find_spec
    monkeypatch.setattr(plugins, "find_spec", lambda n: None if n == "wandb" else stock(n))
    with pytest.raises(UserError, match="--report_to wandb needs the package wandb: pip install"):
        parse_arguments([*words(nano, data), "--report_to", "wandb"])


def test_refused_flags_say_why(nano: Path, data: Path) -> None:
    for name, reason in REFUSED.items():
        with pytest.raises(UserError) as error:
            parse_arguments([*words(nano, data), f"--{name}", "1"])
        assert f"--{name} is not taken: {reason}" in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--fsdp true --deepspeed ZERO2", "take one of them"),
        ('--fsdp true --fsdp_config {"version":1}', "version 1 renames"),
        ('--fsdp true --fsdp_config {"state_dict_type":"SHARDED_STATE_DICT"}', "FULL_STATE_DICT"),
        ("--fsdp true --bits 4", "--bits 4 with --fsdp"),
        ("--deepspeed ZERO3 --bits 8", "--bits 8 with ZeRO-3"),
        ("--deepspeed ZERO3 --first_lora_path a", "with ZeRO-3: by then the base"),
        ("--optim_muon true --optim sgd", "what Muon does not train, AdamW does"),
    ],
)
def test_what_can_not_be_shared_out_is_refused(
    flags: str, said: str, nano: Path, data: Path
) -> None:
    if "ZERO" in flags:
        pytest.importorskip("deepspeed", reason="deepspeed is not installed")
    for name in ("zero2", "zero3"):
        flags = flags.replace(name.upper(), str(TRAINER / "scripts" / f"{name}.json"))
    with pytest.raises(UserError, match=said):
        parse_arguments([*words(nano, data), *LORA, "--use_cpu", "true", *flags.split()])


@pytest.mark.parametrize("name", ["zero2_offload", "zero3_offload"])
def test_an_offloaded_optimizer_is_none_of_bitsandbytes(name: str, nano: Path, data: Path) -> None:
    """It would silently become another one: DeepSpeedCPUAdam, with L2 decay."""
    arguments = parse_arguments([*words(nano, data), *LORA, "--optim", "adamw_bnb_8bit"])
    for file, refused in ((name, True), (name.removesuffix("_offload"), False)):
        arguments.train.deepspeed = str(TRAINER / "scripts" / f"{file}.json")
        found = [text for text in sharding_problems(arguments) if "offloads" in text]
        assert bool(found) == refused


def test_rates_reach_the_optimizer(train: Train, tmp_path: Path) -> None:
    """What a checkpoint's optimizer holds, group by group."""
    rates = ["--vision_lr", "2e-3", "--merger_lr", "3e-3", "--learning_rate", "1e-3"]
    saving = ["--save_strategy", "steps", "--save_steps", "1", "--max_steps", "1"]
    run = train(tmp_path / "run", *LORA, *rates, *saving)
    state = torch.load(run / "checkpoint-1" / "optimizer.pt", weights_only=True)
    found = {(group["part"], group["initial_lr"]) for group in state["param_groups"]}
    assert found == {("language", 1e-3), ("vision", 2e-3), ("merger", 3e-3)}


def test_every_part_logs_its_rate(train: Train, tmp_path: Path) -> None:
    """As the schedule has it at that step; the plain one is the language model's."""
    rates = ["--vision_lr", "2e-3", "--merger_lr", "3e-3", "--learning_rate", "1e-3"]
    run = train(tmp_path / "run", *LORA, *rates, "--lr_scheduler_type", "linear")
    history = json.loads((run / "trainer_state.json").read_text())["log_history"]
    for step, entry in enumerate((e for e in history if "loss" in e), start=1):
        left = 1 - step / 4
        assert entry["learning_rate"] == pytest.approx(1e-3 * left)
        assert entry["learning_rate_language"] == pytest.approx(1e-3 * left)
        assert entry["learning_rate_vision"] == pytest.approx(2e-3 * left)
        assert entry["learning_rate_merger"] == pytest.approx(3e-3 * left)
    flags = ["--optim_muon", "true", "--muon_lr", "7e-3", "--lr_scheduler_type", "constant"]
    run = train(tmp_path / "muon", *flags, "--learning_rate", "5e-3")
    entry = json.loads((run / "trainer_state.json").read_text())["log_history"][0]
    assert (entry["learning_rate_muon"], entry["learning_rate"]) == (7e-3, 5e-3)


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


@pytest.mark.parametrize("name", ["zero2", "zero2_offload"])
def test_zero2_overlaps_no_communication(name: str) -> None:
    """Users trace NaN to gradients that are reduced while others are still written."""
    settings = json.loads((TRAINER / "scripts" / f"{name}.json").read_text())
    assert settings["zero_optimization"]["overlap_comm"] is False


def test_a_liger_that_can_not_be_applied_is_refused_before_weights_are_loaded(
    nano: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its list of families imports; the class that its patch needs does not."""
    from qwen_vl_finetune import model

    arguments = parse_arguments([*words(nano, data), "--use_cpu", "true"])
    arguments.model.use_liger = True
    whole = {
        "liger_kernel.transformers.monkey_patch": SimpleNamespace(
            MODEL_TYPE_TO_APPLY_LIGER_FN={"qwen2_5_vl": None}
        )
    }

    def imported(name: str) -> object:
        if name not in whole:
            raise ImportError("cannot import name 'LigerQwen2_5_VLCausalLMOutputWithPast'")
        return whole[name]

    monkeypatch.setattr(model, "import_module", imported)
    with monkeypatch.context() as patch:
        patch.setattr(model, "load_checked", None)
        with pytest.raises(UserError, match=r"--use_liger: .*Liger.*Leave the flag out"):
            model.load_model(nano, arguments)
    whole["liger_kernel.transformers.model.qwen2_5_vl"] = SimpleNamespace()
    model.load_model(nano, arguments)
    assert arguments.train.use_liger_kernel
    # it would put its own forward in the place of the one that makes few logits
    assert arguments.train.liger_kernel_config == {"fused_linear_cross_entropy": False}
