"""The daemon's end of the spawner: started, found again, asked, and heard of exits."""
