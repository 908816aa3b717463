# SPDX-License-Identifier: BSD-2-Clause
"""What the command line says of an estimate and of the lanes that were chosen."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from golden.errors import shown
from golden.layer_spec import LayerSpec
from golden.spec import NetworkSpec

from .clocks import Density
from .devices import BOARDS, Resources
from .estimate import Estimate, LayerEstimate, estimate
from .fit import GIVEN, Fit, FitError, fit

__all__ = ["SizeEstimate", "estimate_table", "fit_table", "summary"]


@dataclass(frozen=True)
class SizeEstimate:
    """A network on a size of its board.

    Parameters
    ----------
    size
        Name of the size.
    lanes
        Of each layer; empty where no lanes fit.
    typical
        Clocks of a step at the estimate's density; 0 where no lanes fit.
    lacking
        What the size has too little of; empty where the network fits.
    """

    size: str
    lanes: tuple[int, ...]
    typical: int
    lacking: str

    @classmethod
    def of(cls, spec: NetworkSpec, size: str, density: Density) -> "SizeEstimate":
        """Choose the lanes that a description leaves open for a size, and estimate it there."""
        try:
            chosen = fit(replace(spec, size=size), density).spec
        except FitError as error:
            return cls(size, (), 0, error.lacking)
        expected = estimate(chosen, density)
        lanes = tuple(layer.lanes or 0 for layer in chosen.layers)
        return cls(size, lanes, expected.typical, expected.lacking(BOARDS[spec.board][size]))

    def __str__(self) -> str:
        if self.lacking:
            return f"does not fit: {self.lacking}"
        return f"fits with {' + '.join(map(str, self.lanes))} lanes, {self.typical:,} clocks"


def fit_table(fitted: Fit, expected: Estimate) -> str:
    """Tell which lanes were chosen, what clocks they come to, and why there are no more."""
    spec = fitted.spec
    lines = [*_head(spec, expected), "layer   neurons  lanes  groups    dense  typical  more lanes"]
    for layer, part, limit in zip(spec.layers, expected.layers, fitted.limits, strict=True):
        lines.append(f"{_shape(layer)}{part.clocks:9,}{part.typical:9,}  {limit}")
    lanes = sum(layer.lanes or 0 for layer in spec.layers)
    lines.append(f"{'all':5}{'':10}{lanes:7}{'':8}{expected.clocks:9,}{expected.typical:9,}")
    return "\n".join([*lines, *_shares(spec, expected)])


def estimate_table(fitted: Fit, expected: Estimate, sizes: list[SizeEstimate]) -> str:
    """Tell what each layer takes, what the device has, and how other sizes would do."""
    spec = fitted.spec
    columns = "layer   neurons  lanes  groups    dense  typical    use  weights       bits"
    lines = [*_head(spec, expected), columns + "    LUT     FF  DSP  EBR"]
    for layer, part in zip(spec.layers, expected.layers, strict=True):
        row = _row(part, layer.weights, layer.weights * layer.wb, part.resources)
        lines.append(_shape(layer) + row)
    lines.append(f"{'link, clock, LEDs':<{len(columns)}}{_cells(expected.board)}")
    weights = sum(layer.weights for layer in spec.layers)
    bits = sum(layer.weights * layer.wb for layer in spec.layers)
    lines.append(f"{'all':<30}" + _row(expected, weights, bits, expected.total))
    lines += _classifiers(expected)
    lines += _shares(spec, expected)
    lines += [
        f"layer {layer.index} has no more lanes: {limit}"
        for layer, limit in zip(spec.layers, fitted.limits, strict=True)
        if limit != GIVEN
    ]
    return "\n".join([*lines, *(f"{spec.board} {size.size}: {size}" for size in sizes)])


def summary(fitted: Fit, expected: Estimate, sizes: list[SizeEstimate]) -> dict[str, Any]:
    """Say what the table says, for programs; `lacking` is empty where the network fits."""
    spec = fitted.spec
    return {
        "name": spec.name,
        "board": spec.board,
        "size": spec.size,
        "density": asdict(expected.density),
        "clocks": expected.clocks,
        "typical": expected.typical,
        "utilisation": expected.utilisation,
        "layers": [
            {"neurons": layer.neurons, "lanes": layer.lanes, "limit": limit,
             "weights": layer.weights, "weight_bits": layer.weights * layer.wb, **asdict(part)}
            for layer, limit, part in zip(
                spec.layers, fitted.limits, expected.layers, strict=True
            )
        ],
        "surroundings": asdict(expected.board),
        "total": asdict(expected.total),
        "boards": [
            {"board": spec.board, "available": asdict(BOARDS[spec.board][size.size]),
             **asdict(size)}
            for size in sizes
        ],
    }  # fmt: skip


def _head(spec: NetworkSpec, expected: Estimate) -> Iterator[str]:
    yield f"{spec.name} ({shown(spec.path)}) for {spec.board} {spec.size}, training, batch 1"
    yield f"dense clocks: nothing is 0; typical: {expected.density}"


def _shape(layer: LayerSpec) -> str:
    lanes = layer.lanes or 1
    groups = -(-layer.neurons // lanes)
    return f"{layer.index:5}{layer.neurons:10}{lanes:7}{groups:8}"


def _row(part: LayerEstimate | Estimate, weights: int, bits: int, cells: Resources) -> str:
    times = f"{part.clocks:9,}{part.typical:9,}{part.utilisation:7.2f}"
    return f"{times}{weights:9,}{bits:11,}{_cells(cells)}"


def _cells(resources: Resources) -> str:
    return f"{resources.lut:7,}{resources.ff:7,}{resources.dsp:5}{resources.ebr:5}"


def _classifiers(expected: Estimate) -> Iterator[str]:
    """Say what classifiers that are trained take."""
    for index, layer in enumerate(expected.layers):
        if layer.classifier:
            yield (
                f"layer {index} trains its classifier: {layer.classifier.multipliers} DSP and "
                f"{layer.classifier.blocks} EBR of those; {layer.classifier.clocks} clocks from "
                f"the last input to the first update, typically {layer.classifier.typical}"
            )


def _shares(spec: NetworkSpec, expected: Estimate) -> Iterator[str]:
    """Say how much of the device is used, and what most of."""
    there = BOARDS[spec.board][spec.size]
    used = {
        field.name.upper(): share / of
        for field, share, of in zip(fields(there), expected.total, there, strict=True)
    }
    most = max(used, key=used.__getitem__)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in used.items())
    yield f"of {spec.board} {spec.size}: {shares}; the scarcest is {most}"
