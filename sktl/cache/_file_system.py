"""On which file system a folder lies: LMDB maps its file into memory, which those of a network do not keep alike."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
OF_NETWORKS = frozenset(
    (
        "9p", "afs", "beegfs", "beegfs_nodev", "ceph", "cifs", "davfs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph",
        "fuse.ceph-fuse", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.mount-s3",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "moosefs", "ncpfs", "nfs",
        "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "wekafs",
    )
)  # fmt: skip


def network_file_system(folder: Path) -> str | None:
    """Return the name of the network file system on which a folder lies, or would; None for a local or unknown one."""
    if sys.platform == "win32":
        return "a share of Windows" if str(folder).startswith("\\\\") else None
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    place, nearest, kind = os.path.realpath(folder), "", None
    for line in lines:
        _, mount, type_, *_ = [*line.split(" "), "", ""]
        mount = mount.encode(errors="surrogateescape").decode("unicode_escape", errors="replace")  # \040 is a blank
        inside = place == mount or place.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(nearest):  # of two on one place the later one is seen
            nearest, kind = mount, type_
    return kind if kind in OF_NETWORKS else None
