"""All I/O of the beats: the process that sends and judges them, and the speaker's side of it.

Nothing is imported here: the process would pay for what only the speaker needs.
"""
