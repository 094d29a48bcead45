"""A small HTTP server that calls a Lambda handler."""
