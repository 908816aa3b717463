# SPDX-License-Identifier: BSD-2-Clause
"""The byte link: the gates that answer a host's requests (see `boards.protocol`).

What passes where:

    rx -> receiver -> control -+-> registers      SET
                               +-> packets        TRAIN, INFER, READ, LOAD --> network
                               +-> loader         ROW, and what is left of a LOAD --> weights in
                      reader <-+                  the rows of READ                <-- weights out
                         |     +-> responder      the response
    tx <- sender <-------+-----------+
"""

from .link import Link

__all__ = ["Link"]
