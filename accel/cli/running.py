"""The commands that run a model: run and eval."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import accel
from accel.cli import data as files
from accel.cli import inputs, preprocess, shell
from accel.cli.evaluate import evaluate
from accel.formats.atomic import replace_file
from accel.graph.network import Network
from accel.report import Table

TOP = 5


def run(
    model: shell.ModelArgument,
    input_file: Annotated[
        Path, typer.Option("--input", "-i", help=".npz with one array per input, or .npy for the only input.")
    ],
    output_file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the outputs to this .npz file.")
    ] = None,
    threads: shell.ThreadsOption = None,
    as_json: shell.JsonFlag = False,
) -> None:
    """Run a model on arrays from a file."""
    network = accel.load(model)
    feeds = inputs.read_inputs(network, input_file)
    results = accel.InferenceSession(network, threads=threads).run(None, feeds)
    outputs = {value.name: array for value, array in zip(network.outputs, results, strict=True)}
    if output_file is not None:
        write_npz(output_file, outputs)
    data = {
        "outputs": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape), "top": _top(array)}
            for name, array in outputs.items()
        ],
        "file": output_file,
    }
    shell.emit(data, _run_text(data), as_json)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays under any names (np.savez has its own use for some); a failure leaves the old file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)
    replace_file(path, [buffer.getvalue()])


def _top(array: np.ndarray) -> list[list[int | float]] | None:
    """(class, score) of the best classes of the first row, for an output that looks like class scores."""
    if array.ndim < 2 or not array.size or array[0].size < 2 or array[0].size != max(array.shape[1:]):
        return None
    scores = array[0].reshape(-1)
    return [[int(k), float(scores[k])] for k in np.argsort(-scores, kind="stable")[:TOP]]


def _run_text(data: dict[str, Any]) -> str:
    lines = []
    for output in data["outputs"]:
        lines.append(f"{output['name']}: {output['dtype']} {files.shape_text(output['shape'])}")
        if output["top"]:
            lines.append("  first row, best classes: " + ", ".join(f"{k} ({score:.4g})" for k, score in output["top"]))
    if data["file"] is not None:
        lines.append(f"written to {data['file']}")
    return "\n".join(lines)


def eval_(
    model: shell.ModelArgument,
    data_path: Annotated[
        Path, typer.Option("--data", help=".npz with images and labels, or a folder of images with labels.csv.")
    ],
    how: Annotated[
        str,
        typer.Option(
            "--preprocess",
            help=f"One of {', '.join(preprocess.NAMED)}, with changes as in unit:mean=0.5;std=0.25;size=224 "
            "(keys scale, mean, std, order, size, threshold).",
        ),
    ] = "unit",
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 50,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first images.")] = None,
    output: Annotated[str | None, typer.Option(help="The output with the class scores; the first by default.")] = None,
    threads: shell.ThreadsOption = None,
    as_json: shell.JsonFlag = False,
) -> None:
    """Measure top-1 and top-5 accuracy on labelled images."""
    steps = preprocess.parse(how)
    network = accel.load(model)
    images = files.load_images(data_path, limit)
    classify = Classifier(network, output, threads)
    with shell.progress("images", len(images)) as advance:
        accuracy = evaluate(classify, images, steps, classify.batch or batch, advance)
    data = {"file": model, "data": data_path, "preprocess": how, **accuracy.as_dict()}
    table = Table(["images", "top-1", "top-5", "images/s"])
    top5 = None if data["top5"] is None else f"{data['top5']:.2%}"
    table.add(data["images"], f"{data['top1']:.2%}", top5, round(accuracy.images / accuracy.seconds))
    shell.emit(data, table.text(), as_json)


class Classifier:
    """A network of one input as a function from an array to the class scores."""

    def __init__(self, network: Network, output: str | None, threads: int | None) -> None:
        if len(network.inputs) != 1:
            raise ValueError(f"a network with one input is needed, this one has {len(network.inputs)}")
        names = [value.name for value in network.outputs]
        if output is not None and output not in names:
            raise ValueError(f"--output: expected one of {', '.join(names)}, got {output!r}")
        self._input = network.inputs[0]
        self._output = output or names[0]
        self._session = accel.InferenceSession(network, threads=threads)
        first = self._input.shape[0] if self._input.shape else None
        self.batch = first if isinstance(first, int) else None
        """The batch size when the network fixes it."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Scores of a batch; a last batch that is too small for a fixed batch size is filled up with zeros."""
        count = len(x)
        if self.batch is not None and count < self.batch:
            x = np.concatenate([x, np.zeros((self.batch - count, *x.shape[1:]), x.dtype)])
        inputs.check_input(self._input, x)
        scores: np.ndarray = self._session.run([self._output], {self._input.name: x})[0]
        return scores[:count]
