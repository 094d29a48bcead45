"""What Dockerfiles tell. Pure."""
