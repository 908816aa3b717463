# SPDX-License-Identifier: BSD-2-Clause
"""The two kinds of errors that people are told of in a line, and how messages quote input."""

__all__ = ["InputError", "RunError", "quoted"]

#: Characters of a quotation.
QUOTED = 80


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
    text = repr(value)
    if not text.isprintable():
        text = ascii(text)
    if len(text) > QUOTED:
        text = f"{text[: QUOTED // 2]} ... {text[-(QUOTED // 2 - 5) :]}"
    return text
