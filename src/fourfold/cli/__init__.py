"""The command line: one file per command; talks to the daemon through the REST client only."""
