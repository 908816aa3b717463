# SPDX-License-Identifier: BSD-2-Clause
"""A description with other lanes, and everything else as it was written."""

import tomlkit
from tomlkit.items import InlineTable

from golden.spec import BOARD, SIZE, NetworkSpec

__all__ = ["with_lanes"]


def with_lanes(text: str, spec: NetworkSpec) -> str:
    """Put the lanes of `spec` into the text of its description, and what they were chosen for.

    Remarks, the order of keys and the layout stay. Lanes go behind the neurons where there were
    none. `board` and `size` are written where they would be others without.
    """
    document = tomlkit.parse(text)
    for key, default in ("board", BOARD), ("size", SIZE):
        if document.get(key, default) != getattr(spec, key):
            document[key] = getattr(spec, key)
    for table, layer in zip(document["layer"], spec.layers, strict=True):
        if "lanes" in table or isinstance(table, InlineTable):
            table["lanes"] = layer.lanes
        else:
            # A new key would come last, behind remarks that are about the next table.
            before = table["neurons"].trivia
            before.trail = (before.trail or "\n") + f"{before.indent}lanes = {layer.lanes}\n"
    return tomlkit.dumps(document)
