"""A test client that behaves like a browser on the console: it keeps its cookie and says where it is."""

from __future__ import annotations

from fastapi.testclient import TestClient

from fleet_server.console.parts import Console
from fleet_server.console.rendering import StaticFiles
from tests.fleet_server.console.fake_fleet import PASSWORDS, FakeFleet
from tests.fleet_server.console.preview import app_over

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
FRAGMENT = {"HX-Request": "true"}


def a_stranger(fleet: FakeFleet, *, static: StaticFiles | None = None) -> TestClient:
    """Return a browser that has not signed in."""
    console = Console.over(fleet, fleet, people=fleet, clock=fleet.clock, static=static)
    return TestClient(app_over(fleet, console), headers=SAME_ORIGIN, follow_redirects=False)


def signed_in(fleet: FakeFleet, name: str = "ana", *, static: StaticFiles | None = None) -> TestClient:
    """Return a browser that has: ana is an operator, vera a viewer."""
    browser = a_stranger(fleet, static=static)
    assert browser.post("/login", data={"name": name, "password": PASSWORDS[name]}).status_code == 303
    return browser
