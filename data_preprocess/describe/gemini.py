"""Gemini's interface through google-genai: one call, or a batch job, with all that can go wrong.

What comes back is read as the JSON that it is, by name: the SDK's own types refuse fields that are
newer than the SDK. Whatever the service says goes through `_scrubbed`, so the key stands in no
message.
"""

from __future__ import annotations

import base64
import importlib
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google import genai
from google.genai import errors, types
from pydantic import ValidationError

from data_preprocess.describe import journal
from data_preprocess.describe.budget import Tokens
from data_preprocess.describe.journal import Reply
from data_preprocess.describe.question import ANSWER_SCHEMA, PROMPT, PictureDescription
from data_preprocess.gemini_models import ThinkingLevel, takes_temperature, takes_thinking_level
from data_preprocess.web import retry_after
from eyesmol.exceptions import InputError

__all__ = ["Fault", "FinishedJob", "Gemini", "SentImage"]

_TIMEOUT = 180_000  # milliseconds; a thinking model takes its time
_TEMPERATURE = 0.2
_DETAIL = 300  # characters kept of what the service says
_KEYS = ("GOOGLE_API_KEY", "GEMINI_API_KEY")


@dataclass(frozen=True)
class SentImage:
    """One image as it is sent.

    Attributes:
        name: as the catalogue has it.
        data: PNG, JPEG or WebP.
        size: width and height in pixels.
    """

    name: str
    data: bytes
    mime_type: str
    size: tuple[int, int]

    def tokens(self) -> int:
        """At most so many tokens, as the models up to now count them.

        Gemini 2 cuts an image into tiles of 256 to 768 pixels a side, two thirds of the shorter
        side, of 258 tokens each; Gemini 3 takes up to 1,120 for the whole.
        """
        side = min(max(min(self.size) / 1.5, 256), 768)
        tiles = math.ceil(self.size[0] / side) * math.ceil(self.size[1] / side)
        return max(1_120, 258 * tiles)


class Fault(Exception):
    """A call without a reply.

    Attributes:
        reply: how the journal notes it.
        code: the HTTP status, None where there was none.
        wait: seconds that the service asks for, None where it does not say.
        stop: why asking more is of no use, None where it is.
    """

    def __init__(
        self,
        reply: Reply,
        *,
        code: int | None = None,
        wait: float | None = None,
        stop: str | None = None,
    ) -> None:
        super().__init__(f"{reply.outcome}: {reply.detail}")
        self.reply, self.code, self.wait, self.stop = reply, code, wait, stop


@dataclass(frozen=True)
class FinishedJob:
    """A batch job that has ended; `replies` names the service's file of replies, if any."""

    state: str
    replies: str | None
    detail: str | None


class Gemini:
    """One model behind one address.

    Args:
        model: such as ``gemini-3.8-flash``.
        max_output_tokens: of an answer, its thoughts included.
        thinking: how much it thinks before it answers, which is billed as answer; passed over by
            models that take no level.
        base_url: None for Google's own.

    Raises:
        InputError: no key in the environment, or an address to which it must not be sent.
    """

    def __init__(
        self,
        model: str,
        *,
        max_output_tokens: int,
        thinking: ThinkingLevel = "low",
        base_url: str | None = None,
    ) -> None:
        self.model = model
        self._key = _key()
        base_url = base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or None
        if base_url is not None:
            _check_address(base_url)
        # No retries here: the journal has to see every one of them.
        self._client = genai.Client(
            vertexai=False,
            api_key=self._key,
            http_options=types.HttpOptions(
                base_url=base_url, api_version="v1beta", timeout=_TIMEOUT
            ),
        )
        self._generation: dict[str, Any] = {
            "responseMimeType": "application/json",
            "responseJsonSchema": ANSWER_SCHEMA,
            "maxOutputTokens": max_output_tokens,
        }
        if takes_temperature(model):
            self._generation["temperature"] = _TEMPERATURE
        if takes_thinking_level(model):
            self._generation["thinkingConfig"] = {"thinkingLevel": thinking.upper()}
        self._config = types.GenerateContentConfig(
            **self._generation,
            should_return_http_response=True,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        self._max_output = max_output_tokens

    def estimate(self, image: SentImage) -> Tokens:
        """The most that a call about this image should cost."""
        words = len(PROMPT) + len(json.dumps(ANSWER_SCHEMA))
        return Tokens(image.tokens() + words // 2, self._max_output)

    # ---- one call ----

    def ask(self, image: SentImage) -> Reply:
        """Describe one image.

        Raises:
            Fault: no reply came.
        """
        part = types.Part.from_bytes(data=image.data, mime_type=image.mime_type)
        contents = types.Content(role="user", parts=[part, types.Part.from_text(text=PROMPT)])
        with self._faults():
            response = self._client.models.generate_content(
                model=self.model, contents=contents, config=self._config
            )
            raw = response.sdk_http_response
            body = json.loads((raw.body if raw else None) or "")
        return self.read(body)

    def read(self, body: Any) -> Reply:
        """What the service's JSON says: an answer, or which kind of failure."""
        body = body if isinstance(body, dict) else {}
        usage = _dict(body.get("usageMetadata"))
        thoughts = _count(usage.get("thoughtsTokenCount"))
        tokens = None
        if (prompt := _count(usage.get("promptTokenCount"))) is not None:
            answered = _count(usage.get("candidatesTokenCount")) or 0
            tokens = Tokens(prompt, answered + (thoughts or 0))
        candidates = body.get("candidates")
        candidate = _dict(candidates[0]) if isinstance(candidates, list) and candidates else {}
        finish = candidate.get("finishReason")
        outcome, detail, answer = _outcome(body, candidate)
        return Reply(
            outcome,
            detail=self._scrubbed(detail),
            answer=answer,
            model_version=_text(body.get("modelVersion")),
            finish_reason=_text(finish),
            tokens=tokens,
            thoughts=thoughts,
        )

    # ---- batch jobs ----

    def batch_line(self, key: str, image: SentImage) -> str:
        """One line of the JSON Lines file that a batch job takes."""
        data = {
            "mimeType": image.mime_type,
            "data": base64.b64encode(image.data).decode("ascii"),
        }
        parts = [{"inlineData": data}, {"text": PROMPT}]
        request = {
            "contents": [{"role": "user", "parts": parts}],
            "generationConfig": self._generation,
        }
        return json.dumps({"key": key, "request": request}) + "\n"

    def submit(self, label: str, lines: Path) -> str:
        """Upload the lines and begin a job with them; returns its name."""
        with self._faults():
            config = types.UploadFileConfig(display_name=label, mime_type="application/jsonl")
            uploaded = self._client.files.upload(file=lines, config=config)
            job = self._client.batches.create(
                model=self.model,
                src=uploaded.name or "",
                config=types.CreateBatchJobConfig(display_name=label),
            )
        if not job.name:
            raise Fault(Reply(journal.SERVER_ERROR, detail="a job without a name"))
        return job.name

    def find_job(self, label: str) -> str | None:
        """The name of the job that was begun under a label; None where there is none."""
        with self._faults():
            for job in self._client.batches.list():
                if job.display_name == label:
                    return job.name
        return None

    def finished(self, name: str) -> FinishedJob | None:
        """A job that has ended; None for one that is still at work."""
        with self._faults():
            job = self._client.batches.get(name=name)
        if not (job.done or job.state is types.JobState.JOB_STATE_PARTIALLY_SUCCEEDED):
            return None
        state = job.state.name.removeprefix("JOB_STATE_").lower() if job.state else "unknown"
        error = job.error.message if job.error else None
        return FinishedJob(state, job.dest.file_name if job.dest else None, self._scrubbed(error))

    def download(self, file: str, to: Path) -> None:
        """Fetch a file of replies, in pieces."""
        with self._faults():
            self._client.files.download(file=file, destination=to)

    def read_line(self, line: bytes) -> tuple[str | None, Reply]:
        """The key and the reply of one line of a batch job's result."""
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            return None, Reply(journal.NO_REPLY, detail="a line that is no JSON object")
        key = row.get("key")
        error = row.get("error") or row.get("status")
        if "response" in row or not error:
            return _text(key), self.read(row.get("response"))
        return _text(key), Reply(journal.SERVER_ERROR, detail=self._scrubbed(json.dumps(error)))

    # ---- faults ----

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the SDK and the network raise into a `Fault`, without the key in it."""
        try:
            yield
        except errors.APIError as error:
            fault = self._api_fault(error)
        except _network_errors() as error:
            reached = "Connect" not in type(error).__name__
            outcome = journal.CONNECTION_LOST if reached else journal.NOT_REACHED
            fault = Fault(self._failed(outcome, f"{type(error).__name__}: {error}"))
        except (ValueError, KeyError) as error:
            # A body that is no JSON, an upload without its headers: the SDK raises what it likes.
            fault = Fault(self._failed(journal.SERVER_ERROR, f"{type(error).__name__}: {error}"))
        else:
            return
        raise fault from None

    def _api_fault(self, error: errors.APIError) -> Fault:
        code, reasons = error.code, _details(error)
        said = f"{code} {error.status}: {error.message}"
        stop = None
        if code == 429:
            reply = self._failed(journal.OVER_QUOTA, said)
            if any("perday" in str(reason).lower() for reason in reasons):
                stop = f"the quota of the day is used up ({reply.detail})"
        elif code >= 500 or code in (408, 499):
            reply = self._failed(journal.SERVER_ERROR, said)
        elif code in (401, 403) or any(r.get("reason") == "API_KEY_INVALID" for r in reasons):
            reply = self._failed(journal.NOT_ALLOWED, said)
            stop = f"the service refuses the key ({reply.detail})"
        elif code == 404:
            reply = self._failed(journal.NOT_ALLOWED, said)
            stop = f"the service does not know the model {self.model} ({reply.detail}); see --model"
        else:
            reply = self._failed(journal.REFUSED, said)
        return Fault(reply, code=code, wait=_retry_delay(error, reasons), stop=stop)

    def _failed(self, outcome: str, detail: str) -> Reply:
        return Reply(outcome, detail=self._scrubbed(detail))

    def _scrubbed(self, text: str | None) -> str | None:
        if text is None:
            return None
        return " ".join(text.replace(self._key, "***").split())[:_DETAIL]


def _outcome(
    body: dict[str, Any], candidate: dict[str, Any]
) -> tuple[str, str | None, dict[str, Any] | None]:
    """Outcome, detail and answer of a reply."""
    if not candidate:
        reason = _dict(body.get("promptFeedback")).get("blockReason")
        if reason:
            return journal.PROMPT_BLOCKED, str(reason), None
        return journal.NO_TEXT, "no candidates", None
    finish = candidate.get("finishReason")
    if finish == "MAX_TOKENS":
        return journal.CUT_OFF, "raise --max-output-tokens", None
    if finish not in (None, "STOP", "FINISH_REASON_UNSPECIFIED"):
        return journal.OUTPUT_BLOCKED, f"{finish} {candidate.get('finishMessage') or ''}", None
    parts = _dict(candidate.get("content")).get("parts")
    parts = [_dict(part) for part in parts] if isinstance(parts, list) else []
    text = "".join(str(part.get("text") or "") for part in parts if not part.get("thought"))
    if not text.strip():
        return journal.NO_TEXT, None, None
    try:
        answer = PictureDescription.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        position = ".".join(map(str, first["loc"])) or "the whole"
        return journal.NOT_THE_JSON, f"{position}: {first['msg']}; found {text[:80]!r}", None
    return journal.ANSWERED, None, answer.model_dump()


def _key() -> str:
    key = next((os.environ[name].strip() for name in _KEYS if os.environ.get(name)), "")
    if not key:
        raise InputError(f"no key for Gemini: set {' or '.join(_KEYS)} in the environment")
    if not re.fullmatch(r"[!-~]+", key):
        raise InputError(f"{' or '.join(_KEYS)}: holds characters that no key has")
    return key


def _check_address(base_url: str) -> None:
    """The key travels in a header: in the clear only to this machine."""
    parts = urlsplit(base_url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise InputError(f"base URL {base_url}: expected https://, since the key is sent there")


def _network_errors() -> tuple[type[BaseException], ...]:
    """The errors of whichever HTTP library the SDK uses."""
    found: list[type[BaseException]] = [ConnectionError, TimeoutError]
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).HTTPError)
        except ModuleNotFoundError:
            continue
    return tuple(found)


def _details(error: errors.APIError) -> list[dict[str, Any]]:
    """The `details` of Google's error body; empty where the body is something else."""
    body = error.details
    body = body[0] if isinstance(body, list) and body else body
    details = _dict(_dict(body).get("error")).get("details")
    return [_dict(detail) for detail in details] if isinstance(details, list) else []


def _retry_delay(error: errors.APIError, details: list[dict[str, Any]]) -> float | None:
    """Seconds to wait: RetryInfo in the body, or else the header Retry-After."""
    for detail in details:
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)s?", str(detail.get("retryDelay") or "")):
            return float(match[1])
    headers = getattr(error.response, "headers", None) or {}
    return retry_after(str(headers.get("retry-after") or ""))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
