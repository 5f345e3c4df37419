"""Pools of objects, and handlers over them."""
