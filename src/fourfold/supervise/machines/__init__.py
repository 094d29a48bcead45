"""Virtual machines: started, entered, watched through their channels, and made templates of."""
