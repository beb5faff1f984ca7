"""The door for a model that a user names: a file, a function that makes one, or weights and who builds their network.

``open_model`` is the way in for files that came from elsewhere: each is first opened in a process of its own
(``formats.probe``), so that a damaged or hostile one is one line and not a crash.

>>> parse_input("ids=1,128:int64").shape
(1, 128)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.file_kind import BUILDER_HINT, FileKind, file_kind, read_file
from optimizer.formats.probe import Room, probe
from optimizer.model import Format, Model, slug
from optimizer.telling import Told, nobody
from optimizer.user_function import call_user, is_function, user_function

_INPUT = re.compile(r"(?P<name>[^=]+)=(?P<shape>-?\d+(?:,\d+)*)(?::(?P<element>\w+))?")
_ELEMENTS = {"float32": ElementType.FP32, "float16": ElementType.FP16} | {
    one.value.lower(): one for one in ElementType if not one.is_float
}
_EXAMPLES = "example_inputs"


def open_model(
    where: str,
    *,
    builder: str = "",
    inputs: Sequence[TensorSpec] = (),
    name: str | None = None,
    told: Told | None = None,
    room: Room | None = None,
) -> Model:
    """Return the model that the words name.

    Args:
        where: a ``.onnx``, ``.tflite`` or ``.pt2`` file; ``module:function`` or ``file.py:function`` that returns a
            ``torch.nn.Module`` (or a pair of it and example inputs), a ``torch.export`` program or a ``Model``; or a
            ``.safetensors``, ``.pt`` or ``.pth`` file of weights.
        builder: for a file of weights, the function that makes the network.
        inputs: for a module, name, type and shape of each argument of ``forward``, batch first; for an ONNX file,
            sizes for those that it leaves free beyond the batch.
        name: the model's name; by default a slug of the file's or function's name.
        told: called with each thing that the user should know: what was left out, fixed, or looks wrong.
        room: what the process that tries the file may take.

    Raises:
        ModelError: there is no such model, or it is refused; one line that names the thing and the way out.
        LibraryMissing: the format's library is not installed.
    """
    say = told or nobody
    if is_function(where):
        if builder:
            raise ModelError(f"{where} makes the network itself; leave the builder {builder} out")
        model = _made(where, inputs=inputs, name=name, say=say, weights=None)
    else:
        model = _read(Path(where), builder=builder, inputs=inputs, name=name, say=say, room=room)
    _check_batch(model)
    if model.spec.quantized:
        say(f"{model.name} is quantized already: its integer layers stay as they are")
    if model.spec.not_finite:
        say(not_finite_line(model))
    return model


def parse_input(text: str) -> TensorSpec:
    """Return what words as ``image=1,3,320,320`` or ``ids=1,128:int64`` say of an input; float32 unless named.

    Raises:
        ModelError: not spelt so.
    """
    spelt = _INPUT.fullmatch(text.replace(" ", ""))
    element = _ELEMENTS.get((spelt["element"] or "float32").lower()) if spelt else None
    if spelt is None or element is None:
        raise ModelError(
            f"{text!r} is no input; write NAME=SIZES[:TYPE], as in image=1,3,320,320 or ids=1,128:int64 "
            f"(types: {', '.join(_ELEMENTS)})"
        )
    try:
        return TensorSpec(name=spelt["name"], element=element, shape=tuple(map(int, spelt["shape"].split(","))))
    except ValueError as error:
        raise ModelError(f"{text!r}: {error}; sizes are 1 or more") from error


def not_finite_line(model: Model) -> str:
    """Return the sentence for weights that hold a NaN or an infinite value."""
    names = model.spec.not_finite
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"{model.name}: {', '.join(repr(one) for one in names[:3])}{more} holds NaN or infinite values: it runs, but "
        "cannot be quantized; train or export it again"
    )


def _read(
    path: Path, *, builder: str, inputs: Sequence[TensorSpec], name: str | None, say: Told, room: Room | None
) -> Model:
    """Return the model of a file, after a process of its own has opened it."""
    content = read_file(path)
    kind = file_kind(content, path)
    if kind.is_weights and not builder:
        if kind is FileKind.PICKLED_WEIGHTS:
            probe(path, kind, room=room)  # a pickled module is refused as such
        raise ModelError(f"{path} holds weights without the network: {BUILDER_HINT}")
    if builder and not kind.is_weights:
        raise ModelError(f"{path} holds a whole model; leave the builder {builder} out")
    probe(path, kind, inputs=() if kind.is_weights else inputs, room=room)
    if kind.is_weights:
        return _made(builder, inputs=inputs, name=name or slug(path.stem), say=say, weights=(content, path, kind))
    model = Model.load(path, name=name, inputs=inputs)
    if model.format is Format.ONNX and model.content != content:
        say(f"{path.name} was made self-contained: weights beside it taken in, operations sorted, or sizes fixed")
    return model


def _made(
    where: str,
    *,
    inputs: Sequence[TensorSpec],
    name: str | None,
    say: Told,
    weights: tuple[bytes, Path, FileKind] | None,
) -> Model:
    """Return the model that the user's function makes, with the weights where there are any."""
    from optimizer.formats.torch_export import export_program, is_module, is_program, specs_of
    from optimizer.formats.torch_weights import give_weights, read_weights

    function = user_function(where, error=ModelError)
    made = call_user(function, error=ModelError)
    name = name or slug(where.rpartition(":")[2])
    if isinstance(made, Model):
        return made
    examples = getattr(function, _EXAMPLES, None)
    if isinstance(made, tuple) and len(made) == 2 and is_module(made[0]):
        made, examples = made
    if not is_module(made) and not is_program(made):
        raise ModelError(
            f"{where} returned {type(made).__name__}; return a torch.nn.Module (or a pair of it and example inputs), "
            "a torch.export program, or a Model"
        )
    if weights is not None:
        content, path, kind = weights
        if not is_module(made):
            raise ModelError(f"{where} returned {type(made).__name__}; a builder returns a torch.nn.Module")
        give_weights(made, read_weights(content, path, kind, told=say), path=path, told=say)
    if not inputs and examples is not None:
        inputs = specs_of(made, examples)
    if not inputs and is_module(made):
        raise ModelError(
            f"the shapes of the inputs of {where} are not known: give --shape NAME=1,3,32,32 for each argument of "
            'forward (in a recipe: shapes = ["NAME=1,3,32,32"]), or return a pair (module, example_inputs)'
        )
    exported = export_program(made, inputs)
    if exported.said:
        say(f"{name}: {exported.said}")
    return Model.from_bytes(Format.TORCH, exported.content, name=name)


def _check_batch(model: Model) -> None:
    """Refuse outputs that are not batch first: rows could not be told apart.

    Raises:
        ModelError: an output has no batch, or has it elsewhere.
    """
    batches = {spec.shape[0] for spec in model.inputs if spec.shape}
    if len(batches) > 1:
        told = ", ".join(f"{spec.name} {spec.shape}" for spec in model.inputs)
        raise ModelError(f"{model.name}: its inputs have different batches ({told}); give each the batch first")
    for spec in model.outputs:
        if not spec.shape or spec.shape[0] not in batches:
            batch = "free" if -1 in batches else min(batches, default=0)
            raise ModelError(
                f"{model.name}: output {spec.name!r} has shape {spec.shape} and the batch is {batch}: return it with "
                "the batch first, or leave it out"
            )
