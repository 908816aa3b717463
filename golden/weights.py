# SPDX-License-Identifier: BSD-2-Clause
"""Weight files: the one reader and writer of what a training has learned.

A weight file is an .npz that NumPy reads too:

    W0, W1, ...    int32 (rows, M + 1): the weights of each layer, the bias in the last column; rows
                   are neurons, or maps, with their kernels by channel, row and column
    V0, V1, ...    int32 (N, C): the classifiers of those layers that train theirs (`tlc`); N are
                   neurons, features of maps, or cells of maps
    A0, A1, ...    int32 (means,): the running means of inputs of those layers that are `centred`,
                   in units of 2^-16: of maps, or of all inputs of a fully connected layer
    low, high      float64: the ranges of the features, where the inputs were scaled from some
    about          text, JSON: the network, the names of the classes, how far the training came
    digest         text: SHA-256 of all of the above

The network is what decides the meaning of the weights: inputs, classes, seed (the random
classifiers follow from it), and of each layer the neurons, the shape of its convolutions, the rule,
the distribution and the source of the random classifier, the dropout and all formats.
It is not what decides how they are trained or computed: name, data, batch, epochs, losses, learning
rates, initial weights, rounding and lanes may be others when a file is read.
"""

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from golden.data import Data, Scaling
from golden.errors import InputError, quoted, shown
from golden.files import replacing
from golden.layer_spec import MEAN_FRACTION, TRAINED_BITS, LayerSpec
from golden.spec import NetworkSpec

__all__ = ["Weights", "WeightsError", "load", "save", "size_of"]

#: Keys of a file beside those of the layers.
ABOUT, DIGEST, LOW, HIGH = "about", "digest", "low", "high"
#: What decides the meaning of a layer's weights.
MEANING = (
    "neurons",
    "conv",
    "rule",
    "init",
    "source",
    "fx",
    "fy",
    "yb",
    "fw",
    "wb",
    "mb",
    "ms",
    "fe",
    "dropout",
    "centred",
)
#: What files say that were saved before there was such a key.
UNSAID = {"init": "uniform", "source": "lfsr", "conv": None, "centred": False}
#: Bytes that a text may take, and more than an array takes beside its numbers.
TEXT_LIMIT = 1 << 24
#: Bytes of the largest number that is read.
WIDEST = 8
MEND = "take another copy, or train again"
#: Bits of a running mean: of a pixel, or of one less 128, and its fraction.
MEAN_BITS = 9 + MEAN_FRACTION
GIVE = "give an .npz that was saved by a training of this network"


class WeightsError(InputError):
    """A weight file cannot be used or written; the message names the file, the key and the mend."""


class _Fault(ValueError):
    """What is wrong with weights, and what to do about it if they are a file's."""

    def __init__(self, text: str, mend: str = MEND):
        super().__init__(text)
        self.mend = mend


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a training has learned, and what belongs to it.

    Parameters
    ----------
    W
        The weights of each layer: int64 (rows, M + 1).
    V
        The classifier of each layer: int64 (N, C) where it is trained (`tlc`), else None. It may be
        left out where no layer trains one.
    A
        The running means of each layer's inputs: int64 (means,) where they are centred, else None.
        They may be left out where none are.
    labels
        The names of the classes; empty where they have none.
    scaling
        How features become inputs, where they are not 8-bit numbers from the start.
    progress
        How far the training came, for JSON: `accuracies` is a list with the test accuracy of each
        layer, in percent, after each epoch so far.
    """

    W: tuple[np.ndarray, ...]
    V: tuple[np.ndarray | None, ...] = ()
    A: tuple[np.ndarray | None, ...] = ()
    labels: tuple[str, ...] = ()
    scaling: Scaling | None = None
    progress: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for key in ("V", "A"):
            if not getattr(self, key):
                object.__setattr__(self, key, (None,) * len(self.W))


def save(path: Path, spec: NetworkSpec, weights: Weights) -> None:
    """Write the weights of a network to a file.

    The file is there whole or not at all, and one that was there before stays until then.

    Raises
    ------
    WeightsError
        If they are not weights of this network, or the file cannot be written.
    """
    try:
        content = _packed(spec, weights)
        with replacing(path) as file:
            file.write(content)
    except _Fault as fault:
        raise WeightsError(f"{shown(path)}: not written: {fault}") from None
    except OSError as error:
        raise WeightsError(
            f"{shown(path)}: cannot be written: {error.strerror}; nothing there was changed; make "
            "room, or give another file"
        ) from None


def load(path: Path, spec: NetworkSpec) -> Weights:
    """Read the weights of a network from a file that `save` has written.

    Nothing is taken on trust: what is damaged, of another network, or changed is refused.

    Raises
    ------
    WeightsError
        If the file cannot be read, is damaged, or is not of this network.
    """
    try:
        return _unpacked(_content(path, spec), spec)
    except _Fault as fault:
        raise WeightsError(f"{shown(path)}: {fault}; {fault.mend}") from None


def size_of(spec: NetworkSpec) -> int:
    """Bound the bytes of a weight file of a network, but for long texts."""
    numbers = sum(_numbers(layer) for layer in spec.layers)
    return 4 * numbers + 16 * spec.inputs + 4096


def _numbers(layer: LayerSpec) -> int:
    """Count the numbers of a layer, its classifier among them whether it is trained or not."""
    return layer.weights + layer.seen * layer.classes + layer.means


def load_for(path: Path, spec: NetworkSpec, data: Data) -> Weights:
    """Read weights from a file, as `load`, that were trained on this data as far as they know.

    Raises
    ------
    WeightsError
        If they cannot be used; or if classes have other names, or features were scaled otherwise.
    """
    learned = load(path, spec)
    mend = "give the data that it was trained on, or another file"
    for theirs, ours in zip(learned.labels, data.labels, strict=False):
        if theirs != ours:
            raise WeightsError(
                f"{shown(path)}: has a class {quoted(theirs)} where the data has {quoted(ours)}; "
                f"{mend}"
            )
    one, other = learned.scaling, data.scaling
    if one and other:
        differ = np.flatnonzero((one.low != other.low) | (one.high != other.high))
        for i in differ[:1]:
            raise WeightsError(
                f"{shown(path)}: feature {i} was scaled from {one.low[i]:g} .. {one.high[i]:g}, "
                f"that of the data is from {other.low[i]:g} .. {other.high[i]:g}; {mend}"
            )
    return learned


def _packed(spec: NetworkSpec, weights: Weights) -> bytes:
    """Check weights, and give the file that holds them."""
    given: dict[str, np.ndarray] = {}
    for key, arrays in zip("WVA", (weights.W, weights.V, weights.A), strict=True):
        if len(arrays) != len(spec.layers):
            raise _Fault(
                f"there are {len(arrays)} {key} for {len(spec.layers)} layers; give one for each"
            )
        given |= {f"{key}{i}": np.asarray(a) for i, a in enumerate(arrays) if a is not None}
    if weights.scaling:
        given[LOW] = np.asarray(weights.scaling.low, np.float64)
        given[HIGH] = np.asarray(weights.scaling.high, np.float64)
    _check_keys(spec, set(given))
    arrays = {}
    for key, array in given.items():
        _check_form(spec, key, array)
        arrays[key] = array if key in (LOW, HIGH) else array.astype(np.int32)
    _check_values(spec, given)
    text = {
        "network": _meaning(spec),
        "labels": list(weights.labels),
        "progress": weights.progress,
    }
    _check_text(spec, text)
    about = np.array(json.dumps(text, sort_keys=True, allow_nan=False))
    if about.nbytes > TEXT_LIMIT // 2:
        raise _Fault(f"{ABOUT}: labels and progress take {about.nbytes} bytes; shorten them")
    digest = np.array(_digest(str(about), arrays))
    # Not straight to the file: on a full disk, NumPy leaves it half open.
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **{ABOUT: about, **arrays, DIGEST: digest})
    return file.getvalue()


def _unpacked(content: bytes, spec: NetworkSpec) -> Weights:
    """Check a file, and give the weights that it holds."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
    # What foreign code raises on a damaged file has no end, here and below.
    except Exception:
        raise _Fault("is not an .npz, or is damaged", GIVE) from None
    for key in (ABOUT, DIGEST):
        if key not in keys:
            raise _Fault(
                f"{key}: is missing, so nothing says which network these weights are of",
                f"{GIVE}, or save the arrays with golden.weights.save",
            )
    about = str(_member(archive, ABOUT, TEXT_LIMIT))
    try:
        text = json.loads(about)
        network, keys_of_text = dict(text["network"]), set(text)
    except Exception:
        raise _Fault(f"{ABOUT}: is damaged") from None
    _check_network(spec, network)
    if len(keys) != len(set(keys)) or keys_of_text != {"network", "labels", "progress"}:
        raise _Fault("is damaged: its keys are not those that were saved")
    _check_keys(spec, set(keys) - {ABOUT, DIGEST})
    arrays = {}
    for key in keys:
        if key not in (ABOUT, DIGEST):
            limit = WIDEST * math.prod(_shape(spec, key)) + TEXT_LIMIT
            arrays[key] = _member(archive, key, limit)
            _check_form(spec, key, arrays[key])
    if str(_member(archive, DIGEST, TEXT_LIMIT)) != _digest(about, arrays):
        raise _Fault(
            f"is damaged: it does not hold what was saved ({DIGEST})",
            f"{MEND}, or save what you changed with golden.weights.save",
        )
    _check_values(spec, arrays)
    _check_text(spec, text)

    def of_layers(letter: str) -> tuple[Any, ...]:
        keys = [f"{letter}{i}" for i in range(len(spec.layers))]
        return tuple(arrays[key].astype(np.int64) if key in arrays else None for key in keys)

    return Weights(
        W=of_layers("W"),
        V=of_layers("V"),
        A=of_layers("A"),
        labels=tuple(text["labels"]),
        scaling=Scaling(low=arrays[LOW], high=arrays[HIGH]) if LOW in arrays else None,
        progress=text["progress"],
    )


def _content(path: Path, spec: NetworkSpec) -> bytes:
    """Read a file, if it is no larger than one of this network can be."""
    limit = 2 * TEXT_LIMIT + WIDEST * sum(
        _numbers(layer) + 2 * layer.inputs for layer in spec.layers
    )
    try:
        if path.exists() and not path.is_file():
            raise _Fault("is not a file", GIVE)
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise _Fault(f"cannot be read: {error.strerror}", GIVE) from None
    if len(content) > limit:
        raise _Fault(f"is larger than weights of {spec.path} can be", GIVE)
    return content


def _member(archive: zipfile.ZipFile, key: str, limit: int) -> np.ndarray:
    """Read one array, if it takes no more than `limit` bytes."""
    try:
        with archive.open(f"{key}.npy") as member:
            # The checksum is compared too, once the end is reached.
            raw = member.read(limit + 1)
        if len(raw) <= limit:
            # Of what is there, not of what the head promises.
            return _array(raw)
    except Exception:
        raise _Fault(f"{key}: is damaged") from None
    raise _Fault(f"{key}: is larger than in any weight file of this network", GIVE)


def _array(raw: bytes) -> np.ndarray:
    file = io.BytesIO(raw)
    formats = np.lib.format
    readers = {(1, 0): formats.read_array_header_1_0, (2, 0): formats.read_array_header_2_0}
    shape, turned, dtype = readers[formats.read_magic(file)](file)
    numbers = np.frombuffer(raw, dtype, offset=file.tell())
    return numbers.reshape(shape, order="F" if turned else "C")


def _meaning(spec: NetworkSpec) -> dict[str, Any]:
    """Give what decides the meaning of weights, for JSON."""
    return {
        "inputs": spec.inputs,
        "classes": spec.classes,
        "seed": spec.seed,
        "layers": [
            {key: value for key, value in asdict(layer).items() if key in MEANING}
            for layer in spec.layers
        ],
    }


def _check_network(spec: NetworkSpec, saved: dict[str, Any]):
    """Complain of the first thing in which the network of a file is another."""
    for what, theirs, ours in _compared(saved, _meaning(spec)):
        if ours != theirs:
            raise _Fault(
                f"is of another network: {what}: {quoted(theirs)} in the file, {quoted(ours)} in "
                f"{spec.path}",
                "give the description that it was trained with, or another file",
            )


def _compared(saved: dict[str, Any], ours: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Give the name of each thing that decides the meaning of weights, and both its values."""
    layers = saved.get("layers")
    layers = layers if isinstance(layers, list) else []
    yield from ((key, saved.get(key), ours[key]) for key in ("inputs", "classes"))
    yield "layers", len(layers), len(ours["layers"])
    for i, (their, our) in enumerate(zip(layers, ours["layers"], strict=True)):
        their = their if isinstance(their, dict) else {}
        yield from ((f"layer {i}: {key}", their.get(key, UNSAID.get(key)), our[key]) for key in our)
    yield "seed", saved.get("seed"), ours["seed"]


def _shape(spec: NetworkSpec, key: str) -> tuple[int, ...]:
    """Give the shape that an array must have."""
    if key in (LOW, HIGH):
        return (spec.inputs,)
    layer = spec.layers[int(key[1:])]
    shapes = {
        "W": (layer.rows, layer.columns),
        "V": (layer.seen, layer.classes),
        "A": (layer.means,),
    }
    return shapes[key[0]]


def _check_keys(spec: NetworkSpec, keys: set[str]):
    """Check that the arrays are those of this network."""
    needed = {f"W{layer.index}" for layer in spec.layers}
    needed |= {f"V{layer.index}" for layer in spec.layers if layer.rule == "tlc"}
    needed |= {f"A{layer.index}" for layer in spec.layers if layer.centred}
    needed |= {LOW, HIGH} if keys & {LOW, HIGH} else set()
    for key in sorted(needed - keys):
        raise _Fault(f"{key}: is missing")
    for key in sorted(keys - needed):
        known = ", ".join(sorted(needed))
        raise _Fault(f"{quoted(key)}: is not of this network, which has {known}", GIVE)


def _check_form(spec: NetworkSpec, key: str, array: np.ndarray):
    """Check the type and the shape of an array."""
    expected = _shape(spec, key)
    if key not in (LOW, HIGH) and array.dtype.kind not in "iu":
        raise _Fault(f"{key}: must be integers, not {array.dtype}")
    if key in (LOW, HIGH) and array.dtype != np.float64:
        raise _Fault(f"{key}: must be float64, not {array.dtype}")
    if array.shape != expected:
        turned = ", it is transposed" if array.shape == expected[::-1] else ""
        raise _Fault(f"{key}: must be of shape {expected}, not {array.shape}{turned}")


def _check_values(spec: NetworkSpec, arrays: Mapping[str, np.ndarray]):
    """Check that all numbers are within their range."""
    for key, array in arrays.items():
        if key in (LOW, HIGH):
            continue
        layer = spec.layers[int(key[1:])]
        bits = {"W": layer.wb, "V": TRAINED_BITS, "A": MEAN_BITS}[key[0]]
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        if key[0] == "A":
            low, high = (end - layer.grey << MEAN_FRACTION for end in (0, 255))
        for place in np.argwhere((array < low) | (array > high))[:1].tolist():
            value = array[tuple(place)]
            raise _Fault(f"{key}{place}: must be from {low} to {high}, in {bits} bits, not {value}")
    if LOW in arrays and not np.all(np.isfinite(arrays[LOW]) & np.isfinite(arrays[HIGH])):
        raise _Fault(f"{LOW}, {HIGH}: must be finite numbers")
    if LOW in arrays and not np.all(arrays[LOW] <= arrays[HIGH]):
        raise _Fault(f"{LOW}: must be at most {HIGH}, for each feature")


def _check_text(spec: NetworkSpec, text: Mapping[str, Any]):
    """Check the names of the classes, and what is said of the training."""
    labels = text["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _Fault("labels: must be texts")
    if labels and len(labels) != spec.classes:
        raise _Fault(f"labels: must be {spec.classes}, one a class, not {len(labels)}")
    if not isinstance(text["progress"], dict):
        raise _Fault("progress: must be names and values")


def _digest(about: str, arrays: Mapping[str, np.ndarray]) -> str:
    """Compute the digest of all that a file holds: names, types, shapes and numbers."""
    digest = hashlib.sha256(about.encode())
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"\n{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
