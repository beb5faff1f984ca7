"""What is kept by content: models and bytes, in memory or in a folder that several processes share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.ids import digest_of
from optimizer.errors import OptimizerError
from optimizer.ledger import Entry, append_entry, read_entries
from optimizer.store import FolderStore, Kind, MemoryStore, Store, Stored
from tests.optimizer.builders import an_onnx_mlp

_KEY = digest_of(b"key")


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FolderStore(tmp_path / "store")


def test_what_was_written_is_read(store: Store) -> None:
    store.write(_KEY, Kind.STATISTICS, b"first")
    store.write(_KEY, Kind.STATISTICS, b"second")

    assert store.read(_KEY, Kind.STATISTICS) == b"second"


def test_kinds_and_keys_are_apart(store: Store) -> None:
    store.write(_KEY, Kind.STATISTICS, b"numbers")

    assert store.read(_KEY, Kind.UNFINISHED) is None
    assert store.read(digest_of(b"other"), Kind.STATISTICS) is None


def test_what_was_dropped_is_gone_and_dropping_nothing_is_fine(store: Store) -> None:
    store.write(_KEY, Kind.UNFINISHED, b"half")

    store.drop(_KEY, Kind.UNFINISHED)
    store.drop(_KEY, Kind.UNFINISHED)

    assert store.read(_KEY, Kind.UNFINISHED) is None


def test_a_result_is_got_as_it_was_put(store: Store) -> None:
    stored = Stored.of(an_onnx_mlp(), 0.25)

    store.put(_KEY, stored, what="a pass")

    assert store.get(_KEY) == stored
    assert store.ledger == (Entry(key=_KEY, what="a pass"),)


def test_each_result_made_is_one_line_in_order(store: Store) -> None:
    store.enter(_KEY, "one")
    store.enter(_KEY, "two, with ünicode\nand a line break")

    assert [entry.what for entry in store.ledger] == ["one", "two, with ünicode\nand a line break"]


def test_an_empty_store_has_an_empty_ledger(store: Store) -> None:
    assert store.ledger == ()


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"format": "no such"}', b"\xff"])
def test_damaged_facts_are_no_result(store: Store, damaged: bytes) -> None:
    store.put(_KEY, Stored.of(an_onnx_mlp(), 0.25))

    store.write(_KEY, Kind.FACTS, damaged)

    assert store.get(_KEY) is None


def test_bytes_of_another_digest_are_no_result(store: Store) -> None:
    store.put(_KEY, Stored.of(an_onnx_mlp(), 0.25))

    store.write(_KEY, Kind.MODEL, an_onnx_mlp(seed=9).content)

    assert store.get(_KEY) is None


def test_a_held_key_makes_another_wait_until_it_is_free(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with FolderStore(tmp_path).making(_KEY):
            order.append("second")

    other = threading.Thread(target=second)
    with FolderStore(tmp_path).making(_KEY):
        other.start()
        other.join(timeout=0.05)
        order.append("first")
    other.join()

    assert order == ["first", "second"]


def test_other_keys_are_not_held(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    with store.making(_KEY), store.making(digest_of(b"other")):
        store.write(_KEY, Kind.MODEL, b"made")

    assert store.read(_KEY, Kind.MODEL) == b"made"


def test_a_maker_that_fails_lets_go_of_the_key(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    with pytest.raises(ZeroDivisionError), store.making(_KEY):
        raise ZeroDivisionError
    with store.making(_KEY):
        store.enter(_KEY, "made")

    assert len(store.ledger) == 1


def test_writers_side_by_side_leave_every_line_whole(tmp_path: Path) -> None:
    def write(number: int) -> None:
        store = FolderStore(tmp_path)
        for place in range(50):
            store.enter(_KEY, f"{number}/{place} " + "x" * 500)

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(4)))

    assert len({entry.what for entry in FolderStore(tmp_path).ledger}) == 200


def test_a_line_that_was_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    append_entry(path, Entry(key="a", what="whole"))
    path.write_bytes(path.read_bytes() + b'["b", "ha')

    assert read_entries(path) == (Entry(key="a", what="whole"),)


@pytest.mark.parametrize("line", [b"5\n", b"null\n", b'["only one"]\n', b"\xff\xfe\n", b'{"a": 1}\n'])
def test_a_line_that_is_no_entry_is_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(line)

    assert read_entries(path) == ()


def test_an_unfinished_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'["b", "ha')

    append_entry(path, Entry(key="a", what="whole"))

    assert read_entries(path) == (Entry(key="a", what="whole"),)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = FolderStore(tmp_path / "file")

    with pytest.raises(OptimizerError, match=r"cannot write the store .* give another --store"), store.making(_KEY):
        pass
    with pytest.raises(OptimizerError, match=r"cannot write the store .* give another --store"):
        store.write(_KEY, Kind.MODEL, b"bytes")
    with pytest.raises(OptimizerError, match=r"cannot write the store .* give another --store"):
        store.enter(_KEY, "made")


def test_a_lock_file_that_cannot_be_opened_is_the_stores_error_and_no_failed_measurement(tmp_path: Path) -> None:
    (tmp_path / _KEY[:2] / f"{_KEY}.lock").mkdir(parents=True)

    with pytest.raises(OptimizerError, match="lock file") as caught, FolderStore(tmp_path).making(_KEY):
        pass

    assert caught.value.code == "optimizer"


def test_a_result_under_another_keys_name_is_none(tmp_path: Path) -> None:
    store, other = FolderStore(tmp_path), digest_of(b"other")
    store.put(_KEY, Stored.of(an_onnx_mlp(), 0.25))

    for kind in (Kind.FACTS, Kind.MODEL):
        store.write(other, kind, store.read(_KEY, kind) or b"")

    assert store.get(_KEY) is not None
    assert store.get(other) is None
