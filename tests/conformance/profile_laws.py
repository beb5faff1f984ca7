"""What every device profile must hold, written once; ``tests/device_profiles`` runs it over the whole catalog."""

from __future__ import annotations

import json

import pytest

from contracts.codec import from_plain, to_plain
from contracts.ids import parse_profile_name
from contracts.manifest import ModelFormat
from device_profiles.profile import DeviceClass, DeviceProfile


class ProfileLaws:
    """Subclass it and supply the fixtures ``profile`` (as loaded) and ``file_name`` (without ``.toml``)."""

    @pytest.fixture
    def profile(self) -> DeviceProfile:
        """Return the profile under test."""
        raise NotImplementedError

    @pytest.fixture
    def file_name(self) -> str:
        """Return the name of its file."""
        raise NotImplementedError

    def test_the_file_is_named_after_the_profile(self, profile: DeviceProfile, file_name: str) -> None:
        assert profile.name == file_name == parse_profile_name(file_name)

    def test_it_survives_the_way_to_json_and_back(self, profile: DeviceProfile) -> None:
        assert from_plain(DeviceProfile, json.loads(json.dumps(to_plain(profile)))) == profile

    def test_each_fact_has_exactly_one_source(self, profile: DeviceProfile) -> None:
        sourced = sorted(name for source in profile.sources for name in source.fields)
        facts = {"architecture", "cpu", "cores", "clock_hz", "memory_bytes", "model_memory_bytes"}
        choices = {"formats", "full_int8", "computes_fp16"}
        storage = {"storage_bytes"} - ({"storage_bytes"} if profile.storage_bytes is None else set())

        assert sourced == sorted(facts | choices | storage)

    def test_each_source_names_a_document(self, profile: DeviceProfile) -> None:
        assert all(len(source.document) > 15 for source in profile.sources)

    def test_a_model_leaves_memory_for_everything_else(self, profile: DeviceProfile) -> None:
        assert 0 < profile.model_memory_bytes <= profile.memory_bytes / 2

    def test_its_figures_have_the_size_of_their_units(self, profile: DeviceProfile) -> None:
        assert 1 <= profile.cores <= 64
        assert 50_000_000 <= profile.clock_hz <= 6_000_000_000
        assert 100 * 2**10 <= profile.memory_bytes <= 64 * 2**30

    def test_only_fully_quantized_models_means_tflite_only(self, profile: DeviceProfile) -> None:
        assert not profile.full_int8 or profile.formats == (ModelFormat.TFLITE,)

    def test_a_microcontroller_is_given_no_runtime_that_needs_linux(self, profile: DeviceProfile) -> None:
        assert profile.device_class is not DeviceClass.MICROCONTROLLER or ModelFormat.ONNX not in profile.formats

    def test_half_precision_is_claimed_for_64_bit_processors_only(self, profile: DeviceProfile) -> None:
        assert not profile.computes_fp16 or profile.architecture == "aarch64"
