"""``edgeship artifact`` on files of every schema, and ``recipe pack`` with a card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.artifact import Document, read_artifact_file, write_artifact
from contracts.artifact.card import read_card, write_card
from contracts.errors import ArtifactError
from contracts.postprocessing import AnswerStep, AnswerStepKind
from optimizer.cli.artifact import artifact
from optimizer.errors import RecipeError
from optimizer.recipe import parse_answer_step
from tests.contracts.artifact.artifacts import GOLDEN, a_card, a_whole_artifact
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.cli.desks import run_optimize, run_recipe, write_desk

NEW, OLD = GOLDEN / "artifact-2-onnx.artifact", GOLDEN / "artifact-1-onnx.artifact"


def run(*words: str | Path) -> Result:
    """Call ``artifact`` on a wide terminal."""
    return CliRunner().invoke(artifact, [str(word) for word in words], env={"COLUMNS": "160"})


def test_a_page_tells_tensors_steps_origin_and_what_was_said() -> None:
    page = run("show", NEW).output

    assert page.startswith("digits@1.0.0 (counter 1) for raspberry-pi-4: onnx")
    assert "  after  probability  scale  x (100.0,) + (0.0,)" in page
    assert f"  commit {'1' * 40}\n" in page
    assert "  for: Sorting of parcels by the first digit of their code." in page
    assert "  licence: Apache-2.0" in page
    assert "  lost   +0.01 of accuracy (95 % interval -0.004 to +0.024, n=300)" in page
    assert "holds  model " in page


def test_an_artifact_of_old_is_shown_as_far_as_it_tells() -> None:
    told = run("show", OLD)

    assert told.exit_code == 0
    assert "licence" not in told.output


@pytest.mark.parametrize(
    ("member", "key"), [("card", "statement"), ("bom", "bomFormat"), ("api", "example"), ("golden", "tolerance")]
)
def test_each_member_is_printed_as_json(member: str, key: str) -> None:
    assert key in json.loads(run("show", NEW, "--member", member).stdout)


def test_the_manifest_is_printed_as_json() -> None:
    told = json.loads(run("show", OLD, "--json").stdout)

    assert told["manifest"]["schema"] == 1
    assert [member["name"] for member in told["members"]] == ["model", "golden/input/x", "golden/output/probability"]


def test_a_member_that_is_not_there_says_what_to_do() -> None:
    told = run("show", OLD, "--member", "card")

    assert isinstance(told.exception, ArtifactError)
    assert "has no card (schema 1); pack it again with this edgeship" in str(told.exception)


@pytest.mark.parametrize("file", [NEW, OLD], ids=["schema 2", "schema 1"])
def test_verifying_runs_the_recorded_rows_and_says_what_holds(file: Path) -> None:
    told = run("verify", file)

    assert told.exit_code == 0, told.output
    assert "every digest holds" in told.stdout
    assert "8 rows run here" in told.stdout


def test_verifying_without_running_says_so() -> None:
    told = run("verify", NEW, "--no-run", "--json")

    assert json.loads(told.stdout)["documents"] == "card, bom, api"
    assert "answers" not in json.loads(told.stdout)


@pytest.mark.parametrize("words", [("show",), ("show", "--member", "card"), ("show", "--json")], ids=str)
def test_what_a_stranger_wrote_does_not_command_the_terminal(tmp_path: Path, words: tuple[str, ...]) -> None:
    whole = a_whole_artifact()
    hostile = "\x1b]0;owned\x07\u202e\x9b2J[bold]"
    statement = replace(a_card().statement, intended_use=hostile)
    card = write_card(replace(a_card(), statement=statement))
    manifest = replace(
        whole.manifest, labels=(hostile, "b", "c"), lineage=replace(whole.manifest.lineage, code_version=hostile)
    )
    members = {**whole.members, Document.CARD: card}
    (tmp_path / "a.artifact").write_bytes(write_artifact(manifest, members))

    printed = run(*words, tmp_path / "a.artifact").stdout

    assert "owned" in printed
    assert printed.replace("\n", "").isprintable()


def test_a_damaged_file_fails(tmp_path: Path) -> None:
    content = bytearray(NEW.read_bytes())
    content[-1] ^= 1
    (tmp_path / "a.artifact").write_bytes(content)

    told = run("verify", tmp_path / "a.artifact")

    assert isinstance(told.exception, ArtifactError)
    assert "member 'api' differs from its digest" in str(told.exception)


@pytest.mark.parametrize(
    ("spelt", "step"),
    [
        ("s:softmax", AnswerStep(kind=AnswerStepKind.SOFTMAX, tensor="s")),
        ("s:top_class", AnswerStep(kind=AnswerStepKind.TOP_CLASS, tensor="s")),
        ("s:threshold=0.2", AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor="s", threshold=(0.2,))),
        ("s:scale=2:offset=1,2", AnswerStep(kind=AnswerStepKind.SCALE, tensor="s", factor=(2.0,), offset=(1.0, 2.0))),
    ],
)
def test_a_step_is_spelt_as_it_is_in_preprocessing(spelt: str, step: AnswerStep) -> None:
    assert parse_answer_step(spelt) == step


@pytest.mark.parametrize(
    "spelt",
    ["s", ":softmax", "s:softmaxx", "s:softmax=1", "s:offset=1", "s:scale", "s:scale=x", "s:threshold=nan", "s:"],
)
def test_a_step_that_is_none_says_how_it_is_spelt(spelt: str) -> None:
    with pytest.raises(RecipeError, match="write TENSOR:softmax"):
        parse_answer_step(spelt)


@pytest.mark.slow
def test_packing_takes_a_card_and_steps(tmp_path: Path) -> None:
    desk = write_desk(tmp_path)
    run_optimize(desk)
    card, out = desk / "card.toml", desk / "mlp.artifact"
    card.write_text(run_recipe("card").stdout.replace("owners = []", 'owners = ["me"]'))
    output = an_onnx_mlp(inputs=64).outputs[0].name

    words = ["--version", "1.0.0", "--counter", "1", "--card", str(card), "--postprocess", f"{output}:softmax"]
    packed = run_recipe("pack", str(desk / "out"), *words, "-o", str(out))

    assert packed.exit_code == 0, packed.output
    found = read_artifact_file(out)
    assert read_card(found.members[Document.CARD]).statement.owners == ("me",)
    assert [step.kind for step in found.manifest.postprocessing] == [AnswerStepKind.SOFTMAX]
    assert run("verify", out).exit_code == 0
