"""Who comes in: passwords, tokens, cookies, and what another site's page cannot do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from contracts.ids import DEFAULT_TENANT
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import ApiTokenRow, AuditRow, UserRow, WebSessionRow
from fleet_server.errors import AlreadyExists, NotSignedIn
from fleet_server.people import store
from fleet_server.people.role import Role
from fleet_server.people.routes import SESSION_COOKIE
from tests.fleet_server.server import SmallServer

HOST = "http://testserver"


@pytest.fixture
def cookie(small_server: SmallServer) -> str:
    with transaction(small_server.engine) as session:
        user = store.user_of_token(session, small_server.secrets.token)
        return store.open_web_session(session, user, now=small_server.clock.now())


@pytest.fixture
def browser(small_server: SmallServer, cookie: str) -> TestClient:
    return TestClient(small_server.app, cookies={SESSION_COOKIE: cookie})


def add_viewer(server: SmallServer) -> str:
    with transaction(server.engine) as session:
        user = store.create_user(
            session, DEFAULT_TENANT, "vera", password="long enough", role=Role.VIEWER, now=server.clock.now()
        )
        return store.create_token(session, user, label="test", now=server.clock.now())


def test_the_first_password_signs_in(small_server: SmallServer) -> None:
    with reading(small_server.engine) as session:
        user = store.check_password(session, DEFAULT_TENANT, "admin", small_server.secrets.password)

    assert (user.name, user.role, user.may_operate) == ("admin", Role.ADMIN, True)


@pytest.mark.parametrize("name", ["admin", "nobody"])
def test_a_wrong_password_and_a_wrong_name_are_refused_alike(small_server: SmallServer, name: str) -> None:
    with reading(small_server.engine) as session, pytest.raises(NotSignedIn, match=r"^name or password is wrong$"):
        store.check_password(session, DEFAULT_TENANT, name, "wrong")


def test_no_secret_lies_in_the_database(small_server: SmallServer, cookie: str) -> None:
    with reading(small_server.engine) as session:
        kept = [
            *session.scalars(select(UserRow.password_hash)),
            *session.scalars(select(ApiTokenRow.hash)),
            *session.scalars(select(WebSessionRow.hash)),
        ]

    secrets = {small_server.secrets.password, small_server.secrets.token, cookie}
    assert len(kept) == 3
    assert not any(secret in word for secret in secrets for word in kept)
    assert kept[0].startswith("$argon2id$")


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer es_wrong", "Basic YWRtaW46eA=="])
def test_what_is_no_valid_token_is_refused(small_server: SmallServer, header: str) -> None:
    answer = small_server.strangers_api.get("/api/v1/devices", headers={"Authorization": header})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")


def test_a_cookie_signs_in_until_it_expires(small_server: SmallServer, browser: TestClient) -> None:
    before = browser.get("/api/v1/devices").status_code

    small_server.clock.pass_s(timedelta(hours=12).total_seconds())

    assert (before, browser.get("/api/v1/devices").status_code) == (200, 401)


def test_a_closed_session_is_over(small_server: SmallServer, browser: TestClient, cookie: str) -> None:
    with transaction(small_server.engine) as session:
        store.close_web_session(session, cookie)

    assert browser.get("/api/v1/devices").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site", "origin": HOST},
    ],
)
def test_a_change_from_another_sites_page_is_refused(browser: TestClient, headers: dict[str, str]) -> None:
    answer = browser.post("/api/v1/groups", json={"name": "lab"}, headers=headers)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "same-origin"}, {"origin": HOST}])
def test_a_change_from_our_own_page_passes(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.post("/api/v1/groups", json={"name": "lab"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/groups"),
        ("POST", "/api/v1/enrollment-tokens"),
        ("POST", "/api/v1/metadata"),
        ("PUT", f"/api/v1/artifacts/{'0' * 64}"),
        ("PUT", f"/api/v1/indexes/{'0' * 64}"),
        ("POST", "/api/v1/rollouts"),
        ("POST", "/api/v1/rollouts/r-1/pause"),
        ("POST", "/api/v1/rollouts/r-1/resume"),
        ("POST", "/api/v1/rollouts/r-1/abort"),
        ("POST", "/api/v1/rollouts/r-1/rollback"),
        ("POST", "/api/v1/alerts/a-1/acknowledge"),
    ],
)
def test_a_viewer_may_not_act(small_server: SmallServer, method: str, path: str) -> None:
    token = add_viewer(small_server)

    answer = small_server.strangers_api.request(
        method, path, json={"name": "lab", "group": "lab"}, headers={"Authorization": f"Bearer {token}"}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")


def test_every_route_of_the_api_wants_to_know_who_asks(small_server: SmallServer) -> None:
    described = small_server.api.get("/api/v1/openapi.json").json()["paths"] | {"/api/v1/openapi.json": {"get": {}}}
    routes = {(method.upper(), path) for path, methods in described.items() for method in methods}
    routes -= {("GET", "/health")}

    statuses = {
        (method, path): small_server.strangers_api.request(method, path.replace("{", "").replace("}", "")).status_code
        for method, path in routes
    }

    assert len(statuses) > 15
    assert {route: status for route, status in statuses.items() if status != 401} == {}


def test_acts_are_audited_with_who_and_what(small_server: SmallServer) -> None:
    small_server.enroll("pi-1", group="lab")

    with reading(small_server.engine) as session:
        acts = session.execute(select(AuditRow.actor, AuditRow.action, AuditRow.object).order_by(AuditRow.id)).all()

    assert [tuple(act) for act in acts] == [
        ("server init", "user.create", "admin"),
        ("admin", "group.create", "lab"),
        ("admin", "enrollment-token.create", "lab"),
        ("device pi-1", "device.enroll", "pi-1"),
    ]


def test_two_people_cannot_have_one_name(small_server: SmallServer) -> None:
    add_viewer(small_server)

    with pytest.raises(AlreadyExists):
        add_viewer(small_server)
