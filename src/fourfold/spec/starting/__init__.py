"""`fourfold init`: what a folder or another tool's file holds, as a service file."""
