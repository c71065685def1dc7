"""Calls that Python would refuse: another framework's word for a keyword, a value by position.

Such a call is a ConvError that names jconv's word, and a TypeError as well, so that code which
tries a keyword and catches Python's own error still does.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from jconv._check.settings import entries_of
from jconv._core.errors import ConvError, Remedy

F = TypeVar("F", bound=Callable[..., Any])

_SPELLINGS = {
    "stride": "strides window_strides subsample subsample_length step steps",
    "padding": "pad pads paddings padding_type border_mode auto_pad explicit_paddings",
    "dilation": "dilations dilation_rate rate rates rhs_dilation kernel_dilation filter_dilation "
    "atrous_rate",
    "input_dilation": "lhs_dilation input_dilations fractional_stride",
    "groups": "group feature_group_count num_groups n_groups num_group group_count",
    "layout": "data_format dimension_numbers data_layout format",
    "padding_mode": "pad_mode mode boundary border",
    "output_padding": "output_paddings out_padding",
    "output_shape output": "output_size output_sizes out_size out_shape target_shape",
    "input_shape input": "input_size input_sizes in_shape image_shape",
    "filter_shape kernel": "filter_size filter_sizes weight_size weight_shape kernel_shape "
    "kernel_size ksize kernel_sizes taps",
    "preferred_element_type dtype": "dtype out_dtype output_dtype result_dtype",
    "x": "input inputs lhs image images data value",
    "patches": "input inputs x cols columns",
    "w": "weight weights kernel filter filters rhs W k",
    "g": "grad_output grad out_backprop dy gradient gradients cotangent y grads",
    "transposed": "transpose",
    "op": "operation",
}
WORDS: dict[str, tuple[str, ...]] = {}
for _ours, _theirs in _SPELLINGS.items():
    for _name in _theirs.split():
        WORDS[_name] = (*WORDS.get(_name, ()), *_ours.split())
"""For another framework's keyword, the arguments of jconv that it may stand for."""

_SIZE = "the filter's size is the shape of `w`, which is an array."
_CHANNELS = "the channels are those of `w`, whose shape is (spatial..., C / groups, O)."
ADVICE = {
    **dict.fromkeys(("kernel_size", "kernel_shape", "filter_size", "ksize"), _SIZE),
    **dict.fromkeys(
        (
            "filters",
            "output_channels",
            "out_channels",
            "in_channels",
            "features",
            "num_filters",
            "channels",
        ),
        _CHANNELS,
    ),
    **dict.fromkeys(
        ("bias", "b", "use_bias"), "there is no bias: add it to the result, conv(x, w) + bias."
    ),
    "batch_group_count": "it serves filter gradients: use `conv_filter_grad` with `groups`.",
    "output_padding": "`conv_transpose` takes it.",
    "output_shape": "`conv_transpose` takes it.",
    "input_dilation": "`conv` takes it; a transposed convolution spreads its input by `stride`.",
    "window_reversal": "flip the filter: jnp.flip(w, axes).",
    "activation": "apply it to the result.",
    "name": "use jax.named_scope.",
}
"""For a keyword that the called function has no argument for, what to do instead."""


class KeywordError(ConvError, TypeError):
    """An argument that the function does not have, or lacks."""


def in_jconvs_words(function: F) -> F:
    """`function`, but for a call that its signature refuses it raises a ConvError that explains.

    An argument that tells the result's shape and is missing is passed as None, which the
    operation's own checks explain with the sizes that fit.
    """
    parameters = inspect.signature(function).parameters
    required = [
        n for n, p in parameters.items() if p.default is p.empty and p.kind != p.VAR_KEYWORD
    ]
    arrays = [n for n, p in parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    told = {name: None for name in required if name.endswith("_shape") and name not in arrays}
    is_open = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
    op, names = function.__name__, frozenset(parameters)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_open and not names.issuperset(kwargs):
            check_words(op, kwargs, parameters)
        if len(args) > len(arrays):
            raise _by_position(op, arrays, args, parameters, is_open)
        if told:
            kwargs = told | kwargs
        missing = [name for name in required[len(args) :] if name not in kwargs]
        if missing:
            raise KeywordError(
                f"{op}: `{missing[0]}` must be given.",
                argument=missing[0],
                expected=f"{op}({', '.join(required)})",
            )
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def check_words(op: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse the first keyword that is none of `known`."""
    for name, value in given.items():
        if name not in known:
            raise _unknown(op, name, value, given, known)


def _unknown(
    op: str, name: str, value: Any, given: Mapping[str, Any], known: Collection[str]
) -> ConvError:
    right = next((w for w in WORDS.get(name, WORDS.get(name.lower(), ())) if w in known), None)
    if right in ("x", "w", "g") and not hasattr(value, "shape"):
        right = None  # in some frameworks `filters` and `input` are numbers of channels
    said = f"jconv's word for it is `{right}`." if right else ADVICE.get(name, "")
    if not said:
        right = next(iter(difflib.get_close_matches(name, known, 1)), None)
        said = f"did you mean `{right}`?" if right else "its keywords are listed below."
    remedies = [Remedy.omit(name)]
    if right and right not in given:
        remedies = [Remedy.rename(name, right, _translated(right, value, given))]
    return KeywordError(
        f"{op}: there is no keyword `{name}`; {said}",
        argument=name,
        got=_shape_of(value),
        expected=f"`{right}`" if right else ", ".join(f"`{word}`" for word in known),
        remedies=remedies,
    )


def _shape_of(value: Any) -> Any:
    """An array's shape; any other value unchanged."""
    shape = getattr(value, "shape", None)
    return shape if isinstance(shape, tuple) else value


def _translated(word: str, value: Any, given: Mapping[str, Any]) -> Any:
    """Another framework's value as jconv writes it, in the argument `word`."""
    if word == "layout" and isinstance(value, str):
        x = given.get("x_shape", given.get("x"))
        axes = {3: "W", 5: "DHW"}.get(len(entries_of(_shape_of(x)) or ()), "HW")
        return {"channels_first": f"NC{axes}", "channels_last": None}.get(value.lower(), value)
    return _shape_of(value)


def _by_position(
    op: str, arrays: list[str], args: tuple[Any, ...], parameters: Collection[str], is_open: bool
) -> ConvError:
    """The error for more positional arguments than there are arrays.

    After the arrays, lax and TensorFlow take strides and padding; PyTorch takes a bias first.
    """
    rest, said = list(args[len(arrays) :]), "everything else is passed by keyword."
    first = rest[0]
    words = ["stride", "padding"] if arrays else list(parameters)
    if op in ("conv", "conv_transpose") and (first is None or getattr(first, "ndim", 0) == 1):
        said = ADVICE["bias"]
        rest = rest[1:]
    if rest and arrays and isinstance(rest[0], str):
        words = ["padding"]
    known = is_open or not arrays or set(words) <= set(parameters)
    plain = all(isinstance(v, int | str) or entries_of(v) is not None for v in rest)
    fits = known and plain and len(rest) <= len(words) and not any(map(_is_array, rest))
    remedies = [Remedy.use(*pair) for pair in zip(words, rest, strict=False)] if fits else []
    takes = f"{' and '.join(f'`{name}`' for name in arrays)} by position" if arrays else "keywords"
    count = f"{len(args)} value{' was' if len(args) == 1 else 's were'}"
    return KeywordError(
        f"{op}: it takes {takes}, and {count} given; {said}",
        argument=remedies[0].argument if remedies else [*arrays, *words][len(arrays) - 1],
        got=_shape_of(first),
        expected=f"{op}({', '.join([*arrays, f'{words[0]}=...'])})",
        remedies=remedies,
        together=len(remedies) > 1,
    )


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")
