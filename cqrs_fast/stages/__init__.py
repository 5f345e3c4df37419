"""The built-in middleware: one module each, thin over a policy."""
