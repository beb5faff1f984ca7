"""The one door to the user's data, whatever form they come in.

FILE.npz             arrays: ``npz``, ``named``
FILE.csv, .parquet   a table: ``csv_table``, ``parquet_table``
a folder             images or WAV files, by what is in it: ``images``, ``audio``
module:function      what a function returns: ``function``
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from contracts.tensors import TensorSpec
from optimizer.data.audio import AUDIO_SUFFIXES, audio_body
from optimizer.data.csv_table import csv_body
from optimizer.data.dataset import Dataset
from optimizer.data.folder import Listing, list_folder
from optimizer.data.function import data_of_function
from optimizer.data.images import IMAGE_SUFFIXES, images_body
from optimizer.data.named import data_of_named
from optimizer.data.npz import open_npz
from optimizer.data.parquet_table import parquet_body
from optimizer.data.splits import DEFAULT_OPTIONS, Body, DataOptions, Order, split_body
from optimizer.errors import DatasetError
from optimizer.user_function import is_function, user_function

__all__ = ["DataOptions", "Order", "open_dataset"]

_TAKEN: Final = "give a .npz, .csv or .parquet file, a folder of images or of WAV files, or module:function"


def open_dataset(
    where: Path | str, inputs: tuple[TensorSpec, ...], *, options: DataOptions = DEFAULT_OPTIONS
) -> Dataset:
    """Return the data that are found there, for a model of these inputs.

    Files are read through once, to take their digest; rows are read again when they are asked for.
    Whether rows fit the inputs is said by ``dataset.misfits``.

    Args:
        where: a ``.npz``, ``.csv``, ``.tsv`` or ``.parquet`` file, a folder, or ``module:function``.
        inputs: of the model that was given, before any pass.
        options: the label, the split, and how to read sound.

    Raises:
        DatasetError: there is nothing, it is no data, or it has no rows for these inputs; names the place.
        LibraryMissing: the form needs a package that is not installed.
    """
    place = str(where)
    try:
        if is_function(place):
            return data_of_function(place, inputs, options)
        return _data_at(Path(where), inputs, options)
    except DatasetError as error:
        raise DatasetError(f"{place}: {error}") from error


def _data_at(path: Path, inputs: tuple[TensorSpec, ...], options: DataOptions) -> Dataset:
    if path.is_dir():
        return split_body(_folder_body(path, inputs, options), options)
    if not path.exists():
        raise DatasetError(f"does not exist; {_TAKEN}")
    if not path.is_file():
        raise DatasetError(f"is no file and no folder; {_TAKEN}")
    kind = path.suffix.lower()
    if kind == ".npz":
        return data_of_named(open_npz(path), inputs, options)
    if kind in (".csv", ".tsv"):
        return split_body(csv_body(path, inputs, label=options.label), options)
    if kind == ".parquet":
        return split_body(parquet_body(path, inputs, label=options.label), options)
    raise DatasetError(f"is no data in a form that is read; {_TAKEN}")


def _folder_body(path: Path, inputs: tuple[TensorSpec, ...], options: DataOptions) -> Body:
    listing = list_folder(path)
    kinds = listing.suffixes()
    if len(inputs) != 1:
        names = ", ".join(spec.name for spec in inputs)
        raise DatasetError(
            f"is a folder, whose files give one input, but the model takes {names}; give module:function"
        )
    transform, how = _transform(options)
    if set(kinds) <= IMAGE_SUFFIXES:
        return images_body(listing, inputs[0], transform=transform, how=how)
    if set(kinds) <= AUDIO_SUFFIXES:
        return audio_body(listing, inputs[0], sample_rate=options.sample_rate, transform=transform, how=how)
    raise DatasetError(_mixed(listing))


def _transform(options: DataOptions) -> tuple[Callable[..., object] | None, str]:
    if not options.transform:
        return None, ""
    return user_function(options.transform, error=DatasetError), options.transform


def _mixed(listing: Listing) -> str:
    kinds = listing.suffixes()
    images = [file for kind, file in kinds.items() if kind in IMAGE_SUFFIXES]
    sounds = [file for kind, file in kinds.items() if kind in AUDIO_SUFFIXES]
    others = sorted(file for kind, file in kinds.items() if kind not in IMAGE_SUFFIXES | AUDIO_SUFFIXES)
    if images and sounds:
        return f"holds images ({images[0]}) and sound ({sounds[0]}); give a folder of one of them"
    if images or sounds:
        what = "image" if images else "WAV file"
        count = sum(Path(file).suffix.lower() not in IMAGE_SUFFIXES | AUDIO_SUFFIXES for file in listing.files)
        return f"holds {count} file{'s' * (count > 1)} of another kind than {what}s, as {others[0]}; take them out"
    return f"holds no images and no WAV files (it has {', '.join(others[:3])}); {_TAKEN}"
