"""Files of weights: what is read, and what is refused without running any of it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest

from optimizer.errors import ModelError
from optimizer.file_kind import FileKind, file_kind
from optimizer.formats.torch_weights import read_weights

pytestmark = pytest.mark.slow
PATH = Path("weights.pt")


class Bomb:
    """Something whose unpickling writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Touch the mark on unpickling."""
        return Path.touch, (self.mark,)


def _saved(value: object, *, old: bool = False) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def _weights() -> OrderedDict[str, object]:
    import torch

    return OrderedDict(weight=torch.arange(6.0).reshape(2, 3), bias=torch.ones(2))


@pytest.mark.parametrize("old", [False, True])
def test_both_forms_of_pytorch_are_read(*, old: bool) -> None:
    content = _saved(_weights(), old=old)

    weights = read_weights(content, PATH, file_kind(content, PATH))

    assert {key: tuple(value.shape) for key, value in weights.items()} == {"weight": (2, 3), "bias": (2,)}


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, *, old: bool) -> None:
    mark = tmp_path / "ran"

    with pytest.raises(ModelError, match="pickled module: unpickling runs whatever code"):
        read_weights(_saved({"weight": Bomb(mark)}, old=old), PATH, FileKind.PICKLED_WEIGHTS)

    assert not mark.exists()


def test_a_plain_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    with pytest.raises(ModelError, match=r"weights\.pt"):
        read_weights(pickle.dumps(Bomb(mark)), PATH, FileKind.PICKLED_WEIGHTS)

    assert not mark.exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_file_cut_short_is_refused(share: float) -> None:
    whole = _saved(_weights())

    with pytest.raises(ModelError, match=r"damaged|no state dict"):
        read_weights(whole[: int(len(whole) * share)], PATH, FileKind.PICKLED_WEIGHTS)


def test_members_that_unpack_to_any_size_are_refused() -> None:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(_saved(_weights()))) as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr("archive/data.pkl", whole.read("archive/data.pkl"))

    with pytest.raises(ModelError, match="is compressed, as torch"):
        read_weights(packed.getvalue(), PATH, FileKind.PICKLED_WEIGHTS)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ([1, 2], "holds a list, no state dict"),
        ({}, "holds no state dict .it is empty."),
        ({"epoch": 3, "best": 0.9}, "its entry 'epoch' is no tensor"),
        ({"state_dict": {"a": "b"}}, "its entry 'a' is no tensor"),
        ({1: 2}, "its entry '1' is no tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(value: object, line: str) -> None:
    with pytest.raises(ModelError, match=line):
        read_weights(_saved(value), PATH, FileKind.PICKLED_WEIGHTS)


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\0\0\0\0\0\0\0{nonsen}",
        (2**62).to_bytes(8, "little") + b"{}",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}' + bytes(4),
    ],
)
def test_damaged_safetensors_are_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="no safetensors file, or damaged"):
        read_weights(content, PATH, FileKind.SAFETENSORS)
