"""python -m jconv is the jconv command."""

import sys

from jconv._cli.main import main

sys.exit(main())
