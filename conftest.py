"""Before anything is imported: what is compiled is kept for the processes that tests start, by the dozen and anew for
each kill. Where the environment forbids files beside the sources, they go to pytest's cache.
"""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(Path(__file__).parent / ".pytest_cache" / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
