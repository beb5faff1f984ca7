"""The options that several commands share; each group of them reaches its command as one value of ``words``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import click

from optimizer.cli.sections import option
from optimizer.cli.words import BenchWords, BudgetWords, PruningWords, SubjectWords

Decorator: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]

FILE: Final = click.Path(path_type=Path)
OBJECTIVES: Final = ("size", "latency")
AT_LEAST_1: Final = click.IntRange(min=1)
AT_LEAST_0: Final = click.IntRange(min=0)


def handing(name: str, kind: type[Any], *options: Decorator) -> Decorator:
    """Return the decorator that adds the options to a command and hands it their values as one value of the kind."""
    fields = {item.name for item in dataclasses.fields(kind)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(*first: Any, **given: Any) -> None:
            mine = {key: value for key, value in given.items() if key in fields}
            others = {key: value for key, value in given.items() if key not in fields}
            command(*first, **{name: kind(**mine)}, **others)

        for one in reversed(options):
            one(wrapped)
        return wrapped

    return decorate


_REQUIRED: Final = (
    option(
        "Required",
        "--data",
        metavar="WHERE",
        default="",
        help="Rows to calibrate with and to judge by: .npz, .csv, .parquet, a folder of images or of WAV files, or "
        "module:function.",
    ),
    option(
        "Required",
        "--target",
        metavar="PROFILE",
        default="",
        help="Device, as in raspberry-pi-4 (all: edgeship profile ls); host is this machine.",
    ),
)
_MODEL_AND_DATA: Final = (
    option(
        "Model",
        "--builder",
        metavar="FUNCTION",
        default="",
        help="For a file of weights: module:function that returns the network.",
    ),
    option(
        "Model",
        "--shape",
        metavar="NAME=SIZES",
        multiple=True,
        help="Shape of an input that the model leaves open, as in image=1,3,224,224 or ids=1,128:int64.",
    ),
    option(
        "Model",
        "--preprocess",
        metavar="STEP",
        multiple=True,
        help="From what clients send to what the model takes, as in image:scale=0.0625; ships with the model.",
    ),
    option(
        "Data",
        "--label",
        metavar="NAME",
        default="",
        help="Column or array of the label; by default label, target, class or y.",
    ),
    option(
        "Data",
        "--metric",
        metavar="NAME",
        default="",
        help="accuracy, auc, rmse, cosine, neighbours, agreement or module:function; by default what the data allow.",
    ),
    option(
        "Data",
        "--calibration-rows",
        default=500,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Rows to calibrate with, of data that are not split; all others judge.",
    ),
    option(
        "Data",
        "--order",
        type=click.Choice(("shuffled", "time")),
        default="shuffled",
        show_default=True,
        help="How to split: at random, or the first rows calibrate and the later ones judge.",
    ),
    option(
        "Data",
        "--sample-rate",
        metavar="HZ",
        default=0,
        type=AT_LEAST_0,
        help="Resample sound to this rate, as in 16000; by default the files' own.",
    ),
    option(
        "Data",
        "--transform",
        metavar="FUNCTION",
        default="",
        help="module:function that makes the model's row of one decoded image or clip.",
    ),
)
_BUDGETS: Final = (
    option(
        "Budgets",
        "--objective",
        type=click.Choice(OBJECTIVES),
        help="What to prefer within the budgets; by default latency if it is measured on the target, else size.",
    ),
    option(
        "Budgets",
        "--max-drop",
        metavar="POINTS",
        default="1pp",
        show_default=True,
        help="What accuracy (or the metric) may lose, as in 0.5pp.",
    ),
    option("Budgets", "--max-latency", metavar="TIME", help="p95 of one row on the target, as in 20ms."),
    option("Budgets", "--max-size", metavar="BYTES", help="Size of the model file, as in 200KB."),
    option(
        "Budgets",
        "--max-memory",
        metavar="BYTES",
        help="Memory that loading and running adds, as in 64MB; by default what the profile grants.",
    ),
)
_PRUNING: Final = (
    option(
        "Pruning",
        "--prune",
        metavar="[EPOCHS]",
        is_flag=False,
        flag_value=10,
        type=AT_LEAST_1,
        help="Also cut channels of a PyTorch model, as far as it gets faster, and train it again: so many epochs (10) "
        "over the calibration rows. Takes minutes.",
    ),
    option(
        "Pruning",
        "--train",
        metavar="FUNCTION",
        default="",
        help="module:function that trains what is cut; by default it learns the original's answers, without labels.",
    ),
)
_MEASURING: Final = (
    option(
        "Measuring",
        "--runner",
        metavar="COMMAND",
        default="",
        help="Measure on the target behind this command, as in 'ssh pi'; edgeship is installed there.",
    ),
    option(
        "Measuring",
        "--runs",
        default=200,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Timed runs of each finalist.",
    ),
    option(
        "Measuring",
        "--threads",
        default=1,
        show_default=True,
        type=AT_LEAST_1,
        metavar="N",
        help="Threads of the runtime.",
    ),
    option(
        "Measuring",
        "--seed",
        default=0,
        show_default=True,
        type=AT_LEAST_0,
        metavar="N",
        help="Of splits and of run order.",
    ),
)
_STORE: Final = option(
    "What is kept",
    "--store",
    metavar="FOLDER",
    type=FILE,
    help="Results of passes, by content. Default: ~/.cache/edgeship/store.",
)
_KEPT: Final = (
    _STORE,
    option(
        "What is kept",
        "--figures",
        metavar="FOLDER",
        type=FILE,
        help="Every latency and memory figure taken; none is taken twice. Default: OUT/figures.",
    ),
    option(
        "What is kept",
        "--replay",
        metavar="FOLDER",
        type=FILE,
        help="Take latency and memory from the figures kept there, and measure nothing.",
    ),
    option(
        "What is kept",
        "--storage",
        metavar="URL",
        default="",
        help="Optuna storage that several workers share, as in postgresql://HOST/DB. Default: OUT/search.db.",
    ),
)

subject_options: Final = handing(
    "about", SubjectWords, click.argument("model", default=""), *_REQUIRED, *_MODEL_AND_DATA
)
budget_options: Final = handing("budget", BudgetWords, *_BUDGETS)
pruning_options: Final = handing("pruning", PruningWords, *_PRUNING)
measuring_options: Final = handing("bench", BenchWords, *_MEASURING)
bench_options: Final = handing("bench", BenchWords, *_MEASURING, *_KEPT)
store_option: Final = handing("bench", BenchWords, _STORE)
out_option: Final = option(
    "Required",
    "-o",
    "--out",
    metavar="FOLDER",
    type=FILE,
    required=True,
    help="Folder for the winner, its lock, report.html and search.json.",
)
