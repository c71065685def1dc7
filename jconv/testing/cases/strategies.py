"""Hypothesis strategies: the module that `jconv.testing.strategies` is, imported at first use."""

from jconv.testing.cases.invalid import Invalid as Invalid
from jconv.testing.cases.invalid import invalid as invalid
from jconv.testing.cases.valid import configurations as configurations
from jconv.testing.cases.valid import layouts as layouts
