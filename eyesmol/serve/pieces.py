"""What the page shows of a recognition, as pieces of HTML: verdict, drawings, downloads, cards.

Everything is inside the piece (pictures and files as data URIs), so that nothing is kept on the
server and nothing is fetched.
"""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image
from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from eyesmol.chem.graph import BondOrder
from eyesmol.image.overlay import BOND_COLOURS, draw_overlay
from eyesmol.outputs import write_as
from eyesmol.recognition import Recognition

__all__ = [
    "card",
    "depiction",
    "downloads",
    "molblock_of",
    "molfile_link",
    "overlay",
    "redrawn",
    "status",
    "verdict",
    "why_unreadable",
]

_LEGEND = {
    "single": BondOrder.SINGLE,
    "double": BondOrder.DOUBLE,
    "triple": BondOrder.TRIPLE,
    "aromatic": BondOrder.AROMATIC,
    "wedge": BondOrder.SOLID_WEDGE,
}
_MIME = {".csv": "text/csv", ".sdf": "chemical/x-mdl-sdfile", ".jsonl": "application/jsonl"}

# ---- what became of a picture ----

_EVEN = 0.5  # a reading below it is shown as one to look at closely


def status(result: Recognition) -> str:
    """One of ``read``, ``check``, ``unsure``, ``none``, ``broken``."""
    if result.error:
        return "broken"
    if result.withheld_smiles:
        return "unsure"
    if result.smiles is None:
        # Something was read, though no molecule, or the picture was not read at all.
        return "check" if result.answer and result.graph and result.graph.atoms else "none"
    doubtful = result.problems or (result.confidence or 0.0) < _EVEN
    return "check" if doubtful else "read"


_TITLES = {
    "read": "Molecule read",
    "check": "Read, but look closely",
    "unsure": "Not sure enough to say",
    "none": "No molecule found",
    "broken": "This file cannot be read",
}


def verdict(result: Recognition, calibrated: bool) -> str:
    """Title, confidence and problems, in words."""
    kind = status(result)
    title = _TITLES[kind]
    if kind == "check" and result.smiles is None:
        title = "What was read is no sane molecule"
    parts = [f'<div class="title"><span class="dot"></span>{title}</div>', _words(result, kind)]
    if result.confidence is not None and result.graph is not None and result.graph.atoms:
        parts.append(_bar(result.confidence, calibrated))
    parts.append(_problems(result.problems))
    return f'<div class="verdict {kind}" role="status">{"".join(parts)}</div>'


def _words(result: Recognition, kind: str) -> str:
    agree = result.molecule.why == "both agree"
    opinions = "The listed graph and the written SMILES agree"
    text = {
        "read": f"{opinions}." if agree else "",
        "check": f"{opinions}, but the model is not sure of them."
        if agree
        else f"Why this reading: {result.molecule.why or 'not known'}."
        if result.smiles
        else "Atoms were found, but what they form together cannot be. Look at where they lie.",
        "unsure": f"The reader's best guess is <code>{escape(result.withheld_smiles or '')}</code>,"
        " but it is less sure than the limit that you set. Compare it with the picture, or lower "
        "the limit.",
        "none": f"{escape(_sentence(result.reason))} If the picture does show a molecule, tick "
        "<i>Read any picture</i> or cut it out more closely.",
        "broken": escape(result.error or ""),
    }[kind]
    return f"<p>{text}</p>" if text else ""


def _problems(problems: Sequence[str], shown: int = 4) -> str:
    """The first ones, and the others on request."""
    if not problems:
        return ""
    items = [f"<li>{escape(problem)}</li>" for problem in problems]
    first, rest = "".join(items[:shown]), "".join(items[shown:])
    more = f"<details><summary>{len(items) - shown} more</summary><ul>{rest}</ul></details>"
    return f'<div class="problems"><ul>{first}</ul>{more if rest else ""}</div>'


def _sentence(text: str | None) -> str:
    text = (text or "").removeprefix("no molecule: ").rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _bar(confidence: float, calibrated: bool) -> str:
    says = (
        "probability that this reading is right"
        if calibrated
        else "the model's own score: it ranks readings, but is no probability of being right"
    )
    shown = f"{confidence:.0%}" if confidence >= 0.01 else f"{confidence:.1e}"
    return (
        f'<div class="confidence"><div class="bar"><div style="width:{confidence:.1%}"></div></div>'
        f"<b>{shown}</b><span>{says}</span></div>"
    )


# ---- drawings ----


def overlay(image: Image.Image, result: Recognition, longest: int = 480) -> str:
    """The picture with what was read drawn over it, and a legend; as it is where none was."""
    picture = f'<img alt="{_ALT}" src="{_overlay_uri(image, result, longest)}">'
    legend = "".join(
        f'<span><i style="background:{BOND_COLOURS[order]}"></i>{name}</span>'
        for name, order in _LEGEND.items()
    )
    return f'<div class="paper">{picture}</div><div class="legend">{legend}</div>'


_ALT = "The picture with the atoms and bonds that were read drawn over it"


def _overlay_uri(image: Image.Image, result: Recognition, longest: int) -> str:
    scale = longest / max(image.size)
    drawn = None
    if result.graph is not None:
        drawn = draw_overlay(image, result.graph, scale=scale)
    else:
        drawn = image.convert("RGB")
        drawn.thumbnail((longest, longest))
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG", optimize=True)
    return _data_uri(buffer.getvalue(), "image/png")


def depiction(result: Recognition, size: tuple[int, int] = (420, 300)) -> str:
    """The molecule as RDKit draws it, laid out as in the picture where that is known."""
    mol = None
    with rdBase.BlockLogs():
        block = result.molecule.molblock
        if block and result.molecule.smiles_from != "written":
            mol = Chem.MolFromMolBlock(block)
        if mol is None and result.smiles:
            mol = Chem.MolFromSmiles(result.molecule.cxsmiles or result.smiles)
    return _paper(_svg(mol, size) if mol else "")


def redrawn(smiles: str, size: tuple[int, int] = (420, 300)) -> str:
    """A SMILES that somebody typed, drawn; or why it cannot be."""
    if not smiles.strip():
        return _paper("")
    if why := why_unreadable(smiles):
        return _paper(f'<p class="refused">{escape(why)}</p>')
    return _paper(_svg(Chem.MolFromSmiles(smiles.strip()), size))


def _paper(content: str) -> str:
    return f'<div class="paper">{content or "<p>Nothing to draw.</p>"}</div>'


def _svg(mol: Chem.Mol, size: tuple[int, int]) -> str:
    drawer = rdMolDraw2D.MolDraw2DSVG(*size)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.addStereoAnnotation = True
    if not mol.GetNumConformers():
        rdDepictor.Compute2DCoords(mol)
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    text = drawer.GetDrawingText()
    return str(text[text.index("<svg") :])


def why_unreadable(smiles: str) -> str | None:
    """What is wrong with a SMILES, in words; None where it is fine."""
    smiles = smiles.strip()
    with rdBase.BlockLogs():
        if Chem.MolFromSmiles(smiles) is not None:
            return None
        loose = Chem.MolFromSmiles(smiles, sanitize=False)
        if loose is not None:
            found = Chem.DetectChemistryProblems(loose)
            return f"No sane molecule: {found[0].Message()}" if found else "No sane molecule."
    bare = re.sub(r"\[[^\[\]]*\]", "", smiles)
    if "[" in bare or "]" in bare:
        return "Not a SMILES: a bracket [ ] has no partner."
    if bare.count("(") != bare.count(")"):
        return "Not a SMILES: a parenthesis ( ) has no partner."
    rings = re.findall(r"%\d\d|\d", bare)
    if odd := sorted({ring for ring in rings if rings.count(ring) % 2}):
        return f"Not a SMILES: ring {odd[0].lstrip('%')} is opened and not closed."
    return "Not a SMILES: a letter, a bond or a bracket stands where none can."


# ---- files ----


def _data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def molfile_link(molblock: str | None, name: str) -> str:
    """A link that downloads a molfile; nothing where there is none."""
    if not molblock:
        return ""
    name = re.sub(r"[^\w.-]+", "_", Path(name).stem)
    uri = _data_uri(molblock.encode(), "chemical/x-mdl-molfile")
    return f'<a class="download" download="{escape(name)}.mol" href="{uri}">Download molfile</a>'


def molblock_of(smiles: str) -> str | None:
    """A molblock in RDKit's layout; None where the SMILES cannot be read."""
    if not smiles.strip() or why_unreadable(smiles):
        return None
    mol = Chem.MolFromSmiles(smiles.strip())
    rdDepictor.Compute2DCoords(mol)
    return str(Chem.MolToMolBlock(mol))


def downloads(results: Sequence[Recognition]) -> str:
    """Links that download all rows as CSV, SDF and JSON Lines."""
    links = []
    with tempfile.TemporaryDirectory(prefix="eyesmol-") as folder:
        for ending, kind in _MIME.items():
            path = Path(folder, f"molecules{ending}")
            write_as(path, (result.to_dict() for result in results))
            uri = _data_uri(path.read_bytes(), kind)
            name = ending[1:].upper()
            links.append(
                f'<a class="download" download="{path.name}" href="{uri}">{name}</a>'
            )  # fmt: skip
    return f'<div class="downloads"><span>Download</span>{"".join(links)}</div>'


def card(image: Image.Image | None, result: Recognition) -> str:
    """One picture of a batch: overlay, molecule, SMILES, what is doubtful."""
    kind = status(result)
    said = result.smiles or result.withheld_smiles or ""
    why = result.error or result.reason or "; ".join(result.problems[:2])
    picture = ""
    if image is not None:
        uri = _overlay_uri(image, result, 240)
        picture = f'<div class="paper"><img alt="{_ALT}" src="{uri}"></div>'
    drawn = depiction(result, (240, 180)) if result.smiles else ""
    sure = "" if result.confidence is None else f"{result.confidence:.2g}"
    return (
        f'<div class="card {kind}"><div class="head"><span class="dot"></span>'
        f"<b>{escape(result.image)}</b><span>{sure}</span></div>"
        f'<div class="two">{picture}{drawn}</div>'
        f"<code>{escape(said)}</code><p>{escape(why)}</p></div>"
    )
