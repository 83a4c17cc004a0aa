# SPDX-License-Identifier: GPL-3.0-or-later
"""What crun, skopeo and umoci are told, and what is in a bundle's configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tre.ces.plugins.module_utils.ces.dataclass import replace
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.command import Launch
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci import command as oci
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci import config as bundle
from ansible_collections.tre.ces.plugins.module_utils.ces.engines.oci import seccomp
from ansible_collections.tre.ces.plugins.module_utils.ces.errors import (
    CesError,
    InvalidValue,
    RefusedByPolicy,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.bundle import (
    Ground,
    ImageConfig,
    Owner,
    user_in,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.command import Command
from ansible_collections.tre.ces.plugins.module_utils.ces.values.mounts import Mount
from ansible_collections.tre.ces.plugins.module_utils.ces.values.options import (
    allowed_options,
    read_options,
)
from ansible_collections.tre.ces.plugins.module_utils.ces.values.resources import Resources

PRIVATE = "/run/user/1000/ces/run-7"
LAUNCH = Launch(
    image="/store/digests/sha256-1",
    run_id=7,
    name="ces-7",
    mounts=(Mount("/safe_data/p", "/safe_data", "ro"), Mount("/home/ada l/o", "/safe_outputs")),
    resources=Resources(),
    network="none",
    private=PRIVATE,
)
IMAGE = ImageConfig(entrypoint=("/bin/app",), cmd=("-a", "b"), env=("PATH=/bin", "A=image"))
GROUND = Ground(
    rootfs="/store/digests/sha256-1/rootfs",
    root="/room/root",
    names=("bin", "etc", "noise"),
    links=("lib",),
    layers="/room",
    etc=(("hosts", "/room/hosts"),),
)
OWNER = Owner(1000, 1001)


def configured(
    launch: Launch = LAUNCH,
    image: ImageConfig = IMAGE,
    ground: Ground = GROUND,
    profile: dict[str, int] | None = None,
) -> dict[str, Any]:
    return bundle.config(launch, image, ground, OWNER, profile)


def mounted(config: dict[str, Any], target: str) -> dict[str, Any]:
    (found,) = [mount for mount in config["mounts"] if mount["destination"] == target]
    return dict(found)


def test_a_run_is_exactly_these_words() -> None:
    assert oci.run(LAUNCH) == Command(
        (
            *("crun", "--root=/run/user/1000/ces/crun", "--cgroup-manager=disabled"),
            *(f"--log=file:{PRIVATE}/aside", "--log-format=json"),
            *("run", f"--bundle={PRIVATE}", "ces-run-7"),
        ),
        role="oci",
    )


def test_only_what_can_be_limited_gets_a_cgroup() -> None:
    launch = replace(LAUNCH, resources=Resources(cpus=1.5, memory=64 << 20))
    assert "--systemd-cgroup" in oci.run(launch).argv
    linux = configured(launch)["linux"]
    assert linux["cgroupsPath"] == "user.slice:ces:run-7"
    assert linux["resources"] == {
        "cpu": {"quota": 150000, "period": 100000},
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
    }
    assert "resources" not in configured()["linux"]


def test_what_is_removed_is_what_was_run() -> None:
    argv = oci.remove(LAUNCH.cid_file).argv
    assert argv == ("crun", "--root=/run/user/1000/ces/crun", "delete", "--force", "ces-run-7")
    assert oci.container_id(7) == argv[-1] == oci.run(LAUNCH).argv[-1]


def test_an_image_is_fetched_and_unpacked_by_these_words() -> None:
    assert oci.copy("r.io/a@sha256:1", "/room/layout", "/room", "/run/auth.json").argv == (
        *("skopeo", "--tmpdir=/room", "copy", "--remove-signatures", "--dest-compress-format=gzip"),
        *("--authfile=/run/auth.json", "docker://r.io/a@sha256:1", "oci:/room/layout:image"),
    )
    assert oci.unpack("/room/layout", "/room/whole/rootfs").argv == (
        *("umoci", "raw", "unpack", "--rootless", "--image=/room/layout:image"),
        "/room/whole/rootfs",
    )


def test_the_container_has_the_users_own_id_alone_and_no_right() -> None:
    config = configured()
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert config["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]
    assert config["process"]["capabilities"] == {}
    assert config["process"]["noNewPrivileges"] is True
    assert config["annotations"]["run.oci.keep_original_groups"] == "1"
    kinds = {space["type"] for space in config["linux"]["namespaces"]}
    assert kinds == {"user", "mount", "pid", "ipc", "uts", "cgroup", "network"}


def test_a_user_that_the_image_names_is_the_users_id_under_that_number() -> None:
    config = configured(image=replace(IMAGE, uid=1000, gid=50))
    assert config["process"]["user"] == {"uid": 1000, "gid": 50}
    assert config["linux"]["uidMappings"] == [{"containerID": 1000, "hostID": 1000, "size": 1}]
    assert config["linux"]["gidMappings"] == [{"containerID": 50, "hostID": 1001, "size": 1}]


def test_the_image_has_a_layer_over_it_and_is_seen_through_that() -> None:
    config = configured()
    assert config["root"] == {"path": "/room/root", "readonly": False}
    layer, first, *_others = config["mounts"]
    assert layer == {
        "destination": "/proc",
        "type": "overlay",
        "source": "overlay",
        "options": [
            "lowerdir=/store/digests/sha256-1/rootfs",
            "upperdir=/room/upper",
            "workdir=/room/work",
            "userxattr",
            "volatile",
        ],
    }
    assert (first["source"], first["destination"]) == ("/room/root/proc/bin", "/bin")
    assert first["options"][-1] == "rw"
    targets = [mount["destination"] for mount in config["mounts"]]
    assert targets.index("/noise") < targets.index("/proc", 1)


def test_a_read_only_root_shows_the_images_own_directories() -> None:
    ground = replace(GROUND, layers=None, temporary=("/run",))
    config = configured(ground=ground)
    assert config["root"]["readonly"] is True
    assert mounted(config, "/bin")["type"] == "bind"
    assert "ro" in mounted(config, "/bin")["options"]
    assert mounted(config, "/run")["type"] == "tmpfs"


def test_a_volume_of_a_read_only_image_is_memory_with_a_copy_of_what_it_holds() -> None:
    config = configured(ground=replace(GROUND, layers=None, volumes=("/data",)))
    assert mounted(config, "/data")["type"] == "tmpfs"
    assert "tmpcopyup" in mounted(config, "/data")["options"]


@pytest.mark.parametrize(
    ("words", "size"), [((), "64m"), (["--shm-size=1g"], "1g"), (["--shm-size", "5b"], "5")]
)
def test_shared_memory_has_the_size_that_is_asked_for(
    words: list[str] | tuple[str, ...], size: str
) -> None:
    options = read_options(words, allowed_options(oci.OPTIONS, (), ()), "oci").words
    config = configured(replace(LAUNCH, options=options))
    assert f"size={size}" in mounted(config, "/dev/shm")["options"]  # noqa: S108


@pytest.mark.parametrize(
    ("raw", "volumes"),
    [
        (None, ()),
        ({"/b/": {}, "/a//c/.": {}, "b": {}, "/": {}, "/../x": {}}, ("/a/c", "/b")),
        (["/a"], ("/a",)),
        (5, ()),
    ],
)
def test_an_images_volumes_are_directories_in_it(raw: object, volumes: tuple[str, ...]) -> None:
    image = ImageConfig.from_image({"config": {"Volumes": raw, "StopSignal": "INT"}})
    assert (image.volumes, image.stop_signal) == (volumes, "INT")


@pytest.mark.parametrize(
    ("raw", "cwd"), [(None, "/"), ("", "/"), ("app/x", "/app/x"), ("//a/./b/", "/a/b")]
)
def test_an_images_working_directory_is_a_path_from_its_root(raw: str | None, cwd: str) -> None:
    assert ImageConfig.from_image({"config": {"WorkingDir": raw}}).cwd == cwd


def test_what_an_older_or_newer_version_has_kept_of_an_image_is_read() -> None:
    kept = IMAGE.as_dict()
    del kept["volumes"], kept["stop_signal"]
    assert ImageConfig.from_dict({**kept, "what_comes_later": 1}, "x") == IMAGE


def test_directories_are_mounted_as_they_are_asked_for() -> None:
    config = configured(replace(LAUNCH, home="/home/ada"))
    assert mounted(config, "/safe_data")["options"][-1] == "ro"
    assert mounted(config, "/safe_outputs")["source"] == "/home/ada l/o"
    assert mounted(config, "/safe_outputs")["options"][-1] == "rw"
    assert mounted(config, "/home/ada")["source"] == "/home/ada"
    assert "HOME=/home/ada" in config["process"]["env"]


def test_with_the_hosts_network_there_is_no_network_namespace() -> None:
    config = configured(replace(LAUNCH, network="host"))
    assert "network" not in {space["type"] for space in config["linux"]["namespaces"]}
    assert mounted(config, "/sys")["type"] == "bind"
    assert "ro" in mounted(config, "/sys")["options"]


@pytest.mark.parametrize("network", ["none", "host"])
def test_the_container_sees_its_own_limits_and_no_others(network: str) -> None:
    config = configured(replace(LAUNCH, network=network))
    assert mounted(config, "/sys/fs/cgroup")["type"] == "cgroup"
    assert "ro" in mounted(config, "/sys/fs/cgroup")["options"]


def test_a_place_that_an_overlay_cannot_name_is_refused() -> None:
    with pytest.raises(InvalidValue, match="is in it"):
        configured(ground=replace(GROUND, layers="/home/a,b"))


@pytest.mark.parametrize(
    ("args", "options", "command"),
    [
        ((), (), ["/bin/app", "-a", "b"]),
        (("x", ""), (), ["/bin/app", "x", ""]),
        ((), ("--entrypoint=/bin/sh",), ["/bin/sh"]),
        ((), ("--entrypoint=",), None),
        (("-c", "id"), ("--entrypoint=/bin/sh",), ["/bin/sh", "-c", "id"]),
        (("id",), ("--entrypoint=",), ["id"]),
        (("x",), ('--entrypoint=["/bin/echo", ""]',), ["/bin/echo", "", "x"]),
        (("x",), ('--entrypoint=[""]',), ["x"]),
        (("x",), ("--entrypoint=[5]",), ["[5]", "x"]),
        (("x",), ("--entrypoint=[/x",), ["[/x", "x"]),
    ],
)
def test_arguments_and_entry_point_are_as_podman_has_them(
    args: tuple[str, ...], options: tuple[str, ...], command: list[str] | None
) -> None:
    launch = replace(LAUNCH, args=args, options=options)
    if command is None:
        with pytest.raises(CesError, match="give arguments"):
            configured(launch)
    else:
        assert configured(launch)["process"]["args"] == command


def test_an_entry_point_of_one_empty_word_is_none() -> None:
    config = configured(image=replace(IMAGE, entrypoint=("",)))
    assert config["process"]["args"] == ["-a", "b"]


def test_an_empty_word_of_the_entry_point_is_a_word() -> None:
    config = configured(image=replace(IMAGE, entrypoint=("/bin/app", "")))
    assert config["process"]["args"] == ["/bin/app", "", "-a", "b"]


def test_of_two_entries_of_one_name_the_last_counts_byte_for_byte() -> None:
    config = configured(image=replace(IMAGE, env=("A=1", "A=$B `c`\n", "a.b-c=d", "NOTHING")))
    env = config["process"]["env"]
    assert [entry for entry in env if entry.startswith(("A=", "a", "N"))] == [
        "A=$B `c`\n",
        "a.b-c=d",
        "NOTHING=",
    ]


def test_an_image_that_does_not_say_what_to_run_is_told() -> None:
    with pytest.raises(CesError, match="no ENTRYPOINT and no CMD"):
        configured(image=ImageConfig())


def test_variables_are_in_the_configuration_and_nowhere_else() -> None:
    launch = replace(LAUNCH, env={"A": "s3cret $(id)", "B": ""})
    env = dict(entry.split("=", 1) for entry in configured(launch)["process"]["env"])
    assert env["PATH"] == "/bin"
    assert env["A"] == "s3cret $(id)"
    assert env["B"] == ""
    assert env["HOME"] == "/"
    assert "s3cret" not in f"{oci.run(launch)!r}"


def test_a_file_of_the_image_that_json_cannot_carry_is_named() -> None:
    with pytest.raises(InvalidValue, match="the name of a file of the image"):
        configured(ground=replace(GROUND, names=("bin", "\udcff")))


@pytest.mark.parametrize("launch", [{"args": ("\udcff",)}, {"env": {"A": "\udcff"}}])
def test_what_json_cannot_carry_is_refused(launch: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="not UTF-8"):
        configured(replace(LAUNCH, **launch))


@pytest.mark.parametrize(
    ("option", "where", "value"),
    [
        ("--workdir=/x", ("process", "cwd"), "/x"),
        ("--hostname=h", ("hostname",), "h"),
    ],
)
def test_each_option_does_what_it_says(option: str, where: tuple[str, ...], value: str) -> None:
    given_ = read_options([option], allowed_options(oci.OPTIONS, (), ()), "oci")
    found: Any = configured(replace(LAUNCH, options=given_.words))
    for key in where:
        found = found[key]
    assert found == value


@given(words=st.lists(st.text(max_size=12), max_size=4))
def test_no_word_reaches_the_runtime_and_no_other_option_is_taken(words: list[str]) -> None:
    allowed = allowed_options(oci.OPTIONS, (), ())
    try:
        options = read_options(words, allowed, "oci").words
        oci.check(options, Resources())
    except (RefusedByPolicy, InvalidValue):
        return
    assert oci.run(replace(LAUNCH, options=options)) == oci.run(LAUNCH)


def test_an_option_that_a_site_allows_and_nobody_reads_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no engine that would read it"):
        oci.check(("--privileged",), Resources())


def test_the_gpu_is_refused() -> None:
    with pytest.raises(CesError, match="only engines that know GPUs"):
        oci.check((), Resources(gpu=True))


def message(text: str) -> str:
    return json.dumps({"msg": text, "level": "error", "time": "2026"}).replace(": ", ":") + "\n"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ((0, "", ""), None),
        ((1, "", "the program's own\n"), None),
        ((1, "", '{"own": 1}'), None),
        ((2, "", message("too late")), None),
        ((1, "", message("mount `overlay`")), (125, "mount `overlay`")),
        ((1, "", "own\n" + message("unknown")), (125, "unknown")),
        ((1, "", message("executable file `x` not found")), (127, "executable file `x` not found")),
        ((1, "", message("the path `/x` exists but it is not executable")), (126, None)),
        ((1, "", message("open executable: Permission denied")), (126, None)),
        ((1, "", message("exec container process `/x`: Exec format error")), (126, None)),
        ((1, "", message("exec container process `/x`: No such file or directory")), (127, None)),
    ],
)
def test_what_failed_is_the_container_or_crun(
    answer: tuple[int, str, str], complaint: tuple[int, str | None] | None
) -> None:
    found: tuple[int, str | None] | None = oci.complaint(*answer)
    if complaint and complaint[1] is None:
        assert found is not None
        found = (found[0], None)
    assert found == complaint


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("clone: No space left on device", "user namespaces"),
        ("write /x: no space left on device", "free some space"),
        ("executable file `x` not found in $PATH", "no such program"),
        ("mount `overlay` to `proc`: Invalid argument", "--read-only"),
        ("(missing dynamic library?) `/x`: No such file or directory", "a script's first line"),
        ("chdir to `/work`: Not a directory", "--workdir"),
        ("the path `/x` exists but it is not executable", "chmod +x"),
        ("config blob is not correct mediatype application/x: application/y", "no container image"),
        (
            "config blob is not correct mediatype application/vnd.oci.image.config.v1+json:"
            " application/vnd.docker.container.image.v1+json",
            "in one form",
        ),
        ("something new", ""),
    ],
)
def test_what_is_said_leads_to_what_to_do(said: str, part: str) -> None:
    assert part in oci.hint(said)
    assert bool(oci.hint(said)) == bool(part)


USERS = "root:x:0:0:root:/root:/bin/sh\nada:x:1000:100::/home/ada:/bin/sh\nbroken:x\n"
GROUP = "root:x:0:\nusers:x:100:\nlab:x:200:ada\n"


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("", (0, 0, "/root")),
        ("ada", (1000, 100, "/home/ada")),
        ("1000", (1000, 100, "/home/ada")),
        ("ada:lab", (1000, 200, "/home/ada")),
        ("1000:7", (1000, 7, "/home/ada")),
        ("5", (5, 0, "/w")),
        ("0", (0, 0, "/root")),
        ("bob", None),
        ("ada:nobody", None),
    ],
)
def test_an_images_user_is_looked_up_in_its_own_files(
    user: str, ids: tuple[int, int, str] | None
) -> None:
    assert user_in(user, USERS, GROUP, "/w") == ids


PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "x"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["mount"],
            "action": "SCMP_ACT_ERRNO",
            "excludes": {"caps": ["X"]},
            "errnoRet": 1,
        },
        {"names": ["arm"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {
            "names": ["personality"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ", "valueTwo": 0}],
        },
    ],
}


def test_of_the_profile_of_system_calls_the_part_that_applies_is_taken() -> None:
    assert seccomp.for_container(PROFILE, "x86_64") == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
            {
                "names": ["personality"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }
    assert seccomp.for_container(PROFILE, "pdp11") is None
    assert configured(profile={"x": 1})["linux"]["seccomp"] == {"x": 1}
