"""The one base of what a lab can refuse or fail at."""


class LabError(Exception):
    """Something about a lab that its user must know; the text is in words for a user."""
