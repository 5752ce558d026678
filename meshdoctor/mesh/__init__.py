"""Istio's own semantics as pure functions: no I/O, no clock, no randomness."""
