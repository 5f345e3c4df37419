"""Configuration: the model, loading, presets, assembly and live reload."""
