# SPDX-License-Identifier: BSD-2-Clause
"""The two kinds of errors that people are told of in a line, and how messages quote input."""

__all__ = ["InputError", "RunError", "quoted", "shown"]

#: Characters of a quotation, and of a name that is shown as it is.
QUOTED = 80
SHOWN = 400


class InputError(ValueError):
    """What was asked for cannot be done; the message names the place and the mend. Status 2."""


class RunError(RuntimeError):
    """What was tried has failed; the message says what to look at. Status 1."""


def quoted(value: object) -> str:
    r"""Quote a value in a message: in one line, without control characters, not too long.

    >>> quoted("a\x1b[31m\nb"), quoted(7)
    ("'a\\x1b[31m\\nb'", '7')
    >>> len(quoted("x" * 1000))
    80
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # Python writes out neither thousands of digits nor what is nested too deep.
        text = f"a very large {type(value).__name__}"
    if not text.isprintable():
        text = ascii(text)
    if len(text) > QUOTED:
        text = f"{text[: QUOTED // 2]} ... {text[-(QUOTED // 2 - 5) :]}"
    return text


def shown(name: object) -> str:
    r"""Show the name of a file or a key in a message: as it is, unless it would have to be quoted.

    >>> shown("a b.toml"), shown("a\nb.toml")
    ('a b.toml', "'a\\nb.toml'")
    """
    text = str(name)
    return text if text.isprintable() and 0 < len(text) <= SHOWN else quoted(text)
