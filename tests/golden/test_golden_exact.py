# SPDX-License-Identifier: BSD-2-Clause
"""Sums of products in whatever type holds them: the norms that choose it must see the largest."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from golden.exact import NORM_BATCH, norm_bound, pinned, project


@settings(deadline=None, max_examples=60)
@given(
    batch=st.sampled_from([1, NORM_BATCH, 33]),
    columns=st.sampled_from([3, 200, 785]),
    top=st.integers(6, 17),
    seed=st.integers(0, 1000),
)
def test_sums_near_what_float32_holds(batch, columns, top, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 256, (batch, columns), generator=random).float()
    w = torch.randint(-(1 << top), 1 << top, (3, columns), generator=random)
    # One sample and two rows are far smaller than the others; one row has but one sign.
    x[0] = (x[0] / 64).floor()
    w = torch.stack([w[0].abs(), w[1] >> 5, w[2] >> 10]).float()
    wide = x.double() @ w.double().T
    with pinned():
        assert torch.equal(project(x, w, 2**40).double(), wide)
    largest = int((x.double() @ w.double().abs().T).max())
    assert norm_bound(x, w, 2**40) >= largest
    assert norm_bound(w, x, 2**40) >= largest
    assert norm_bound(x, w, 7) == 7
