"""How long a test waits for what must come. A test machine stalls: a disk of another's may keep a sync for half a
minute, and that is no defect of what is tested. Waiting longer costs nothing where it comes."""

import os
from typing import Final

PATIENCE: Final = 4 if os.environ.get("CI") else 1
"""Times as long."""
