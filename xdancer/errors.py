"""The one kind of error a person is meant to read."""


class UserError(Exception):
    """A mistake or a lack outside the program, said in one line: what, where, and what to do about it.

    Commands print the message on stderr without a traceback and leave with exit code 2. A running show
    logs it and goes on.
    """
