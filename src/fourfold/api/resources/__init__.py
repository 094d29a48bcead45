"""One file per resource: its routes, what they take and answer."""
