"""``python -m bench [part …]``: runs all parts, or the named ones."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main(names: list[str]) -> int:
    parts = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    unknown = [name for name in names if name not in parts]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}; there are: {', '.join(parts)}.", file=sys.stderr)
        return 2
    for name in names or parts:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
