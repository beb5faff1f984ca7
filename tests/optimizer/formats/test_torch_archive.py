"""Archives that would make torch run code of the file's: each is refused before torch opens it."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from optimizer.errors import ModelError
from optimizer.formats.torch_archive import check_archive
from optimizer.model import Model
from tests.optimizer.builders import a_torch_mlp

pytestmark = pytest.mark.slow


class Bomb:
    """Something whose unpickling writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Touch the mark on unpickling."""
        return Path.touch, (self.mark,)


@cache
def _members() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(a_torch_mlp().content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _saved(value: object) -> bytes:
    return _zipped({"archive/data.pkl": pickle.dumps(value, protocol=2), "archive/version": b"3\n"})


def _refused(members: dict[str, bytes], because: str) -> None:
    with pytest.raises(ModelError, match=because):
        check_archive(_zipped(members), "mlp")


def test_what_torch_saves_of_a_plain_network_is_accepted() -> None:
    check_archive(a_torch_mlp().content, "mlp")


def test_example_inputs_that_run_code_are_refused_and_do_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    members = _members() | {"archive/data/sample_inputs/model.pt": _saved(Bomb(mark))}
    path = tmp_path / "bomb.pt2"
    path.write_bytes(_zipped(members))

    with pytest.raises(ModelError, match="its example inputs look up"):
        Model.load(path)

    assert not mark.exists()


def test_a_pickled_weight_is_refused() -> None:
    name = "archive/data/weights/model_weights_config.json"
    config = json.loads(_members()[name])
    next(iter(config["config"].values()))["use_pickle"] = True

    _refused(_members() | {name: json.dumps(config).encode()}, "is pickled")


def test_a_custom_object_among_the_constants_is_refused() -> None:
    name = "archive/data/constants/model_constants_config.json"
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}

    _refused(_members() | {name: json.dumps({"config": {"c": entry}}).encode()}, "'c' is pickled")


def test_a_size_expression_that_is_code_is_refused() -> None:
    name = "archive/models/model.json"
    program = _members()[name].replace(b"Symbol('", b"exit() + Symbol('", 1)

    assert program != _members()[name]
    _refused(_members() | {name: program}, r"a size is .exit\(\)")


@pytest.mark.parametrize(
    "member", ["archive/data/aotinductor/model/model.so", "archive/data/weights/model.pt", "archive/models/other.json"]
)
def test_a_member_of_another_kind_is_refused(member: str) -> None:
    _refused(_members() | {member: b"{}"}, "it has a member")


def test_two_members_of_one_name_are_refused() -> None:
    content = io.BytesIO(a_torch_mlp().content)
    with warnings.catch_warnings(), zipfile.ZipFile(content, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("archive/models/model.json", "{}")

    with pytest.raises(ModelError, match="two members of one name"):
        check_archive(content.getvalue(), "mlp")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_an_archive_that_was_cut_short_is_refused(share: float) -> None:
    content = a_torch_mlp().content

    with pytest.raises(ModelError, match="save it again"):
        check_archive(content[: int(len(content) * share)], "mlp")
