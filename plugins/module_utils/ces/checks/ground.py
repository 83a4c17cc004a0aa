# SPDX-License-Identifier: GPL-3.0-or-later
"""May a role provision this host as it was told to? No I/O."""

from __future__ import annotations

from ..system.disks import CURE, MARK
from ..system.host.configuration import Configuration
from ..system.host.ground import USERS_PLACE, Ground, users_place
from ..typed import Iterator
from ..values.policy import Policy
from .configuration import tell_broken
from .look import Look, Told
from .places import NO_OVERLAY

_DRIVER = "storage.driver"


def _variable(found: Ground) -> str:
    """The role's own name for the directory."""
    return f"{found.role.removesuffix('_storage')}_storage_root"


def tell_users(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the users are there."""
    if found.unknown:
        yield Told(
            "fault",
            f"{found.role}_users names users that this host does not know:"
            f" {', '.join(found.unknown)}",
            "create them first, or correct the list",
        )


def tell_kept_out(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the host's own rules let all users have sessions."""
    for name, reason in found.kept_out.items():
        yield Told(
            "warning",
            f"{name} is left out, and gets no session and no containers: {reason.rstrip('.')}",
            "mend that, or take the name off the list",
        )


def tell_homeless(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the users have homes."""
    for name in found.homeless:
        yield Told(
            "warning",
            f"{name} has no home directory yet: {name} has a session, and no container can run",
            "make it, or have the user log in, where the first login makes it",
        )


def tell_reused(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether all that users find in their directories is their own."""
    for name, uid, owner in found.reused:
        yield Told(
            "fault",
            f"{name} has the uid {uid}, which was {owner}'s: {found.root}/{uid} has images,"
            f" containers and volumes of {owner}, and {name} could read them",
            f"say what becomes of them ({found.role}_reused_uids: remove, keep_apart, or give them"
            f" to {name})",
        )


def tell_handed(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the users' subordinate ids are their own."""
    for name, ids, owner in found.handed:
        yield Told(
            "fault",
            f"{name} has the subordinate ids {ids}, which were {owner}'s: files that {owner}'s"
            f" containers left in homes and project data may belong to them, and {name} could"
            " change them",
            f"say what becomes of them ({found.role}_reused_uids: keep_apart gives {name} new ids,"
            f" give leaves them to {name})",
        )


def tell_moved_users(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether users had other uids before."""
    for name, uid in found.moved:
        yield Told(
            "warning",
            f"{name} had the uid {uid} before: images, containers and volumes in"
            f" {found.root}/{uid} stay there, and {name} does not see them",
            f"{name} pulls images anew; remove that directory and {found.root}/owners/{uid} when"
            " nothing in it is needed",
        )


def tell_file_system(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the file system takes what users keep there."""
    lies = f"{_variable(found)} {found.root} lies on {found.mount.kind} (mounted at"
    if not found.root:
        return
    if found.mount.kind in found.refused:
        yield Told(
            "fault",
            f"{lies} {found.mount.point}): images need files owned by subordinate ids, extended"
            " attributes and locks, which network filesystems make slow or refuse",
            "set it to a directory on a local disk of the host",
        )
    elif found.mount.kind in NO_OVERLAY and found.role == "container_storage":
        yield Told(
            "fault",
            f"{lies} {found.mount.point}), on which podman does not put its overlays",
            "set it to a directory on ext4 or xfs",
        )


def tell_disk(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether users' things would be made anew on another disk."""
    if found.lost:
        yield Told(
            "fault",
            f"{_variable(found)} {found.root} lacks the file {MARK}, which an earlier run left"
            " there: what users have lies on a disk that is not mounted",
            f"{CURE}; if the disk is new or was emptied, set {found.role}_new_disk for this run",
        )


def tell_shared(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether images for all users would be kept on another file system."""
    for path, point in found.unmounted.items():
        yield Told(
            "fault",
            f"nothing is mounted on {point}, where a file system was in an earlier run: images for"
            f" all users are to be in {path}",
            f"{CURE}; if they are to lie there without one, set ces_tools_new_disk for this run",
        )


def tell_noexec(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether programs may be started there."""
    if found.root and "noexec" in found.mount.options:
        yield Told(
            "fault",
            f"{_variable(found)} {found.root} lies below {found.mount.point}, which is mounted"
            " noexec: what is unpacked there could not run",
            "set it to a directory on another filesystem",
        )


def tell_overlay(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether layers can be put over each other there.

    Engines choose by themselves: the kernel's overlay, or fuse-overlayfs where that does not work.
    """
    kind = found.mount.kind
    told = kind in (*found.refused, *NO_OVERLAY)
    if found.overlay and found.fuse.endswith(" is missing") and not told:
        yield Told(
            "fault",
            f"neither the kernel's overlay nor fuse-overlayfs works on {found.root}: an overlay"
            f' mounted there by an ordinary user ended with "{found.overlay}" (filesystem {kind}),'
            f" and {found.fuse}",
            "use ext4 or xfs and a kernel of at least 5.13, allow user namespaces, or load the"
            " module fuse",
        )


def tell_signatures(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether a policy.json would be replaced that demands more than the role's."""
    if found.signed:
        yield Told(
            "fault",
            f"/etc/containers/policy.json demands signatures for {', '.join(found.signed)}, and the"
            " file that would be written demands none",
            "keep yours with podman_policy: keep (it must accept the allowed registries), or remove"
            " it if it is not meant any more",
        )


def tell_driver(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether root's containers would be lost from view."""
    driver = (found.storage or {}).get(_DRIVER, "")
    if driver.strip("'\"") not in ("overlay", ""):
        yield Told(
            "fault",
            f"/etc/containers/storage.conf says driver = {driver}: with overlay, which users need,"
            " podman would no longer see what root has in its storage",
            "move root's containers to overlay, or remove them, and take the line out",
        )


def tell_moved(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether users' containers would be lost from view."""
    before = (found.storage or {}).get(USERS_PLACE)
    if before not in (None, users_place(found.root)):
        yield Told(
            "note",
            f"/etc/containers/storage.conf had the users' storage at {before}. What lies there"
            " stays, and podman no longer sees it",
        )


def tell_stranded(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether users' containers would run on unseen."""
    containers: dict[tuple[str, str], list[str]] = {}
    for name, storage, container in found.stranded:
        containers.setdefault((name, storage), []).append(container)
    for (name, storage), named in containers.items():
        yield Told(
            "fault",
            f"{name} has containers that run in {storage} ({', '.join(named[:5])}): with"
            f" {_variable(found)} {found.root} podman would no longer see them, and they would run"
            " on",
            f"end them first (podman stop --all, as {name}, or loginctl terminate-user {name}):"
            " what is there stays",
        )


def tell_site_settings(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the site's containers.conf breaks what a run promises."""
    return tell_broken(Configuration("", broken=found.broken), policy)


def tell_logind(found: Ground, policy: Policy) -> Iterator[Told]:
    """Whether the host was upgraded and not restarted."""
    if found.logind:
        yield Told(
            "warning",
            f"systemd-logind still is version {found.logind}, and the host has a newer one since it"
            " was upgraded: users without a session may get none",
            "restart the host, then run the playbook again",
        )


LOOKS = (
    Look("users_known", "this host knows the users", tell_users),
    Look("users_served", "the host's rules let all users have sessions", tell_kept_out),
    Look("homes_there", "all users have home directories", tell_homeless),
    Look("uids_reused", "nobody's uid was somebody else's", tell_reused),
    Look("ids_reused", "nobody's subordinate ids were somebody else's", tell_handed),
    Look("uids_changed", "all users have the uids that they had", tell_moved_users),
    Look("root_file_system", "the file system takes what users keep there", tell_file_system),
    Look("root_disk", "the disk of what users have is there", tell_disk),
    Look("shared_disks", "the file systems of images for all users are there", tell_shared),
    Look("root_noexec", "programs may be started there", tell_noexec),
    Look("root_overlay", "layers can be put over each other there", tell_overlay),
    Look("signatures", "no demand of signatures is dropped", tell_signatures),
    Look("storage_driver", "root's containers stay in view", tell_driver),
    Look("storage_moved", "users' containers stay in view", tell_moved),
    Look("containers_in_view", "users' containers that run stay in view", tell_stranded),
    Look("logind", "sessions can start", tell_logind),
    Look("site_containers_conf", "the site's containers.conf keeps promises", tell_site_settings),
)
"""In the order in which causes come before their effects. A new check is a new row."""
