"""`python -m gateway` is `ruth-gateway`."""

import sys

from gateway.cli import main

sys.exit(main())
