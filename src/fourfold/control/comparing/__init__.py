"""A service measured under several patterns, each as a candidate: an app of its own beside the live one."""
