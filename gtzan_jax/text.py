"""Text that others wrote, made fit to be shown."""


def printable(text: object) -> str:
    """Returns a text as one line that means nothing to a terminal.

    What Python does not count as printable becomes a space: line ends, tabs, escape sequences,
    and the characters that reorder or hide others.
    """
    return "".join(c if c.isprintable() else " " for c in str(text))
