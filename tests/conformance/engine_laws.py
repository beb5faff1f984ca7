"""What every engine must hold, written once; ``tests/edge_agent/inference`` runs it over each of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.errors import InferenceFailed, ModelRefused
from edge_agent.inference.engine import Engine
from tests.builders import INPUT, OUTPUT, TinyModel


def run(engine: Engine, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the engine's answers for the rows."""
    return engine.run({INPUT: rows})[OUTPUT].astype(np.float32, copy=False)


class EngineLaws:
    """Subclass it and supply ``model_bytes`` and ``load``."""

    tiny = TinyModel(seed=11)

    def model_bytes(self) -> bytes:
        """Return ``tiny`` as a file of the engine's format."""
        raise NotImplementedError

    def load(self, model: bytes) -> Engine:
        """Return the engine for the file."""
        raise NotImplementedError

    @pytest.fixture
    def engine(self) -> Engine:
        return self.load(self.model_bytes())

    def test_it_says_what_the_file_takes_and_gives(self, engine: Engine) -> None:
        assert [(spec.name, spec.shape[1:]) for spec in engine.inputs] == [(INPUT, (self.tiny.features,))]
        assert [(spec.name, spec.shape[1:]) for spec in engine.outputs] == [(OUTPUT, (self.tiny.classes,))]

    @pytest.mark.parametrize("rows", [1, 2, 3, 7, 64])
    def test_its_answers_are_the_models_whatever_the_batch(self, engine: Engine, rows: int) -> None:
        given = self.tiny.rows(rows)

        answers = run(engine, given)

        np.testing.assert_allclose(answers, self.tiny.answers(given), atol=1e-5)

    def test_a_row_has_the_same_answer_alone_and_among_others(self, engine: Engine) -> None:
        given = self.tiny.rows(9)

        together = run(engine, given)
        alone = np.concatenate([run(engine, row[None]) for row in given])

        np.testing.assert_allclose(together, alone, atol=1e-6)

    def test_earlier_answers_do_not_change_when_it_runs_again(self, engine: Engine) -> None:
        first = run(engine, self.tiny.rows(1, seed=1))
        kept = first.copy()

        run(engine, self.tiny.rows(1, seed=2))

        np.testing.assert_array_equal(first, kept)

    def test_read_only_input_is_taken(self, engine: Engine) -> None:
        given = self.tiny.rows(2)
        view = np.frombuffer(given.tobytes(), dtype=np.float32).reshape(given.shape)

        answers = run(engine, view)

        np.testing.assert_allclose(answers, self.tiny.answers(given), atol=1e-5)

    def test_several_threads_get_their_own_answers(self, engine: Engine) -> None:
        batches = [self.tiny.rows(3, seed=seed) for seed in range(32)]

        with ThreadPoolExecutor(max_workers=4) as pool:
            answers = list(pool.map(lambda batch: run(engine, batch), batches))

        np.testing.assert_allclose(
            np.stack(answers), np.stack([self.tiny.answers(batch) for batch in batches]), atol=1e-5
        )

    @pytest.mark.parametrize("damage", [b"", b"no model at all" * 10, None], ids=["empty", "text", "cut short"])
    def test_bytes_that_are_no_model_are_refused_in_one_line(self, damage: bytes | None) -> None:
        whole = self.model_bytes()

        with pytest.raises(ModelRefused, match="can't load the model file") as refusal:
            self.load(whole[: len(whole) // 2] if damage is None else damage)

        assert "\n" not in str(refusal.value)

    def test_values_of_another_shape_fail_as_inference_does(self, engine: Engine) -> None:
        with pytest.raises(InferenceFailed):
            engine.run({INPUT: np.zeros((1, self.tiny.features + 1), dtype=np.float32)})

    def test_closing_twice_is_harmless_and_running_afterwards_says_why_not(self, engine: Engine) -> None:
        engine.close()
        engine.close()

        with pytest.raises(InferenceFailed, match="closed"):
            run(engine, self.tiny.rows(1))
