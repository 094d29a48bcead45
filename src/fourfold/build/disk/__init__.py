"""What virtual machines boot: kernel, initial file system, read-only disks."""
