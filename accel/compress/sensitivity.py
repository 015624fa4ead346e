"""How much each layer matters: the error at the network's output per error in the layer's weights, measured."""

from __future__ import annotations

from collections.abc import Sequence

from accel.compress import _evaluate
from accel.compress._evaluate import Calibration, Runner
from accel.compress._steps import each
from accel.compress.deep_compression import mask, share
from accel.compress.progress import Callback
from accel.compress.recipe import Recipe
from accel.compress.targets import Layer
from accel.graph.network import Network

SAMPLES = 256
PROBE_LEVELS = 16
"""Values of the codebook a layer is probed with: 4 bits, coarse enough to show at the output."""


def sensitivities(
    network: Network,
    layers: Sequence[Layer],
    recipe: Recipe,
    data: Calibration,
    report: Callback,
    run: Runner = _evaluate.outputs,
) -> dict[str, float]:
    """Relative error of the output over relative error of the weights, layer by layer, the others untouched.

    Parameters
    ----------
    data : calibration samples; the first 256 are used, labels are not.
    run : gives a network's first output for inputs by name.

    Returns
    -------
    A factor per layer, for `search.choose`.
    """
    sample = data.first(SAMPLES)
    reference = run(network, sample.inputs)

    def probe(layer: Layer) -> tuple[float, str]:
        weight = share(layer, mask(layer, recipe), PROBE_LEVELS, recipe.rounding)
        own = _evaluate.relative_error(weight.dense(), layer.weight)
        changed = run(network.with_constants({layer.name: weight}), sample.inputs)
        factor = _evaluate.relative_error(changed, reference) / own if own else 0.0
        return factor, f"{factor:.3f}"

    return each("sensitivity", layers, probe, report)
