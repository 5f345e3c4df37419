"""An order service on SQLite: commands, queries, and what is wrapped around them."""
