"""What a person can put right."""


class DanceError(Exception):
    """One line: what is wrong, where, and what to do."""
