"""What a packed artifact tells people: card, lineage, bill of materials, description of its API."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from contracts.artifact import Artifact, Document, Side, read_artifact, write_artifact
from contracts.artifact.card import Statement, read_card
from contracts.artifact.golden import recorded_rows
from contracts.errors import ArtifactError
from contracts.ids import ProfileName
from contracts.manifest import Budget, Commit, ModelFormat
from contracts.postprocessing import AnswerStep, AnswerStepKind
from edge_agent.inference.served_model import ServedModel
from optimizer.errors import PackingError
from optimizer.packing import Order, pack_order, verify_packed
from optimizer.packing.account import checked
from optimizer.packing.lineage import commit_of
from optimizer.packing.statement import TEMPLATE, read_statement
from optimizer.recipe.recipe_file import parse, read_steps
from tests.contracts.artifact.artifacts import STATEMENT, a_card, a_whole_artifact
from tests.optimizer.search.searches import a_search, an_image_dataset, the_winner

COMMIT = Commit(revision="a" * 40, dirty=True)
SOFTMAX = AnswerStep(kind=AnswerStepKind.SOFTMAX, tensor="scores")
TOP = AnswerStep(kind=AnswerStepKind.TOP_CLASS, tensor="scores")
SIGMOID = AnswerStep(kind=AnswerStepKind.SIGMOID, tensor="scores")
SURE = AnswerStep(kind=AnswerStepKind.THRESHOLD, tensor="scores", threshold=(0.5, 0.6, 0.4))


@cache
def an_order(*steps: AnswerStep) -> Order:
    """Return the order of the full-int8 winner with everything said."""
    search = a_search(full_int8=True)
    winner = the_winner(search)
    return Order(
        candidate=winner,
        version="1.2.0",
        counter=7,
        profile=ProfileName("test-board"),
        dataset=an_image_dataset(),
        budget=Budget(),
        golden_rows=8,
        postprocessing=steps,
        statement=STATEMENT,
        commit=COMMIT,
        original=search.original,
        steps=read_steps(parse(search.recipes[winner.label])),
    )


@cache
def packed(*steps: AnswerStep) -> Artifact:
    """Return the artifact of that order."""
    return read_artifact(pack_order(an_order(*steps)))


@pytest.mark.parametrize(
    "steps", [(SOFTMAX,), (TOP,), (SOFTMAX, TOP), (SIGMOID, SURE)], ids=["softmax", "top", "both", "sure"]
)
def test_the_agent_reproduces_what_was_recorded_behind_the_steps(steps: tuple[AnswerStep, ...]) -> None:
    artifact = packed(*steps)

    served = ServedModel.open(artifact)
    result = served.golden_check()
    served.close()

    assert verify_packed(artifact).max_difference == 0.0
    assert (result.rows, result.disagreements) == (8, 0)
    assert result.max_difference <= artifact.manifest.golden.tolerance
    assert sum(artifact.manifest.sketch_plan.output.class_counts) == 120


def test_a_softmax_halves_what_another_processor_may_differ_by_and_a_choice_leaves_nothing() -> None:
    plain, soft, top = (packed(*steps).manifest.golden.tolerance for steps in ((), (SOFTMAX,), (TOP,)))

    assert soft == pytest.approx(plain / 2)
    assert top == 0.0


def test_rows_are_recorded_whose_choice_two_steps_of_quantization_do_not_change() -> None:
    artifact = packed(SIGMOID, SURE)
    inputs = recorded_rows(artifact, Side.INPUT)
    served = ServedModel.open(read_artifact(pack_order(an_order(SIGMOID))))

    shares = served.infer(inputs)["scores"].astype(np.float64)
    served.close()

    gap = np.abs(shares - np.array(SURE.threshold)).min()
    assert gap > 2 * packed(SIGMOID).manifest.golden.tolerance


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ((dataclasses.replace(SOFTMAX, tensor="other"),), "names output 'other'; the model gives 'scores'"),
        ((TOP, SOFTMAX), "follows a choice"),
        ((AnswerStep(kind=AnswerStepKind.SCALE, tensor="scores", factor=(1.0, 2.0)),), "give one per channel"),
    ],
)
def test_steps_that_do_not_fit_the_model_are_refused(steps: tuple[AnswerStep, ...], complaint: str) -> None:
    with pytest.raises(PackingError, match=complaint):
        pack_order(dataclasses.replace(an_order(), postprocessing=steps))


def test_the_card_holds_what_was_said_and_what_was_measured() -> None:
    card = read_card(packed().members[Document.CARD])
    winner = the_winner(a_search(full_int8=True))

    assert card.statement == STATEMENT
    assert (card.loss.metric, card.loss.n) == ("accuracy", 120)
    assert card.loss.value == winner.fidelity.value
    assert (card.loss.drop_low, card.loss.drop_high) == (winner.fidelity.drop.low, winner.fidelity.drop.high)
    assert card.original_size_bytes == a_search(full_int8=True).original.size_bytes
    assert card.changed == packed().manifest.lineage.passes


def test_the_lineage_spells_every_parameter_and_what_it_ran_on() -> None:
    lineage = packed().manifest.lineage

    assert [text.partition("[")[0] for text in lineage.passes] == ["simplify-onnx", "export-tflite", "quantize-tflite"]
    assert "precision=" in lineage.passes[-1]
    assert (lineage.data_version, lineage.commit) == ("2026-11", COMMIT)
    assert lineage.environment["python"].startswith("CPython 3.")
    assert {"numpy", "ai-edge-litert"} <= set(lineage.tools)


def git(folder: Path, *words: str) -> None:
    """Run git in the folder, as nobody in particular."""
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_a_commit_is_that_of_the_folder_and_says_whether_files_differ(tmp_path: Path) -> None:
    nothing = commit_of(tmp_path)
    git(tmp_path, "init")
    (tmp_path / "train.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    clean = commit_of(tmp_path)
    (tmp_path / "train.py").write_text("2")
    changed = commit_of(tmp_path)

    assert nothing is None
    assert clean is not None
    assert (len(clean.revision), clean.dirty) == (40, False)
    assert changed == Commit(revision=clean.revision, dirty=True)


@pytest.mark.parametrize("said", [STATEMENT, Statement()], ids=["everything", "nothing"])
@pytest.mark.slow
def test_the_bill_of_materials_holds_to_its_schema(said: Statement) -> None:
    data = pack_order(dataclasses.replace(an_order(), statement=said, commit=None))

    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(read_artifact(data).members[Document.BILL].decode())

    assert fault is None


def test_the_bill_of_materials_lists_model_source_data_and_libraries() -> None:
    artifact = packed()
    bill = json.loads(artifact.members[Document.BILL])
    parts = {one["bom-ref"]: one for one in bill["components"]}
    lineage = artifact.manifest.lineage

    model = bill["metadata"]["component"]
    assert model["hashes"][0]["content"] == the_winner(a_search(full_int8=True)).model.digest
    assert model["licenses"] == [{"license": {"name": "Apache-2.0"}}]
    assert parts["source"]["hashes"][0]["content"] == lineage.source
    assert (parts["data"]["hashes"][0]["content"], parts["data"]["version"]) == (lineage.data, "2026-11")
    runtime = parts[f"pkg:pypi/ai-edge-litert@{lineage.tools['ai-edge-litert']}"]
    assert (runtime["type"], runtime["scope"]) == ("library", "required")
    assert {one["version"] for name, one in parts.items() if name.startswith("pkg:")} == set(lineage.tools.values())
    assert bill["dependencies"][0]["dependsOn"] == list(parts)


def test_the_same_order_packs_to_the_same_bytes_documents_and_all() -> None:
    assert pack_order(an_order(SOFTMAX)) == pack_order(an_order(SOFTMAX))


def test_a_template_filled_in_is_read_and_an_empty_one_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(TEMPLATE)
    empty = read_statement(path)
    path.write_text(
        TEMPLATE.replace('licence = ""        #', 'licence = "MIT"    #').replace("limits = []", 'limits = ["a"]')
    )

    filled = read_statement(path)

    assert empty == Statement()
    assert filled == Statement(licence="MIT", limits=("a",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("licens = 'MIT'", "the card has no key 'licens'; did you mean 'licence'?"),
        (
            "[training_data]\nversoin = '1'",
            r"\[training_data\] of the card has no key 'versoin'; did you mean 'version'",
        ),
        ("limits = 'none'", r"limits: expected a list, got str"),
        ("owners = 3 =", "is no TOML"),
        ("training_data = 'x'", r"must be a table, headed \[training_data\]"),
    ],
)
def test_a_card_that_cannot_be_read_says_which_key(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "card.toml").write_text(text)

    with pytest.raises(PackingError, match=complaint):
        read_statement(tmp_path / "card.toml")


def test_a_missing_card_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(PackingError, match=r"cannot read card .*none\.toml: No such file.*edgeship recipe card >"):
        read_statement(tmp_path / "none.toml")


def test_checking_a_file_tells_what_holds(tmp_path: Path) -> None:
    (tmp_path / "a.artifact").write_bytes(pack_order(an_order(SOFTMAX)))

    found = checked(tmp_path / "a.artifact", run=True)

    assert found["documents"] == "card, bom, api"
    assert str(found["answers"]).startswith("8 rows run here: largest difference 0 (tolerance ")


@pytest.mark.parametrize(
    ("member", "content", "complaint"),
    [
        (Document.API, b"{}\n", "its api is not what its manifest and golden rows say"),
        (Document.BILL, b"{}\n", "its bom is no CycloneDX bill of materials"),
        (Document.CARD, b"{}\n", "a document of the artifact cannot be read"),
    ],
)
def test_a_document_that_does_not_agree_with_the_rest_is_noticed(
    tmp_path: Path, member: Document, content: bytes, complaint: str
) -> None:
    whole = a_whole_artifact(ModelFormat.ONNX)
    (tmp_path / "a.artifact").write_bytes(write_artifact(whole.manifest, {**whole.members, member: content}))

    with pytest.raises(ArtifactError, match=complaint):
        checked(tmp_path / "a.artifact", run=False)


def test_a_card_of_another_release_is_noticed(tmp_path: Path) -> None:
    from contracts.artifact.card import write_card

    whole = a_whole_artifact()
    other = write_card(a_card(release="digits@2.0.0"))
    (tmp_path / "a.artifact").write_bytes(write_artifact(whole.manifest, {**whole.members, Document.CARD: other}))

    with pytest.raises(ArtifactError, match=r"its card is of 'digits@2\.0\.0'"):
        checked(tmp_path / "a.artifact", run=False)
