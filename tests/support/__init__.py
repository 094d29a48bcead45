"""What tests share: a load generator, waiting for conditions, small services that misbehave on request."""
