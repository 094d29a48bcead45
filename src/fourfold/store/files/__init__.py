"""Content-addressed files on disk: sources, artifacts, images, disks; written whole or not at all."""
