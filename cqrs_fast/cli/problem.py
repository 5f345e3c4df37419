"""What stops a command before it can do its work."""


class Problem(Exception):
    """Say in one sentence what the user has to correct; the exit status is 2."""
