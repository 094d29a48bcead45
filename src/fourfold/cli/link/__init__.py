"""How a command reaches its daemon: which, where, started if none runs, and HTTP to it."""
