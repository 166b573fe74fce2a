"""The application's file, as the command line loads it."""

from __future__ import annotations

import os

from springline.app import App
from tests.cluster.crash.declared import declare

app = App(os.environ["CRASH_NAME"])
declare(app, os.environ["CRASH_DSN"])
