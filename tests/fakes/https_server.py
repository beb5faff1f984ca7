"""An HTTPS server that says what the test wants, under a certificate of the test's choosing, and keeps what it heard."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from tests.fakes.identities import Registry


class ScriptedServer(HTTPServer):
    """Answers POST with ``answer``; GET with the authority (``shows``) or a nonce."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.status = 200
        self.answer: object = {}
        self.shows = registry.authority.pem
        self.asked: dict[str, str] = {}
        self.posted = ""
        self.heard: list[str] = []
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(registry.folder.server)
        self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: object) -> None:
        return  # a client that refuses the certificate

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}/"


class _Answering(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_GET(self) -> None:
        self.server.heard.append(self.path)
        answers = {"/api/v1/authority": {"authority": self.server.shows}, "/api/v1/renew": {"nonce": "fresh"}}
        self._answer(200, answers[self.path])

    def do_POST(self) -> None:
        self.server.posted = self.path
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append(body.decode())
        self.server.asked = json.loads(body)
        self._answer(self.server.status, self.server.answer)

    def _answer(self, status: int, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def scripted_server(registry: Registry) -> Iterator[ScriptedServer]:
    """Yield a running server; it ends with the block."""
    server = ScriptedServer(registry)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
