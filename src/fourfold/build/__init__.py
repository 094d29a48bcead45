"""Source -> artifact: pack on the client, find the builder, build in a sandbox, keep by content."""
