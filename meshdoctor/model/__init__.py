"""Frozen structs: what Kubernetes, Istio and the report look like. No I/O."""
