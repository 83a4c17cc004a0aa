# SPDX-License-Identifier: GPL-3.0-or-later
"""What of containers.conf would break our promise, and what we put in its place."""

from __future__ import annotations

import pytest

from ansible_collections.tre.ces.plugins.module_utils.ces.values.containers_conf import (
    CGROUP_MANAGER,
    Setting,
    breaking,
    overriding,
    read_settings,
)

SITE = """\
# a comment with [brackets] and = signs
[containers]
#pidns = "host"
pidns = "host" # for debugging
volumes = [
  "/opt:/opt:ro", # with a ] and a #
  '/srv#1:/srv',
]
  env=["A=#1"]
default_capabilities = ["CHOWN", "CAP_SYS_ADMIN", "kill"]

[engine]
runtime = 'crun'
[engine.runtimes]
crun = ["/usr/bin/crun"]
"""


def settings(text: str, file: str = "/etc/containers/containers.conf") -> list[Setting]:
    return list(read_settings(text, file))


def test_a_file_is_taken_apart() -> None:
    found = {setting.key: setting.value for setting in settings(SITE)}
    assert found == {
        "containers.pidns": '"host"',
        "containers.volumes": """[ "/opt:/opt:ro", '/srv#1:/srv', ]""",
        "containers.env": '["A=#1"]',
        "containers.default_capabilities": '["CHOWN", "CAP_SYS_ADMIN", "kill"]',
        "engine.runtime": "'crun'",
        "engine.runtimes.crun": '["/usr/bin/crun"]',
    }


@pytest.mark.parametrize(
    "text", ["", "no equals sign", "[unclosed\n=", 'x = ["never', "a = [[[\n]"]
)
def test_what_is_no_toml_is_left_to_podman(text: str) -> None:
    assert breaking(settings(text)) == ()


@pytest.mark.parametrize(
    "line",
    [
        'userns = "keep-id"',
        "userns = 'auto'",
        'pidns = "host"',
        'ipcns = "host"',
        'utsns = "host"',
        'volumes = ["/etc:/etc"]',
        'volumes = ["/etc:/etc", {append=true}]',
        'mounts = ["type=tmpfs,dst=/x"]',
        'devices = ["/dev/fuse"]',
        'env = ["http_proxy=http://proxy.example.org"]',
        "env_host = true",
        "privileged = true",
        "read_only = true",
        'seccomp_profile = "unconfined"',
        'seccomp_profile = "/home/ada/all.json"',
        'seccomp_profile = "all.json"',
        "label = false",
        "keyring = false",
        'cgroupns = "host"',
        'default_capabilities = ["CHOWN", "SYS_ADMIN"]',
    ],
)
def test_what_breaks_the_promise_is_named_and_overridden(line: str) -> None:
    (setting,) = breaking(settings(f"[containers]\n{line}\n"))
    key, _equals, value = line.partition(" = ")
    assert str(setting) == f"/etc/containers/containers.conf sets containers.{key} = {value}"
    assert breaking(settings(overriding([setting]), "override")) == ()


@pytest.mark.parametrize(
    "line",
    [
        'userns = "host"',
        'userns = ""',
        'pidns = "private"',
        'ipcns = "private"',
        "volumes = []",
        "volumes = [ ]",
        "env_host = false",
        'seccomp_profile = "/etc/containers/stricter.json"',
        'default_capabilities = ["CHOWN", "KILL"]',
        "default_capabilities = []",
        'log_driver = "journald"',
        'tz = "Europe/London"',
        "pids_limit = 100",
    ],
)
def test_what_takes_nothing_from_it_is_left_alone(line: str) -> None:
    assert breaking(settings(f"[containers]\n{line}\n")) == ()


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("containers", 'base_hosts_file = "/home/ada/notes"'),
        ("containers", 'cgroup_conf = ["memory.max=max"]'),
        ("containers", 'annotations = ["org.example.word=x"]'),
        ("containers", 'init_path = "/home/ada/notes"'),
        ("containers", 'init_path = "/etc/hostname"'),
        ("engine", 'init_path = "/home/ada/notes"'),
        ("engine", 'hooks_dir = ["/usr/share/containers/oci/hooks.d", "/home/ada/hooks"]'),
        ("engine", 'hooks_dir = ["/usr/../home/ada/hooks"]'),
        ("engine", 'hooks_dir = ["/home/ada/hooks", {append=true}]'),
        ("engine", 'runtime = "/home/ada/crun"'),
        ("engine.runtimes", 'crun = ["/home/ada/crun", "/usr/bin/crun"]'),
        ("engine", 'conmon_path = ["/home/ada/conmon"]'),
        ("engine", 'helper_binaries_dir = ["/home/ada/bin"]'),
        ("engine", 'env = ["LD_LIBRARY_PATH=/home/ada/lib"]'),
        ("engine", 'hooks_dir = ["hooks"]'),
        ("engine", 'conmon_path = ["conmon"]'),
        ("engine", 'helper_binaries_dir = ["bin"]'),
        ("engine.runtimes", 'crun = ["crun"]'),
        ("engine", 'network_cmd_path = "/home/ada/slirp4netns"'),
        ("engine", 'network_cmd_options = ["allow_host_loopback=true"]'),
        ("engine", 'conmon_env_vars = ["LD_PRELOAD=/home/ada/x.so"]'),
        ("engine", "no_pivot_root = true"),
        ("engine.platform_to_oci_runtime", '"linux/amd64" = "/home/ada/crun"'),
        ("network", 'pasta_options = ["--map-host-loopback", "169.254.1.1"]'),
        ("network", 'netavark_plugin_dirs = ["/home/ada/plugins"]'),
        ("engine", "remote = true"),
        ("engine", 'cgroup_manager = "cgroupfs"'),
    ],
)
def test_no_program_and_no_file_of_a_users_comes_in_by_the_engine(section: str, line: str) -> None:
    (setting,) = breaking(settings(f"[{section}]\n{line}\n"))
    ours = overriding([setting])
    assert "/home/ada" not in ours
    assert breaking(settings(ours, "override")) == ()
    assert ("{append=false}" in ours) == ("append" in line)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("containers", 'base_hosts_file = "none"'),
        ("containers", 'init_path = "/usr/libexec/podman/catatonit"'),
        ("containers", 'annotations = ["io.tre-ces.slurm-job=7"]'),
        ("engine", 'hooks_dir = ["/etc/containers/oci/hooks.d"]'),
        ("engine", 'runtime = "runc"'),
        ("engine.runtimes", 'runsc = ["/usr/local/bin/runsc"]'),
        ("engine.platform_to_oci_runtime", '"wasi/wasm" = "crun-wasm"'),
        ("engine", 'network_cmd_path = "/usr/bin/slirp4netns"'),
        ("engine", "no_pivot_root = false"),
        ("engine", 'env = ["https_proxy=http://proxy.example.org", "TMPDIR=/var/tmp"]'),
        ("engine", "remote = false"),
    ],
)
def test_a_sites_own_programs_stay(section: str, line: str) -> None:
    assert breaking(settings(f"[{section}]\n{line}\n")) == ()


@pytest.mark.parametrize("text", ['annotations = ["x=1", {append=true}]', 'label = """x"""'])
def test_a_job_is_known_by_its_annotation_whatever_a_user_adds(text: str) -> None:
    users = settings(f"[containers]\n{text}\n", "own")
    jobs = settings('[containers]\nannotations = ["io.tre-ces.slurm-job=7"]\n', "job")
    jobs += settings('[engine]\ncgroup_manager = "cgroupfs"\n', "job")
    said = overriding(breaking([*users, *jobs]), jobs, (CGROUP_MANAGER,))
    assert 'cgroup_manager = "cgroupfs"\n' in said
    assert 'annotations = ["io.tre-ces.slurm-job=7", {append=false}]\n' in said


@pytest.mark.parametrize(
    "text",
    [
        '[containers]\n"volumes" = ["/etc:/h"]',
        '[ "containers" ]\nvolumes = ["/etc:/h"]',
        "containers.'volumes' = [\"/etc:/h\"]",
        '[Containers]\nVolumes = ["/etc:/h"]',
        '[containers]\nVOLUMES = ["/etc:/h"]\nvolumes = []',
        '[containers]\n"volume\u017f" = ["/etc:/h"]',
        '[containers]\ndns_searches = ["]"]\nvolumes = ["/etc:/h"]',
        '[containers]\n# \u2028[other]\nvolumes = ["/etc:/h"]',
        '\ufeff[containers]\nvolumes = ["/etc:/h"]',
        '[containers]\nvolumes = ["/etc:/h", {append=true}]',
    ],
)
def test_no_spelling_hides_a_setting(text: str) -> None:
    broken = breaking(settings(text))
    value = "[{append=false}]" if "append" in text else "[]"
    assert overriding(broken) == f"[containers]\nvolumes = {value}\n"


@pytest.mark.parametrize(
    "text",
    [
        'containers = { volumes = ["/etc:/h"] }',
        'engine = { hooks_dir = ["/home/ada/hooks"] }',
        '[containers]\n"vol\\u0075mes" = ["/etc:/h"]',
        '[containers]\nannotations = ["\\"["]\nvolumes = ["/etc:/h"]',
        '[containers]\nlabel = """\n[other]\n"""\nvolumes = ["/etc:/h"]',
        f'{"#" * 1024 * 1024}\n',
    ],
    ids=["table", "other table", "escaped key", "escaped mark", "several lines", "long"],
)
def test_what_only_podman_reads_is_told_and_all_that_we_promise_stands_against_it(
    text: str,
) -> None:
    broken = breaking(settings(text))
    assert "in a form that only podman reads" in str(broken[0])
    ours = {setting.key: setting.value for setting in settings(overriding(broken))}
    assert ours["containers.volumes"] == "[{append=false}]"
    assert ours["containers.userns"] == '"host"'
    assert ours["engine.hooks_dir"] == '["/usr/share/containers/oci/hooks.d", {append=false}]'
    assert len(ours) == 35


def test_a_list_to_which_a_later_file_adds_still_counts() -> None:
    first = settings('[containers]\nvolumes = ["/etc:/h"]\n', "first")
    last = settings("[containers]\nvolumes = [{append=true}]\n", "last")
    assert overriding(breaking([*first, *last])) == "[containers]\nvolumes = [{append=false}]\n"


def test_the_last_file_counts() -> None:
    first = settings('[containers]\npidns = "host"\nenv = ["A=1"]\n', "first")
    last = settings('[containers]\npidns = "private"\n', "last")
    assert [setting.file for setting in breaking([*first, *last])] == ["first"]
    assert [setting.key for setting in breaking([*first, *last])] == ["containers.env"]


def test_capabilities_that_a_site_took_away_stay_away() -> None:
    text = overriding(breaking(settings('[containers]\ndefault_capabilities = ["KILL", "BPF"]\n')))
    assert text == '[containers]\ndefault_capabilities = ["KILL"]\n'


def test_what_a_slurm_job_says_stands_beside_it() -> None:
    job = settings('[containers]\ncgroups = "disabled"\n[engine]\ncgroup_manager = "cgroupfs"\n')
    broken = [Setting("site", "containers.pidns", '"host"')]
    assert overriding(broken, job) == (
        '[containers]\ncgroups = "disabled"\npidns = "private"\n'
        '[engine]\ncgroup_manager = "cgroupfs"\n'
    )
