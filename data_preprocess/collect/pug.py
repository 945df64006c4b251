"""The questions that PubChem's services PUG REST and PUG View answer, and how to read the answers.

Keys are looked for by name and may be missing: PubChem renamed its SMILES in 2025, and a property
without a value is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from data_preprocess.collect.files import Record, parse_records
from data_preprocess.collect.ids import PUBCHEM
from data_preprocess.collect.state import Absent
from data_preprocess.web import Listed, NotFound, Refused, Web
from eyesmol.exceptions import InputError

__all__ = ["Pug", "record_cid", "record_structure"]

Answers = dict[int, Any]
"""CID -> value or `Absent`."""

_PROPERTIES = "Title,IUPACName,SMILES,ConnectivitySMILES,InChIKey"
_SMILES = ("SMILES", "IsomericSMILES", "ConnectivitySMILES", "CanonicalSMILES")  # best first
_NAMES = ("Title", "IUPACName")
_TAGS = {
    "smiles": (
        "PUBCHEM_SMILES",
        "PUBCHEM_OPENEYE_ISO_SMILES",
        "PUBCHEM_CONNECTIVITY_SMILES",
        "PUBCHEM_OPENEYE_CAN_SMILES",
    ),
    "inchikey": ("PUBCHEM_IUPAC_INCHIKEY",),
    "name": ("PUBCHEM_IUPAC_NAME", "PUBCHEM_IUPAC_TRADITIONAL_NAME", "PUBCHEM_IUPAC_CAS_NAME"),
}


class Pug:
    """PUG REST and PUG View at one base URL.

    Every method raises `Unavailable` when no attempt brought an answer.
    """

    def __init__(self, web: Web) -> None:
        self._web = web

    def structures(self, cids: list[int]) -> Answers:
        """``smiles``, ``inchikey`` and ``name`` of each compound, where PubChem has them."""
        return self._batch(cids, f"property/{_PROPERTIES}/JSON", _read_properties)

    def molblocks(self, cids: list[int]) -> Answers:
        """The molblock of each compound, with the positions of PubChem's drawing."""
        return self._batch(cids, "SDF?record_type=2d", _read_molblocks)

    def descriptions(self, cid: int) -> Any:
        """``title`` and ``notes`` (as `annotations` gives them, less the licence), or `Absent`."""
        path = f"/pug/compound/cid/{cid}/description/JSON"
        try:
            return self._web.ask("GET", path, _read_descriptions)
        except NotFound as error:
            return Absent(str(error))

    def image(self, cid: int, size: str) -> bytes | Absent:
        """The drawing as PNG."""
        path = f"/pug/compound/cid/{cid}/PNG?image_size={size}"
        try:
            return self._web.ask("GET", path, _read_png)
        except NotFound as error:
            return Absent(str(error))

    def annotations(self, page: int) -> tuple[int, list[Any], list[tuple[int, Any]]]:
        """A page of all descriptions that PubChem has.

        Returns:
            The number of pages; annotations that name no compound; CID and note of the others. A
            note has ``text``, ``source``, ``url`` and ``licence``.
        """
        path = (
            "/pug_view/annotations/heading/JSON?heading=Record+Description"
            f"&heading_type=Compound&page={page}"
        )
        try:
            return self._web.ask("GET", path, _read_annotations)
        except NotFound as error:
            raise Refused(str(error)) from None

    def _batch(self, cids: list[int], operation: str, read: Callable[[bytes], Answers]) -> Answers:
        answers = self._halved(cids, operation, read)
        if len(cids) > 1 and all(isinstance(answer, _Refusal) for answer in answers.values()):
            raise Refused(answers[cids[0]].reason)  # of the request, not of a compound
        return answers

    def _halved(self, cids: list[int], operation: str, read: Callable[[bytes], Answers]) -> Answers:
        """Ask for many compounds at once; halved until the one that is refused stands alone."""
        form = {"cid": ",".join(map(str, cids))}
        try:
            try:
                found = self._web.ask("POST", f"/pug/compound/cid/{operation}", read, data=form)
            except Listed as listed:
                path = f"/pug/compound/listkey/{listed}/{operation}"
                found = self._web.follow(path, read)
        except (NotFound, Refused) as error:
            if len(cids) == 1:
                kind = Absent if isinstance(error, NotFound) else _Refusal
                return {cids[0]: kind(str(error))}
        else:
            return {cid: found.get(cid, Absent("not in the answer")) for cid in cids}
        middle = len(cids) // 2
        first = self._halved(cids[:middle], operation, read)
        return first | self._halved(cids[middle:], operation, read)


class _Refusal(Absent):
    """Of one compound."""


# ---- reading ----


def _read_properties(body: bytes) -> Answers:
    rows = json.loads(body)["PropertyTable"]["Properties"]
    return {
        int(row["CID"]): {
            "smiles": _first(row, _SMILES),
            "inchikey": _first(row, ("InChIKey",)),
            "name": _first(row, _NAMES),
        }
        for row in rows
    }


def _first(values: dict[str, Any], names: Iterable[str]) -> str | None:
    """The first of the named values that is there."""
    return next((str(values[name]) for name in names if values.get(name)), None)


def record_cid(record: Record) -> int | None:
    """The CID of a record of PubChem's SDF."""
    return PUBCHEM.parse(record.tags.get("PUBCHEM_COMPOUND_CID", ""))


def record_structure(record: Record) -> dict[str, str | None]:
    """``smiles``, ``inchikey``, ``name`` and ``molfile`` of a record of PubChem's SDF."""
    structure = {field: _first(record.tags, tags) for field, tags in _TAGS.items()}
    return {**structure, "molfile": record.molblock if record.atoms else None}


def _read_molblocks(body: bytes) -> Answers:
    try:
        records = list(parse_records(body.splitlines(keepends=True), "SDF"))
    except InputError as error:  # cut off
        raise ValueError(str(error)) from None
    if not records:
        raise ValueError("no record")
    return {cid: record.molblock for record in records if (cid := record_cid(record)) is not None}


def _read_descriptions(body: bytes) -> dict[str, Any]:
    items = json.loads(body)["InformationList"]["Information"]
    notes = [
        {
            "text": item["Description"],
            "source": item.get("DescriptionSourceName"),
            "url": item.get("DescriptionURL"),
            "licence": None,
        }
        for item in items
        if item.get("Description")
    ]
    return {"title": next((i["Title"] for i in items if i.get("Title")), None), "notes": notes}


def _read_png(body: bytes) -> bytes:
    if not body.startswith(b"\x89PNG\r\n\x1a\n") or b"IEND" not in body[-16:]:
        raise ValueError("not a whole PNG")
    return body


def _read_annotations(body: bytes) -> tuple[int, list[Any], list[tuple[int, Any]]]:
    page = json.loads(body)
    page = page.get("Annotations", page)
    orphans: list[Any] = []
    notes: list[tuple[int, Any]] = []
    for record in page["Annotation"]:
        text = "\n".join(
            piece["String"]
            for data in record.get("Data", ())
            for piece in data.get("Value", {}).get("StringWithMarkup", ())
            if piece.get("String")
        )
        licence = record.get("LicenseURL") or record.get("LicenseNote") or ""
        note = {
            "text": text,
            "source": record.get("SourceName"),
            "url": record.get("URL"),
            "licence": " ".join(licence.split())[:200] or None,  # a note may be a page long
        }
        cids = (record.get("LinkedRecords") or {}).get("CID") or ()
        if not cids or not text:
            orphans.append(record.get("ANID") or record.get("SourceID") or record.get("Name"))
        notes += [(int(cid), note) for cid in cids if text]
    return int(page["TotalPages"]), orphans, notes
