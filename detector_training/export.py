"""The trained network as what ships: ``python -m detector_training.export RUN_FOLDER OUT_FOLDER``.

The folder holds the weights once, `weights.safetensors`, and four small ONNX graphs that point into
it: no copy of a weight lies in a graph. ONNX Runtime folds the normalizations into the convolutions
when it loads them, and training can start again from the same file. Matrices are stored as float16,
vectors as float32; all is computed in float32.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eyesmol.detector.network import Features, Network, Shape, Speller
from eyesmol.detector.network_shape import FINE
from eyesmol.detector.vocabulary import BEGIN, PADDING, BondClass
from eyesmol.detector.weights import DESCRIPTION, FORMAT, GRAPHS, WEIGHTS

__all__ = ["export", "main", "trained"]

_OPSET = 18


def trained(run: Path, speller: Path | None = None) -> tuple[Network, dict[str, Any]]:
    """The averaged network of a run folder, and what is to be known of its training.

    Args:
        run: the folder.
        speller: another run, whose speller is taken: it reads the ink alone, so it may learn apart
            (``--words_only``).

    Raises:
        FileNotFoundError: no run folder.
    """
    if speller is not None:
        network, progress = trained(run)
        other, beside = trained(speller)
        network.speller.load_state_dict(other.speller.state_dict())
        progress["history"] += [p for p in beside["history"] if p not in progress["history"]]
        return network, progress
    progress = json.loads((run / "last.json").read_text(encoding="utf-8"))
    network = Network(Shape.from_dict(progress.pop("shape")))
    prefix = "average."
    saved = load_file(run / "last.safetensors")
    network.load_state_dict(
        {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
    )
    return network.eval(), progress


def export(network: Network, training: Mapping[str, Any], out: Path) -> None:
    """Write the folder that `eyesmol.detector.onnx_engine` loads; an old one is replaced.

    Args:
        network: trained; it stays as it is.
        training: facts for the description: steps, images, minutes.
        out: the folder.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as part:
        folder = Path(part, out.name)
        folder.mkdir()
        weights = _write_weights(network, folder / WEIGHTS)
        for name, model in _graphs(network).items():
            model = _simplified(model)
            _point_into(model, weights)
            onnx.save(model, folder / name)
        _describe(network.shape, training, folder)
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)


def _describe(shape: Shape, training: Mapping[str, Any], folder: Path) -> None:
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }
    text = json.dumps(
        {"format": FORMAT, "shape": shape.as_dict(), "training": dict(training), "sha256": sums},
        indent=1,
    )
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


# ---- weights ----


@dataclass(frozen=True)
class _Stored:
    """Where a tensor lies in the file of weights: bytes from its beginning."""

    offset: int
    length: int
    kind: int  # of `TensorProto.DataType`


def _write_weights(network: Network, path: Path) -> dict[str, _Stored]:
    tensors = {
        name: (value.half() if value.dim() > 1 else value).contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, path, metadata={"shape": json.dumps(network.shape.as_dict())})
    path.chmod(0o644)  # safetensors writes for the owner alone
    # The layout of safetensors: the header's length in 8 bytes, the header, the tensors.
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    kinds = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
    return {
        name: _Stored(8 + length + entry["data_offsets"][0],
                      entry["data_offsets"][1] - entry["data_offsets"][0], kinds[entry["dtype"]])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] in kinds
    }  # fmt: skip


def _simplified(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph with the arithmetic of its constants done, but for the weights: it loads faster."""
    weights = list(model.graph.initializer)
    inputs = {known.name for known in model.graph.input}
    # As inputs, the weights are nothing that could be folded into anything.
    for weight in weights:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(weight.name, weight.data_type, list(weight.dims))
        )
    del model.graph.initializer[:]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder, "simplified.onnx"))
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = onnx.load(options.optimized_model_filepath)
    kept = [known for known in found.graph.input if known.name in inputs]
    del found.graph.input[:]
    found.graph.input.extend(kept)
    found.graph.initializer.extend(weights)
    used = [opset for opset in found.opset_import if not opset.domain]
    del found.opset_import[:]
    found.opset_import.extend(used)
    return found


def _point_into(model: onnx.ModelProto, weights: Mapping[str, _Stored]) -> None:
    """Replace a graph's weights by references to the file, cast to float32 where they are not."""
    casts = []
    for tensor in model.graph.initializer:
        if (stored := weights.get(tensor.name)) is None:
            continue  # a constant of the graph's own
        dims = list(tensor.dims)
        name = tensor.name
        tensor.Clear()
        tensor.name, tensor.data_type = name, stored.kind
        tensor.dims.extend(dims)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", stored.offset),
                           ("length", stored.length)):  # fmt: skip
            tensor.external_data.add(key=key, value=str(value))
        if stored.kind != TensorProto.FLOAT:
            tensor.name = f"{name}.stored"
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])


# ---- graphs ----


class _Look(nn.Module):
    """(2H, 2W) ink as bytes -> features (h, w, C) at strides 2 and 4, heat (3, h, w)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.backbone = network.backbone

    def forward(self, ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine, coarse, heat = self.backbone(ink[None, None].float() / 255)
        heat = torch.cat([heat[0, :1].sigmoid(), heat[0, 1:]])
        return fine[0].permute(1, 2, 0), coarse[0].permute(1, 2, 0), heat


def _features(fine: Tensor, coarse: Tensor) -> Features:
    """Features of one image; its heat is not asked for."""
    height, width = fine.shape[0] * FINE, fine.shape[1] * FINE
    return Features(fine.flatten(0, 1), coarse.flatten(0, 1), height, width, fine)


def _one_image(places: Tensor) -> Tensor:
    return torch.zeros_like(places[:, 0], dtype=torch.long)


class _Decide(nn.Module):
    """Features, (N, 2) places, (M, 2) pairs, scale -> probabilities of labels and of bonds."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.junctions, self.lines = network.junctions, network.lines
        self.decision = network.decision

    def forward(
        self, fine: Tensor, coarse: Tensor, places: Tensor, pairs: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        f, image = _features(fine, coarse), _one_image(places)
        embedded = self.junctions(f, image, places)
        both = torch.cat([pairs, pairs.flip(1)])
        lines = self.lines(f, image, places, embedded, both, scale.expand(places.shape[0]))
        labels, orders = self.decision(embedded, lines, both)
        count = pairs.shape[0]
        back = orders[-1][count:, [int(kind.reverse) for kind in BondClass]]
        return labels[-1].softmax(1), ((orders[-1][:count] + back) / 2).softmax(1)


class _See(nn.Module):
    """Features and (N, 2) places -> (N, cells, layers * 2 * width): what the speller sees there.

    They are the keys and values of each layer's attention to it, the same at every character.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.speller = network.speller

    def forward(self, fine: Tensor, places: Tensor) -> Tensor:
        seen = self.speller.see(_features(fine, fine), _one_image(places), places)
        parts = []
        for layer in _layers(self.speller):
            attention, width = layer.multihead_attn, self.speller.width
            weight, bias = attention.in_proj_weight[width:], attention.in_proj_bias[width:]
            parts.append(F.linear(seen, weight, bias))
        return torch.cat(parts, 2)


class _Spell(nn.Module):
    """One character more: `Speller.forward` for the last of the characters alone.

    What is seen, (N, L, layers * 2 * width) keys and values of the characters before, (N,)
    characters -> (N, characters) log probabilities of the next, keys and values with these.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.speller = network.speller

    def forward(self, seen: Tensor, past: Tensor, character: Tensor) -> tuple[Tensor, Tensor]:
        width = self.speller.width
        hidden = self.speller.character(character) + self.speller.place[past.shape[1]]
        now = []
        for number, layer in enumerate(_layers(self.speller)):
            own, other = layer.self_attn, layer.multihead_attn
            here = slice(2 * width * number, 2 * width * (number + 1))
            asked = F.linear(layer.norm1(hidden), own.in_proj_weight, own.in_proj_bias)
            now.append(asked[:, None, width:])
            known = torch.cat([past[:, :, here], now[-1]], 1)
            hidden = hidden + own.out_proj(_attended(asked[:, :width], known, own.num_heads))
            weight, bias = other.in_proj_weight[:width], other.in_proj_bias[:width]
            asked = F.linear(layer.norm2(hidden), weight, bias)
            found = _attended(asked, seen[:, :, here], other.num_heads)
            hidden = hidden + other.out_proj(found)
            hidden = hidden + layer.linear2(F.relu(layer.linear1(layer.norm3(hidden))))
        logits = self.speller.out(self.speller.norm(hidden))
        never = torch.zeros(logits.shape[1])
        never[[PADDING, BEGIN]] = -1e9
        return (logits + never).log_softmax(1), torch.cat([past, torch.cat(now, 2)], 1)


def _layers(speller: Speller) -> list[nn.TransformerDecoderLayer]:
    return cast("list[nn.TransformerDecoderLayer]", list(speller.layers))


def _attended(query: Tensor, known: Tensor, heads: int) -> Tensor:
    """(N, width): what one query (N, width) takes from (N, L, 2 * width) keys and values."""
    count, length, width = known.shape[0], known.shape[1], query.shape[1]
    size = width // heads
    both = known.reshape(count, length, 2, heads, size).permute(2, 0, 3, 1, 4)
    query = query.reshape(count, heads, 1, size) / size**0.5
    return ((query @ both[0].transpose(2, 3)).softmax(3) @ both[1]).reshape(count, width)


@dataclass(frozen=True)
class _Graph:
    """A module to export: example inputs, names, and which axes have which name (free) length."""

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    free: Mapping[str, Sequence[str]]

    def model(self) -> onnx.ModelProto:
        """Its ONNX graph, weights named as in the network and not folded into anything."""
        buffer = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is a newer exporter, which takes a minute
            torch.onnx.export(
                self.module.eval(),
                tuple(self.inputs.values()),
                buffer,  # type: ignore[arg-type]  # the annotation knows of paths only
                dynamo=False,
                input_names=list(self.inputs),
                output_names=list(self.outputs),
                dynamic_axes={k: dict(enumerate(axes)) for k, axes in self.free.items()},
                do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,
                opset_version=_OPSET,
            )
        return onnx.load_from_string(buffer.getvalue())


def _graphs(network: Network) -> dict[str, onnx.ModelProto]:
    """File name -> graph."""
    ink = torch.zeros(128, 192, dtype=torch.uint8)
    look, see = _Look(network).eval(), _See(network).eval()
    with torch.no_grad():
        fine, coarse, _ = look(ink)
    places = torch.tensor([[9.0, 9.0], [25.0, 9.0], [33.0, 23.0], [49.0, 23.0]])
    pairs = torch.tensor([[0, 1], [1, 2], [2, 3]])
    with torch.no_grad():
        seen = see(fine, places)
    fine_axes: dict[str, Sequence[str]] = {"fine": ("h", "w")}
    coarse_axes: dict[str, Sequence[str]] = {"coarse": ("h_coarse", "w_coarse")}
    graphs = (
        _Graph(
            look, {"ink": ink}, ("fine", "coarse", "heat"),
            {"ink": ("h_ink", "w_ink"), **fine_axes, **coarse_axes},
        ),
        _Graph(
            _Decide(network),
            {"fine": fine, "coarse": coarse, "places": places, "pairs": pairs,
             "scale": torch.tensor(16.0)},
            ("labels", "bonds"),
            {"places": ("n",), "pairs": ("m",), **fine_axes, **coarse_axes},
        ),
        _Graph(see, {"fine": fine, "places": places}, ("seen",), {"places": ("n",), **fine_axes}),
        _Graph(
            _Spell(network),
            {"seen": seen, "past": seen[:, :3], "character": torch.full((len(places),), BEGIN)},
            ("next", "known"),
            {"seen": ("n",), "past": ("n", "l"), "character": ("n",), "known": ("n", "l_known")},
        ),
    )  # fmt: skip
    return {name: graph.model() for name, graph in zip(GRAPHS, graphs, strict=True)}


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m detector_training.export",
        description="Write the averaged network of a run as what ships: weights and ONNX graphs.",
    )
    parser.add_argument("run", type=Path, help="folder of detector_training.train")
    parser.add_argument("out", type=Path, help="folder to write, such as eyesmol/weights/detector")
    parser.add_argument("--speller", type=Path, metavar="RUN", help="another run, whose speller "
                        "is taken: it may have learnt from words alone")  # fmt: skip
    options = parser.parse_args(argv)
    try:
        network, training = trained(options.run, options.speller)
    except FileNotFoundError as error:
        parser.error(f"{options.run}: no run folder: {error.filename} is missing")
    export(network, training, options.out)
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(f"{options.out}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
