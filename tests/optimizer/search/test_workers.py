"""Several workers share one search through its storage: each attempt is done once, and all end with the same account."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from tests.optimizer.search.exploring import RECIPES, explore, files, finish, make_desk, outcome

pytestmark = pytest.mark.slow


def _share(desk: Path, storage: str) -> list[optuna.trial.FrozenTrial]:
    """Let three workers, each with folders of its own, share one search; return the trials that gave an outcome."""
    workers = [explore(desk, f"worker-{place}", "--storage", storage) for place in range(3)]
    for worker in workers:
        finish(worker)
    url = storage.replace("postgresql://", "postgresql+psycopg://")
    (name,) = optuna.get_all_study_names(url)
    trials = optuna.load_study(study_name=name, storage=url).trials
    return [one for one in trials if "outcome" in one.user_attrs and one.user_attrs["attempt"].split(":")[0] in RECIPES]


def _check(desk: Path, done: list[optuna.trial.FrozenTrial]) -> None:
    folders = [desk / f"worker-{place}" for place in range(3)]
    assert len(done) == len(RECIPES)
    assert len({trial.user_attrs["attempt"] for trial in done}) == len(RECIPES)
    assert outcome(folders[0]) == outcome(folders[1]) == outcome(folders[2])
    assert files(folders[0]) == files(folders[1]) == files(folders[2])


def test_three_workers_share_a_search_on_sqlite(tmp_path: Path) -> None:
    make_desk(tmp_path)

    done = _share(tmp_path, f"sqlite:///{tmp_path / 'search.db'}")

    _check(tmp_path, done)


@pytest.mark.system
def test_three_workers_share_a_search_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    make_desk(tmp_path)

    done = _share(tmp_path, postgres_url)

    _check(tmp_path, done)
