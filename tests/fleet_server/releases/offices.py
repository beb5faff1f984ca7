"""An office of several people whose roots a small server trusts."""

from __future__ import annotations

import httpx

from contracts.ids import DEFAULT_TENANT
from fleet_server.database.session import reading, transaction
from fleet_server.releases import store
from fleet_server.releases.publishing import trust_roots
from tests.fleet_server.server import SmallServer
from tests.fleet_server.trust.office import TOP, Office


def trusted_office(server: SmallServer) -> Office:
    """Return an office whose roots the server trusts."""
    office = Office(online=server.online_keys.public, director=server.director_keys.public)
    with transaction(server.engine) as session:
        trust_roots(session, DEFAULT_TENANT, office.roots, rings=server.wiring.rings, now=server.clock.now())
    return office


def submit(server: SmallServer, **parts: object) -> httpx.Response:
    """Send a submission and return the answer."""
    answer: httpx.Response = server.api.post("/api/v1/metadata", json=parts)
    return answer


def publish(server: SmallServer, office: Office, *teams: str) -> list[dict[str, object]]:
    """Sign top targets and these teams anew, publish them, and return the releases that this changed."""
    answer = submit(server, targets=office.sign(TOP), teams={team: office.sign(team) for team in teams})
    assert answer.status_code == 200, answer.text
    changed: list[dict[str, object]] = answer.json()
    return changed


def release(server: SmallServer, office: Office, artifact: bytes, *, role: str = TOP) -> str:
    """Upload the artifact and publish it as a release of the role; return its path."""
    server.upload(artifact)
    path = office.put(artifact, role=role)
    publish(server, office, *([] if role == TOP else [role]))
    return path


def document(server: SmallServer, role: str, version: int = 0) -> str:
    """Return the newest file of the role, or that version; empty where there is none."""
    with reading(server.engine) as session:
        row = (
            store.find_document(session, DEFAULT_TENANT, role, version)
            if version
            else store.newest_document(session, DEFAULT_TENANT, role)
        )
    return row.text if row else ""


def barred(server: SmallServer) -> dict[str, str]:
    """Return why each release may not be offered; empty: it may."""
    return {view["id"]: view["barred"] for view in server.api.get("/api/v1/releases").json()}
