"""How often faults are provoked: a quarter of what is promised in a usual run, all of it with RUTH_FAULTS_SCALE=1."""

import os

SCALE = float(os.environ.get("RUTH_FAULTS_SCALE", "0.25"))
