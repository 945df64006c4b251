"""What is exported is the network: it sees, decides, spells and reads as torch does."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import Draw
from safetensors.torch import save_file
from torch import nn

from detector_training.export import export, main, trained
from eyesmol.detector.network import Network, Shape
from eyesmol.detector.onnx_engine import OnnxEngine
from eyesmol.detector.reading import read
from eyesmol.detector.torch_engine import TorchEngine, load_network
from eyesmol.detector.vocabulary import END
from eyesmol.detector.weights import DESCRIPTION, GRAPHS, WEIGHTS
from eyesmol.exceptions import ModelError
from eyesmol.reader.embedded import DETECTOR, model_folder

SMALL = Shape(channels=(8, 8, 12, 12, 16), junction=24, bond=16, letter=16)


def untrained() -> Network:
    """A small network that finds junctions everywhere, and whose normalizations do something."""
    torch.manual_seed(1)
    network = Network(SMALL)
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                for values in (part.weight, part.running_var):
                    assert values is not None
                    values.uniform_(0.5, 1.5)
                for values in (part.bias, part.running_mean):
                    assert values is not None
                    values.normal_(0, 0.2)
        bias = network.backbone.heat[1].bias
        assert isinstance(bias, torch.Tensor)
        bias[0] = 1.0
        network.speller.out.weight.mul_(4)  # rather sure of some character,
        network.speller.out.bias[END] = 5.0  # and that a label is short
    return network.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "detector"
    export(untrained(), {"steps": 3}, folder)
    return folder


@pytest.fixture(scope="module")
def engines(folder: Path) -> tuple[OnnxEngine, TorchEngine]:
    return OnnxEngine(folder), TorchEngine(load_network(folder / WEIGHTS))


@pytest.mark.parametrize(
    ("height", "width", "places", "pairs"),
    [(128, 64, 1, 0), (192, 320, 9, 0), (64, 64, 2, 1), (320, 192, 40, 150)],
)
def test_it_agrees_with_torch(
    engines: tuple[OnnxEngine, TorchEngine], height: int, width: int, places: int, pairs: int
) -> None:
    rng = np.random.default_rng(height + places)
    ink = np.where(rng.random((height, width)) > 0.9, 255, 0).astype(np.uint8)
    ours, theirs = (engine.look(ink) for engine in engines)
    assert ours.heat == pytest.approx(theirs.heat, abs=1e-4)
    # Some of the places lie outside the image, where the nearest cells count.
    at = (rng.random((places, 2)) * (width / 1.8, height / 1.8)).astype(np.float32)
    every = np.array([(i, j) for i in range(places) for j in range(i + 1, places)], np.int64)
    asked = rng.permutation(every.reshape(-1, 2))[:pairs]
    for mine, other in zip(ours.decide(at, asked, 14.0), theirs.decide(at, asked, 14.0),
                           strict=True):  # fmt: skip
        assert mine.shape == other.shape
        assert mine == pytest.approx(other, abs=1e-4)
    spelt, expected = ours.spell(at), theirs.spell(at)
    assert len(spelt) == places
    assert any(expected)  # some label is spelt in a way that is likely enough to be told
    for texts, others in zip(spelt, expected, strict=True):
        for text in {*texts, *others}:
            assert texts.get(text, 0.004) == pytest.approx(others.get(text, 0.004), abs=1e-3)


def test_what_ships_reads_as_torch_does() -> None:
    folder = Path(model_folder(DETECTOR))
    image = Draw.MolToImage(Chem.MolFromSmiles("C[C@H](N)C(=O)Oc1ccc(Cl)nc1"), (300, 200))
    ours, theirs = (
        read(engine, image)
        for engine in (OnnxEngine(folder), TorchEngine(load_network(folder / WEIGHTS)))
    )
    assert ours.views == theirs.views > 0
    assert len(ours.assembly.graph.atoms) > 8
    assert ours.assembly.smiles == theirs.assembly.smiles
    assert ours.assembly.graph.bonds == theirs.assembly.graph.bonds
    for mine, other in zip(ours.assembly.graph.atoms, theirs.assembly.graph.atoms, strict=True):
        assert mine.text == other.text
        assert (mine.x, mine.y) == pytest.approx((other.x, other.y), abs=0.01)


def test_nothing_to_spell_is_no_spelling(engines: tuple[OnnxEngine, TorchEngine]) -> None:
    view = engines[0].look(np.zeros((64, 64), np.uint8))
    assert view.spell(np.zeros((0, 2), np.float32)) == []


def test_the_weights_lie_there_once_and_training_can_start_from_them(folder: Path) -> None:
    network = untrained()
    matrices = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    assert (folder / WEIGHTS).stat().st_size < 2.5 * matrices
    loaded = load_network(folder / WEIGHTS).state_dict()
    for name, value in network.state_dict().items():
        assert torch.allclose(loaded[name].float(), value.float(), rtol=1e-3, atol=1e-6), name


def test_graphs_do_not_grow_with_the_network(folder: Path, tmp_path: Path) -> None:
    wide = Network(Shape(channels=(24, 24, 32, 32, 48), junction=64, bond=48, letter=32))
    export(wide, {}, tmp_path / "wide")
    for name in GRAPHS:
        small, large = ((root / name).stat().st_size for root in (folder, tmp_path / "wide"))
        assert large < 1.1 * small, f"{name} holds weights"


def test_the_same_network_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "detector"
    export(untrained(), {"steps": 3}, again)
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


def test_the_description_has_shape_training_and_checksums(folder: Path) -> None:
    about = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    assert Shape.from_dict(about["shape"]) == SMALL
    assert about["training"] == {"steps": 3}
    assert set(about["sha256"]) == {WEIGHTS, *GRAPHS}
    for name, digest in about["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_command_exports_the_average_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, average = tmp_path / "run", untrained()
    run.mkdir()
    latest = Network(SMALL)
    save_file(
        {f"network.{k}": v.clone() for k, v in latest.state_dict().items()}
        | {f"average.{k}": v.clone() for k, v in average.state_dict().items()},
        run / "last.safetensors",
    )
    progress = {"steps": 5, "images": 40, "minutes": 1.5, "shape": asdict(SMALL)}
    (run / "last.json").write_text(json.dumps(progress))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    main([str(run), str(tmp_path / "out")])
    assert "MB" in capsys.readouterr().out
    assert not (tmp_path / "out" / "old").exists()
    assert trained(run)[1] == {"steps": 5, "images": 40, "minutes": 1.5}
    loaded = load_network(tmp_path / "out" / WEIGHTS).state_dict()
    for name, value in average.state_dict().items():
        assert torch.allclose(loaded[name].float(), value.float(), rtol=1e-3, atol=1e-6)
    with pytest.raises(SystemExit):
        main([str(tmp_path), str(tmp_path / "out")])
    assert "last.json is missing" in capsys.readouterr().err


def test_what_cannot_be_loaded_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        OnnxEngine(tmp_path / "none")
    copy = shutil.copytree(folder, tmp_path / "copy")
    for name in (GRAPHS[1], WEIGHTS):
        (copy / name).unlink()
        with pytest.raises(ModelError, match=rf"lack {name}"):
            OnnxEngine(copy)
        shutil.copy(folder / name, copy)
    about = json.loads((copy / DESCRIPTION).read_text("utf-8")) | {"format": 99}
    (copy / DESCRIPTION).write_text(json.dumps(about))
    with pytest.raises(ModelError, match="found format 99"):
        OnnxEngine(copy)
