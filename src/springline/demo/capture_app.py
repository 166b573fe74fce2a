"""The demo's application for ``springline capture`` on a cluster, where capture is a process of its own."""

from __future__ import annotations

import os

from springline.demo.on_cluster import Declared
from springline.demo.run import Options

app = Declared.from_environment(os.environ).application(Options())
