#!/usr/bin/env python3
"""field.py GFXBRIDGE: the kinds of trouble that owners of real cards report, each on several described machines.

A case is one of tests/machines with lines changed: described, not captured. The kinds and what is looked at for each
are docs/field.md; nothing here ran on an AMD GPU."""
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import answer, call, machine  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge field ")
GIB = 1 << 30
HALO, POINT, XTX = "strixhalo-cwsr", "strixpoint-890m", "rx7900xtx-raphael"
MODEL = "gpt-oss-120b-GGUF"  # 63,668,435,456 bytes with what it needs beside its weights


def variant(base, add="", **swaps):
    """A machine with the lines of some paths replaced; a path named in `add` is the added one's alone."""
    with open(machine(base), encoding="utf-8") as f:
        text = f.read()
    for path in re.findall(r"^\w+ (\S+)", add, flags=re.M):
        text = re.sub(rf"^\w+ {re.escape(path)}(?: .*)?\n(?:    .*\n)*", "", text, flags=re.M)
    for name, value in swaps.items():  # files by the end of their path
        text, n = re.subn(rf"^(file \S*/{name}) .*$", rf"\1 {value}", text, flags=re.M)
        assert n, name
    handle, path = tempfile.mkstemp(suffix=".machine", dir=TOP)
    with os.fdopen(handle, "w", encoding="utf-8") as f:
        f.write(text + add)
    return path


def plan(path, *more, code=(0, 3)):
    return answer("plan", "--sysroot", path, *more, code=code)


def choice(of, backend, package="", pci=""):
    for c in of["choices"]:
        if c["backend"] == backend and (c["package"] or "").startswith(package) and pci in "".join(c["gpus"]):
            return c
    raise AssertionError((backend, package, pci))


def doctor(path, **options):
    found = answer("doctor", "--sysroot", path, code=(0, 1), **options)["findings"]
    return {f["code"]: f for f in found}


def both(path, backend="rocm"):
    """A rejected choice, and that doctor's finding has the same words and the same remedy."""
    c = choice(plan(path), backend)
    assert c["state"] == "rejected", c
    found = doctor(path).get(c["code"])
    assert found and found["why"] == c["reason"] and (found["remedy"] or "") == (c["remedy"] or ""), (c, found)
    return c


# ---- memory of an APU, for each backend: by hand ----

def have(path, backend, package=""):
    return choice(plan(path), backend, package)["have_bytes"]


def memory_by_backend():
    # 96 GiB set aside, 15.5 GiB lent: ROCm has the larger pool alone, Vulkan both.
    big = variant(HALO, mem_info_vram_total=96 * GIB, mem_info_vram_used=0, mem_info_gtt_total=16640000000)
    assert have(big, "rocm") == 96 * GIB
    assert have(big, "vulkan", "debian-vulkan") == 96 * GIB + 16640000000
    # 512 MiB set aside, 105 GiB lent: from GTT, never the sum.
    lent = variant(HALO, mem_info_vram_used=0)
    assert have(lent, "rocm") == 112742891520
    assert have(lent, "vulkan") == 512 * 1024**2 + 112742891520
    # Only 256 MiB of the carve-out can be seen by the CPU: RADV counts no more of it.
    assert have(variant(HALO, "file /sys/bus/pci/devices/0000:bf:00.0/mem_info_vis_vram_total 268435456\n",
                        mem_info_vram_total=8 * GIB, mem_info_vram_used=0), "vulkan") == 256 * 1024**2 + 112742891520
    # Equal halves: VRAM is not smaller than GTT, so it is VRAM.
    even = variant(HALO, mem_info_vram_total=64 * GIB, mem_info_vram_used=0, mem_info_gtt_total=64 * GIB)
    assert have(even, "rocm") == 64 * GIB
    # Before Linux 6.10 ROCm took the carve-out alone.
    old = variant(POINT, osrelease="6.8.0-60-generic")
    assert have(old, "rocm") == 536870912 and have(variant(POINT), "rocm") == 16664469504
    # TTM lets out 12 GiB, whatever the size of GTT.
    ttm = variant(HALO, pages_limit=3145728, mem_info_vram_used=0)
    assert have(ttm, "rocm") == 12 * GIB and have(ttm, "vulkan") == 512 * 1024**2 + 12 * GIB


def unified_memory():
    """The variable by which llama.cpp corrupts large models on gfx1151 is never set there, nor anywhere without need."""
    for base, swaps in ((HALO, {}), (HALO, {"mem_info_gtt_total": 16 * GIB}), (POINT, {}), ("phoenix-780m", {}),
                        ("rembrandt-680m", {})):
        for more in ((), ("--model", MODEL)):
            for c in plan(variant(base, **swaps), *more)["choices"]:
                assert not any("UNIFIED" in name for name in c["env"]), (base, c)


def a_model_and_its_pool():
    """Fits in the carve-out; fits in neither pool, although it would in their sum."""
    big = variant(HALO, mem_info_vram_total=96 * GIB, mem_info_vram_used=0, mem_info_gtt_total=16640000000)
    c = choice(plan(big, "--model", MODEL), "rocm")
    assert c["state"] == "usable" and c["have_bytes"] == 96 * GIB, c
    halves = variant(HALO, mem_info_vram_total=48 * GIB, mem_info_vram_used=0, mem_info_gtt_total=40 * GIB)
    p = plan(halves, "--model", MODEL)
    assert choice(p, "rocm")["have_bytes"] == 48 * GIB and "on the CPU" in choice(p, "rocm")["reason"], p["choices"][0]
    assert p["choices"][p["chosen"]]["backend"] == "vulkan", p["choices"][0]


def ttm_below_gtt():
    for pages, size in ((3145728, "12.0 GiB"), (262144, "1.0 GiB"), (8388608, "32.0 GiB")):
        found = doctor(variant(HALO, pages_limit=pages))["ttm-limit"]
        assert found["severity"] == "warn" and str(pages) in found["why"] and size in found["why"], found
    assert "ttm-limit" not in doctor(variant(HALO))
    # A carve-out that is larger than what could be lent: nothing is gained.
    assert "ttm-limit" not in doctor(variant(HALO, mem_info_vram_total=112 * GIB, mem_info_gtt_total=16 * GIB))


# ---- where the remedy is typed ----

TTM = "ttm.pages_limit="


def ttm_remedy(lines):
    return doctor(variant("strixhalo-old-kernel", lines))["ttm-limit"]["remedy"]


def boot_loaders():
    cases = {
        "file /etc/default/grub\nfile /usr/sbin/update-grub\n": ("sudo sed -i", "/etc/default/grub && sudo update-grub"),
        "file /etc/default/grub\nfile /boot/grub2/grub.cfg\n": ("sudo sed -i", "grub2-mkconfig -o /boot/grub2/grub.cfg"),
        "file /etc/default/grub\nfile /boot/grub/grub.cfg\n": ("sudo sed -i", "grub-mkconfig -o /boot/grub/grub.cfg"),
        "file /usr/sbin/grubby\nfile /etc/default/grub\n": ('sudo grubby --update-kernel=ALL --args="ttm',),
        "file /run/ostree-booted\nfile /usr/bin/rpm-ostree\nfile /usr/sbin/grubby\n":
            ("sudo rpm-ostree kargs --append-if-missing=ttm",),
        "file /usr/bin/kernelstub\n": ('sudo kernelstub -a "ttm',),
        "file /etc/default/limine\n": ("/etc/default/limine", "limine-mkinitcpio"),
        "file /boot/limine.conf\n": ("limine.conf",),
        "file /etc/NIXOS\nfile /etc/default/grub\n": ("boot.kernelParams", "nixos-rebuild"),
        "file /boot/loader/loader.conf\n": ("options line", "loader/entries"),
        "file /etc/kernel/proxmox-boot-uuids\nfile /etc/kernel/cmdline quiet\n": ("proxmox-boot-tool refresh",),
        "file /boot/syslinux/syslinux.cfg\n": ("append line",),
        # What booted decides between two that are installed.
        "file /etc/default/grub\nfile /usr/sbin/update-grub\nfile /boot/loader/loader.conf\n"
        "file /gfxbridge/boot_loader systemd-boot 257.9\n": ("options line",),
        "file /etc/default/grub\nfile /usr/sbin/update-grub\nfile /boot/loader/loader.conf\n"
        "file /gfxbridge/boot_loader GRUB 2.12\n": ("sudo update-grub",),
    }
    for lines, parts in cases.items():
        remedy = ttm_remedy(lines)
        assert all(p in remedy for p in parts) and TTM in remedy and "restart" in remedy, (lines, remedy)
        assert ("grub" in remedy) == ("grub" in "".join(parts)), (lines, remedy)


def boot_loader_unknown():
    """No command that may be wrong, by no distribution's name."""
    for name in ("ubuntu", "fedora", "arch", "cachyos", "opensuse-tumbleweed", "pop"):
        remedy = ttm_remedy(f"file /etc/os-release ID={name}\n")
        assert TTM in remedy and "kernel command line" in remedy, remedy
        assert not re.search(r"sudo|grub|sed ", remedy), remedy


def kernel_things_in_a_container():
    """A container has no boot loader and no modules: it is said where they belong."""
    grub = "file /etc/default/grub\nfile /usr/sbin/update-grub\n"
    where = {"docker": "on the host", "podman": "on the host", "lxc": "on the host", "distrobox": "on the host",
             "toolbox": "on the host", "kubernetes": "node of the cluster", "snap": "outside of the snap",
             "flatpak": "outside of the flatpak", "systemd-nspawn": "on the host"}
    for name, words in where.items():
        remedy = ttm_remedy(grub + f"file /gfxbridge/container {name}\n")
        assert remedy.split(",")[0].endswith(words) and TTM in remedy and not re.search(r"sudo|grub", remedy), (name, remedy)
    for module in ("absent /sys/module/amdgpu\n", "dir /sys/module/amdgpu\n"):
        path = variant("no-driver", "file /gfxbridge/container docker\n" + module)
        for c in plan(path)["choices"]:
            if c["backend"] != "cpu" and c["state"] == "rejected" and c["code"] == "driver-missing":
                assert c["remedy"].startswith("on the host: "), c


def containers_are_told_apart():
    podman = "file /run/.containerenv\n"
    assert detect_container(podman) == "podman"
    assert detect_container(podman + "file /usr/bin/distrobox-host-exec\n") == "distrobox"
    assert detect_container("file /.dockerenv\nfile /etc/profile.d/distrobox_profile.sh\n") == "distrobox"
    assert detect_container(podman + "file /run/.toolboxenv\n") == "toolbox"
    assert detect_container("file /usr/bin/distrobox-host-exec\n") is None  # the host of the boxes


def detect_container(lines):
    return answer("detect", "--sysroot", variant("rx7800xt", lines))["host"]["container"]


def virtual_machines():
    none = "file /sys/class/dmi/id/sys_vendor %s\nfile /sys/class/dmi/id/product_name %s\n"
    for vendor, product, word in (("QEMU", "Standard PC", "KVM"), ("VMware, Inc.", "VMware20,1", "VMware"),
                                  ("innotek GmbH", "VirtualBox", "VirtualBox"),
                                  ("Microsoft Corporation", "Virtual Machine", "Hyper-V"), ("Xen", "HVM domU", "Xen")):
        path = variant("no-gpu-vm", none % (vendor, product))
        c = choice(plan(path), "rocm")
        assert c["code"] in ("no-gpu", "not-amd") and (c["code"] != "no-gpu" or word in c["reason"]), (vendor, c)
    empty = "file /proc/sys/kernel/osrelease %s\nfile /gfxbridge/container docker\ndir /sys/bus/pci/devices\n"
    for kernel, word in (("6.12.54-linuxkit", "Docker Engine"), ("6.11.2-orbstack-00280", "OrbStack")):
        path = os.path.join(TOP, kernel + ".machine")
        with open(path, "w", encoding="utf-8") as f:
            f.write("gfxbridge machine 1\nabsent /dev/dri\nabsent /dev/kfd\ndir /sys/class/drm\nabsent /sys/class/kfd\n"
                    + empty % kernel)
        for backend in ("rocm", "vulkan"):
            c = choice(plan(path), backend)
            assert c["code"] == "no-gpu" and "in this container" in c["reason"] and word in c["reason"], c
            assert "this computer" not in c["reason"]


def passed_through():
    """A card that a virtual machine was given, and that its driver could not start."""
    igpu = variant("no-driver", "dir /sys/module/amdgpu\nfile /sys/class/dmi/id/sys_vendor QEMU\n"
                   "file /proc/sys/kernel/osrelease 6.14.0-37-generic\n")
    c = next(c for c in plan(igpu)["choices"] if c["code"] == "driver-missing" and c["backend"] == "vulkan")
    assert "new enough" in c["reason"] and "too old" not in c["reason"] and "modprobe" not in c["remedy"], c
    assert "virtual machine" in c["reason"], c


# ---- device nodes: errno, mode, owner, container ----

def node(kind, mode, gid, result, container=""):
    path = "/dev/kfd" if kind == "kfd" else "/dev/dri/renderD128"
    add = f"char {path} {mode} 0 {gid} open={result}\n"
    if container:
        add += f"file /gfxbridge/container {container}\n"
    return both(variant("rx7800xt", add), "rocm" if kind == "kfd" else "vulkan")


def nodes():
    cases = [
        # kind, mode, gid, errno, container, code, in the reason or remedy, in neither
        ("kfd", "0666", 992, "EINVAL", "", "kfd-missing", ("locked", "reboot"), ("usermod", "dev0")),
        ("kfd", "0660", 992, "EINVAL", "docker", "kfd-missing", ("locked", "host"), ("--device", "group")),
        ("kfd", "0666", 992, "EINVAL", "lxc", "kfd-missing", ("locked", "restart the host"), ("dev0", "gid=")),
        ("kfd", "0666", 992, "EPERM", "", "kfd-permission", ("no group", "DeviceAllow"), ("usermod",)),
        ("kfd", "0660", 992, "EPERM", "docker", "kfd-permission", ("device cgroup", "--device /dev/kfd"), ("--group-add",)),
        ("kfd", "0666", 992, "EPERM", "lxc", "kfd-permission", ("device cgroup", "lxc.cgroup2.devices.allow"), ("usermod",)),
        ("render", "0666", 992, "EPERM", "podman", "render-permission", ("device cgroup", "--device /dev/dri"), ("keep-groups",)),
        ("kfd", "0666", 992, "EACCES", "", "kfd-permission", ("0666", "security policy", "nodev"), ("usermod",)),
        ("kfd", "0666", 65534, "EACCES", "podman", "kfd-permission", ("container_use_devices", "label"), ("keep-groups",)),
        ("render", "0666", 992, "EACCES", "docker", "render-permission", ("container_use_devices",), ("--group-add",)),
        ("render", "0666", 992, "EACCES", "lxc", "render-permission", ("AppArmor",), ("gid=",)),
        ("kfd", "0660", 992, "EACCES", "", "kfd-permission", ("992", "usermod -aG"), ("SELinux",)),
        ("kfd", "0660", 65534, "EACCES", "podman", "kfd-permission", ("keep-groups",), ("usermod", "65534)")),
        ("render", "0660", 65534, "EACCES", "distrobox", "render-permission", ("keep-groups",), ("usermod",)),
        ("kfd", "0660", 992, "EACCES", "docker", "kfd-permission", ("--group-add 992",), ("usermod",)),
        ("render", "0600", 0, "EACCES", "", "render-permission", ("root's own", "udev"), ()),
        ("kfd", "0660", 992, "ENOMEM", "", "kfd-missing", ("memory",), ("usermod", "modprobe")),
        ("render", "0666", 992, "ENODEV", "", "render-permission", ("given this GPU up",), ("usermod",)),
        ("kfd", "0666", 992, "ENXIO", "", "kfd-missing", ("no driver answers",), ("usermod",)),
        ("kfd", "0666", 992, "ENXIO", "lxc", "kfd-missing", ("numbers of no driver",), ("usermod",)),
        ("render", "0660", 992, "EIO", "docker", "render-permission", ("Input/output error", "on the host"), ("--group-add",)),
        ("render", "0660", 992, "EPERM", "flatpak", "render-permission", ("flatpak confinement",), ("usermod",)),
    ]
    for kind, mode, gid, result, container, code, said, not_said in cases:
        c = node(kind, mode, gid, result, container)
        text = c["reason"] + " " + c["remedy"]
        assert c["code"] == code, (result, container, c["code"])
        assert all(s in text for s in said) and not any(s in text for s in not_said), (result, container, text)


# ---- closed worlds ----

def no_node_in_kfd():
    """Recorded whole and the card is not in it: no ROCm, and why, as far as it can be seen."""
    def without(base, **swaps):
        path = variant(base, **swaps)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        text = re.sub(r"^\w+ /sys/class/kfd/kfd/topology/nodes/[1-9]\S*(?: .*)?\n(?:    .*\n)*", "", text, flags=re.M)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path
    cases = [
        ("rx580", {}, "kfd-missing", "PCIe atomics"),
        ("rx6900xt", {"mec_fw_version": "0x0000005b"}, "kfd-missing", "MEC firmware is 91, and before 92"),
        ("rx7800xt", {"mec_fw_version": "0x000001fc"}, "kfd-missing", "MEC firmware is 508, and before 509"),
        ("rx7800xt", {"osrelease": "5.19.0-50-generic"}, "kernel-quirk", "Linux 6.1 or later"),
        ("strixhalo-cwsr", {"osrelease": "6.1.0-40-amd64"}, "kernel-quirk", "Linux 6.9 or later"),
        ("rx9070xt-graniteridge", {"osrelease": "6.8.0-101-generic"}, "kernel-quirk", "Linux 6.12 or later"),
        ("strixhalo-cwsr", {}, "kfd-missing", "locked"),
    ]
    for base, swaps, code, words in cases:
        c = both(without(base, **swaps)) if base != "rx9070xt-graniteridge" else \
            choice(plan(without(base, **swaps)), "rocm", pci="0000:03:00.0")
        assert c["code"] == code and words in c["reason"], (base, c["code"], c["reason"])
        assert choice(plan(without(base, **swaps)), "vulkan")["state"] == "usable", base


def no_render_node():
    """Neither ROCm nor Vulkan."""
    for base in ("rx7800xt", "phoenix-780m", "rx6900xt"):
        path = variant(base)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        text = re.sub(r"^\w+ /(?:sys/class/drm/|dev/dri/)\S+.*\n", "", text, flags=re.M)
        text = re.sub(r"^    drm_render_minor 12\d\n", "", text, flags=re.M)
        for add, code in (("", "driver-missing"), ("file /gfxbridge/container docker\n", "render-permission")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text + add)
            p = plan(path)
            for backend in ("rocm", "vulkan"):
                c = choice(p, backend)
                assert c["state"] == "rejected" and c["code"] == code and "render node" in c["reason"], (base, c)
            assert p["choices"][p["chosen"]]["backend"] == "cpu"


def no_apt_no_debian():
    for name, has in (("fedora", False), ("arch", False), ("opensuse-leap", False), ("slackware", False), ("nixos", False),
                      ("debian", True), ("ubuntu", True)):
        path = variant("rx7800xt", f"file /etc/os-release ID={name}\n")
        for c in plan(path)["choices"]:
            if c["source"] == "debian":
                assert (c["state"] != "rejected") == has, (name, c)
    like = variant("rx7800xt", "file /etc/os-release\n    ID=pop\n    ID_LIKE=\"ubuntu debian\"\n")
    assert choice(plan(like), "vulkan")["source"] == "debian"
    apt = variant("rx7800xt", "file /etc/os-release ID=fedora\nfile /usr/bin/apt-get\n")
    assert choice(plan(apt), "vulkan")["source"] == "debian"


# ---- versions ----

def kernels():
    """No driver holds the card because the kernel is older than the chip: both versions are named."""
    for device, kernel, gfx, first in (("0x7551", "6.8.0-101-generic", "gfx1201", "6.12"),
                                       ("0x7590", "6.11.0-29-generic", "gfx1200", "6.12"),
                                       ("0x744c", "5.15.0-160-generic", "gfx1100", "6.0"),
                                       ("0x1586", "6.8.0-60-generic", "gfx1151", "6.9"),
                                       ("0x73bf", "5.4.0-200-generic", "gfx1030", "5.9")):
        path = variant("no-driver", f"dir /sys/module/amdgpu\nfile /proc/sys/kernel/osrelease {kernel}\n"
                       f"file /sys/bus/pci/devices/0000:03:00.0/device {device}\n"
                       f"file /sys/bus/pci/devices/0000:03:00.0/uevent PCI_ID=1002:{device[2:].upper()}\n")
        p = plan(path)
        for backend, code in (("rocm", "kernel-quirk"), ("vulkan", "driver-missing")):
            c = choice(p, backend, pci="0000:03:00.0")
            assert c["code"] == code and kernel in c["reason"] and gfx in c["reason"], c
            assert f"Linux {first} or later" in c["reason"] and "modprobe" not in c["remedy"], c
    # RHEL's kernels have newer drivers than their number says.
    path = variant("no-driver", "dir /sys/module/amdgpu\nfile /proc/sys/kernel/osrelease 5.14.0-570.el9.x86_64\n")
    assert "too old for gfx" not in choice(plan(path), "vulkan", pci="0000:03:00.0")["reason"]


def a_kernel_that_works_all_the_same():
    for base, kernel, first in (("r9700-x4", "6.8.0-101-generic", "6.12"), ("rx7800xt", "5.19.1", "6.1"),
                                ("strixpoint-890m", "6.6.9", "6.7")):
        c = choice(plan(variant(base, osrelease=kernel)), "rocm")
        assert c["state"] == "usable" and any(f"Linux {first} or later" in w and kernel in w for w in c["warnings"]), c
    dkms = variant("rx7800xt", "file /sys/module/amdgpu/version 6.12.12\n", osrelease="5.19.1")
    assert not any("or later" in w for w in choice(plan(dkms), "rocm")["warnings"])


def mesas():
    """The version in the driver's file; else the newest of the release, on a computer that is not at hand."""
    for base, mesa, needed in (("strixhalo-cwsr", "Mesa 23.2.1-1ubuntu3.1~22.04.3", "24.1"),
                               ("krackan-860m", "Mesa 24.1.3", "24.1.4"), ("rx7800xt", "Mesa 22.2.5", "22.3"),
                               ("rx9070xt-graniteridge", "Mesa 24.2.8-1ubuntu1~24.04.1", "25.0")):
        with open(machine(base), encoding="utf-8") as f:
            path = re.search(r"^file (\S*libvulkan_radeon\.so)", f.read(), flags=re.M).group(1)
        old = choice(plan(variant(base, f"file {path} {mesa}\n")), "vulkan", pci="" if "ridge" not in base else "0000:03")
        assert old["code"] == "vulkan-driver-missing" and mesa in old["reason"], old
        assert f"Mesa {needed} or later" in old["reason"] and "apt" not in old["remedy"], old
        new = choice(plan(variant(base, f"file {path} Mesa {needed}-2\n")), "vulkan")
        assert new["state"] == "usable", new
    for release, version, state in (("ubuntu", "22.04", "rejected"), ("ubuntu", "20.04", "rejected"),
                                    ("debian", "12", "rejected"), ("debian", "13", "usable"), ("ubuntu", "26.04", "usable")):
        c = choice(plan(variant("strixhalo-cwsr", f"file /etc/os-release\n    ID={release}\n    VERSION_ID=\"{version}\"\n")),
                   "vulkan")
        assert c["state"] == state, (release, version, c)
    inside = choice(plan(variant("strixhalo-cwsr", "file /gfxbridge/container docker\nfile /etc/os-release\n    ID=ubuntu\n"
                                 "    VERSION_ID=\"22.04\"\n    PRETTY_NAME=\"Ubuntu 22.04\"\n")), "vulkan")
    assert "in this container" in inside["reason"] and "newest of Ubuntu 22.04" in inside["reason"], inside


# ---- the best card left out ----

def left_out():
    """A smaller one is chosen: the first lines say so, with the reason."""
    shut = "char /dev/dri/renderD128 0660 0 992 open=EACCES\n"
    cases = [(variant(XTX, shut), "7900 XTX", "renderD128 may not be opened")]
    gone = "absent /sys/bus/pci/devices/0000:03:00.0/driver\nfile /sys/bus/pci/devices/0000:03:00.0/uevent PCI_ID=1002:744C\n"
    path = variant(XTX, gone)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r"^\w+ /sys/class/(?:kfd/kfd/topology/nodes/1|drm/card1|drm/renderD128)/.*\n(?:    .*\n)*", "", text,
                  flags=re.M)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    cases.append((path, "7900 XTX", "No kernel driver is bound"))
    vfio = variant("framework16", "link /sys/bus/pci/devices/0000:03:00.0/driver ../../drivers/vfio-pci\n")
    with open(vfio, encoding="utf-8") as f:
        text = f.read()
    nodes_of = re.findall(r"^file (/sys/class/kfd/kfd/topology/nodes/\d+)/properties\n((?:    .*\n)*)", text, flags=re.M)
    for where, body in nodes_of:
        if "location_id 768\n" in body:
            text = re.sub(rf"^file {where}/\S+.*\n(?:    .*\n)*", "", text, flags=re.M)
    with open(vfio, "w", encoding="utf-8") as f:
        f.write(text.replace("    DRIVER=amdgpu\n", ""))
    cases.append((vfio, "7700S", "vfio-pci"))
    for path, name, words in cases:
        p = plan(path)
        out = p["choices"][p["left_out"]]
        assert words in out["reason"] and p["choices"][p["chosen"]]["gpus"] != out["gpus"], out
        head = call("plan", "--sysroot", path).stdout.split("->")[0]
        assert name in head and "is left out" in head and words in head, head
    for base in (XTX, "rx7800xt", "hd6950", "intel-only"):
        p = plan(machine(base))
        assert (p["left_out"] is not None) == (base == "hd6950"), (base, p["left_out"])
    assert plan(machine(XTX), "--gpu", "0000:18:00.0")["left_out"] is None  # as was asked for


# ---- overrides ----

def overrides():
    cases = [
        ("rx7800xt", "", "lists no GPU at all"), ("rx7800xt", '"11.0.0"', "lists no GPU at all"),
        ("rx7800xt", "gfx1100", "lists no GPU at all"), ("rx7800xt", "11.0", "lists no GPU at all"),
        ("rx7800xt", "11.0.0.0", "lists no GPU at all"), ("rx7800xt", "64.0.0", "lists no GPU at all"),
        ("rx7800xt", "11.0.9", "knows no GPU of this version"), ("rx7800xt", "11.0.1", "changes nothing"),
        ("rx7800xt", "10.3.0", "another instruction set"), ("strixhalo-cwsr", "12.0.1", "another instruction set"),
        ("phoenix-780m", "11.0.0", "fewer registers"), ("krackan-860m", "11.5.1", "fewer registers"),
        ("rx6600", "10.3.0", "which it can"), ("rx7800xt", "11.0.0", "can hang"),
    ]
    for base, value, words in cases:
        path = variant(base, f"file /gfxbridge/override_gfx {value}\n" if value else "file /gfxbridge/override_gfx\n")
        found = doctor(path)["override-set"]
        assert words in found["why"] and "unset HSA_OVERRIDE_GFX_VERSION" in found["remedy"], (value, found)
        assert ("empty" in found["what"]) == (not value), found
        c = choice(plan(path), "rocm")
        assert any("not passed on" in w and words in w for w in c["warnings"]), c
        assert not any("OVERRIDE" in name for name in c["env"]), c
    assert "override-set" not in doctor(machine("rx7800xt"))
    done = call("doctor", env={"HSA_OVERRIDE_GFX_VERSION": ""}, code=(0, 1)).stdout
    assert "defined and empty" in done, done


# ---- what a capture records ----

def captures_keep_it():
    lines = ("file /usr/sbin/grubby\nfile /gfxbridge/boot_loader GRUB 2.12\nfile /gfxbridge/override_gfx\n"
             "file /sys/class/dmi/id/sys_vendor QEMU\nfile /usr/bin/apt-get\n"
             "file /proc/cmdline BOOT_IMAGE=/vmlinuz root=UUID=1-2 ro amdgpu.gttsize=1 ttm.pages_limit=3145728 cryptdevice=x\n"
             "file /sys/bus/pci/devices/0000:bf:00.0/mem_info_vis_vram_total 268435456\n"
             "file /usr/lib/x86_64-linux-gnu/libvulkan_radeon.so Mesa 25.2.1\n"
             "file /usr/lib64/libvulkan_radeon.so Mesa 25.2.1\n")
    text = call("capture", "--sysroot", variant(HALO, lines)).stdout
    for line in ("file /usr/sbin/grubby\n", "boot_loader GRUB 2.12", "file /gfxbridge/override_gfx\n", "vm KVM",
                 "/usr/bin/apt-get", "/proc/cmdline amdgpu.gttsize=1 ttm.pages_limit=3145728\n", "vis_vram_total 268435456",
                 "libvulkan_radeon.so Mesa 25.2.1"):
        assert line in text, (line, text)
    assert "UUID" not in text and "cryptdevice" not in text


# ---- damaged downloads ----

def downloads():
    """A file that is something else says what it is, as a model and as a package."""
    cases = [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "a Git LFS pointer", "git lfs pull"),
        (b"# xet version 0\nfilesize = 5\n", "a Xet pointer", "download the file itself"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page", "login"),
        (b"\xef\xbb\xbf\r\n<HTML lang=en>", "a web page", "login"),
        (b'{"error":"Access to model is restricted"}', "a server's answer", "why"),
        (b"Entry not found\n", "a server's answer", "why"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "a server's answer", "why"),
        (bytes(4096), "empty at its beginning", "not ended"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}}" + bytes(64), "a safetensors file", "GGUF"),
    ]
    for n, (content, what, then) in enumerate(cases):
        for name in (f"{n}.gguf", f"{n}.tar.gz"):
            path = os.path.join(TOP, name)
            with open(path, "wb") as f:
                f.write(content)
            command = ("import",) if name.endswith("gguf") else ("inspect",)
            said = call(*command, path, code=(1, 2, 3)).stderr
            if content.strip(b"\0") or name.endswith("gguf"):  # zeros are an empty tar
                assert what in said and then in said, (name, said)
    path = os.path.join(TOP, "model.zip")
    with open(path, "wb") as f:
        f.write(b"PK\3\4" + bytes(10))
    assert "is incomplete: download it again" in call("inspect", path, code=(1, 2, 3)).stderr
    with open(path + ".gguf", "wb") as f:
        f.write(b"PK\3\4" + bytes(100))
    assert "a zip archive" in call("import", path + ".gguf", code=(1, 2, 3)).stderr
    with open(os.path.join(TOP, "other.gguf"), "wb") as f:
        f.write(b"not at all" * 10)
    assert 'does not start with "GGUF"' in call("import", f.name, code=(1, 2, 3)).stderr


try:
    tap.run([
        ("memory: of an APU, for each backend, by hand", memory_by_backend),
        ("memory: unified memory is never set where it corrupts or is not needed", unified_memory),
        ("memory: a model and the pool that holds it", a_model_and_its_pool),
        ("memory: TTM's limit below GTT", ttm_below_gtt),
        ("place: each boot loader by what is on the disk", boot_loaders),
        ("place: no boot loader known, no command", boot_loader_unknown),
        ("place: kernel arguments and modules in a container", kernel_things_in_a_container),
        ("place: kinds of containers", containers_are_told_apart),
        ("place: virtual machines and Docker Desktop", virtual_machines),
        ("place: a card given to a virtual machine", passed_through),
        ("nodes: errno, mode, owner and container", nodes),
        ("closed: KFD without a node for the card", no_node_in_kfd),
        ("closed: no render node", no_render_node),
        ("closed: no apt, no Debian package", no_apt_no_debian),
        ("versions: a kernel older than the chip", kernels),
        ("versions: a kernel that drives it all the same", a_kernel_that_works_all_the_same),
        ("versions: a Mesa older than the chip", mesas),
        ("left out: the best card, in the headline", left_out),
        ("override: what ROCm does with each value", overrides),
        ("capture: what these answers need", captures_keep_it),
        ("downloads: a file that is something else", downloads),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
