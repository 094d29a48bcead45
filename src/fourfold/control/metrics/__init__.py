"""What `GET /metrics` tells: counters of what happened, what everything takes now, in Prometheus' text format."""
