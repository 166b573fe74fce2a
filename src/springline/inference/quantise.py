"""Quantises the local embedding model. Run once on each machine, in a process of its own:

python -m springline.inference.quantise ORIGINAL.onnx TARGET.onnx
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx as _onnx
import onnxruntime.quantization as _quantization
from onnx import numpy_helper

onnx: Any = _onnx
quantization: Any = _quantization
"""Their own annotations leave most types unknown."""


def quantise(original: Path, target: Path) -> None:
    """The package keeps each weight as int8, cast and scaled when the model runs. Those are folded to float32, then quantised anew in the form
    that has integer kernels: each column of a matrix with a scale of its own, activations when they are known."""
    model: Any = onnx.load(str(original))
    graph = model.graph
    stored = {entry.name: entry for entry in graph.initializer}
    casts = {
        node.output[0]: node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored
    }
    for node in list(graph.node):
        if node.op_type != "Mul" or node.input[0] not in casts or node.input[1] not in stored:
            continue
        cast = casts[node.input[0]]
        weight = numpy_helper.to_array(stored[cast.input[0]]).astype(np.float32)
        scale = numpy_helper.to_array(stored[node.input[1]]).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(weight * scale, node.output[0]))
        graph.node.remove(cast)
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    kept = [entry for entry in graph.initializer if entry.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    folded = target.with_suffix(".folded")
    onnx.save(model, str(folded))
    # The quantiser recommends, on the root logger, a preparation that this model does not need.
    logging.getLogger().setLevel(logging.ERROR)
    quantization.quantize_dynamic(
        str(folded),
        str(target),
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gather"],
    )
    folded.unlink()


if __name__ == "__main__":
    quantise(Path(sys.argv[1]), Path(sys.argv[2]))
