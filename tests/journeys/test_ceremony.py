"""The ceremony runs as docs/ceremony.md prints it, against a real server, and a device that knew the first roots follows."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError

from signing.publish import submission_of
from signing.repository import Repository
from tests.journeys.test_readme import PRELUDE, blocks_of, printed_ports, written
from tests.signing.ceremony.device import OnlineRoles, follow, install
from tests.signing.repositories import an_artifact

PAGE = "docs/ceremony.md"
WELDS = "welds/1.0.0/raspberry-pi-4.artifact"


@pytest.fixture(scope="module")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which every command of the page was typed, in the printed order; what they said is in ``said``."""
    folder = tmp_path_factory.mktemp("ceremony")
    (folder / "digits-1.artifact").write_bytes(an_artifact())
    (folder / "digits-2.artifact").write_bytes(an_artifact(version="2.0.0", counter=2))
    (folder / "welds-1.artifact").write_bytes(an_artifact(model="welds"))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
    }
    with printed_ports():
        process = subprocess.Popen(
            ["bash", "-xc", PRELUDE + written(blocks_of(PAGE))],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            time.sleep(1.0)
    assert process.returncode == 0, said[-6000:]
    (folder / "said").write_text(said)
    return folder


def online_of(folder: Path) -> OnlineRoles:
    """Return the server's own online key, to sign snapshot and timestamp as it does."""
    private = load_pem_private_key((folder / "server/fleet/online.pem").read_bytes(), None)
    assert isinstance(private, Ed25519PrivateKey)
    return OnlineRoles(online=CryptoSigner(private))


@pytest.mark.slow
def test_a_device_that_knew_the_first_roots_follows_to_the_end(ceremony: Path) -> None:
    now = datetime.now(UTC)
    repository = Repository.open(ceremony / "ana/releases")
    submission = submission_of(repository, repository.verify(now))

    trusted = follow((ceremony / "device/root.json").read_bytes(), submission, online_of(ceremony), now=now)
    director_root = (ceremony / "device/director-root.json").read_bytes()
    director = follow(director_root, submission, online_of(ceremony), now=now, director=True)

    assert (trusted.root.version, director.root.version) == (2, 2)
    assert list(trusted.targets.targets) == ["digits/2.0.0/raspberry-pi-4.artifact"]
    assert trusted.targets.unrecognized_fields["floors"] == {"digits": 2}
    assert install(trusted, submission.teams, WELDS)


@pytest.mark.slow
def test_what_the_stolen_key_signed_is_refused_by_the_device(ceremony: Path) -> None:
    now = datetime.now(UTC)
    repository = Repository.open(ceremony / "ana/releases")
    submission = submission_of(repository, repository.verify(now))
    trusted = follow((ceremony / "device/root.json").read_bytes(), submission, online_of(ceremony), now=now)
    signed_by_dora = (ceremony / "dora/releases/metadata/vision.json").read_text()

    with pytest.raises(UnsignedMetadataError):
        install(trusted, {"vision": signed_by_dora}, WELDS)


@pytest.mark.slow
def test_each_step_says_what_came_of_it(ceremony: Path) -> None:
    said = (ceremony / "said").read_text()

    assert "✓ root version 2 signed by Ben" in said
    assert "2 of 3: the others put a new key in its place; devices follow" in said
    assert said.count("✓ published") == 3
    assert "✓ taken back digits@1.0.0" in said
    assert "- key of vision: Dora" in said
    assert "+ floor: devices install no digits with a counter under 2 any more" in said
    assert "Traceback" not in said
