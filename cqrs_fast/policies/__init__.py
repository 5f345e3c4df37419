"""Compiled policies, usable alone: they know no pipeline."""
