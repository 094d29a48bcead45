"""YAML 1.2 as a tree that remembers every place."""
