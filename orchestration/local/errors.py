"""What goes wrong locally, in one plain sentence that says what to do."""


class LocalError(RuntimeError):
    """A problem that a person can mend; its message is all that is shown."""
