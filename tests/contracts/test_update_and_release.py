"""Closed sets say which of their words are final; what is signed names itself in one way."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifact import HEADER_LIMIT_BYTES
from contracts.chunks import MAX_CHUNK_BYTES, cut
from contracts.codec import MESSAGE_LIMIT_BYTES, decode, encode, from_plain, to_plain
from contracts.enrollment import EnrollmentAnswer, EnrollmentRequest
from contracts.errors import DecodeError, InvalidId
from contracts.ids import (
    DEFAULT_TENANT,
    DeviceId,
    GroupName,
    ModelName,
    ProfileName,
    digest_of,
    release_id,
    split_release_id,
)
from contracts.metadata import LIMITS_BYTES, PART_BYTES, MetadataAnswer, MetadataName
from contracts.release import index_digest, parse_target_path, target_path
from contracts.sketch import Feature, FeatureKind, FeatureSketch, OutputReference, SketchPlan, plan_digest
from contracts.update import UpdateState
from tests.strategies import device_ids, slugs

VERSIONS = st.from_regex(r"\A[0-9A-Za-z]([0-9A-Za-z.+-]{0,20}[0-9A-Za-z])?\Z")
FINAL = {"healthy", "refused", "failed", "rolled_back", "timed_out", "cancelled"}
FAILURES = {"refused", "failed", "rolled_back", "timed_out"}
REFERENCE = FeatureSketch(counts=(3, 4), missing=0, mean=0.5, squares=2.0)
FEATURE = Feature(name="a", tensor="x", kind=FeatureKind.ELEMENT, edges=(0.5,), reference=REFERENCE)
PLAN = SketchPlan(features=(FEATURE,), output=OutputReference(class_counts=(3, 4), confidence_counts=()))
REQUEST = EnrollmentRequest(
    token="t", device=DeviceId("pi-1"), profile=ProfileName("p"), csr="-----BEGIN", agent_version="0.1.0", site="lyon"
)


@pytest.mark.parametrize("state", UpdateState)
def test_a_state_is_final_or_goes_on(state: UpdateState) -> None:
    assert state.is_final == (state.value in FINAL)


@pytest.mark.parametrize("state", UpdateState)
def test_a_state_counts_against_the_rollout_or_does_not(state: UpdateState) -> None:
    assert state.is_failure == (state.value in FAILURES)


def test_only_what_is_over_counts_against_the_rollout() -> None:
    assert {state for state in UpdateState if state.is_failure} < {state for state in UpdateState if state.is_final}


@given(slugs(), VERSIONS, slugs())
def test_a_target_path_names_one_release_and_one_profile(model: str, version: str, profile: str) -> None:
    path = target_path(ModelName(model), version, ProfileName(profile))

    release, named = parse_target_path(path)

    assert (release, named) == (release_id(ModelName(model), version), profile)
    assert target_path(*split_release_id(release), named) == path


@given(st.text(max_size=60))
def test_any_other_path_is_refused(path: str) -> None:
    try:
        release, profile = parse_target_path(path)
    except InvalidId:
        return

    assert target_path(*split_release_id(release), profile) == path


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_an_index_digest_is_of_the_bytes_that_travel(data: bytes, chunk_bytes: int) -> None:
    index = cut(data, chunk_bytes)

    digest, length = index_digest(index)

    assert (digest, length) == (digest_of(encode(index)), len(encode(index)))
    assert sum(index.lengths) == len(data)


@given(st.binary(min_size=2, max_size=2000), st.integers(1, 500))
def test_another_artifact_or_another_cut_is_another_index(data: bytes, chunk_bytes: int) -> None:
    flipped = bytes([data[0] ^ 1]) + data[1:]

    indexes = [cut(one, size) for one in (data, flipped) for size in (chunk_bytes, len(data) + 500)]

    assert len({index_digest(one)[0] for one in indexes}) == len({(one.artifact, one.lengths) for one in indexes})
    assert len({one.artifact for one in indexes}) == 2


@given(slugs(), device_ids(), slugs(), st.integers(1, 65_535))
def test_an_enrollment_answer_survives_json(tenant: str, device: DeviceId, group: str, port: int) -> None:
    answer = EnrollmentAnswer(
        tenant=DEFAULT_TENANT,
        device=device,
        group=GroupName(group),
        broker_host=tenant,
        broker_port=port,
        certificate="-----BEGIN",
        authorities="",
    )

    assert from_plain(EnrollmentAnswer, to_plain(answer)) == answer


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(EnrollmentRequest)])
def test_an_enrollment_lacks_nothing(name: str) -> None:
    plain = to_plain(REQUEST)
    assert isinstance(plain, dict)

    without = {key: value for key, value in plain.items() if key != name}

    with pytest.raises(DecodeError, match=f"EnrollmentRequest.{name}: missing"):
        from_plain(EnrollmentRequest, without)


@pytest.mark.parametrize("name", MetadataName)
def test_every_metadata_file_has_its_longest_length(name: MetadataName) -> None:
    assert 0 < LIMITS_BYTES[name] <= 4_000_000


@pytest.mark.parametrize("name", MetadataName)
def test_a_part_of_every_metadata_file_fits_one_message(name: MetadataName) -> None:
    answer = MetadataAnswer(name=name, request=2**31, part=10**6, parts=10**6, data=b"\xff" * PART_BYTES)

    assert decode(MetadataAnswer, encode(answer)) == answer


def test_what_is_bounded_fits_what_carries_it() -> None:
    assert PART_BYTES < MESSAGE_LIMIT_BYTES
    assert MAX_CHUNK_BYTES < MESSAGE_LIMIT_BYTES
    assert LIMITS_BYTES[MetadataName.INDEX] > HEADER_LIMIT_BYTES


def test_equal_sketch_plans_have_one_digest() -> None:
    again = from_plain(SketchPlan, to_plain(PLAN))

    assert plan_digest(again) == plan_digest(PLAN)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(PLAN, features=()),
        dataclasses.replace(PLAN, features=(FEATURE, dataclasses.replace(FEATURE, name="b"))),
        dataclasses.replace(PLAN, features=(dataclasses.replace(FEATURE, edges=(0.25,)),)),
        dataclasses.replace(PLAN, features=(dataclasses.replace(FEATURE, index=1),)),
        dataclasses.replace(PLAN, features=(dataclasses.replace(FEATURE, kind=FeatureKind.MEAN),)),
        dataclasses.replace(
            PLAN,
            features=(dataclasses.replace(FEATURE, reference=dataclasses.replace(REFERENCE, missing=1)),),
        ),
        dataclasses.replace(PLAN, output=OutputReference(class_counts=(4, 3), confidence_counts=())),
    ],
    ids=["no feature", "one more", "other edges", "other index", "other kind", "other reference", "other answers"],
)
def test_another_sketch_plan_has_another_digest(changed: SketchPlan) -> None:
    assert plan_digest(changed) != plan_digest(PLAN)


def test_the_order_of_the_features_is_part_of_the_plan() -> None:
    other = dataclasses.replace(FEATURE, name="b")
    forth, back = (
        SketchPlan(features=(FEATURE, other), output=PLAN.output),
        SketchPlan(features=(other, FEATURE), output=PLAN.output),
    )

    assert plan_digest(forth) != plan_digest(back)
