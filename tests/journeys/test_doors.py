"""Wrong input at each door of the real command: one line with the next action, no traceback, nothing half written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.doors import Shell, agent_config, files_in, public_keys, taken_port, write_samples

pytestmark = pytest.mark.slow

RECIPE = 'model = "good.onnx"\ntarget = "raspberry-pi-4"\ndata = "good.npz"\n'
FRAMEWORKS = ("torch", "onnx", "onnxruntime", "ai_edge_litert", "fastapi", "sqlalchemy", "alembic", "rich", "jinja2")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad files."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture(scope="module")
def server_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that was set up; tests put their own server.toml there."""
    folder = tmp_path_factory.mktemp("server")
    Shell(folder=folder).done("server", "init", "--data", "data", "--token-file", "token")
    return folder / "data"


def optimize(samples: Path, model: str, *, data: str = "good.npz", target: str = "raspberry-pi-4") -> str:
    """Run optimize on the files, which must be refused before anything is written; return the refusal."""
    before = files_in(samples)

    answer = Shell(folder=samples)("optimize", model, "--data", data, "--target", target, "-o", "out", "--store", "st")

    assert files_in(samples) == before
    assert not (samples / "out").exists()
    return answer.refusal


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("prose.onnx", "not an ONNX model, cut short, or"),
        ("prose.tflite", "is no tflite file: its first bytes are not those of the format; save it again"),
        ("prose.pt2", "is no pt2 file: its first bytes are not those of the format; save it again"),
        ("cut.onnx", "not an ONNX model, cut short, or"),
        ("cut.tflite", "convert it again"),
        ("good.npz", "is a zip file but no torch.export program; give a .onnx, .tflite or .pt2 file"),
        ("pickled.pt", "is a pickled module: unpickling runs whatever code the file holds, so it is refused; where"),
        ("nowhere.onnx", "give a .onnx, .tflite or .pt2 file"),
    ],
)
def test_a_file_that_is_no_model_is_refused(samples: Path, model: str, sentence: str) -> None:
    assert sentence in optimize(samples, model)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("narrow.npz", "calibration/row: expected shape (n, 64), got (64, 60); correct the data"),
        (
            "other-names.npz",
            "calibration/row is missing: the model takes 'row' (n, 64), the data has calibration/image",
        ),
        ("few-labels.npz", "holdout arrays have different numbers of rows: holdout/row 64, holdout/label 5"),
        (
            "no-splits.npz",
            "has no array 'row' for the model's input (it has rows); name the arrays row and label, or write",
        ),
        ("prose.npz", "is no plain .npz file"),
        ("cut.npz", "is no plain .npz file"),
        ("nowhere.npz", "does not exist; give a .npz, .csv or .parquet file, a folder of"),
    ],
)
def test_a_calibration_file_that_does_not_fit_is_refused(samples: Path, data: str, sentence: str) -> None:
    assert sentence in optimize(samples, "good.onnx", data=data)


def test_a_profile_that_does_not_exist_names_the_nearest(samples: Path) -> None:
    assert "did you mean raspberry-pi-4" in optimize(samples, "good.onnx", target="rasberry-pi-4")


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (RECIPE + "modle = 1\n", "the recipe has no key 'modle'; did you mean 'model'?"),
        (RECIPE + '[[pass]]\nuse = "quantize-static"\nrow = 3\n', "has no key 'row'; did you mean 'rows'?"),
        (RECIPE + '[[pass]]\nuse = "quantise-static"\n', "no pass 'quantise-static'; did you mean 'quantize-static'?"),
        (RECIPE + '[[preprocess]]\ntensor = "row"\nkinds = "scale"\n', "no key 'kinds'; did you mean 'kind'?"),
        ("model =\n", "not TOML"),
    ],
)
def test_an_unknown_key_in_a_recipe_names_the_nearest(samples: Path, recipe: str, sentence: str) -> None:
    (samples / "wrong.toml").write_text(recipe)

    refusal = Shell(folder=samples)("recipe", "plan", "wrong.toml").refusal

    assert refusal.startswith("error: wrong.toml: ")
    assert sentence in refusal


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[borker]\nport = 9\n", "unknown key 'borker'; did you mean 'broker'?"),
        ("[broker]\nprot = 9\n", "unknown key 'broker.prot'; did you mean 'port'?"),
        ('log_level = "loud"\n', "'loud' is not a valid LogLevel; give one of debug, info, warning, error"),
        ('[broker]\nkind = "external"\n', "an external broker needs its port, as in port = 8883"),
        ("[broker\n", "cannot read"),
    ],
)
def test_an_unknown_key_in_server_toml_names_the_nearest(server_data: Path, toml: str, sentence: str) -> None:
    (server_data / "server.toml").write_text(toml)

    refusal = Shell(folder=server_data)(
        "server", "run", "--data", ".", "--http-port", "0", "--devices-port", "0"
    ).refusal

    assert "server.toml: " in refusal
    assert sentence in refusal


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ('devise = "pi"\n', "unknown key 'devise'; did you mean 'device'?"),
        ("[serving]\nprot = 1\n", "unknown key 'serving.prot'; did you mean 'port'?"),
        ("[serving]\nport = 70000\n", "port 70000 is not between 0 and 65535"),
    ],
)
def test_an_unknown_key_in_agent_toml_names_the_nearest(tmp_path: Path, more: str, sentence: str) -> None:
    config = agent_config(tmp_path / "agent", NOBODY.replace("http:", "https:"), more=more)

    refusal = Shell(folder=tmp_path)("agent", "run", "--config", config).refusal

    assert str(config) in refusal
    assert sentence in refusal


def test_an_unknown_key_in_a_device_profile_names_line_and_nearest(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path)
    catalog = Path(__file__).parents[2] / "device_profiles" / "catalog" / "raspberry-pi-4.toml"
    (tmp_path / "raspberry-pi-4.toml").write_text(catalog.read_text().replace("\ncores", "\ncoers"))

    refusal = shell("profile", "check", "raspberry-pi-4.toml").refusal

    assert refusal.startswith("error: raspberry-pi-4.toml:")
    assert "no key 'coers'; the nearest is 'cores'" in refusal


def test_an_external_broker_that_nobody_runs_is_named_with_its_address(server_data: Path) -> None:
    (server_data / "server.toml").write_text('[broker]\nkind = "external"\nport = 9\n')

    refusal = Shell(folder=server_data)(
        "server", "run", "--data", ".", "--http-port", "0", "--devices-port", "0"
    ).refusal

    assert "no broker accepts at 127.0.0.1:9 (Connection refused); start it, or correct [broker]" in refusal
    assert not (server_data / "server.json").exists()


def test_a_server_that_nobody_runs_is_named_when_a_device_enrolls(tmp_path: Path) -> None:
    config = agent_config(tmp_path / "agent", NOBODY.replace("http", "https"))
    token = f"{'x' * 20}.{'0' * 64}"

    refusal = Shell(folder=tmp_path)("agent", "enroll", "--config", config, "--token", token).refusal

    assert "no answer from https://127.0.0.1:9/" in refusal
    assert "check server.url and that the fleet server runs" in refusal
    assert not (config.parent / "state" / "enrollment.json").exists()


@pytest.mark.parametrize(
    "command", [("fleet", "status"), ("drift", "ls"), ("fleet", "rollout", "create", "a@1", "--to", "b")]
)
def test_a_server_that_nobody_runs_is_named_by_the_operators_commands(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "token").write_text("t" * 43)

    refusal = Shell(folder=tmp_path)(*command, "--server", NOBODY, "--token-file", "token").refusal

    assert "no answer from http://127.0.0.1:9" in refusal
    assert "is the server running, and is the address right?" in refusal


@pytest.mark.parametrize("broker", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.system)])
def test_a_taken_port_of_the_broker_is_refused(server_data: Path, broker: str) -> None:
    with taken_port() as port:
        (server_data / "server.toml").write_text(f'[broker]\nkind = "{broker}"\nport = {port}\n')
        refusal = Shell(folder=server_data)(
            "server", "run", "--data", ".", "--http-port", "0", "--devices-port", "0"
        ).refusal

    assert f"port {port} for the broker is taken by another process; stop it, or choose another" in refusal


def test_a_taken_port_of_the_console_is_refused(server_data: Path) -> None:
    (server_data / "server.toml").write_text('[broker]\nkind = "amqtt"\n')

    with taken_port() as port:
        refusal = Shell(folder=server_data)("server", "run", "--data", ".", "--http-port", str(port)).refusal

    assert f"cannot listen on 127.0.0.1:{port}" in refusal
    assert "choose another with --http-port" in refusal


def test_a_wrong_passphrase_signs_nothing(tmp_path: Path, server_data: Path, samples: Path) -> None:
    shell = Shell(folder=tmp_path)
    shell.done("keys", "init", "keys")
    shell.done("release", "init", "--repository", "repo", "--keys", "keys", *public_keys(server_data))
    shell.done("release", "draft", samples / "good.artifact", "--repository", "repo")
    before = files_in(tmp_path)

    stranger = Shell(folder=tmp_path, passphrase="not the passphrase")
    refusal = stranger("release", "sign", "--repository", "repo", "--keys", "keys", "--yes").refusal

    assert "the passphrase does not open keys/targets.pem; set EDGESHIP_KEY_PASSPHRASE" in refusal
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("artifact", "sentence"),
    [
        ("prose.artifact", "this is no edgeship artifact; make one with 'edgeship recipe pack'"),
        ("cut.artifact", "cut.artifact: "),
        ("nowhere.artifact", "No such file or directory; give a file of 'edgeship recipe pack'"),
    ],
)
def test_a_file_that_is_no_artifact_is_not_drafted(
    tmp_path: Path, server_data: Path, samples: Path, artifact: str, sentence: str
) -> None:
    shell = Shell(folder=tmp_path)
    shell.done("keys", "init", "keys")
    shell.done("release", "init", "--repository", "repo", "--keys", "keys", *public_keys(server_data))
    before = files_in(tmp_path)

    assert sentence in shell("release", "draft", samples / artifact, "--repository", "repo").refusal
    assert files_in(tmp_path) == before


def test_a_token_file_that_is_not_there_is_named_with_who_writes_it(tmp_path: Path) -> None:
    refusal = Shell(folder=tmp_path)("fleet", "status", "--server", NOBODY, "--token-file", "nowhere").refusal

    assert "cannot read the token in nowhere: No such file or directory; give the file that 'edgeship server" in refusal


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_a_database_of_a_newer_schema_is_left_alone(tmp_path: Path, command: str) -> None:
    import sqlite3

    shell = Shell(folder=tmp_path)
    shell.done("server", "init", "--data", "data", "--token-file", "token")
    with sqlite3.connect(tmp_path / "data" / "fleet.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    refusal = shell("server", command, "--data", "data").refusal

    assert "the database's schema is 9999, which a newer edgeship made" in refusal
    assert "install the newer edgeship, or restore the database from before the upgrade" in refusal
    assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("optimize", "good.onnx", "--data", "good.npz", "--target", "raspberry-pi-4", "-o", "out"), "optimizer"),
        (("recipe", "passes"), "optimizer"),
        (("benchmark", "good.onnx"), "optimizer"),
        (("server", "init", "--data", "new"), "server"),
        (("server", "run", "--data", "new"), "server"),
        (("demo", "--state", "new"), "all"),
    ],
)
def test_a_bare_install_names_the_extra(samples: Path, arguments: tuple[str, ...], extra: str) -> None:
    refusal = Shell(folder=samples, without=FRAMEWORKS)(*arguments).refusal

    assert f"pip install 'edgeship[{extra}]'" in refusal
    assert not (samples / "new").exists()


def test_a_bare_install_still_has_profiles_keys_and_help(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, without=FRAMEWORKS)

    assert "raspberry-pi-4" in shell.done("profile", "ls")
    assert "keys/root.pem" in shell.done("keys", "init", "keys")
    assert "--target" in shell.done("optimize", "--help")
