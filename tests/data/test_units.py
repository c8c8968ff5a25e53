from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.core.errors import FovealError
from foveal.data.units import join, units_of

ROWS = st.lists(
    st.tuples(st.integers(0, 12).map(str), st.none() | st.integers(0, 5).map(str)), min_size=1
)


def test_groups_and_equal_pictures_are_joined_transitively():
    units = join(["a", "b", "c", "b", "e"], ["x", "x", "y", "y", None])
    assert units.of_N.tolist() == [0, 0, 0, 0, 1]
    assert units.ids == ("a", "e")
    assert len(units) == 2


@given(ROWS)
@settings(deadline=None)
def test_rows_are_in_one_unit_exactly_if_a_chain_of_groups_and_pictures_leads_there(rows):
    units = join(*map(list, zip(*rows, strict=True)))
    linked = np.array([[h == g or (a is not None and a == b) for g, b in rows] for h, a in rows])
    for _ in rows:
        linked = linked @ linked
    assert ((units.of_N[:, None] == units.of_N) == linked).all()


@given(ROWS, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_unit_has_the_same_name_whatever_the_order_of_rows(rows, random):
    before = join(*map(list, zip(*rows, strict=True)))
    order = list(range(len(rows)))
    random.shuffle(order)
    after = join(*map(list, zip(*(rows[n] for n in order), strict=True)))
    assert after.ids == before.ids
    assert after.of_N.tolist() == before.of_N[order].tolist()


def test_groups_can_be_left_aside(make_manifest):
    manifest = make_manifest(["a", "a", "b"], groups=["g", "g", None], contents=[1, 2, 2])
    assert len(units_of(manifest)) == 1
    assert len(units_of(manifest, by_group=False)) == 2


def test_a_manifest_that_was_not_scanned_is_refused(make_manifest):
    manifest = make_manifest(["a", "b"])
    unscanned = manifest.table.with_columns(sha256=pl.lit(None, dtype=pl.String))
    with pytest.raises(FovealError, match=r"0\.png has no hash yet. Scan"):
        units_of(replace(manifest, table=unscanned))
