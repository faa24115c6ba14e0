"""The image's root file system without Docker: `python -m tests.live.kubernetes.pack OUT.tar [MODELS] [--extra dask]`.

The archive holds what this Python runs on: interpreter and standard library, the distributions that live mode depends
on, as installed here, the shared libraries that all of them need, and `sleep` for preStop hooks. The Dockerfile beside
this file describes the same image for Docker. Works on Linux with glibc.
"""

from __future__ import annotations

import argparse
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata, util
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from ipa.live.errors import LiveError
from ipa.live.kubernetes.store import check_links

DISTRIBUTION = "ipa-pipelines"
EXTRAS = ("live", "kubernetes", "onnx", "llm", "s3")
PACKAGES = ("ipa",)

USER = 65532
PREFIX = PurePosixPath("usr/local")
MODELS = PurePosixPath("models")
"""Where in the image a folder of models goes."""
LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "dist-packages",
}
"""Folders of the standard library that no server needs."""

PASSWD = f"root:x:0:0:root:/:/sbin/nologin\nipa:x:{USER}:{USER}:ipa:/tmp:/sbin/nologin\n"
COMMAND = f"#!/{PREFIX}/bin/python3\nfrom ipa.studies.commands import main\n\nmain()\n"


def pack(out: Path, models: Path | None = None, further: Iterable[str] = ()) -> int:
    """Write the root file system to `out`, with a folder of models if one is given; returns its size [bytes].

    `further`: extras beyond those of live mode, such as dask.

    Raises LiveError for what is not installed or does not exist.
    """
    if models is not None and not models.is_dir():
        raise LiveError(f"{models}: no such folder")
    if models is not None:
        check_links(models)
    files = dict(_files((*EXTRAS, *further)))
    files |= (
        {MODELS / path.relative_to(models): path for path in sorted(models.rglob("*")) if path.is_file()}
        if models
        else {}
    )
    libraries = _libraries(files.values())
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="ipa-pack-") as folder, tarfile.open(out, "w") as archive:
        compiled = dict(_compiled(files, Path(folder)))
        for place, source in sorted({**libraries, **files, **compiled}.items()):
            archive.add(source, arcname=str(place), recursive=False, filter=_owned_by_root)
        for name, text, mode in (("etc/passwd", PASSWD, 0o644), (str(PREFIX / "bin/ipa"), COMMAND, 0o755)):
            _add_text(archive, name, text, mode)
        for link, target in (("python", "python3"), ("python3", f"python{_version()}")):
            _add_link(archive, str(PREFIX / "bin" / link), target)
        _add_folder(archive, "tmp", 0o1777)
    return out.stat().st_size


def distributions(name: str = DISTRIBUTION, extras: Iterable[str] = EXTRAS) -> dict[str, metadata.Distribution]:
    """The distribution and all that it requires, by name. Raises LiveError for one that is not installed here."""
    found: dict[str, metadata.Distribution] = {}
    asked = tuple(extras)
    waiting = [(name, asked)]
    while waiting:
        wanted, extras_of = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        if key in found and not extras_of:
            continue
        try:
            found[key] = metadata.distribution(wanted)
        except metadata.PackageNotFoundError:
            raise LiveError(f"{wanted} is not installed: pip install '.[{','.join(asked)}]' in the checkout") from None
        waiting += _requirements(found[key], extras_of)
    return found


def _requirements(distribution: metadata.Distribution, extras: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    from packaging.requirements import Requirement

    for text in distribution.requires or ():
        requirement = Requirement(text)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            yield requirement.name, tuple(requirement.extras)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _files(extras: Iterable[str]) -> Iterator[tuple[PurePosixPath, Path]]:
    """Path in the image -> path here, for every file."""
    yield PREFIX / "bin" / f"python{_version()}", Path(sys.executable).resolve()
    library = PREFIX / "lib" / f"python{_version()}"
    stdlib = Path(sysconfig.get_path("stdlib"))
    for path in _walk(stdlib):
        yield library / path.relative_to(stdlib), path
    # Where Debian's own Python looks, it is also called so.
    site = library / ("dist-packages" if "deb_system" in sysconfig.get_scheme_names() else "site-packages")
    for distribution in distributions(extras=extras).values():
        for entry in distribution.files or ():
            path = Path(str(distribution.locate_file(entry))).resolve()
            if not {"..", "tests"} & set(entry.parts) and path.is_file() and path.suffix != ".pth":
                yield site / entry, path
    for package in PACKAGES:
        spec = util.find_spec(package)
        assert spec is not None
        folder = Path(next(iter(spec.submodule_search_locations or ())))
        for path in _walk(folder):
            yield site / package / path.relative_to(folder), path
    sleep = shutil.which("sleep")
    if sleep is None:
        raise LiveError("the program `sleep`, which preStop hooks need, is not here")
    yield PurePosixPath("bin/sleep"), Path(sleep).resolve()


def _compiled(files: Mapping[PurePosixPath, Path], folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Path in the image -> a file in `folder`, for each module of Python's that is not compiled yet.

    A container cannot keep what it compiles, and would compile at every start. What is no Python is left as it is.
    """
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    modules = [place for place in files if place.suffix == ".py" and place.is_relative_to(PREFIX)]
    for number, place in enumerate(modules):
        kept = place.parent / "__pycache__" / f"{place.stem}.{sys.implementation.cache_tag}.pyc"
        made = folder / f"{number}.pyc"
        if kept not in files and py_compile.compile(
            str(files[place]), str(made), f"/{place}", invalidation_mode=unchecked, quiet=2
        ):
            yield kept, made


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):  # a checkout: ipa holds links
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("config-"))
        yield from (Path(root) / name for name in sorted(names))


def _libraries(paths: Iterable[Path]) -> dict[PurePosixPath, Path]:
    """The shared libraries, with the loader, that programs and extension modules need beyond each other."""
    binaries = [path for path in paths if ".so" in path.suffixes or path.parent.name == "bin"]
    said = "".join(
        subprocess.run(["ldd", *map(str, part)], capture_output=True, text=True, check=False).stdout
        for part in (binaries[start : start + 200] for start in range(0, len(binaries), 200))
    )
    named = {name: Path(path) for name, path in re.findall(r"^\s*(\S+) => (/\S+) \(", said, re.MULTILINE)}
    if "libc.so.6" not in named:
        raise LiveError("the image can only be packed on Linux with glibc")
    system = PurePosixPath(str(named["libc.so.6"].parent)).relative_to("/")
    own = {path.name for path in binaries}
    libraries = {system / name: path.resolve() for name, path in named.items() if name not in own}
    loaders = {Path(path) for path in re.findall(r"^\s*(/\S*ld-linux\S*) \(", said, re.MULTILINE)}
    return libraries | {PurePosixPath(str(loader)).relative_to("/"): loader.resolve() for loader in loaders}


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o444
    return entry


def _add_text(archive: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    import io

    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    archive.addfile(entry, io.BytesIO(text.encode()))


def _add_link(archive: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    archive.addfile(entry)


def _add_folder(archive: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    archive.addfile(entry)


def main() -> None:
    """Pack to the path given."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.kubernetes.pack")
    parser.add_argument("out", metavar="OUT.tar", type=Path)
    parser.add_argument("models", metavar="MODELS", type=Path, nargs="?", help="a folder of models")
    parser.add_argument("--extra", action="append", default=[], help="beyond those of live mode, such as dask")
    given = parser.parse_args()
    try:
        size = pack(given.out, given.models, given.extra)
    except (LiveError, OSError) as error:
        sys.exit(f"Error: {error}")
    print(f"{given.out}: {size / 1e6:.0f} MB", file=sys.stderr)


if __name__ == "__main__":
    main()
