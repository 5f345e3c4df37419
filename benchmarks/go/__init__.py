"""The design of the guide written in Go, and this library measured against it."""
