"""What is used -> money. Pure."""
