"""Whole networks, written once over a few operations that each framework provides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Shape = tuple[int, ...]


class Operations(Protocol):
    """The operations that a network needs; arrays are the framework's own, in its own layout."""

    def conv(self, x: Any, w: Any, stride: int, groups: int) -> Any:
        """Pads k//2 rows on every side."""
        ...

    def conv_transpose(self, x: Any, w: Any, stride: int) -> Any:
        """With kernel = stride and no padding; w is the filter of the forward convolution."""
        ...

    def channels(self, x: Any) -> int: ...
    def normalise(self, x: Any, scale: Any, shift: Any) -> Any: ...
    def relu(self, x: Any) -> Any: ...
    def relu6(self, x: Any) -> Any: ...
    def max_pool(self, x: Any, window: int, stride: int) -> Any: ...
    def mean(self, x: Any) -> Any:
        """Over space."""
        ...

    def concatenate(self, x: Any, y: Any) -> Any: ...
    def dense(self, x: Any, w: Any) -> Any: ...


class Net:
    """A network while it runs: it takes its parameters one by one, in the order of use."""

    def __init__(self, operations: Operations, take: Callable[[Shape], Any]):
        self.operations = operations
        self.take = take

    def conv(
        self,
        x: Any,
        features: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: str = "relu",
    ) -> Any:
        """Convolution, normalisation, activation."""
        own = self.operations
        w = self.take((kernel, kernel, own.channels(x) // groups, features))
        y = own.conv(x, w, stride, groups)
        y = own.normalise(y, self.take((features,)), self.take((features,)))
        return getattr(own, act)(y) if act else y

    def up(self, x: Any, features: int) -> Any:
        """Twice the size by a transposed convolution."""
        return self.operations.conv_transpose(
            x, self.take((2, 2, features, self.operations.channels(x))), 2
        )

    def head(self, x: Any, classes: int) -> Any:
        x = self.operations.mean(x)
        return self.operations.dense(x, self.take((x.shape[-1], classes)))


def small_resnet(net: Net, x: Any) -> Any:
    """Basic blocks in three stages, as for CIFAR."""
    x = net.conv(x, 32, 3)
    for features, stride in ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1)):
        short = net.conv(x, features, 1, stride, act="") if stride > 1 else x
        x = net.conv(net.conv(x, features, 3, stride), features, 3, act="")
        x = net.operations.relu(x + short)
    return net.head(x, 10)


def resnet50(net: Net, x: Any) -> Any:
    """ResNet-50 v1.5: the stride is in the 3x3 convolution."""
    x = net.operations.max_pool(net.conv(x, 64, 7, 2), 3, 2)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            short = x if block else net.conv(x, 4 * inner, 1, stride, act="")
            y = net.conv(net.conv(x, inner, 1), inner, 3, stride)
            x = net.operations.relu(net.conv(y, 4 * inner, 1, act="") + short)
    return net.head(x, 1000)


def mobilenet(net: Net, x: Any) -> Any:
    """Inverted residuals with depthwise convolutions, as in MobileNetV2, fewer of them."""
    x = net.conv(x, 32, 3, 2, act="relu6")
    for features, stride, blocks in ((16, 1, 1), (24, 2, 2), (32, 2, 2), (64, 2, 2), (96, 1, 1)):
        for block in range(blocks):
            inner = 6 * net.operations.channels(x)
            y = net.conv(x, inner, 1, act="relu6")
            y = net.conv(y, inner, 3, 1 if block else stride, groups=inner, act="relu6")
            y = net.conv(y, features, 1, act="")
            x = x + y if block else y
    return net.head(net.conv(x, 384, 1, act="relu6"), 10)


def unet(net: Net, x: Any) -> Any:
    """Three levels down, three up by transposed convolutions, with the encoder's features."""
    kept = []
    for features in (32, 64, 128):
        x = net.conv(net.conv(x, features, 3), features, 3)
        kept.append(x)
        x = net.operations.max_pool(x, 2, 2)
    x = net.conv(net.conv(x, 256, 3), 256, 3)
    for features, skipped in zip((128, 64, 32), reversed(kept), strict=True):
        x = net.operations.concatenate(net.up(x, features), skipped)
        x = net.conv(net.conv(x, features, 3), features, 3)
    return net.conv(x, 2, 1, act="")


def tiny(net: Net, x: Any) -> Any:
    """One of each operation, small enough for a test."""
    x = net.conv(x, 4, 3, 2, act="relu6")
    x = net.conv(x, 4, 3, groups=4)
    x = net.operations.concatenate(net.up(net.operations.max_pool(x, 2, 2), 3), x)
    return net.head(net.conv(x, 6, 3), 5)


# Name -> (the network, the shape of a batch).
NETS: dict[str, tuple[Callable[[Net, Any], Any], Shape]] = {
    "small-resnet": (small_resnet, (32, 32, 32, 3)),
    "mobilenet": (mobilenet, (8, 96, 96, 3)),
    "unet": (unet, (2, 128, 128, 3)),
    "resnet50": (resnet50, (8, 224, 224, 3)),
    "tiny": (tiny, (2, 8, 8, 3)),
}


def parameter(shape: Shape, seed: int) -> np.ndarray:
    """A parameter's start value: filters keep the scale of their input, norms get ones or zeros."""
    values = np.random.default_rng(seed).standard_normal(shape, np.float32)
    if len(shape) == 1:
        return 1 + values / 10
    return values * np.float32(np.sqrt(2 / np.prod(shape[:-1])))
