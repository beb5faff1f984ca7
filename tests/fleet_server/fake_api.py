"""A fleet server's API in this process: real HTTP on a loopback port, answers made of readmodel values.

It answers what it was told to answer and remembers what it was asked, so a test can look at both ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from contracts.codec import to_plain

TOKEN = "token-for-tests"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request that arrived; ``path`` includes the query."""

    method: str
    path: str
    body: bytes
    content_type: str


@dataclass(kw_only=True)
class FakeApi:
    """Answers by (method, path); an answer that is a list of answers is given one by one, the last one for good."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    _answers: dict[tuple[str, str], list[tuple[int, object, dict[str, str]]]] = field(default_factory=dict)

    def answer(
        self, method: str, path: str, value: object, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answer that request with the value as JSON from now on."""
        self._answers[method, path] = [(status, to_plain(value), headers or {})]

    def answer_in_turn(self, method: str, path: str, values: list[object]) -> None:
        """Answer that request with one value after the other, then with the last one."""
        self._answers[method, path] = [(200, to_plain(value), {}) for value in values]

    def refuse(self, method: str, path: str, *, status: int, code: str, message: str) -> None:
        """Refuse that request as the server would."""
        self._answers[method, path] = [(status, {"error": {"code": code, "message": message}}, {})]

    def paths(self) -> list[str]:
        """Return method and path of all requests so far."""
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    def next_answer(self, method: str, path: str) -> tuple[int, object, dict[str, str]]:
        """Return status, JSON and headers of the next answer."""
        queue = self._answers.get((method, path))
        if not queue:
            message = f"no answer for {method} {path}"
            return 404, {"error": {"code": "not_found", "message": message}}, {}
        return queue.pop(0) if len(queue) > 1 else queue[0]


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """Serve a FakeApi until the block ends."""
    api = FakeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _door(api))
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _door(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def do_PUT(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's own name
            """Keep the test's output quiet."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content_type = self.headers.get("Content-Type", "")
            api.asked.append(Asked(method=self.command, path=self.path, body=body, content_type=content_type))
            status, plain, headers = api.next_answer(self.command, self.path)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, plain = 401, {"error": {"code": "not_signed_in", "message": "the token is not known"}}
            answer = json.dumps(plain).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return Door
