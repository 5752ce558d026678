"""One file, one question: read through `View`, ask `mesh/`, return facts."""
