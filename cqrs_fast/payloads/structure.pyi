"""Look at the structure of MessagePack: no recursion, no length is believed."""
