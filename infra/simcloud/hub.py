"""A Hugging Face hub on loopback: the read routes that the real `huggingface_hub` client asks.

    python -m infra.simcloud.hub        serves until Ctrl-C; prints the address for HF_ENDPOINT

Tokens that start with `hf_sim` are valid and may read gated models; with `hf_sim_denied` they are
valid and may not; any other token is refused, as the real hub does.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, quote, unquote, urlsplit

from infra.simcloud.hub_llama import LLAMA_ID, tiny_llama
from infra.simcloud.hub_models import HostedModel, default_models
from infra.simcloud.hub_repository import HostedFile, HubError, Repository

TOKEN = "hf_sim_token"

_DENIED_TOKEN = "hf_sim_denied"
_VALID_TOKEN = "hf_sim"
_CHUNK_BYTES = 1 << 20
_PATIENCE_S = 15.0  # clients wait 20 s
_MADE_WHEN_ASKED: Mapping[str, Callable[[], Path]] = {LLAMA_ID: tiny_llama}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_FILE_ROUTE = re.compile(r"/(?P<id>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_API_ROUTE = re.compile(
    r"/api/models/(?P<id>[^/]+(?:/[^/]+?)?)"
    r"(?:/(?P<verb>revision|tree|paths-info|refs)(?:/(?P<revision>[^/]+)(?:/(?P<path>.+))?)?)?/?"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request that was answered."""

    method: str
    path: str
    status: int
    body_bytes: int  # sent back


class HubServer:
    """A hub that answers until it is closed."""

    def __init__(
        self,
        host: str,
        port: int,
        models: Iterable[HostedModel],
        made_when_asked: Mapping[str, Callable[[], Path]] = _MADE_WHEN_ASKED,
    ) -> None:
        self._repositories = {model.id: Repository(model) for model in models}
        self._made_when_asked = made_when_asked
        self._maker = ThreadPoolExecutor(1)
        self._making: dict[str, Future[Path]] = {}
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        hub = self

        class Handler(_Handler):
            def repository(self, model_id: str) -> Repository | None:
                return hub._repositories.get(model_id) or hub._make(model_id)

            def note(self, request: Request) -> None:
                with hub._lock:
                    hub._requests.append(request)

        self._server = _Server((host, port), Handler)
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        self._made: tempfile.TemporaryDirectory[str] | None = None

    @property
    def requests(self) -> list[Request]:
        """Every request that was answered, in order."""
        with self._lock:
            return list(self._requests)

    def commit(self, model_id: str) -> str:
        """The revision that `main` of a model means."""
        return self._repositories[model_id].commit

    def _make(self, model_id: str) -> Repository | None:
        """A model that takes its time; until it is there the client is told to come again."""
        if model_id not in self._made_when_asked:
            return None
        with self._lock:
            if model_id not in self._making:
                make = self._made_when_asked[model_id]
                self._making[model_id] = self._maker.submit(make)
            making = self._making[model_id]
        try:
            folder = making.result(_PATIENCE_S)
        except Exception as error:
            words = str(error) or "it is being made: half a minute"
            raise HubError(HTTPStatus.SERVICE_UNAVAILABLE, f"{model_id}: {words}") from error
        made = Repository(HostedModel(model_id, folder))
        return self._repositories.setdefault(model_id, made)

    def close(self) -> None:
        """Stop answering, and free the port."""
        self._maker.shutdown(wait=False, cancel_futures=True)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self._made:
            self._made.cleanup()


def serve_hub(
    host: str = "127.0.0.1",
    port: int = 0,
    models: Iterable[HostedModel] | None = None,
    cache_dir: Path | None = None,
) -> HubServer:
    """Start a hub in a thread of this process.

    Args:
        port: 0 takes a free one.
        models: None serves `default_models`.
        cache_dir: where models that are made on the spot lie; None: until `close`.
    """
    if models is not None:
        return HubServer(host, port, models)
    if cache_dir is not None:
        return HubServer(host, port, default_models(cache_dir))
    made = tempfile.TemporaryDirectory(prefix="simcloud-hub-")
    hub = HubServer(host, port, default_models(Path(made.name)))
    hub._made = made
    return hub


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in mid-answer is no news; anything else is our fault."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def repository(self, model_id: str) -> Repository | None:
        raise NotImplementedError

    def note(self, request: Request) -> None:
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing on stderr: `HubServer.requests` has it."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        form = parse_qs(self.rfile.read(length).decode(errors="replace"))
        parts = urlsplit(self.path)
        try:
            self._check_token()
            if match := _API_ROUTE.fullmatch(parts.path):
                query = parse_qs(parts.query)
                self._send_json(self._api(match, query, form))
            elif match := _FILE_ROUTE.fullmatch(parts.path):
                self._send_file(match)
            elif parts.path == "/api/whoami-v2" and self._token:
                self._send_json({"type": "user", "name": "simcloud", "orgs": [], "auth": {}})
            else:
                raise HubError(HTTPStatus.NOT_FOUND, "Sorry, we can't find the page")
        except HubError as error:
            self._send_json({"error": str(error)}, error.status, error.headers)

    @property
    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ").strip()

    def _check_token(self) -> None:
        if self._token and not self._token.startswith(_VALID_TOKEN):
            raise HubError(HTTPStatus.UNAUTHORIZED, "Invalid credentials in Authorization header")

    def _find(self, model_id: str) -> Repository:
        if repository := self.repository(unquote(model_id)):
            return repository
        # The real hub does not tell a stranger whether a model is private or absent.
        if self._token:
            raise HubError(HTTPStatus.NOT_FOUND, "Repository not found", "RepoNotFound")
        raise HubError(HTTPStatus.UNAUTHORIZED, "Invalid username or password.", "RepoNotFound")

    def _api(
        self, match: re.Match[str], query: dict[str, list[str]], form: dict[str, list[str]]
    ) -> object:
        repository = self._find(match["id"])
        if match["revision"]:
            repository.check_revision(match["revision"])
        verb = match["verb"] or "revision"
        if verb == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            return repository.tree(unquote(match["path"] or ""), recursive=recursive)
        if verb == "paths-info":
            wanted = [path.strip("/") for path in form.get("paths", [])]
            return [repository.files[name].entry() for name in wanted if name in repository.files]
        if verb == "refs":
            main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.commit}
            return {"branches": [main], "tags": [], "converts": []}
        return repository.info(with_blobs="blobs" in query)

    def _send_file(self, match: re.Match[str]) -> None:
        repository = self._find(match["id"])
        if repository.model.gated:
            self._check_access(repository)
        repository.check_revision(match["revision"])
        file = repository.files.get(unquote(match["path"]))
        if file is None:
            message = "Entry not found"
            raise HubError(HTTPStatus.NOT_FOUND, message, "EntryNotFound", repository.commit)
        start, end = self._range(file)
        partial = (start, end) != (0, file.size_bytes)
        headers = {
            "Content-Type": "application/octet-stream",
            "ETag": f'"{file.etag}"',
            "X-Repo-Commit": repository.commit,
            "Accept-Ranges": "bytes",
            "Content-Disposition": f"inline; filename*=UTF-8''{quote(Path(file.name).name)}",
        }
        if file.is_lfs:
            headers["X-Linked-Size"] = str(file.size_bytes)
            headers["X-Linked-ETag"] = f'"{file.sha256}"'
        if partial:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size_bytes}"
        status = HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK
        self._send_head(status, headers, end - start)
        if self.command == "GET":
            with file.path.open("rb") as handle:
                self._copy(handle, start, end)

    def _check_access(self, repository: Repository) -> None:
        model_id = repository.model.id
        if not self._token:
            message = f"Access to model {model_id} is restricted. You must be authenticated."
            raise HubError(HTTPStatus.UNAUTHORIZED, message, "GatedRepo")
        if self._token.startswith(_DENIED_TOKEN):
            message = f"Access to model {model_id} is restricted, ask for access to it."
            raise HubError(HTTPStatus.FORBIDDEN, message, "GatedRepo")

    def _range(self, file: HostedFile) -> tuple[int, int]:
        """First byte and the one after the last. Raises HubError when there are none."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        if match is None or not (match[1] or match[2]):
            return 0, file.size_bytes
        if match[1]:
            start = int(match[1])
            end = min(int(match[2]) + 1, file.size_bytes) if match[2] else file.size_bytes
        else:
            start, end = max(0, file.size_bytes - int(match[2])), file.size_bytes
        if start >= end:
            unsatisfiable = HubError(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "Range not satisfiable"
            )
            unsatisfiable.headers["Content-Range"] = f"bytes */{file.size_bytes}"
            raise unsatisfiable
        return start, end

    def _copy(self, handle: BinaryIO, start: int, end: int) -> None:
        handle.seek(start)
        left = end - start
        while left > 0 and (chunk := handle.read(min(_CHUNK_BYTES, left))):
            self.wfile.write(chunk)
            left -= len(chunk)

    def _send_json(
        self,
        content: object,
        status: HTTPStatus = HTTPStatus.OK,
        headers: dict[str, str] | None = None,
    ) -> None:
        body = json.dumps(content).encode()
        self._send_head(status, {"Content-Type": "application/json", **(headers or {})}, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, headers: dict[str, str], length: int) -> None:
        # Noted before it is sent: a client that has its answer finds it in `requests`.
        sent_bytes = 0 if self.command == "HEAD" else length
        self.note(Request(self.command, urlsplit(self.path).path, status, sent_bytes))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


if __name__ == "__main__":
    server = serve_hub()
    print(f"HF_ENDPOINT={server.url}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.close()
