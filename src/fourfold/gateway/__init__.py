"""The HTTP load balancer in front: HAProxy's configuration (pure), its runtime API, drain and statistics."""
