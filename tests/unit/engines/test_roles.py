# SPDX-License-Identifier: GPL-3.0-or-later
"""Who installs a program that is not on a host."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.engines.roles import cure_without


@pytest.mark.parametrize(
    ("program", "cure"),
    [
        ("crun", "the administrator installs it (role oci)"),
        ("nvidia-smi", "the administrator installs it (role gpu)"),
        (
            "sbatch",
            "use a host of the cluster, or the administrator installs Slurm's commands"
            " (role slurm)",
        ),
        ("cp", "the administrator installs it"),
    ],
)
def test_the_role_that_installs_a_program_is_named(program, cure):
    assert cure_without(program) == cure
