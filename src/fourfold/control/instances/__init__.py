"""Instances in the world: started, probed, adopted, ended, and what is said of that in rows."""
