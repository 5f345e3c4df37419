"""The compiled pipeline: frames, stages, routes and the two drivers."""
