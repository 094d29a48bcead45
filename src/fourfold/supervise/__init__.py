"""The daemon's side of the spawner: start, adopt, limit, meter and log instances. Knows Launch, not patterns."""
