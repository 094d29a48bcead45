"""What users ask about what runs: status, explanations, logs, top, the doctor."""
