"""Write small ONNX models, with the inputs, outputs and metadata that a library looks for."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


def save(path, inputs, nodes, outputs, constants=(), **metadata):
    """Write a graph; inputs and outputs are ``(name, type, shape)``, nodes ``(operator, taken, made, attributes)``."""
    graph = helper.make_graph(
        [helper.make_node(kind, taken, made, **(rest[0] if rest else {})) for kind, taken, made, *rest in nodes],
        "model",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
    model.ir_version = 8
    helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    Path(path).write_bytes(model.SerializeToString())
