"""What may go: of rows, artifacts, images, disks, and when there is too much."""
