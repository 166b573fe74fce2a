"""One module per measured system, run in its own process: ``python -m bench.peers.NAME JOB``.

Beside a module, ``NAME.txt`` pins what its environment needs; a system without one runs in the project's own. Each module imports its
library first, then takes the time from opening the JSON lines until the final result can be read; what it does after that (writing
the rows for the check) is not counted.
"""
