"""The checks that refuse attacks: where each one is, how to take it out, and which tests notice.

``tests/attacks/test_checks.py`` holds this list to the code; ``python -m tests.slow mutations`` takes out one check
after the other in a copy of the tree and runs the tests named: each must fail there.
"""

from __future__ import annotations

from tests.attacks.check import Check
from tests.attacks.identity_checks import IDENTITY_CHECKS
from tests.attacks.trust_checks import TRUST_CHECKS

__all__ = ["CHECKS", "Check"]


CHECKS: tuple[Check, ...] = (
    *TRUST_CHECKS,
    *IDENTITY_CHECKS,
    # attack 34: what an artifact names and claims, and what becomes of it on the disk
    Check(
        name="an artifact holds no other member",
        file="contracts/artifact/layout.py",
        old="if wanted - found or found - set(_all_names(manifest)):",
        new="if wanted - found:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_member_named_as_a_path",),
    ),
    Check(
        name="no member is there twice",
        file="contracts/artifact/layout.py",
        old="if len(found) != len(names):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_two_members_of_one_name",),
    ),
    Check(
        name="few members",
        file="contracts/artifact/layout.py",
        old="if len(names) > MEMBERS_LIMIT:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_million_members",),
    ),
    Check(
        name="no member runs backwards",
        file="contracts/artifact/layout.py",
        old="if self.length < 0:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_member_that_runs_backwards_over_another",),
    ),
    Check(
        name="a member is as long as it says",
        file="contracts/artifact/layout.py",
        old="if len(content) != member.length or digest_of(content) != member.digest:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_member_longer_than_the_file",),
    ),
    Check(
        name="nothing after the last member",
        file="contracts/artifact/layout.py",
        old="if ends < len(data):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_bytes_between_the_members_and_after_them",),
    ),
    Check(
        name="a short header",
        file="contracts/artifact/layout.py",
        old="if length > HEADER_LIMIT_BYTES or _START + length > len(data):",
        new="if _START + length > len(data):",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_header_that_claims_more_than_may_be",),
    ),
    Check(
        name="a header has one spelling",
        file="contracts/codec.py",
        old="if canonical != data:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_header_written_twice",),
    ),
    Check(
        name="no header is too deep for its reader",
        file="contracts/codec.py",
        old="except (cbor2.CBORError, ValueError, EOFError, OverflowError, RecursionError, TypeError) as error:",
        new="except (EOFError, OverflowError) as error:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_header_nested_without_end",),
    ),
    Check(
        name="tensors have names that are seen",
        file="contracts/artifact/names.py",
        old="if any(unicodedata.category(one) in _INVISIBLE for one in name):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_tensor_named_to_deceive",),
    ),
    Check(
        name="tensors have short names",
        file="contracts/artifact/names.py",
        old="if not 1 <= length <= TENSOR_NAME_LIMIT_BYTES:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_tensor_named_to_deceive",),
    ),
    Check(
        name="tensors have names of one spelling",
        file="contracts/artifact/names.py",
        old='if unicodedata.normalize("NFC", name) != name:',
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_tensor_named_to_deceive",),
    ),
    Check(
        name="tensors have names of their own",
        file="contracts/artifact/names.py",
        old="if name in seen:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_two_tensors_of_one_name",),
    ),
    Check(
        name="model and version are no paths",
        file="contracts/artifact/claims.py",
        old="release_id(parse_model_name(manifest.model), manifest.version)",
        new="pass",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_model_a_profile_or_a_version_named_as_a_path",),
    ),
    Check(
        name="a profile is no path",
        file="contracts/artifact/claims.py",
        old="parse_profile_name(manifest.profile)",
        new="pass",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_model_a_profile_or_a_version_named_as_a_path",),
    ),
    Check(
        name="a counter is a JSON number",
        file="contracts/artifact/claims.py",
        old="if not 0 < manifest.counter < COUNTER_LIMIT:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_counter_that_no_json_reader_keeps",),
    ),
    Check(
        name="a range is one of numbers",
        file="contracts/artifact/claims.py",
        old="if not all(map(math.isfinite, bounds)) or bounds != sorted(bounds):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_number_that_bounds_nothing",),
    ),
    Check(
        name="a scale is above zero",
        file="contracts/artifact/claims.py",
        old="if not (math.isfinite(scale) and scale > 0):",
        new="if False:",
        killed_by=(
            "tests/attacks/test_artifact.py::test_attack_34_a_scale_that_turns_every_value_into_one",
            "tests/attacks/test_artifact.py::test_attack_34_a_number_that_bounds_nothing",
        ),
    ),
    Check(
        name="an edge is a number",
        file="contracts/artifact/claims.py",
        old="if not all(map(math.isfinite, feature.edges)):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_number_that_bounds_nothing",),
    ),
    Check(
        name="a budget is a number",
        file="contracts/manifest.py",
        old="if not (math.isfinite(amount) and amount >= 0):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_number_that_bounds_nothing",),
    ),
    Check(
        name="recorded rows are counted before they are believed",
        file="contracts/artifact/golden.py",
        old="if len(member) != count * spec.elements_per_row * dtype.itemsize:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_golden_rows_without_number_make_no_array",),
    ),
    Check(
        name="a model opens no other file of the device",
        file="edge_agent/inference/engines/onnxruntime_engine.py",
        old="if model[4:8] != ORT_MARK and names_other_files(model):",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_a_model_that_reads_other_files_of_the_device",),
    ),
    Check(
        name="a model that lies in several files is not packed",
        file="optimizer/formats/onnx_claims.py",
        old="if tensor.data_location == _EXTERNAL:",
        new="if False:",
        killed_by=("tests/attacks/test_artifact.py::test_attack_34_the_packer_takes_no_model_that_reads_other_files",),
    ),
    Check(
        name="a full disk is told as such",
        file="edge_agent/update/outcome.py",
        old="if error.errno in (errno.ENOSPC, errno.EDQUOT):",
        new="if False:",
        killed_by=(
            "tests/attacks/test_disk_and_power.py::test_attack_34_a_full_disk_is_told_by_its_name",
            "tests/attacks/test_disk_and_power.py::test_attack_34_the_disk_is_full_at_any_write",
        ),
    ),
    Check(
        name="what is loaded is what was verified",
        file="edge_agent/update/slots.py",
        old='_check_same(f"slot {slot} of model {model}", len(data), digest_of(data), held)',
        new="pass",
        killed_by=(
            "tests/attacks/test_disk_and_power.py::test_attack_34_killed_at_any_write_and_changed_before_it_comes_back",
        ),
    ),
    # attacks 25 to 28 and 31: what is done to bytes on their way, and who may have them
    Check(
        name="a chunk is the one that the index states",
        file="edge_agent/delivery/partial.py",
        old="return len(data) == self._index.lengths[place] and hashlib.sha256(data).digest() == self._index.digests[place]",
        new="return True",
        killed_by=(
            "tests/attacks/test_transport.py::test_attack_25_a_chunk_of_the_right_length_and_wrong_bytes",
            "tests/attacks/test_transport.py::test_attack_28_a_chunk_of_another_artifact",
        ),
    ),
    Check(
        name="what waits for the update is bounded in bytes",
        file="edge_agent/update/worker.py",
        old="if self._letters_bytes + len(letter.data) <= LETTERS_LIMIT_BYTES:",
        new="if True:",
        killed_by=("tests/attacks/test_transport.py::test_attack_26_messages_without_end",),
    ),
    Check(
        name="a chunk has a place in the artifact",
        file="edge_agent/delivery/pull.py",
        old="elif not 0 <= place < self._partial.total or self._partial.holds(place):",
        new="elif place == 0 and self._partial.holds(place):",
        killed_by=("tests/attacks/test_transport.py::test_attack_26_a_place_that_the_artifact_has_not[1000000]",),
    ),
    Check(
        name="what is held already is no progress",
        file="edge_agent/delivery/pull.py",
        old="elif not 0 <= place < self._partial.total or self._partial.holds(place):",
        new="elif not 0 <= place < self._partial.total:",
        killed_by=("tests/attacks/test_transport.py::test_attack_26_the_same_chunk_again_and_again",),
    ),
    Check(
        name="the chunk index is the signed one",
        file="edge_agent/delivery/fetch.py",
        old="    if actual != pinned.custom.index:",
        new="    if False:",
        killed_by=("tests/attacks/test_transport.py::test_attack_26_an_index_that_claims_huge_chunks",),
    ),
    Check(
        name="a broker that gives too little is gone round",
        file="edge_agent/delivery/detour.py",
        old="if self._is_on or now_s < self._closed_until_s or not (drips or self._silences >= SILENCES):",
        new="if True:",
        killed_by=(
            "tests/attacks/test_transport.py::test_attack_27_a_broker_that_gives_nothing",
            "tests/attacks/test_transport.py::test_attack_27_a_broker_that_drips",
        ),
    ),
    Check(
        name="an answer is about the artifact that was asked for",
        file="edge_agent/delivery/pull.py",
        old="if answer is not None and answer.index == self._parcel.index:",
        new="if answer is not None:",
        killed_by=("tests/attacks/test_transport.py::test_attack_28_an_answer_about_another_artifact",),
    ),
    Check(
        name="what lies in a slot is what was verified",
        file="edge_agent/update/slots.py",
        old='_check_same(f"slot {spare} of model {model}", *file_digest(self.path(model, spare)), installed)',
        new="pass",
        killed_by=(
            "tests/attacks/test_transport.py::test_attack_31_a_file_replaced_after_it_was_verified[before the move-refused]",
            "tests/attacks/test_transport.py::test_attack_31_a_file_replaced_after_it_was_verified[after the move-refused]",
        ),
    ),
    Check(
        name="the bytes that are loaded are hashed",
        file="edge_agent/update/slots.py",
        old='_check_same(f"slot {slot} of model {model}", len(data), digest_of(data), held)',
        new="pass",
        killed_by=(
            "tests/attacks/test_transport.py::test_attack_31_a_file_replaced_after_it_was_verified[before the load-rolled_back]",
        ),
    ),
    Check(
        name="a chunk is of the device's own tenant",
        file="fleet_server/delivery/recipient.py",
        old='    ArtifactRow.__table__.c.tenant == bindparam("tenant"),\n',
        new="",
        killed_by=("tests/attacks/test_transport.py::test_attack_another_tenants_chunk_by_its_digest",),
    ),
    Check(
        name="a chunk is of an assigned release",
        file="fleet_server/delivery/recipient.py",
        old='    ArtifactRow.__table__.c.release.in_(bindparam("releases", expanding=True)),\n',
        new="",
        killed_by=("tests/attacks/test_transport.py::test_attack_a_chunk_of_a_release_that_was_not_assigned",),
    ),
    # attacks 29 and 30: deltas
    Check(
        name="a delta's parts are unpacked no further than the length",
        file="contracts/delta/generic.py",
        old="max_length=length + 1",
        new="max_length=-1",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_decompression_bomb",),
    ),
    Check(
        name="a delta's window is capped",
        file="contracts/delta/generic.py",
        old="options=limit",
        new="options={}",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_window_of_a_gigabyte",),
    ),
    Check(
        name="a delta's parts have their length",
        file="contracts/delta/generic.py",
        old="if len(data) != length or not reader.eof or reader.unused_data:",
        new="if False:",
        killed_by=(
            "tests/attacks/test_delta.py::test_attack_29_bomb_in_the_remainder",
            "tests/attacks/test_delta.py::test_attack_29_output_longer_than_the_signed_length",
            "tests/attacks/test_delta.py::test_attack_29_output_shorter_than_the_signed_length",
        ),
    ),
    Check(
        name="a delta's plan is bounded",
        file="contracts/delta/plan.py",
        old="if not unpacker.eof or unpacker.unused_data:",
        new="if False:",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_bomb_in_the_plan",),
    ),
    Check(
        name="a delta writes nothing past the length",
        file="contracts/delta/plan.py",
        old="if end > length:",
        new="if False:",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_tensor_past_the_signed_length",),
    ),
    Check(
        name="a delta's tensors are bounded",
        file="contracts/delta/plan.py",
        old="not 0 < count <= ELEMENTS_LIMIT",
        new="not 0 < count",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_tensor_larger_than_any",),
    ),
    Check(
        name="a delta's steps are bounded",
        file="contracts/delta/plan.py",
        old="if steps(entries) > steps_limit(length):",
        new="if False:",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_endless_steps",),
    ),
    Check(
        name="deltas are for artifacts of a bounded length",
        file="contracts/delta/file.py",
        old="if longest > LENGTH_LIMIT_BYTES or min(lengths) < 0:",
        new="if False:",
        killed_by=("tests/attacks/test_delta.py::test_attack_29_length_that_no_delta_is_for",),
    ),
    Check(
        name="what a delta leads to has the signed digest",
        file="contracts/delta/file.py",
        old="if digest_of(target) != digest:",
        new="if False:",
        killed_by=(
            "tests/attacks/test_delta.py::test_attack_30_wrong_base",
            "tests/attacks/test_delta.py::test_attack_30_bytes_other_than_the_signed_ones",
        ),
    ),
    Check(
        name="a delta reads nothing outside the base",
        file="contracts/delta/plan.py",
        old="if entry.base < 0 or base_end > base_length:",
        new="if False:",
        killed_by=(
            "tests/attacks/test_delta.py::test_attack_30_copy_from_outside_the_base",
            "tests/attacks/test_delta.py::test_attack_30_copy_from_before_the_base",
        ),
    ),
    Check(
        name="a delta's tensors refer to what is there",
        file="contracts/delta/plan.py",
        old="if not 0 <= other < len(entries) or entries[other].kind is not Kind.FP32 or not fits(entries[other]):",
        new="if False:",
        killed_by=("tests/attacks/test_delta.py::test_attack_30_reference_to_what_is_no_scale",),
    ),
    Check(
        name="a damaged frame is the one error",
        file="contracts/delta/generic.py",
        old="except (zstd.ZstdError, MemoryError) as error:",
        new="except MemoryError as error:",
        killed_by=("tests/attacks/test_delta.py::test_attack_30_copy_from_beyond_the_prefix",),
    ),
)
