"""The REST API: one file per resource, on a Unix socket that only its owner opens."""
