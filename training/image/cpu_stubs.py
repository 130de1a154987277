#!/usr/bin/env python3
"""Lets the PyTorch of PyPI, which is built for CUDA, start without the 2.5 GB of NVIDIA's packages, for machines without a GPU.

    cpu_stubs.py SITE-PACKAGES [FOLDER]

PyTorch's libraries are linked to NVIDIA's, and the loader wants every library and symbol that they name. This writes one library,
libno_cuda.so, that has them all, and links to it by the name of each missing one, into FOLDER (default: torch/lib). Its functions
report that there is no device, which PyTorch takes for a machine without a GPU. Needs gcc and binutils.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

NO_DEVICE = 100  # cudaErrorNoDevice of the CUDA runtime API; any other than 0 is an error in the other libraries
LIBRARY, FUNCTION = re.compile(r"lib(cu|nv|nccl)"), re.compile(r"(cu|nv|nccl)")  # names of NVIDIA's


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needs(library):
    """Returns the names of the libraries that a library needs, and {version: library} of the versions of symbols."""
    text = output("objdump", "--private-headers", str(library))
    versions, owner = {}, None
    for line in text[text.find("Version References:"):].splitlines():
        if match := re.match(r" +required from (\S+):", line):
            owner = match[1]
        elif owner and (match := re.match(r" +0x\w+ 0x\w+ \d+ (\S+)", line)):
            versions[match[1]] = owner
    return set(re.findall(r"NEEDED +(\S+)", text)), versions


def symbols(library):
    """Returns the symbols (name, version or "") that a library defines, and those that it must find elsewhere."""
    defined, undefined = set(), set()
    for line in output("nm", "--dynamic", "--format=posix", str(library)).splitlines():
        name, kind = line.split()[:2]
        name, _, version = name.partition("@")
        (undefined if kind == "U" else defined).add((name, version.lstrip("@")))
    return defined, undefined


def main(packages, target=None):
    lib = pathlib.Path(packages) / "torch" / "lib"
    target = pathlib.Path(target or lib)
    present = [path for path in sorted(lib.glob("*.so*")) if not path.is_symlink() and path.name != "libno_cuda.so"]
    needed, versions, defined, undefined = set(), {}, set(), set()
    for library in present:
        names, found = needs(library)
        own, wanted = symbols(library)
        needed, versions, defined, undefined = needed | names, versions | found, defined | {n for n, _ in own}, undefined | wanted
    missing = sorted(n for n in needed - {p.name for p in present} if LIBRARY.match(n))
    # Those without a version are of libraries that have none; the rest of them is Python's and C++'s.
    stubs = {(n, v) for n, v in undefined if (versions.get(v) in missing if v else n not in defined and FUNCTION.match(n))}
    code, nodes = [], {}
    for name, version in sorted(stubs):
        # The constructors of CUDA code keep handles, and messages are read: these return a pointer, all others a status.
        pointer = name.startswith("__cuda") or name.endswith(("ErrorString", "ErrorName"))
        code.append(f"void *{name}(void) {{ return text; }}" if pointer else f"int {name}(void) {{ return {NO_DEVICE}; }}")
        nodes.setdefault(version, []).append(name)
    nodes.pop("", None)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        source, script = pathlib.Path(work, "stubs.c"), pathlib.Path(work, "versions")
        source.write_text('static char text[64] = "no CUDA in this installation";\n' + "\n".join(code) + "\n")
        script.write_text("\n".join(f"{version} {{ {'; '.join(names)}; }};" for version, names in nodes.items()) + "\n")
        output("gcc", "-shared", "-fPIC", "-s", "-w", "-fno-builtin", "-nostdlib", f"-Wl,--version-script={script}",
               "-Wl,-soname,libno_cuda.so", "-o", str(target / "libno_cuda.so"), str(source))
    for name in missing:
        link = target / name
        link.unlink(missing_ok=True)
        os.symlink("libno_cuda.so", link)
    print(f"libno_cuda.so with {len(stubs)} functions stands for {' '.join(missing)}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
