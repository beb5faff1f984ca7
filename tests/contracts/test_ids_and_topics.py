"""Names are parsed once at the door; topics are built and parsed in one place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidId, TopicError
from contracts.ids import (
    DeviceId,
    ModelName,
    ProfileName,
    TenantId,
    parse_device_id,
    parse_digest,
    parse_release_id,
    split_release_id,
)
from contracts.release import parse_target_path, target_path
from contracts.topics import FROM_DEVICE, TO_DEVICE, Channel, device_topic, every_device, parse_topic
from tests.strategies import device_ids, slugs


@given(slugs(), device_ids(), st.sampled_from(Channel))
def test_a_parsed_topic_is_the_built_one(tenant: str, device: DeviceId, channel: Channel) -> None:
    topic = parse_topic(device_topic(TenantId(tenant), device, channel))

    assert (topic.tenant, topic.device, topic.channel) == (tenant, device, channel)


@given(st.text(max_size=80))
def test_any_other_topic_is_refused(text: str) -> None:
    try:
        topic = parse_topic(text)
    except TopicError:
        return

    assert device_topic(topic.tenant, topic.device, topic.channel) == text


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "a+", "#", "..", "a" * 64, "é", "a b", "a\n"])
def test_a_device_id_that_is_no_slug_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidId, match="device id"):
        parse_device_id(name)


def test_no_device_id_can_hold_a_wildcard_of_the_filter() -> None:
    everyone = every_device(Channel.REPORT)

    assert everyone == "es/+/d/+/report"
    with pytest.raises(TopicError):
        parse_topic(everyone)


def test_each_channel_has_one_direction() -> None:
    assert set(TO_DEVICE) | set(FROM_DEVICE) == set(Channel)
    assert not set(TO_DEVICE) & set(FROM_DEVICE)


@pytest.mark.parametrize("text", ["digits", "digits@", "@1", "Digits@1", "digits@1/2", "digits@../x", "digits@-1"])
def test_a_release_id_is_model_at_version(text: str) -> None:
    with pytest.raises(InvalidId):
        parse_release_id(text)


def test_a_target_path_and_its_parts_agree() -> None:
    path = target_path(ModelName("digits"), "1.2.0", ProfileName("raspberry-pi-4"))

    release, profile = parse_target_path(path)

    assert (split_release_id(release), profile) == (("digits", "1.2.0"), "raspberry-pi-4")


@pytest.mark.parametrize(
    "path", ["digits/1", "../1/a.artifact", "digits/1/a.bin", "a/b/c/d.artifact", "digits/../a.artifact"]
)
def test_a_path_that_leaves_its_folder_is_refused(path: str) -> None:
    with pytest.raises(InvalidId):
        parse_target_path(path)


@pytest.mark.parametrize("text", ["", "0" * 63, "G" * 64, "A" * 64, "0" * 65])
def test_a_digest_is_64_hexadecimal_characters(text: str) -> None:
    with pytest.raises(InvalidId, match="digest"):
        parse_digest(text)
