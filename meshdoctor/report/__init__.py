"""Pure renderers of one Report."""
