"""Hypothesis strategies; what is imported when `jconv.testing.strategies` is first used."""

from jconv.testing._invalid import Invalid as Invalid
from jconv.testing._invalid import invalid as invalid
from jconv.testing._valid import configurations as configurations
from jconv.testing._valid import layouts as layouts
