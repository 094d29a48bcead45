"""The bridge of containers and virtual machines, and how this host resolves names."""
