"""A pytest plugin for jconv.testing: hold a convolution against its conformance kit.

    pytest --pyargs jconv.testing --conv-implementation=mymodule:myconv

It is found by every pytest that runs where jconv is installed, so it imports nothing until it is
used, and stands outside of the package, whose import would import JAX.
"""

import importlib
import sys

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("jconv", "conformance of a convolution")
    group.addoption(
        "--conv-implementation",
        metavar="MODULE:NAME",
        help="what `pytest --pyargs jconv.testing` checks: an object with any of conv, "
        "conv_input_grad, conv_filter_grad and conv_transpose, or a function that is a conv; "
        "without :NAME the module itself",
    )
    group.addoption(
        "--conv-exact",
        action="store_true",
        help="it forms the products of the definition: nothing may be rounded that need not be",
    )


@pytest.fixture(scope="session")
def conv_implementation(request):
    """What --conv-implementation names; override it to name another one in code."""
    told = request.config.getoption("--conv-implementation")
    if told is None:
        pytest.skip("no implementation to check: tell --conv-implementation=mymodule:myconv")
    module, _, name = told.partition(":")
    sys.path.insert(0, str(request.config.invocation_params.dir))
    try:
        found = importlib.import_module(module)
        for part in filter(None, name.split(".")):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise pytest.UsageError(f"--conv-implementation={told}: {error}") from error
    finally:
        sys.path.pop(0)
    return found


@pytest.fixture(scope="session")
def conv_exact(request):
    """Whether --conv-exact was told."""
    return True if request.config.getoption("--conv-exact") else None
