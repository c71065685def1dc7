"""A pytest plugin for jconv.testing: check a convolution with its conformance kit.

    pytest --pyargs jconv.testing --conv-implementation=mymodule:myconv

Every pytest that runs where jconv is installed imports this plugin. So it lies outside the package,
whose import would import JAX, and imports an implementation only when a test asks for it.
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
        help="the implementation forms the products of the definition and no others, so that sums "
        "of whole numbers must not be rounded",
    )


@pytest.fixture(scope="session")
def conv_implementation(request):
    """What --conv-implementation names; a test module may override this fixture."""
    told = request.config.getoption("--conv-implementation")
    if told is None:
        pytest.skip("no implementation to check: give --conv-implementation=mymodule:myconv")
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
    """True if --conv-exact was given, else None."""
    return True if request.config.getoption("--conv-exact") else None
