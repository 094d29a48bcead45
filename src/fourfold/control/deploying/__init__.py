"""What changes the services of an app: checked, built, opened as deployments, taken step by step to their end."""
