"""Fourfold: one service file, four ways to run it, measured evidence for which one."""

__version__ = "0.1.0"
