"""`python -m converters` is `ruth-convert`."""

import sys

from converters.cli import main

sys.exit(main())
