"""Rows: one file per table of SQLite, and what all of them share."""
