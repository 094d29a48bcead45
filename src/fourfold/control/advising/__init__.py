"""Which pattern fits a service, which cannot, and why."""
