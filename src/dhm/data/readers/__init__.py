"""One file a format: a path to the arrays it holds."""
