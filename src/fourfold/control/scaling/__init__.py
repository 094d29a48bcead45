"""As many instances as the load asks for, or as somebody has said."""
