"""Control groups: found, made, limited, read."""
