# SPDX-License-Identifier: GPL-3.0-or-later
"""Have podman's database record another run root: ``{"database": PATH, "value": PATH}``.

Answers what it recorded before.
"""

from __future__ import annotations

import json
import sqlite3
import sys


def main(database: str, value: str) -> None:
    connection = sqlite3.connect(database)
    (before,) = connection.execute("SELECT RunRoot FROM DBConfig").fetchone()
    connection.execute("UPDATE DBConfig SET RunRoot = ?", (value,))
    connection.commit()
    print(json.dumps(before))


if __name__ == "__main__":
    main(**json.load(sys.stdin))
