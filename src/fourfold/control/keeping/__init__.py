"""Backups: what is in one, how it is made while services go on, and how a home is made of it again."""
