"""What events come from: one source per trigger of a service that is live, delivered under whichever pattern."""
