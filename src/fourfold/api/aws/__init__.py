"""AWS Lambda's control API and function URLs, at a TCP listener of their own."""
