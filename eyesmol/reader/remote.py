"""The reader with its model behind a server: vLLM, SGLang, or any that speaks OpenAI's chat
completions.

What the model sees is what it saw in training. The image is laid into the frame here and travels
as a lossless PNG of that size, in which the server's own processor finds nothing to resize; the
words are the training's prompt; decoding is greedy, whatever settings the server has of its own
(vLLM takes Qwen's repetition penalty from the model folder, which garbles coordinates).

The servers' ways differ in three things:

- vLLM (0.12 or later) and SGLang let only well-formed answers through: they get the grammar as a
  regular expression (`eyesmol.answer.grammar.answer_pattern`). It cannot say all that the grammar
  of `eyesmol.reader.constrained_decoding` says, so an answer that the model gets wrong may come out
  differently wrong.
- Where a server gives the log-probabilities of its tokens, confidences are those of the local
  reader; elsewhere they are None, and a warning says so.
- Without the model's folder at hand, form and frame have to be named.

Requests overlap: a few images are prepared ahead, results come in order, and memory holds no more
than this window. A request that fails for now (connection lost, 429, 5xx, no JSON) is made again,
later and later; one that fails for good is a row with its error; a server that is gone ends the
run, which goes on where it was when it is started again.

No torch in here.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import time
import warnings
from codecs import getincrementaldecoder
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from eyesmol import __version__
from eyesmol.answer.confidence import TokenTrace
from eyesmol.answer.grammar import answer_pattern
from eyesmol.answer.text import AnswerForm, prompt
from eyesmol.image.loading import Source
from eyesmol.image.pixel_frame import PixelFrame
from eyesmol.reader.base import RecognizerError
from eyesmol.reader.options import ReadOptions
from eyesmol.reader.vlm import MAX_NEW_TOKENS, Decoded, Picture, Training, VlmRecognizer
from eyesmol.recognition import Recognition

if TYPE_CHECKING:
    import httpx2
    import tenacity
    from PIL import Image

__all__ = ["KEY_NAMES", "Patience", "RemoteRecognizer"]

KEY_NAMES = ("EYESMOL_API_KEY", "OPENAI_API_KEY")  # in the environment; the first that is set
_END_TOKENS = ["<|im_end|>", "<|endoftext|>"]  # of Qwen's conversation format
# How each server takes a regular expression. Others are not asked to follow one.
_GUIDED = {
    "vllm": lambda pattern: {"structured_outputs": {"regex": pattern}},
    "sglang": lambda pattern: {"regex": pattern},
}
_WINDOW = 2  # images under way or waiting for their turn, for each request at a time
_LEAST_LOG = -9999.0  # what vLLM writes for minus infinity, which JSON has no word for
_LONGEST_REST = 600.0  # seconds that a server may ask us to wait


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout: seconds without a byte after which a request is given up; an answer may have to
            wait in the server's queue, and takes a while itself.
        attempts: how often a request is made.
        first_wait, longest_wait: seconds before it is made again, doubled each time, with jitter; a
            server's ``Retry-After`` is heeded besides.
    """

    timeout: float = 600.0
    attempts: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0

    def retrying(self) -> tenacity.AsyncRetrying:
        """What makes a request again as long as it fails with `_Passing`."""
        import tenacity

        growing = tenacity.wait_exponential_jitter(
            initial=self.first_wait, max=self.longest_wait, jitter=self.first_wait
        )

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return growing(state) + min(getattr(error, "rest", 0.0), _LONGEST_REST)

        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            # A timeout takes so long that one more is all there is time for.
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_after_delay(1.5 * self.timeout),
            wait=wait,
            reraise=True,
        )


class _Passing(Exception):
    """A request that failed and may succeed if it is made again."""

    def __init__(self, what: str, rest: float = 0.0, busy: bool = False) -> None:
        super().__init__(what)
        self.rest, self.busy = rest, busy


class _Refused(Exception):
    """A request that the server will not answer, however often it is made."""


@dataclass(frozen=True)
class _Served:
    """What a server says about a model: its name and folder there, its maker, tokens it holds."""

    name: str
    root: str = ""
    maker: str = ""
    longest: int | None = None


class RemoteRecognizer(VlmRecognizer):
    """A model behind a server that reads molecules from images.

    ::

        reader = RemoteRecognizer.connect("http://localhost:8000/v1", folder="runs/cot/merged")
        for result in reader.recognize(["a.png", "b.png"]):
            print(result.image, result.smiles, result.confidence)

    Attributes:
        model: its name on the server.
        form, frame, calibration, options: see `VlmRecognizer`.
    """

    def __init__(
        self,
        url: str,
        served: _Served,
        training: Training,
        *,
        concurrency: int = 16,
        patience: Patience = Patience(),
        options: ReadOptions | None = None,
    ) -> None:
        """Of a server that has been asked; `connect` is the usual way."""
        options = (options or ReadOptions()).changed(views=training.looks)
        super().__init__(
            training.form,
            training.frame,
            training.calibration,
            options,
            training.prompt_version,
        )
        self.model = served.name
        self._cell = training.cell
        self._url, self._served = url, served
        self._concurrency, self._patience = concurrency, patience
        self._unwanted: set[str] = set()  # optional parts of a request that the server refuses
        self._said: set[str] = set()
        self._text_tokens: tuple[int, int] | None = None  # of the first answer: text, all

    @classmethod
    def connect(
        cls,
        url: str,
        model: str | None = None,
        *,
        folder: Path | str | None = None,
        form: AnswerForm | None = None,
        frame: PixelFrame | None = None,
        calibration: Path | str | None = None,
        concurrency: int = 16,
        patience: Patience = Patience(),
        options: ReadOptions | None = None,
        **changes: Any,
    ) -> RemoteRecognizer:
        """Ask a server what it serves, and find out how that was trained.

        Args:
            url: of the API, such as ``http://localhost:8000/v1``.
            model: its name on the server; not needed where there is one only.
            folder: where the model's ``dataset_info.json`` and ``preprocessor_config.json`` lie.
                Without it the folder that the server says it loaded, and the model's name, are
                looked for on this machine.
            form, frame: in place of what the folder says; both are needed where there is none.
            calibration: a file of ``eyesmol calibrate``, in place of the folder's own.
            concurrency: requests at a time. vLLM batches them; more than it holds wait there.
            patience: how long to try.
            options, changes: as in `Recognizer.from_pretrained`; `batch_size` is the number of
                requests at a time, in place of `concurrency`.

        Raises:
            RecognizerError: no server there, no such model, a key that it refuses, or a frame that
                nothing says.
        """
        if concurrency < 1:
            raise ValueError(f"concurrency {concurrency}: expected at least 1")
        url = _checked_url(url)
        served = _chosen(url, _models(url), model)
        chosen = (options or ReadOptions()).changed(**changes)
        training = _training(url, served, folder, form, frame, calibration, chosen.views)
        return cls(
            url, served, training, concurrency=concurrency, patience=patience, options=chosen
        )

    def _read(
        self, sources: Iterable[Source | Recognition], options: ReadOptions
    ) -> Iterator[Recognition]:
        """An image whose request fails for good is a row with its error. `Recognition.seconds` is
        how long the server took, with its queue.

        Raises:
            RecognizerError: the server is gone, is too busy all the time, or refuses the key; the
                results that were given are whole.
        """
        from anyio import CapacityLimiter
        from anyio.from_thread import start_blocking_portal

        at_a_time = options.batch_size or self._concurrency
        limit = options.max_new_tokens or MAX_NEW_TOKENS
        # What is under way when the caller stops is cancelled, and the server told so.
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(self._client(at_a_time)) as client,
        ):
            session = _Session(client, CapacityLimiter(at_a_time), limit, options.grammar)
            window: deque[Future[_Outcome]] = deque()
            for number, source in enumerate(sources):
                window.append(portal.start_task_soon(self._ask, session, source, number, options))
                while window and (len(window) >= _WINDOW * at_a_time or window[0].done()):
                    yield self._result(window.popleft().result())
            while window:
                yield self._result(window.popleft().result())

    def _result(self, outcome: _Outcome) -> Recognition:
        if isinstance(outcome, Recognition):
            return outcome
        picture, answers, seconds = outcome
        return self._recognition(picture, answers, seconds)

    async def _ask(
        self,
        session: _Session,
        source: Source | Recognition,
        number: int,
        options: ReadOptions,
    ) -> _Outcome:
        """One image, from its file to the answers to all views of it."""
        from anyio.to_thread import run_sync

        picture = await run_sync(self._laid_out, source, number, options, limiter=session.openers)
        if isinstance(picture, Recognition):
            return picture
        answers, seconds = [], 0.0
        for look in picture.looks:
            url = await run_sync(_data_url, look.fitted, limiter=session.openers)
            async with session.turns:
                begun = time.perf_counter()
                try:
                    answers.append(await self._answer(session, look.fitted.size, url))
                except _Refused as error:
                    name = picture.opened.name
                    return Recognition(name, error=f"{name}: {error}")
                seconds += time.perf_counter() - begun
        return picture, answers, seconds

    # ---- one request ----

    def _client(self, at_a_time: int) -> httpx2.AsyncClient:
        import httpx2

        return httpx2.AsyncClient(
            headers=_headers(),
            timeout=httpx2.Timeout(self._patience.timeout, connect=30.0, pool=None),
            limits=httpx2.Limits(max_connections=at_a_time + 1),
        )

    async def _answer(self, session: _Session, size: tuple[int, int], url: str) -> Decoded:
        """The answer, asked for without what the server turns out not to know."""
        while True:
            body = self._body(session, size, url)
            try:
                reply = await self._asked(session.client, body)
            except _Refused as error:
                if not self._asks_too_much(body, str(error)):
                    raise
                continue
            return self._decoded(reply, body, size)

    def _body(self, session: _Session, size: tuple[int, int], url: str) -> dict[str, Any]:
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": prompt(self.form, self.prompt_version)},
        ]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "top_p": 1,
            "max_tokens": self._limit(session.limit, size),
            "stop": _END_TOKENS,
        }
        if "logprobs" not in self._unwanted:
            body["logprobs"] = True
        if self._served.maker in _GUIDED:
            body["repetition_penalty"] = 1.0
            if session.grammar and "grammar" not in self._unwanted:
                body |= _GUIDED[self._served.maker](self._pattern())
        return body

    def _pattern(self) -> str:
        return answer_pattern(self.form, self.prompt_version)

    def _limit(self, limit: int, size: tuple[int, int]) -> int:
        """Tokens for the answer: a server refuses a request that might not fit into its context."""
        if not self._served.longest:
            return limit
        width, height = size
        words = len(prompt(self.form, self.prompt_version))
        asked = width * height // self._cell**2 + words // 2 + 32
        return max(1, min(limit, self._served.longest - asked))

    async def _asked(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
        """The server's reply, tried for as long as there is hope.

        Raises:
            _Refused: this image gets none.
            RecognizerError: no image would get one.
        """
        retrying = self._patience.retrying()
        try:
            return await retrying(self._once, client, body)
        except _Passing as error:
            attempts = f"after {retrying.statistics['attempt_number']} attempts: {error}"
            if error.busy:
                raise RecognizerError(
                    f"{self._url}: too busy, {attempts}. Start again later, with a smaller "
                    "--concurrency: the run goes on where it was"
                ) from None
            await self._check_alive(client, str(error))
            raise _Refused(f"no answer {attempts}") from None

    async def _once(self, client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
        import httpx2

        try:
            response = await client.post(f"{self._url}/chat/completions", json=body)
        except httpx2.HTTPError as error:  # refused, reset, cut off, too slow
            raise _Passing(_named(error)) from None
        status = response.status_code
        if status == 429 or status >= 500:
            rest = _rest(response.headers.get("retry-after", ""))
            raise _Passing(_said(response), rest, busy=status == 429)
        if status in (401, 403, 404):
            raise RecognizerError(_turned_away(self._url, response))
        if status >= 300:
            raise _Refused(f"the server refused the request: {_said(response)}")
        try:
            reply = response.json()
            message = reply["choices"][0]["message"]
            if not isinstance(message.get("content") or "", str):
                raise TypeError
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise _Passing(f"no chat completion: {_said(response)}") from None
        return dict(reply)

    async def _check_alive(self, client: httpx2.AsyncClient, what: str) -> None:
        """Only a server that answers can be left for the next image: without one, all that are
        left would become rows with errors, and a run that is started again would pass over them."""
        import httpx2

        try:
            alive = (await client.get(f"{self._url}/models", timeout=10.0)).status_code < 500
        except httpx2.HTTPError:
            alive = False
        if not alive:
            raise RecognizerError(
                f"{self._url}: the server does not answer any more ({what}). Start it, and this "
                "command again: it goes on where it was"
            )

    def _asks_too_much(self, body: dict[str, Any], complaint: str) -> bool:
        """True where the server refuses a part that we can do without; it is not sent again."""
        parts = {
            "logprobs": ("logprobs" in body, r"log.?prob"),
            "grammar": (_is_guided(body), r"structured|guided|grammar|regex"),
        }
        for part, (is_asked, words) in parts.items():
            if is_asked and re.search(words, complaint, re.IGNORECASE):
                self._unwanted.add(part)
                self._say(f"the server refuses {part} and is asked without: {complaint}")
                return True
        return False

    # ---- one reply ----

    def _decoded(
        self, reply: dict[str, Any], body: dict[str, Any], size: tuple[int, int]
    ) -> Decoded:
        choice = reply["choices"][0]
        text, reason = choice["message"].get("content") or "", choice.get("finish_reason")
        self._check_size(reply.get("usage"), size)
        trace = _trace(text, choice.get("logprobs"))
        if trace is None:
            self._say("the server gives no log-probabilities that fit its text: no confidences")
        problems: tuple[str, ...] = ()
        if reason == "length":
            problems = (f"stopped: no end of the answer within {body['max_tokens']} tokens",)
        elif reason not in ("stop", None):
            problems = (f"stopped: the server ended the answer: {reason}",)
        elif _is_guided(body) and not re.fullmatch(self._pattern(), text):
            self._say("the server does not heed the grammar: it may be too old (vLLM: 0.12)")
        return Decoded(text, trace, problems)

    def _check_size(self, usage: Any, size: tuple[int, int]) -> None:
        """Notice a server that resizes: its tokens then do not go with the image's size.

        All tokens but the image's are those of the prompt, and always as many.
        """
        total = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if not isinstance(total, int):
            return
        width, height = size
        text = total - width * height // self._cell**2
        first_text, first_total = self._text_tokens = self._text_tokens or (text, total)
        # A server that always counts as many leaves images out.
        if text != first_text and total != first_total:
            self._say(
                f"the server resizes images again (it counts {total} tokens for one of {width} x "
                f"{height} pixels), so places will be off: serve the model with the "
                "preprocessor_config.json of its own folder"
            )

    def _say(self, what: str) -> None:
        """A warning, once."""
        if what not in self._said:
            self._said.add(what)
            warnings.warn(f"{self._url}: {what}", stacklevel=2)


_Outcome = Recognition | tuple[Picture, list[Decoded], float]


class _Session:
    """What the requests of one call share."""

    def __init__(self, client: httpx2.AsyncClient, turns: Any, limit: int, grammar: bool) -> None:
        from anyio import CapacityLimiter

        self.client, self.turns, self.limit, self.grammar = client, turns, limit, grammar
        # A page in the making takes many megabytes, so no more at a time than there are cores.
        self.openers = CapacityLimiter(os.cpu_count() or 1)


def _is_guided(body: dict[str, Any]) -> bool:
    return bool(body.keys() & {"structured_outputs", "regex"})


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _trace(text: str, logprobs: Any) -> TokenTrace | None:
    """The tokens of an answer; None where the server does not say, or says something else.

    Servers may list the end token too, which adds no letter to the text; it counts, as it does in
    the local reader.
    """
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not tokens:
        return None
    letters, lengths, values = "", [], []
    reader = getincrementaldecoder("utf-8")(errors="replace")
    try:
        for token in tokens:
            piece = token.get("bytes")
            letters += reader.decode(token["token"].encode() if piece is None else bytes(piece))
            lengths.append(len(letters))
            values.append(max(float(token["logprob"]), _LEAST_LOG))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    begin = letters.find(text)
    if begin < 0:
        return None
    return TokenTrace([min(max(n - begin, 0), len(text)) for n in lengths], values)


# ---- the server ----


def _checked_url(url: str) -> str:
    if not re.fullmatch(r"https?://([\w.-]+|\[[\da-fA-F:]+\])(:\d+)?(/[^\s@]*)?", url):
        shown = re.sub(r"//.*@", "//...@", url)
        raise RecognizerError(
            f"--server {shown}: expected a URL such as http://localhost:8000/v1, without a name or "
            f"a password; a key is taken from {' or '.join(KEY_NAMES)} in the environment"
        )
    return url.rstrip("/")


def _key() -> str:
    return next((os.environ[name] for name in KEY_NAMES if os.environ.get(name)), "")


def _headers() -> dict[str, str]:
    headers = {"User-Agent": f"EyesMol/{__version__}"}
    return headers | {"Authorization": f"Bearer {_key()}"} if _key() else headers


def _said(response: httpx2.Response) -> str:
    """A response in a line, without the key, which some servers repeat."""
    text = response.text
    try:
        found = response.json()
        text = str(found.get("error", found.get("detail", found)))
        text = str(found["error"]["message"]) if isinstance(found["error"], dict) else text
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    text = " ".join(text.split())
    if _key():
        text = text.replace(_key(), "***")
    return f"{response.status_code} {response.reason_phrase}: {text[:300]}".rstrip(": ")


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _rest(header: str) -> float:
    """Seconds of a ``Retry-After``: a number, or a date."""
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except (TypeError, ValueError):
        return 0.0
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)


def _turned_away(url: str, response: httpx2.Response) -> str:
    if response.status_code in (401, 403):
        advice = f"Set {' or '.join(KEY_NAMES)} to the server's key"
    else:
        end = urlsplit(url).path.rstrip("/")[-3:]
        advice = "Is the model still served?" if end == "/v1" else "The URL usually ends in /v1"
    return f"{url}: the server turns requests away: {_said(response)}. {advice}"


def _models(url: str) -> list[_Served]:
    """What the server says it serves; empty where it keeps that to itself.

    Raises:
        RecognizerError: no server, or one that refuses the key.
    """
    try:
        import httpx2
        import tenacity  # noqa: F401 (asked for here, needed later)
    except ImportError as error:
        raise RecognizerError(
            f"--server needs {error.name}: pip install 'eyesmol[remote]'"
        ) from None

    try:
        response = httpx2.get(f"{url}/models", headers=_headers(), timeout=30.0)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise RecognizerError(
            f"{url}: no server answers there ({_named(error)}). Start one, such as `vllm serve "
            "MODEL_FOLDER`, or correct --server"
        ) from None
    if response.status_code in (401, 403) or response.status_code >= 500:
        raise RecognizerError(_turned_away(url, response))
    try:
        cards = response.json()["data"]
        # An adapter's card says nothing of its length: it is that of its base.
        longest = next((n for card in cards if (n := card.get("max_model_len"))), None)
        return [
            _Served(
                str(card["id"]),
                str(card.get("root") or ""),
                str(card.get("owned_by") or "").lower(),
                card.get("max_model_len") or longest,
            )
            for card in cards
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _chosen(url: str, models: list[_Served], name: str | None) -> _Served:
    """The model that is meant."""
    listed = ", ".join(model.name for model in models[:8]) or "none that it names"
    if name is None:
        if len(models) != 1:
            raise RecognizerError(
                f"{url}: found models: {listed}; say which one with --model. If this is no OpenAI "
                "API, correct --server: it usually ends in /v1"
            )
        return models[0]
    for model in models:
        if name in (model.name, model.root):
            return model
    if models:
        raise RecognizerError(f"{url}: no model {name!r}; found: {listed}")
    return _Served(name)


def _training(
    url: str,
    served: _Served,
    folder: Path | str | None,
    form: AnswerForm | None,
    frame: PixelFrame | None,
    calibration: Path | str | None,
    looks: int | None,
) -> Training:
    """Form and frame: as named, else as a model folder says that can be seen from here."""
    if folder is None:
        seen = (name for name in (served.root, served.name) if _processor_settings(name))
        folder = next(seen, None)
    if folder is None:
        if form is None or frame is None:
            raise RecognizerError(
                f"{url}: nothing says in which pixel frame and answer form {served.name} was "
                "trained, and without them its places would be off. Name its folder with "
                "--frame-from (dataset_info.json and preprocessor_config.json are enough), or give "
                "--form, --min-pixels and --max-pixels"
            )
        return Training.named(form, frame, calibration, looks)
    processor = _processor_settings(str(folder))
    if not processor:
        raise RecognizerError(
            f"--frame-from {folder}: found no preprocessor_config.json; expected the folder of the "
            "model that the server reads with"
        )
    known = Training.of(str(folder), processor, form=form, calibration=calibration, looks=looks)
    return known if frame is None else replace(known, frame=frame)


def _processor_settings(name: str) -> dict[str, Any]:
    """An image processor's settings, as a model folder holds them; empty where it holds none."""
    folder = Path(name)
    if not name or not folder.is_dir():
        return {}
    for file in ("preprocessor_config.json", "processor_config.json"):
        try:
            found = json.loads((folder / file).read_text("utf-8"))
            found = found.get("image_processor", found)
        except (OSError, ValueError, AttributeError):
            continue
        if not isinstance(found, dict):
            continue
        # Older files have the budget under these names.
        old = {"shortest_edge": found.get("min_pixels"), "longest_edge": found.get("max_pixels")}
        size = found.get("size") or {}
        size = size if "shortest_edge" in size and not all(old.values()) else old
        return {"patch_size": 14, "merge_size": 2, **found, "size": size}
    return {}
