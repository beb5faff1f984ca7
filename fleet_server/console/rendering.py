"""Templates and static files: HTML escaped by default, no inline script or style anywhere."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fleet_server.console import words
from fleet_server.errors import NotFound
from fleet_server.people.user import User

HERE = Path(__file__).parent
WORTH_COMPRESSING_BYTES = 1_000
THEME_COOKIE = "edgeship_theme"
THEMES = ("light", "dark")
MEDIA_TYPES: Mapping[str, str] = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"


class StaticFiles:
    """What ``web/build.py`` made, read once: a server serves the bundle it started with."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.name: path.read_bytes()
            for path in (folder.iterdir() if folder.is_dir() else ())
            if path.suffix in MEDIA_TYPES or path.name.endswith(".gz")
        }

    @property
    def present(self) -> bool:
        """Whether there is a bundle; without it pages are plain and unstyled, and say so."""
        return "app.css" in self._files and "app.js" in self._files

    def url(self, name: str) -> str:
        """Return the path of the file, with a mark that changes with its bytes."""
        mark = hashlib.sha256(self._files.get(name, b"")).hexdigest()[:12]
        return f"/static/{name}?v={mark}"

    def answer(self, name: str, request: Request) -> Response:
        """Return the file, compressed where the browser takes that.

        Raises:
            NotFound: the bundle has no such file.
        """
        if name not in self._files or Path(name).suffix not in MEDIA_TYPES:
            raise NotFound("static file", name, "build the console with: make web")
        headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
        squeezed = self._files.get(f"{name}.gz")
        if squeezed is not None and takes_gzip(request):
            return Response(squeezed, headers=headers | {"Content-Encoding": "gzip"}, media_type=_media_type(name))
        return Response(self._files[name], headers=headers, media_type=_media_type(name))


class Pages:
    """Writes pages from templates."""

    def __init__(self, static: StaticFiles) -> None:
        self._static = static

    def page(self, request: Request, name: str, *, now: datetime, status: int = 200, **values: object) -> Response:
        """Return the whole page, or, where htmx asks for it, only its ``_name.html``."""
        template = f"_{name}.html" if wants_fragment(request) and status == 200 else f"{name}.html"
        return self.write(request, template, now=now, status=status, **values)

    def write(self, request: Request, template: str, *, now: datetime, status: int = 200, **values: object) -> Response:
        """Return what the template makes of the values."""
        user: User | None = getattr(request.state, "user", None)
        theme = request.cookies.get(THEME_COOKIE, "")
        html = self._templates.get_template(template).render(
            now=now,
            path=request.url.path,
            static=self._static,
            theme=theme if theme in THEMES else "",
            user=user,
            **values,
        )
        return _answer(request, html.encode(), status)

    @cached_property
    def _templates(self) -> Environment:
        templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.filters |= {
            "absolute": words.absolute,
            "age": words.age,
            "face": words.face,
            "input_title": words.input_title,
            "number": lambda count: f"{count:,}",
            "percent": words.percent,
            "plain": words.plain_number,
            "size": words.size,
            "spelled": words.spelled,
        }
        templates.globals |= {"since": words.since, "wave_face": words.wave_face}
        return templates


def wants_fragment(request: Request) -> bool:
    """Whether htmx asks for the part that it will put into the page."""
    return request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in request.headers


def takes_gzip(request: Request) -> bool:
    """Whether the browser takes gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


def _answer(request: Request, body: bytes, status: int) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "HX-Request, Accept-Encoding"}
    if takes_gzip(request) and len(body) > WORTH_COMPRESSING_BYTES:
        body = gzip.compress(body, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(body, status_code=status, headers=headers, media_type="text/html; charset=utf-8")


def _media_type(name: str) -> str:
    return MEDIA_TYPES[Path(name).suffix]
