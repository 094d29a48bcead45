"""The reconcile loop: observe, plan, act, record. The only writer of deployments."""
