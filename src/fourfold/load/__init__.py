"""A load generator: HTTP requests at a constant rate or as fast as they are answered, from a process of its own."""
