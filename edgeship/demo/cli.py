"""``edgeship demo``: the whole story once, on this machine."""

from __future__ import annotations

import fcntl
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave everything running at the end; Ctrl-C ends it.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-state"),
    show_default=True,
    help="Folder for models, keys, server and devices; an earlier demo's folder is replaced.",
)
@click.option(
    "--broker",
    type=click.Choice(["auto", "mosquitto", "amqtt"]),
    default="auto",
    show_default=True,
    help="MQTT broker: mosquitto where it is installed, else the embedded amqtt.",
)
@click.option("--seed", default=7, show_default=True, help="Of the split, the training and the traffic.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, file_okay=False),
    help="Only train, write model and data into this folder, and stop: something to try 'edgeship optimize' on.",
)
def demo(*, keep: bool, state: Path, broker: str, seed: int, samples: Path | None) -> None:
    """Train, optimize, sign, roll out, serve, watch and attack: the whole story once.

    Real training data, a real broker, eight real processes, real signatures. Takes two to three minutes
    on two cores and exits 0 only if every step held.
    """
    from edgeship.demo.narration import narrator
    from edgeship.demo.story import Story, write_samples

    speaker = narrator()
    if samples is not None:
        write_samples(speaker, samples, seed=seed)
        return
    with taken(state):
        folder = prepare(state)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        Story.tell(speaker, folder, broker=broker, seed=seed, keep=keep)


@contextmanager
def taken(state: Path) -> Iterator[None]:
    """Hold the folder's name for this process, so that a second demo cannot pull it from under a running one.

    Raises:
        click.UsageError: another demo runs there.
    """
    state.resolve().parent.mkdir(parents=True, exist_ok=True)
    with (state.resolve().parent / f".{state.resolve().name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise click.UsageError(
                f"a demo is running in {state}: end it with Ctrl-C where it runs, or name another folder with --state"
            ) from error
        try:
            yield
        finally:
            Path(lock.name).unlink(missing_ok=True)


def prepare(state: Path) -> Path:
    """Return the demo's folder, empty; an earlier demo's is moved out of the way and removed.

    Raises:
        click.UsageError: the folder holds something that no demo made.
    """
    import shutil

    mark = state / ".edgeship-demo"
    if state.exists() and any(state.iterdir()) and not mark.exists():
        raise click.UsageError(f"{state} holds other files: name an empty or a new folder with --state")
    if state.exists():
        doomed = Path(tempfile.mkdtemp(prefix=".edgeship-demo-", dir=state.resolve().parent))
        state.rename(doomed / "old")
        shutil.rmtree(doomed)
    state.mkdir(parents=True)
    mark.touch()
    return state.resolve()
