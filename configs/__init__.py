# SPDX-License-Identifier: BSD-2-Clause
"""Descriptions that are known by their names; a package, so that they are installed as well."""
