"""What must hold between the parts of an app, beyond each part for itself."""
