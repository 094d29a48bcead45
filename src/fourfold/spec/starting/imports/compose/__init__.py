"""`compose.yaml` -> a draft: `file` reads it, `service` makes one service of ours, a module per group of keys. Pure."""
