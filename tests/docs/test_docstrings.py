"""The paddings that docstrings show, 1234 -> 00123400, are the ones that conv applies."""

from __future__ import annotations

import ast
import re

import jax.numpy as jnp
import numpy as np
import pytest

import jconv

SHOWN = re.findall(r"- `(.+?)`: `1234 -> (\d+)`", jconv.conv.__doc__ or "")
MODES = {name for name, _ in SHOWN if name.strip('"').islower()}


def test_all_paddings_and_modes_are_shown() -> None:
    assert len(SHOWN) == 10
    assert {'"zeros"', '"reflect"', '"edge"', '"circular"'} == MODES


@pytest.mark.parametrize(("written", "rows"), SHOWN)
def test_what_is_shown_is_what_windows_read(written: str, rows: str) -> None:
    value = ast.literal_eval(written)
    settings = {"padding": 2, "padding_mode": value} if written in MODES else {"padding": value}
    # Padding of 2 and the modes are shown in full; the others as far as 3 taps at stride 2 read.
    stride = 1 if len(rows) == 8 else 2
    x = jnp.array([1.0, 2, 3, 4]).reshape(1, 4, 1)
    windows = np.asarray(jconv.unfold(x, 3, stride=stride, **settings))[0].astype(int)
    read = {
        stride * o + k: str(value) for o, row in enumerate(windows) for k, value in enumerate(row)
    }
    assert "".join(read[at] for at in sorted(read)) == rows[: len(read)]
    assert len(rows) - len(read) < stride
