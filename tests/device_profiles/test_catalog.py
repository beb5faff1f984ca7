"""Every file of the catalog against the laws of profiles."""

from __future__ import annotations

from importlib import resources

import pytest

from contracts.manifest import ModelFormat
from device_profiles import DeviceProfile, all_profiles, load_profile
from tests.conformance.profile_laws import ProfileLaws

FILES = sorted(
    file.name.removesuffix(".toml")
    for file in (resources.files("device_profiles") / "catalog").iterdir()
    if file.name.endswith(".toml")
)


@pytest.mark.parametrize("file_name", FILES)
class TestCatalog(ProfileLaws):
    @pytest.fixture
    def profile(self, file_name: str) -> DeviceProfile:
        return load_profile(file_name)

    @pytest.fixture
    def file_name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)


def test_the_catalog_holds_what_it_promises() -> None:
    assert [profile.name for profile in all_profiles()] == [
        "coral-dev-board",
        "esp32-s3",
        "imx8m-plus",
        "jetson-nano",
        "jetson-orin-nano",
        "raspberry-pi-4",
        "raspberry-pi-5",
        "raspberry-pi-zero-2-w",
        "stm32h743",
        "x86-gateway",
    ]


def test_the_two_devices_of_the_demo_ask_for_different_formats() -> None:
    pi, coral = load_profile("raspberry-pi-4"), load_profile("coral-dev-board")

    assert (pi.formats[0], pi.full_int8) == (ModelFormat.ONNX, False)
    assert (coral.formats, coral.full_int8) == ((ModelFormat.TFLITE,), True)


def test_a_raspberry_pi_4_is_what_its_makers_say() -> None:
    pi = load_profile("raspberry-pi-4")

    assert (pi.cores, pi.clock_hz, pi.memory_bytes) == (4, 1_500_000_000, 2**30)
    assert pi.storage_bytes is None
