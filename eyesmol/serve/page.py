"""The web page: one picture read closely, or many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from PIL import Image

from eyesmol.recognition import Recognition
from eyesmol.serve import pieces
from eyesmol.serve.app import ModelInfo
from eyesmol.serve.service import Drawing, ReadingService, ServiceBusyError
from eyesmol.serve.upload_folder import UploadFolder
from eyesmol.serve.uploads import Limits, Upload, UploadError, list_uploads, open_uploads

__all__ = ["mount_page"]

_EXAMPLES = {"Aspirin": "CC(=O)Oc1ccccc1C(=O)O", "Caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C"}
_FILES = ["image", ".pdf", ".zip", ".tif", ".tiff"]
_HEADERS = ["picture", "SMILES", "confidence", "page", "note"]
# What a browser keeps; the server forgets uploads after an hour.
_FORGET = (600, 3600)


class _Page(gr.Blocks):
    """Blocks whose functions, whoever calls them, are given no other files than uploads."""

    uploads: UploadFolder

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *args: Any, **options: Any
    ) -> list[Any]:
        """Called for every request, before Gradio opens, copies or downloads what it names."""
        try:
            self.uploads.check(inputs)
        except UploadError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return await super().preprocess_data(block_fn, inputs, *args, **options)


def _as_sent(uploads: UploadFolder, payload: Any) -> Upload | None:
    """The file that was put into an image, unopened.

    It is opened within our limits: Gradio knows none, and shows a traceback for a broken file.
    """
    if payload is None or not payload.path:
        return None
    path = uploads.file(payload.path)
    return Upload(path, Path(payload.orig_name or path.name).name)


def mount_page(
    app: FastAPI,
    service: ReadingService,
    model: ModelInfo,
    limits: Limits,
    uploads: UploadFolder,
) -> FastAPI:
    """The app with the page at ``/``.

    Args:
        app, service, model, limits: as in `eyesmol.serve.app.create_app`.
        uploads: where Gradio keeps uploads; its ``GRADIO_TEMP_DIR``.
    """
    with _Page(title="EyesMol", analytics_enabled=False, delete_cache=_FORGET) as page:
        gr.HTML(_heading(model), elem_id="heading")
        with gr.Tab("One picture"):
            _one_picture(service, model, limits, uploads)
        with gr.Tab("Batch"):
            _batch(service, limits, uploads)
    page.uploads = uploads
    page.queue(default_concurrency_limit=8)
    # Gradio checks paths only in an app that it launched itself, and those of images only where
    # they are marked as files; `_Page` checks all.
    page.has_launched = True
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name="127.0.0.1",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=limits.bytes,
        theme=_theme(),
        css_paths=Path(__file__).with_name("page.css"),
    )


def _theme() -> Any:
    """Calm, with labels that can be read; the fonts are the reader's own."""
    plain = "transparent"
    return gr.themes.Soft(
        primary_hue="sky",
        neutral_hue="slate",
        font=["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "DejaVu Sans Mono", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_background_fill="*background_fill_primary",
        block_label_background_fill_dark="*background_fill_primary",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_background_fill=plain,
        block_title_background_fill_dark=plain,
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_padding="0",
        block_border_width="1px",
        block_border_width_dark="1px",
        checkbox_border_color="*neutral_400",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
    )


def _heading(model: ModelInfo) -> str:
    facts = {
        "model": model.model,
        "a request": f"up to {model.max_megabytes} MB, {model.max_pages} pictures",
        "a picture": f"up to {model.max_megapixels} megapixels",
        "confidence": "calibrated" if model.calibrated else "not calibrated",
    }
    shown = "".join(f"<span>{name} <b>{escape(value)}</b></span>" for name, value in facts.items())
    return (
        "<h1>EyesMol</h1><p>Drawings of molecules become molecules, read atom by atom, so that you "
        f'can check every one. Program? See <a href="docs">the API</a>.</p>'
        f'<div class="facts">{shown}</div>'
    )


# ---- one picture ----


def _one_picture(
    service: ReadingService, model: ModelInfo, limits: Limits, uploads: UploadFolder
) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            gr.HTML("<h3>Picture: drop, paste or photograph it</h3>")
            picture = gr.Image(
                show_label=False,
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                height=330,
                buttons=[],
            )
            picture.preprocess = partial(_as_sent, uploads)
            with gr.Row():
                examples = {name: gr.Button(name, size="sm", min_width=100) for name in _EXAMPLES}
            any_picture = gr.Checkbox(
                label="Read any picture",
                info="even one that shows no drawing of a molecule at first sight",
            )
            least = gr.Slider(
                0, 1, 0, step=0.01,
                label="Least confidence", info="below it no molecule is given",
            )  # fmt: skip
            again = gr.Button("Read again", variant="primary")
        with gr.Column(scale=2, min_width=320):
            said = gr.HTML(_WAITING)
            with gr.Row():
                with gr.Column(min_width=280):
                    over = gr.HTML(_OVER + pieces.redrawn(""))
                with gr.Column(min_width=280):
                    drawn = gr.HTML(_DRAWN + pieces.redrawn(""))
            smiles = gr.Textbox(
                label="SMILES", info="edit it and see it drawn anew", lines=1, max_lines=4,
                buttons=["copy"], elem_id="smiles",
            )  # fmt: skip
            # The SMILES that was read, which is drawn as in the picture, and its molfile.
            known = gr.State(("", "", ""))
            molfile = gr.HTML("")
            with gr.Accordion("The model's own words", open=False):
                words = gr.Textbox(show_label=False, lines=4, max_lines=16, interactive=False)

    def read(upload: Upload | None, any_picture: bool, least: float) -> list[Any]:
        if upload is None:
            nothing = pieces.redrawn("")
            return [_WAITING, _OVER + nothing, _DRAWN + nothing, "", ("", "", ""), "", ""]
        image, result = _first(service, upload, limits, any_picture, least)
        over = pieces.overlay(image, result) if image else pieces.redrawn("")
        molecule = _DRAWN + pieces.depiction(result)
        file = pieces.molfile_link(result.molecule.molblock, upload.name)
        return [
            pieces.verdict(result, model.calibrated),
            _OVER + over,
            molecule,
            result.smiles or "",
            (result.smiles or "", molecule, file),
            file,
            result.answer,
        ]

    asked, shown = [picture, any_picture, least], [said, over, drawn, smiles, known, molfile, words]
    once: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
    picture.change(read, asked, shown, **once)
    again.click(read, asked, shown, **once)
    # Past the queue in which pictures wait. (`input` would not hear of what is pasted.)
    smiles.change(
        _redraw,
        [smiles, known],
        [drawn, molfile],
        show_progress="hidden",
        queue=False,
        trigger_mode="always_last",
        api_visibility="private",
    )
    for name, button in examples.items():
        button.click(_drawer(name), None, picture, api_visibility="private")


def _redraw(smiles: str, known: tuple[str, str, str]) -> tuple[str, str]:
    """The drawing and the molfile of what stands in the field."""
    read, *as_read = known
    if smiles == read and any(as_read):
        return as_read[0], as_read[1]
    return _DRAWN + pieces.redrawn(smiles), pieces.molfile_link(
        pieces.molblock_of(smiles), "edited"
    )


_OVER = "<h3>What was read, over the picture</h3>"
_DRAWN = "<h3>The molecule</h3>"
_WAITING = (
    '<div class="verdict"><div class="title">Give it a picture</div><p>One molecule a picture '
    "reads best. What was read is drawn over the picture: every atom should lie on its corner or "
    "letter.</p></div>"
)


def _first(
    service: ReadingService, upload: Upload, limits: Limits, any_picture: bool, least: float
) -> tuple[Image.Image | None, Recognition]:
    """What was read of the first picture of a file."""
    try:
        places = list_uploads([upload], limits)[:1]
        sources = open_uploads(places, limits, pages=False, any_picture=any_picture)
        [(source, result)] = service.read(sources, min_confidence=least)
    except (UploadError, ServiceBusyError) as error:
        return None, Recognition(upload.name, error=str(error))
    return source.image if isinstance(source, Drawing) else None, result


def _drawer(name: str) -> Any:
    """A function that draws one of the examples."""

    def draw() -> Image.Image:
        from rdkit import Chem
        from rdkit.Chem import Draw

        return Draw.MolToImage(Chem.MolFromSmiles(_EXAMPLES[name]), size=(500, 400))

    return draw


# ---- many ----


def _batch(service: ReadingService, limits: Limits, uploads: UploadFolder) -> None:
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            files = gr.File(
                label=f"Pictures, PDF or ZIP: at most {limits.pages} pictures, "
                f"{limits.megabytes} MB together",
                file_count="multiple",
                file_types=_FILES,
                height=220,
            )
            folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm")
        with gr.Column(scale=1, min_width=320):
            pages = gr.Radio(
                ["PDF only", "Always", "Never"],
                value="PDF only",
                label="Find the structures on pages",
                info="else each page or picture is read as one molecule",
            )
            any_picture = gr.Checkbox(
                label="Read any picture",
                info="even one that shows no drawing of a molecule at first sight",
            )
            with gr.Row():
                go = gr.Button("Read all", variant="primary")
                stop = gr.Button("Stop")
    told = gr.HTML("")
    saved = gr.HTML("")
    table = gr.Dataframe(
        headers=_HEADERS,
        column_widths=["220px", "300px", "110px", "70px", "440px"],
        interactive=False,
        visible=False,
        wrap=True,
    )
    gallery = gr.HTML("")

    def read(paths: list[str] | None, pages: str, any_picture: bool) -> Iterator[dict[Any, Any]]:
        find = {"PDF only": None, "Always": True, "Never": False}[pages]
        results: list[Recognition] = []
        cards: list[str] = []
        yield {told: _line("Opening the files ..."), saved: "", gallery: "", table: _table([])}
        try:
            sent = [Upload(uploads.file(path), Path(path).name) for path in paths or ()]
            places = list_uploads(sent, limits)
            sources = open_uploads(places, limits, pages=find, any_picture=any_picture)
            for source, result in service.read(sources):
                results.append(result)
                cards.append(
                    pieces.card(source.image if isinstance(source, Drawing) else None, result)
                )
                yield {
                    told: _line(f"Read {len(results)} of {len(places)} or more ..."),
                    gallery: f'<div class="cards">{"".join(cards)}</div>',
                }
        except (UploadError, ServiceBusyError) as error:
            yield {told: _line(str(error))}
            return
        if not results:
            yield {told: _line("Give it pictures, PDF or ZIP files first.")}
            return
        yield {
            told: _line(_counted(results)),
            saved: pieces.downloads(results),
            table: _table(results),
        }

    running = go.click(
        read, [files, pages, any_picture], [told, saved, table, gallery], api_visibility="private"
    )
    stop.click(None, cancels=[running], api_visibility="private")
    folder.upload(
        lambda paths: [str(uploads.file(path)) for path in paths or ()],
        folder,
        files,
        api_visibility="private",
    )


def _line(text: str) -> str:
    return f'<div class="verdict" role="status">{escape(text)}</div>'


def _table(results: list[Recognition]) -> Any:
    rows = [
        [
            result.image,
            result.smiles or result.withheld_smiles or "",
            "" if result.confidence is None else f"{result.confidence:.3g}",
            "" if result.page is None else result.page,
            result.error or result.reason or "; ".join(result.problems),
        ]
        for result in results
    ]
    return gr.Dataframe(value=rows, headers=_HEADERS, visible=bool(rows))


def _counted(results: list[Recognition]) -> str:
    """How many became what."""
    kinds = [pieces.status(result) for result in results]
    names = {
        "read": "read",
        "check": "to look at closely",
        "unsure": "not sure enough",
        "none": "without a molecule",
        "broken": "unreadable",
    }
    counts = [f"{kinds.count(kind)} {name}" for kind, name in names.items() if kind in kinds]
    return f"{len(results)} pictures: {', '.join(counts)}."
