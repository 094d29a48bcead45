"""Comparisons on the terminal: followed, and as tables."""
