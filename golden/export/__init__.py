# SPDX-License-Identifier: BSD-2-Clause
"""Trained networks for programs of others: ONNX, C99, and plain arrays.

All three compute in integers what the integer model infers: the same scores and predictions.
"""
