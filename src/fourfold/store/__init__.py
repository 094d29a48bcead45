"""What must survive: SQLite for desired state and history, content-addressed files on disk."""
