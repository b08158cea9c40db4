"""Unpack the parts of a torch wheel that Nudge needs, and check every file against the wheel's own list of checksums.

usage: unpack_wheel.py WHEEL FOLDER

Prints "progress DONE TOTAL" (bytes) while it works. Exit codes: 0 done, 3 the wheel is damaged, 4 the disk is full,
5 the process that started this one has died, 1 anything else. The folder must be new; the caller renames it when done.
"""

import base64
import csv
import errno
import hashlib
import io
import os
import sys
import zipfile

DAMAGED, DISK_FULL, ORPHANED = 3, 4, 5
KEPT = ("torch/lib/", "torch/include/", "torch.libs/", "torch/.dylibs/")
# Python's own bindings: half of them need a Python to load, none is used from Node.
DROPPED = ("torch/lib/libtorch_python", "torch/lib/libshm")


def wanted(name):
    if name == "torch/version.py" or name.split("/")[0].endswith(".dist-info"):
        return True
    return name.startswith(KEPT) and not name.startswith(DROPPED) and not name.endswith(".a")


def read_checksums(archive):
    """The wheel's RECORD as {name: sha256 in unpadded base64url}."""
    records = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD") and name.count("/") == 1]
    if len(records) != 1:
        raise zipfile.BadZipFile("it has no list of checksums (RECORD)")
    rows = csv.reader(io.StringIO(archive.read(records[0]).decode("utf-8")))
    return {row[0]: row[1][len("sha256=") :] for row in rows if len(row) > 1 and row[1].startswith("sha256=")}


def extract(archive, info, folder, expected):
    target = os.path.join(folder, *info.filename.split("/"))
    if not os.path.realpath(target).startswith(os.path.realpath(folder) + os.sep):
        raise zipfile.BadZipFile("it would write outside its folder: " + info.filename)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(info) as source, open(target, "wb") as sink:
        while True:
            chunk = source.read(1 << 20)
            if not chunk:
                break
            digest.update(chunk)
            sink.write(chunk)
            yield len(chunk)
    received = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    if expected is not None and received != expected:
        raise zipfile.BadZipFile("the checksum of %s does not match" % info.filename)


def unpack(wheel, folder):
    parent = os.getppid()
    with zipfile.ZipFile(wheel) as archive:
        checksums = read_checksums(archive)
        files = [info for info in archive.infolist() if wanted(info.filename) and not info.is_dir()]
        present = {info.filename for info in files}
        absent = [name for name in checksums if wanted(name) and name not in present]
        if absent:
            raise zipfile.BadZipFile("it lacks %d of its files, for example %s" % (len(absent), absent[0]))
        unlisted = [i.filename for i in files if i.filename not in checksums and ".dist-info/" not in i.filename]
        if unlisted:
            raise zipfile.BadZipFile("it has a file without a checksum: " + unlisted[0])
        total, done, shown = sum(info.file_size for info in files), 0, 0
        for info in files:
            if os.getppid() != parent:
                return ORPHANED
            for count in extract(archive, info, folder, checksums.get(info.filename)):
                done += count
                if done - shown >= 8 << 20 or done == total:
                    shown = done
                    print("progress %d %d" % (done, total), flush=True)
    return 0


def main():
    try:
        return unpack(sys.argv[1], sys.argv[2])
    except (zipfile.BadZipFile, EOFError) as error:
        print("damaged: %s" % error, file=sys.stderr)
        return DAMAGED
    except OSError as error:
        print("error: %s" % error, file=sys.stderr)
        return DISK_FULL if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)) else 1
    except Exception as error:  # zlib.error has no common base with the others
        print("damaged: %s: %s" % (type(error).__name__, error), file=sys.stderr)
        return DAMAGED


sys.exit(main())
