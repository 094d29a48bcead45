"""The service file: pydantic models, YAML with line numbers, interpolation, overlays, JSON Schema."""
