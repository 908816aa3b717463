# SPDX-License-Identifier: BSD-2-Clause
"""The local error: classifier, loss and feedback. It knows no lanes and none of their weights."""
