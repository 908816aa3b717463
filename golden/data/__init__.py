# SPDX-License-Identifier: BSD-2-Clause
"""Data sets: those with a name, and anyone's own in a CSV file, an .npz or a folder of idx files.

Importing this takes little; scikit-learn is imported by what needs its sets.
"""

from golden.data.dataset import Data, DataError, MissingError, held_out, set_aside
from golden.data.scaling import Scaling
from golden.data.source import FOLDER, identity, load

__all__ = [
    "FOLDER",
    "Data",
    "DataError",
    "MissingError",
    "Scaling",
    "held_out",
    "identity",
    "load",
    "set_aside",
]
