"""From a PyTorch module to an ONNX network of standard operators alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from accel.errors import missing_extra
from accel.graph import load
from accel.graph.network import Network
from accel.integrations.torch.structured import Structured
from accel.kernels.checks import describe

if TYPE_CHECKING:
    import onnx


def frozen(module: nn.Module) -> nn.Module:
    """A copy of the module in eval mode whose layers of accel hold the weights they multiply by, no longer trained.

    torch.onnx.export of it gives constant weights. Of the module itself it works as well, but leaves in the file how
    the weights follow from the trained ones; accel and onnxruntime then compute them when they load it.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {describe(module)}")
    twin = copy.deepcopy(module).eval()
    for layer in twin.modules():
        if hasattr(layer, "freeze_"):
            layer.freeze_()
    return twin


def export_onnx(module: nn.Module, example: Tensor, *, names: tuple[str, str] = ("input", "output")) -> onnx.ModelProto:
    """The module as an ONNX model for any number of samples.

    Parameters
    ----------
    module : torch.nn.Module of one input and one output; it is not changed.
    example : Tensor, shape (N, ...): an input, its first axis becomes dynamic.
    names : the names of the input and of the output.

    Returns
    -------
    onnx.ModelProto, of standard operators: signs of activations are Where(x >= 0, 1, -1), binary weights ±1 or ±α,
    structured ones dense.

    Raises
    ------
    MissingExtraError  torch.onnx.export has not the packages it needs.
    TypeError          module or example is of another type.
    """
    if not isinstance(example, Tensor):
        raise TypeError(f"example: expected a torch.Tensor, got {describe(example)}")
    twin = frozen(module)
    try:
        from onnxscript import optimizer, rewriter
        from onnxscript.rewriter.rules import common as rules
    except ImportError as why:
        raise missing_extra("onnxscript", "torch", "export_onnx") from why
    program: Any = torch.onnx.export(
        twin,
        (example,),
        dynamo=True,
        optimize=False,  # the optimizer folds batch-norm into ±1 weights, whose sums are then exact no longer
        input_names=names[:1],
        output_names=names[1:],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    optimizer.inline(program.model)
    optimizer.fold_constants(program.model)
    tidy = (rules.materialize_reshape_shape_rule, rules.remove_optional_bias_from_conv_rule)
    rewriter.rewrite(program.model, tidy)
    return program.model_proto


def export_network(module: nn.Module, example: Tensor, *, names: tuple[str, str] = ("input", "output")) -> Network:
    """The module as a network of accel, structured layers with the few numbers that were trained as their weights.

    Binary weights are found as accel.load(..., binary="auto") finds them. Arguments and errors as of `export_onnx`.
    """
    network = load(export_onnx(module, example, names=names), simplify=False)
    weights = {
        f"{name}.frozen_weight": layer.to_weight()
        for name, layer in module.named_modules()
        if isinstance(layer, Structured)
    }
    # Before what follows is folded into weights: of these nothing can be.
    return load(network.with_constants({n: w for n, w in weights.items() if n in network.constants}), binary="auto")
