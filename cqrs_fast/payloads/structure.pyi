"""Check the structure of MessagePack: no recursion, no declared length is trusted."""
