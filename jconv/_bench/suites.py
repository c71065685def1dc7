"""The shapes that are timed, as data."""

from __future__ import annotations

import dataclasses
from typing import Any

import jconv

Pads = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One convolution of a suite, channels last.

    Attributes:
        name: what the tables call it.
        x: shape of its own input, also for a transposed convolution.
        w: shape of the forward convolution's filter.
        pads: the forward convolution's (low, high) pads; only pads that PyTorch can express.
        transposed: whether it is a transposed convolution.
        count: how many times it stands in its network.
    """

    name: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    pads: Pads
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False
    count: int = 1

    @property
    def rank(self) -> int:
        return len(self.x) - 2

    @property
    def dense(self) -> bool:
        return self.groups == 1

    @property
    def settings(self) -> dict[str, Any]:
        """jconv's keywords."""
        return {
            "stride": self.stride,
            "padding": self.pads,
            "dilation": self.dilation,
            "groups": self.groups,
        }

    def plan(self) -> jconv.Plan:
        make = jconv.plan_transpose if self.transposed else jconv.plan
        return make(self.x, self.w, **self.settings)

    @property
    def y(self) -> tuple[int, ...]:
        """Shape of its own result."""
        return tuple(self.plan().y_shape)


def _conv(
    name: str,
    n: int,
    size: int,
    c: int,
    f: int,
    k: int,
    s: int = 1,
    *,
    d: int = 1,
    groups: int = 1,
    pad: int | None = None,
    rank: int = 2,
    count: int = 1,
) -> Row:
    """Equal sizes on every axis; the output is the input's size over the stride."""
    pad = d * (k - 1) // 2 if pad is None else pad
    x, w = (n, *(size,) * rank, c), (*(k,) * rank, c // groups, f)
    return Row(name, x, w, ((pad, pad),) * rank, s, d, groups, count=count)


def _depthwise(n: int, size: int, c: int, k: int, s: int = 1, count: int = 1) -> Row:
    return _conv(f"depthwise {size} {c} {_by(k, s)}", n, size, c, c, k, s, groups=c, count=count)


def _up(n: int, size: int, c: int, f: int, k: int, s: int, pad: int = 0, rank: int = 2) -> Row:
    """A transposed convolution from c to f channels."""
    x, w = (n, *(size,) * rank, c), (*(k,) * rank, f, c)
    name = f"up {size} {c} -> {f} {_by(k, s)}"
    return Row(name, x, w, ((pad, pad),) * rank, s, transposed=True)


def _dense(n: int, size: int, c: int, f: int, k: int, s: int = 1, count: int = 1, **more) -> Row:
    return _conv(f"{size} {c} -> {f} {_by(k, s)}", n, size, c, f, k, s, count=count, **more)


def _by(k: int, s: int) -> str:
    return f"{k}x{k}" if s == 1 else f"{k}x{k}/{s}"


CORE = (
    _conv("stem 224 3 -> 64 7x7/2", 8, 224, 3, 64, 7, 2),
    _dense(8, 56, 64, 64, 3),
    _dense(8, 28, 128, 128, 3),
    _dense(8, 56, 128, 128, 3, 2),
    _dense(8, 14, 256, 256, 3),
    _dense(8, 7, 512, 512, 3),
    _dense(8, 56, 64, 256, 1),
    _dense(8, 56, 256, 512, 1, 2),
    _depthwise(8, 56, 128, 3),
    _depthwise(8, 56, 128, 3, 2),
    _depthwise(8, 28, 192, 7),
    _conv("32 groups 28 256 3x3", 8, 28, 256, 256, 3, groups=32),
    _conv("28 256 -> 256 3x3 dilation 2", 8, 28, 256, 256, 3, d=2),
    _conv("patchify 224 3 -> 384 16x16/16", 8, 224, 3, 384, 16, 16, pad=0),
    _dense(64, 28, 1, 32, 5),
    _dense(8, 28, 32, 64, 5),
)

RESNET50 = (
    _dense(8, 224, 3, 64, 7, 2),
    _dense(8, 56, 64, 64, 1),
    _dense(8, 56, 64, 64, 3, count=3),
    _dense(8, 56, 64, 256, 1, count=4),
    _dense(8, 56, 256, 64, 1, count=2),
    _dense(8, 56, 256, 128, 1),
    _dense(8, 56, 128, 128, 3, 2),
    _dense(8, 56, 256, 512, 1, 2),
    _dense(8, 28, 128, 512, 1, count=4),
    _dense(8, 28, 512, 128, 1, count=3),
    _dense(8, 28, 128, 128, 3, count=3),
    _dense(8, 28, 512, 256, 1),
    _dense(8, 28, 256, 256, 3, 2),
    _dense(8, 28, 512, 1024, 1, 2),
    _dense(8, 14, 256, 1024, 1, count=6),
    _dense(8, 14, 1024, 256, 1, count=5),
    _dense(8, 14, 256, 256, 3, count=5),
    _dense(8, 14, 1024, 512, 1),
    _dense(8, 14, 512, 512, 3, 2),
    _dense(8, 14, 1024, 2048, 1, 2),
    _dense(8, 7, 512, 2048, 1, count=3),
    _dense(8, 7, 2048, 512, 1, count=2),
    _dense(8, 7, 512, 512, 3, count=2),
)

MOBILENETV2 = (
    _depthwise(8, 112, 32, 3),
    _depthwise(8, 112, 96, 3, 2),
    _depthwise(8, 56, 144, 3),
    _depthwise(8, 56, 144, 3, 2),
    _depthwise(8, 28, 192, 3, count=2),
    _depthwise(8, 28, 192, 3, 2),
    _depthwise(8, 14, 384, 3, count=4),
    _depthwise(8, 14, 576, 3, count=2),
    _depthwise(8, 14, 576, 3, 2),
    _depthwise(8, 7, 960, 3, count=3),
)

CONVNEXT_T = (
    _dense(8, 224, 3, 96, 4, 4, pad=0),
    _depthwise(8, 56, 96, 7, count=3),
    _dense(8, 56, 96, 192, 2, 2, pad=0),
    _depthwise(8, 28, 192, 7, count=3),
    _dense(8, 28, 192, 384, 2, 2, pad=0),
    _depthwise(8, 14, 384, 7, count=9),
    _dense(8, 14, 384, 768, 2, 2, pad=0),
    _depthwise(8, 7, 768, 7, count=3),
)

DCGAN = (
    _up(32, 1, 100, 512, 4, 1),
    _up(32, 4, 512, 256, 4, 2, 1),
    _up(32, 8, 256, 128, 4, 2, 1),
    _up(32, 16, 128, 64, 4, 2, 1),
    _up(32, 32, 64, 3, 4, 2, 1),
)

UNET_UP = (
    _up(2, 16, 1024, 512, 2, 2),
    _up(2, 32, 512, 256, 2, 2),
    _up(2, 64, 256, 128, 2, 2),
    _up(2, 128, 128, 64, 2, 2),
)

WAVENET = tuple(
    Row(
        f"causal 4096 64 -> 128 2, dilation {d}", (4, 4096, 64), (2, 64, 128), ((d, 0),), dilation=d
    )
    for d in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)


def _cube(size: int, c: int, f: int, k: int = 3, count: int = 1) -> Row:
    return _conv(f"{size}^3 {c} -> {f} {k}^3", 1, size, c, f, k, rank=3, count=count)


UNET_3D = (
    _cube(32, 3, 32),
    _cube(32, 32, 64),
    _cube(16, 64, 64),
    _cube(16, 64, 128),
    _cube(8, 128, 128),
    _cube(8, 128, 256),
    _cube(4, 256, 256),
    _cube(4, 256, 512),
    _up(1, 4, 512, 512, 2, 2, rank=3),
    _cube(8, 768, 256),
    _cube(8, 256, 256),
    _up(1, 8, 256, 256, 2, 2, rank=3),
    _cube(16, 384, 128),
    _cube(16, 128, 128),
    _up(1, 16, 128, 128, 2, 2, rank=3),
    _cube(32, 192, 64),
    _cube(32, 64, 64),
    _cube(32, 64, 3, 1),
)


def _line(name: str, x: tuple[int, int, int], k: int, pads: tuple[int, int], **more) -> Row:
    """A depthwise convolution on one axis."""
    return Row(name, x, (k, 1, x[-1]), (pads,), groups=x[-1], **more)


def _up_to_one(name: str, x: tuple[int, ...], k: int, s: int) -> Row:
    """A transposed convolution to one channel, without padding."""
    rank = len(x) - 2
    return Row(name, x, (*(k,) * rank, 1, x[-1]), ((0, 0),) * rank, s, transposed=True)


# What people reported to be slow in JAX, by the issue. Where a report leaves a size open it is a
# size of the kind: the frames of jax 25461 (whose borders are already added) and the layers of
# jax 8537. High padding lower than the low one is an output padding.
REPORTED = (
    Row(
        "jax 31662, openxla 34273: up 64x64x32 64 -> 1 3^3/2",
        *((1, 64, 64, 32, 64), (3, 3, 3, 1, 64), ((1, 0),) * 3, 2),
        transposed=True,
    ),
    Row(
        "jax 23713: depthwise 124 256", (1, 124, 124, 256), (3, 3, 1, 256), ((1, 1),) * 2, 1, 1, 256
    ),
    Row(
        "jax 23713: depthwise 124 512", (1, 124, 124, 512), (3, 3, 1, 512), ((1, 1),) * 2, 1, 1, 512
    ),
    _line("jax 13800: depthwise 1024 512 5", (32, 1024, 512), 5, (2, 2), count=12),
    _line("jax 26266: depthwise 1024 32 5", (32, 1024, 32), 5, (2, 2)),
    _line("jax 26266: depthwise 1024 128 9", (32, 1024, 128), 9, (4, 4)),
    _line("jax 26266: 1024 128 9, dilation 32", (32, 1024, 128), 9, (128, 128), dilation=32),
    _up_to_one("jax 23783: up 63 512 -> 1 1024/256", (1, 63, 512), 1024, 256),
    _up_to_one("jax 23783: up 63 128 -> 1 256/64", (1, 63, 128), 256, 64),
    Row("jax 12868: 1024 1000 -> 1000 1", (1, 1024, 1000), (1, 1000, 1000), ((0, 0),)),
    Row("jax 5227: 300 1 -> 1 300x300", (1, 300, 300, 1), (300, 300, 1, 1), ((149, 150),) * 2),
    _conv("jax 23085: patches 224 3 -> 768 16x16/16", 8, 224, 3, 768, 16, 16, pad=0),
    Row("jax 25461: 157 1 -> 1 30x30", (16, 157, 157, 1), (30, 30, 1, 1), ((0, 0),) * 2),
    _up_to_one("keras 19061: up 7 1024 -> 1 32x32/32", (4, 7, 7, 1024), 32, 32),
    *(
        dataclasses.replace(row, name=f"jax 8537: {row.name}")
        for row in (_up(1, 8, 256, 128, 4, 2, 1, rank=3), _up(1, 16, 128, 64, 4, 2, 1, rank=3))
    ),
    _line("long: depthwise 4096 32 4096", (2, 4096, 32), 4096, (4095, 0)),
    _line("long: depthwise 16384 4 16384", (2, 16384, 4), 16384, (16383, 0)),
    Row("long: depthwise 32 64 31x31", (1, 32, 32, 64), (31, 31, 1, 64), ((15, 15),) * 2, 1, 1, 64),
)

# One of each kind, small enough for a test.
TINY = (
    _dense(2, 8, 3, 4, 3, 2),
    _depthwise(2, 8, 4, 3),
    _up(2, 4, 3, 5, 2, 2),
    Row("causal 16 4 -> 6 2, dilation 2", (2, 16, 4), (2, 4, 6), ((2, 0),), dilation=2),
    _cube(4, 2, 3),
)

SUITES: dict[str, tuple[Row, ...]] = {
    "core": CORE,
    "resnet50": RESNET50,
    "mobilenetv2": MOBILENETV2,
    "convnext-t": CONVNEXT_T,
    "dcgan": DCGAN,
    "unet-up": UNET_UP,
    "wavenet": WAVENET,
    "unet-3d": UNET_3D,
    "reported": REPORTED,
    "tiny": TINY,
}
