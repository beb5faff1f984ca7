"""onnx2tf without TensorFlow: the ONNX file; ``--legacy`` the one of torch's older exporter."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.conversion.inside.exchange import run


def convert(given: Path, out: Path) -> None:
    """Convert with its direct backend, the model's own names kept, a batch of one."""
    # it calls the program onnxsim, which stands beside this interpreter
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    import onnx2tf  # type: ignore[import-not-found] # installed in its own environment alone

    with TemporaryDirectory() as name:
        model = Path(name) / "model.onnx"  # it writes beside the file that it reads
        shutil.copyfile(given / ("legacy.onnx" if "--legacy" in sys.argv else "model.onnx"), model)
        onnx2tf.convert(
            input_onnx_file_path=str(model),
            output_folder_path=name,
            batch_size=1,
            copy_onnx_input_output_names_to_tflite=True,
            non_verbose=True,
        )
        shutil.copyfile(Path(name) / f"{model.stem}_float32.tflite", out / "out.tflite")


if __name__ == "__main__":
    sys.exit(run(convert))
