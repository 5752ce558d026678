"""The command line: the only place where sources are built."""
