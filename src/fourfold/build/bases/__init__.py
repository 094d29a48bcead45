"""Bases: the systems under containers' trees, made of this host's own distribution."""
