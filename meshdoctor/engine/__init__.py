"""Plans a diagnosis, judges facts, ranks causes. No I/O but through ports."""
