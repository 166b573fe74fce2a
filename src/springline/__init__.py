"""Springline keeps the context of generative-AI applications fresh."""

from __future__ import annotations

__version__ = "0.1.0"
