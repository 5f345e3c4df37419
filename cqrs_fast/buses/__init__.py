"""The buses: they hold routes and dispatch through them."""
