"""The checks that refuse attacks: where each one is, how to take it out, and which tests notice.

``tests/attacks/test_checks.py`` holds this list to the code; ``python -m tests.slow mutations`` takes out one check
after the other in a copy of the tree and runs the tests named: each must fail there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: in ``file`` the text ``old``, which occurs there once, becomes ``new``; ``killed_by`` then fail.

    ``killed_by`` are names of tests as pytest writes them, from the repository's root.
    """

    name: str
    file: str
    old: str
    new: str
    killed_by: tuple[str, ...]


CHECKS: tuple[Check, ...] = (
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
)
