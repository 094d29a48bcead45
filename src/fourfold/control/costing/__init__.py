"""What services take, hour by hour, and what that costs under each pattern."""
