"""Release -> Launch: plain data that says how to start one instance. Pure: facts come as arguments."""
