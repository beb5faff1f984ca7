"""The text of the files that a program for a microcontroller is built of; equal models give equal text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.preprocessing import StepKind
from optimizer.microcontroller.arrays import C_TYPES, c_array
from optimizer.microcontroller.resolver import registrations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contracts.tensors import TensorSpec
    from optimizer.model import Model

ALIGNMENT: Final = 16
TOLERANCE_STEPS: Final = 1
"""How far a stored integer may be off: optimized kernels may round the last bit otherwise."""
TOLERANCE_RATIO: Final = 1e-4
"""How far a float may be off, as a share of its output's largest golden value."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Golden:
    """Rows and the answers that a device must give, by place, shape (rows, ...), stored types."""

    inputs: tuple[NDArray[np.generic], ...]
    outputs: tuple[NDArray[np.generic], ...]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.inputs[0])


def source_files(model: Model, golden: Golden, *, arena_bytes: int, arena_words: str) -> Mapping[str, str]:
    """Return the text of each file by its name.

    Args:
        model: a TFLite file that the runtime can run.
        golden: rows to check a device with.
        arena_bytes: memory that the model needs at run time.
        arena_words: how that was found out.
    """
    return {
        "model_data.h": _model_header(model, arena_bytes, arena_words),
        "model_data.cc": _model_data(model),
        "model_operators.h": _operators(model),
        "golden.h": _golden_header(golden),
        "golden.cc": _golden_data(golden),
        "golden_main.cc": _MAIN,
        "README.txt": _readme(model, golden, arena_bytes, arena_words),
    }


def _model_header(model: Model, arena_bytes: int, arena_words: str) -> str:
    ends = [f"//   input {place}: {_described(spec)}" for place, spec in enumerate(model.inputs)]
    ends += [f"//   output {place}: {_described(spec)}" for place, spec in enumerate(model.outputs)]
    return "\n".join(
        (
            f"// {model.name}, sha256 {model.digest}",
            *ends,
            "#ifndef EDGESHIP_MODEL_DATA_H_",
            "#define EDGESHIP_MODEL_DATA_H_",
            "",
            "#include <cstddef>",
            "#include <cstdint>",
            "",
            f"// {arena_words}",
            f"constexpr std::size_t kEdgeshipArenaBytes = {arena_bytes};",
            f"constexpr std::size_t kEdgeshipModelBytes = {model.size_bytes};",
            f"extern const std::uint8_t edgeship_model[{model.size_bytes}];",
            "",
            "#endif  // EDGESHIP_MODEL_DATA_H_",
            "",
        )
    )


def _described(spec: TensorSpec) -> str:
    shape = "x".join(str(max(size, 1)) for size in spec.shape)
    real = spec.quantization
    words = f", real = {real.scale!r} * (stored - {real.zero_point})" if real else ""
    return f"{spec.name!r} {spec.element} {shape}{words}"


def _model_data(model: Model) -> str:
    values = np.frombuffer(model.content, np.uint8)
    return f'#include "model_data.h"\n\n{c_array("edgeship_model", values, alignment=ALIGNMENT)}'


def _operators(model: Model) -> str:
    methods = registrations(model.spec.operators)
    calls = "\n".join(f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;" for method in methods)
    return f"""#ifndef EDGESHIP_MODEL_OPERATORS_H_
#define EDGESHIP_MODEL_OPERATORS_H_

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using EdgeshipResolver = tflite::MicroMutableOpResolver<{len(methods)}>;

inline TfLiteStatus edgeship_register(EdgeshipResolver& resolver) {{
{calls}
  return kTfLiteOk;
}}

#endif  // EDGESHIP_MODEL_OPERATORS_H_
"""


def _golden_header(golden: Golden) -> str:
    arrays = "\n".join(
        f"extern const {C_TYPES[values.dtype.name]} edgeship_golden_{side}_{place}[{values.size}];"
        for side, place, values in _sides(golden)
    )
    return f"""#ifndef EDGESHIP_GOLDEN_H_
#define EDGESHIP_GOLDEN_H_

#include <cstddef>
#include <cstdint>

// {golden.rows} rows one after the other in each array; stored values, as the model takes and gives them.
constexpr int kEdgeshipGoldenRows = {golden.rows};
constexpr int kEdgeshipInputs = {len(golden.inputs)};
constexpr int kEdgeshipOutputs = {len(golden.outputs)};
{arrays}

// The bytes of one row of an input, and where they begin.
std::size_t edgeship_golden_input_bytes(int input);
const void* edgeship_golden_input(int input, int row);

// How many numbers of an output of the row, as the model gave it, are not the golden ones.
int edgeship_golden_differences(int output, int row, const void* given);

#endif  // EDGESHIP_GOLDEN_H_
"""


_COMPARING: Final = """#include "golden.h"

#include <cmath>

namespace {

template <typename Number, typename Wide>
int differences(const Number* expected, const void* given, int count, Wide tolerance) {
  const Number* actual = static_cast<const Number*>(given);
  int found = 0;
  for (int place = 0; place < count; ++place) {
    const bool both_nan = expected[place] != expected[place] && actual[place] != actual[place];
    if (both_nan || expected[place] == actual[place]) continue;
    const Wide gap = static_cast<Wide>(expected[place]) - static_cast<Wide>(actual[place]);
    // written so that a NaN is a difference
    if (!(gap <= tolerance && -gap <= tolerance)) ++found;
  }
  return found;
}

}  // namespace

"""


def _golden_data(golden: Golden) -> str:
    arrays = "\n".join(
        c_array(f"edgeship_golden_{side}_{place}", values, alignment=ALIGNMENT)
        for side, place, values in _sides(golden)
    )
    sizes = _cases("input", (f"return {values[0].nbytes};" for values in golden.inputs))
    begins = _cases(
        "input",
        (f"return edgeship_golden_input_{place} + row * {one[0].size};" for place, one in enumerate(golden.inputs)),
    )
    compared = _cases("output", (_comparison(place, one) for place, one in enumerate(golden.outputs)))
    return f"""{_COMPARING}{arrays}
std::size_t edgeship_golden_input_bytes(int input) {{
{sizes}
  return 0;
}}

const void* edgeship_golden_input(int input, int row) {{
{begins}
  return nullptr;
}}

int edgeship_golden_differences(int output, int row, const void* given) {{
{compared}
  return -1;
}}
"""


def _cases(which: str, lines: Iterable[str]) -> str:
    return "\n".join(f"  if ({which} == {place}) {line}" for place, line in enumerate(lines))


def _comparison(place: int, values: NDArray[np.generic]) -> str:
    whole = np.issubdtype(values.dtype, np.integer) or values.dtype == np.bool_
    largest = np.abs(values[np.isfinite(values)]).max(initial=0)
    tolerance = str(TOLERANCE_STEPS) if whole else f"{TOLERANCE_RATIO * float(largest):.9g}"
    wide = "std::int64_t" if whole else "double"
    start = f"edgeship_golden_output_{place} + row * {values[0].size}"
    kind = C_TYPES[values.dtype.name]
    return f"return differences<{kind}, {wide}>({start}, given, {values[0].size}, {tolerance});"


def _sides(golden: Golden) -> Sequence[tuple[str, int, NDArray[np.generic]]]:
    return [
        (side, place, values)
        for side, arrays in (("input", golden.inputs), ("output", golden.outputs))
        for place, values in enumerate(arrays)
    ]


def _readme(model: Model, golden: Golden, arena_bytes: int, arena_words: str) -> str:
    methods = "\n".join(f"  resolver.{method}();" for method in registrations(model.spec.operators))
    return f"""{model.name} for TensorFlow Lite for Microcontrollers
sha256 {model.digest}

model_data.h, model_data.cc   the model, {model.size_bytes} bytes of flash, and the arena that it needs
model_operators.h             the operators that it uses, to be registered
golden.h, golden.cc           {golden.rows} rows with the answers that the device must give
golden_main.cc                a program that runs them: exit code 0, or the number of wrong rows

{_before(model)}Arena: {arena_bytes} bytes. {arena_words}
golden_main.cc prints what the device used of it.

Operators:
{methods}

Build golden_main.cc, model_data.cc and golden.cc with your board's tflite-micro library, C++17.
"""


def _before(model: Model) -> str:
    """Return the inputs that the firmware has to turn, as one paragraph; empty where there is none."""
    turned = [
        f"  {step.tensor}: channels last, as in model_data.h; the model that was optimized takes them first"
        for step in model.adapter
        if step.kind is StepKind.CHANNEL_LAST
    ]
    return "\n".join(["Inputs:", *turned, "", ""]) if turned else ""


_MAIN: Final = """#include <cstring>

#include "golden.h"
#include "model_data.h"
#include "model_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

alignas(16) static std::uint8_t arena[kEdgeshipArenaBytes];

int main() {
  tflite::InitializeTarget();
  const tflite::Model* model = tflite::GetModel(edgeship_model);
  EdgeshipResolver resolver;
  if (edgeship_register(resolver) != kTfLiteOk) return 101;
  tflite::MicroInterpreter interpreter(model, resolver, arena, kEdgeshipArenaBytes);
  if (interpreter.AllocateTensors() != kTfLiteOk) {
    MicroPrintf("the arena of %d bytes is too small here", static_cast<int>(kEdgeshipArenaBytes));
    return 102;
  }
  MicroPrintf("arena used: %d bytes", static_cast<int>(interpreter.arena_used_bytes()));
  int wrong = 0;
  for (int row = 0; row < kEdgeshipGoldenRows; ++row) {
    for (int place = 0; place < kEdgeshipInputs; ++place) {
      std::memcpy(interpreter.input(place)->data.raw, edgeship_golden_input(place, row),
                  edgeship_golden_input_bytes(place));
    }
    if (interpreter.Invoke() != kTfLiteOk) return 103;
    int differences = 0;
    for (int place = 0; place < kEdgeshipOutputs; ++place) {
      differences += edgeship_golden_differences(place, row, interpreter.output(place)->data.raw);
    }
    if (differences != 0) {
      MicroPrintf("row %d: %d numbers differ", row, differences);
      ++wrong;
    }
    interpreter.Reset();
  }
  MicroPrintf("%d of %d rows as expected", kEdgeshipGoldenRows - wrong, kEdgeshipGoldenRows);
  return wrong;
}
"""
