#!/usr/bin/env python3
"""doctor.py GFXBRIDGE: every finding has its remedy, and messages of other programs are known."""
import os
import re
import shutil
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import SOURCE, answer, call, machine  # noqa: E402
from server import Server  # noqa: E402
from unpack import unpack  # noqa: E402

TOP = tempfile.mkdtemp(prefix="gfxbridge doctor ")
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def findings(*arguments, **options):
    return {f["code"]: f for f in answer("doctor", *arguments, code=(0, 1), **options)["findings"]}


def changed(name, *, without=(), lines=""):
    """A captured machine with some paths left out and some lines added."""
    with open(machine(name), encoding="utf-8") as f:
        text = f.read()
    for path in without:
        text = re.sub(rf"^\w+ {re.escape(path)}(?: .*)?\n(?:    .*\n)*", "", text, flags=re.M)
    path = os.path.join(TOP, name + ".machine")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + lines)
    return path


def of(name, **options):
    return findings("--sysroot", changed(name, **options))


def list_of(name):
    return answer("doctor", "--sysroot", machine(name), code=(0, 1))


def a_card_beside_one_that_works():
    for name, address, code, remedy in (
            ("vfio-passthrough", "0000:03:00.0", "driver-not-amdgpu", "driverctl unset-override"),
            ("broken-no-revision", "0000:03:00.0", "driver-missing", "modprobe amdgpu"),
            ("kfd-unreadable-node", "0000:03:00.0", "kfd-missing", "--device /dev/kfd")):
        value = list_of(name)
        found = [f for f in value["findings"] if address in f["what"]]
        assert len(found) == 1 and found[0]["code"] == code, (name, value)
        assert found[0]["severity"] == "warn" and remedy in found[0]["remedy"], (name, found)
        assert value["ok"] is False, name


def what_nobody_can_change_is_a_fact():
    """Old or headless cards: told, without a remedy that cannot help, and nothing is wrong."""
    for name in ("mi300x-x8", "mi50-x2", "hd6950", "es1000", "kaveri-a10", "r9-380", "raven-2400g",
                 "renoir-4500u", "nvidia-cezanne", "stoney-laptop", "bmc-only", "no-gpu-vm", "rpi5",
                 "ampere-rx6700xt"):
        value = list_of(name)
        told = [f for f in value["findings"] if "cannot be used" in f["what"]]
        assert value["ok"], (name, value)
        assert all(f["severity"] == "info" and not f["remedy"] for f in told), (name, told)
    # ROCm is no way for this card, but the wrong driver is in Vulkan's.
    found = of("hd7970-radeon")
    assert found["gfx-not-in-package"]["severity"] == "info", found
    assert found["driver-not-amdgpu"]["severity"] == "warn", found


def groups():
    found = of("kfd-eacces")["kfd-permission"]
    assert "render (992)" in found["why"], found
    assert found["remedy"].startswith('sudo usermod -aG render "$USER"'), found
    for gid in (0, 4711):  # root's own, and one without a name: there is nothing to join
        found = of("kfd-eacces", without=["/dev/kfd"],
                   lines=f"char /dev/kfd 0660 0 {gid} open=EACCES\n")["kfd-permission"]
        assert 'KERNEL=="kfd", GROUP="render"' in found["remedy"], found
    for code in ("kfd-permission", "render-permission"):
        found = of("docker-no-group")[code]
        assert "--group-add 992" in found["remedy"] and "--group-add 992" in found["why"], found


def containers():
    """Each kind of container has a way of its own, and no advice is that of another one."""
    def all_of(name, **options):
        return of(name, **options).values()

    for name, word in (("snap-confined", "snap"), ("flatpak", "outside of flatpak")):
        told = [f for f in all_of(name) if "cannot be used" in f["what"]]
        assert told and all(word in f["remedy"] and word in f["why"] for f in told), told
        assert not any(w in f["remedy"] + f["why"] for f in told
                       for w in ("--device", "--group-add", "apt install")), told
    found = of("strixhalo-lxc")["kfd-missing"]
    for text in (found["why"], found["remedy"]):
        assert "dev0: /dev/kfd,gid=N" in text and "lxc.cgroup2.devices.allow" in text, found
        assert "--device" not in text, found
    found = of("podman-nothing")["render-permission"]
    assert "--device /dev/kfd --device /dev/dri" in found["remedy"], found
    kubernetes = {"without": ["/gfxbridge/container"],
                  "lines": "dir /run/secrets/kubernetes.io\nfile /.dockerenv\n"}
    for code, found in of("docker-no-group", **kubernetes).items():
        assert "supplementalGroups" in found["remedy"] and "992" in found["remedy"], (code, found)
    assert "amd.com/gpu" in of("docker-no-kfd", **kubernetes)["kfd-missing"]["remedy"]
    hidden = "char /dev/kfd 0660 0 65534 open=EACCES\n"
    found = of("docker-no-group", without=["/dev/kfd"], lines=hidden)["kfd-permission"]
    assert "stat -c %g /dev/kfd" in found["remedy"] and "--group-add 65534" not in found["remedy"]


def kernel_without_kfd():
    found = of("kfd-without-amd-hsa")["kfd-missing"]
    assert "CONFIG_HSA_AMD" in found["remedy"] and "modprobe" not in found["remedy"], found


def firmware_and_kernel():
    found = of("strixhalo-mes83")["firmware-quirk"]
    assert "firmware" in found["remedy"] and "kernel" not in found["remedy"], found
    found = of("strixhalo-old-kernel")["kernel-quirk"]
    assert "kernel" in found["remedy"], found


def render_node_of_another_group():
    found = of("render-eacces", without=["/dev/dri/renderD128"],
               lines="char /dev/dri/renderD128 0660 0 39 open=EACCES\n"
                     "file /.dockerenv\n")["render-permission"]
    assert "--group-add 39" in found["remedy"], found


def vulkan_package_by_distribution():
    cases = {"debian": "sudo apt install mesa-vulkan-drivers", "arch": "sudo pacman -S vulkan-radeon",
             "fedora": "sudo dnf install mesa-vulkan-drivers",
             "opensuse": "sudo zypper install libvulkan_radeon"}
    for name, remedy in cases.items():
        found = of("rx7800xt", without=["/etc/os-release", "/usr/share/vulkan/icd.d",
                                        "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
                                        "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json"],
                   lines=f"file /etc/os-release ID={name}\ndir /usr/share/vulkan/icd.d\n")
        assert found["vulkan-driver-missing"]["remedy"] == remedy, (name, found)


def share_of_memory():
    """Three quarters of 128 GiB in pages, for TTM's own module or for the one of amdgpu-dkms."""
    apu = ("strixhalo-old-kernel", ["/etc/os-release"])
    found = of(apu[0], without=apu[1], lines="file /etc/os-release ID=fedora\nfile /usr/sbin/grubby\n")["ttm-limit"]
    pages = re.fullmatch(r'sudo grubby --update-kernel=ALL --args="ttm\.pages_limit=(\d+)"  # .*',
                         found["remedy"])
    assert pages, found
    with open(machine(apu[0]), encoding="utf-8") as f:
        kib = int(re.search(r"MemTotal: *(\d+)", f.read()).group(1))
    assert abs(int(pages.group(1)) - kib // 4 * 3 // 4) <= 1, (found, kib)
    found = of(apu[0], without=apu[1], lines="file /etc/os-release ID=debian\n"
               "file /etc/default/grub\nfile /usr/sbin/update-grub\n"
               "file /sys/module/amdgpu/version 6.14.14\n")["ttm-limit"]
    assert "amdttm.pages_limit=" in found["remedy"] and "update-grub" in found["remedy"], found


def kernel_argument_for_every_boot_loader():
    """Each row is whole, and gives every word of an argument, once."""
    for table in ("boot", "distros", "access", "containers", "virtual", "releases"):
        with open(os.path.join(SOURCE, "data", table + ".tsv"), encoding="utf-8") as f:
            rows = [line.rstrip("\n").split("\t") for line in f if line[0] not in "#\n"]
        assert all(len(row) == len(rows[0]) and row[-1] != "-" for row in rows), table
        for row in rows[1:] if table == "boot" else []:
            assert row[3].count("ARG") == 1 and row[4].count("ARG") == 1, row


def driver_that_the_kernel_keeps_away():
    found = of("no-driver", lines="file /proc/cmdline root=/dev/sda1 nomodeset quiet\n")
    assert "nomodeset" in found["driver-disabled"]["remedy"], found
    assert found["driver-disabled"]["severity"] == "block"
    assert "driver-disabled" not in of("no-driver", lines="file /proc/cmdline root=/dev/sda1\n")
    lock = "file /sys/kernel/security/lockdown none [integrity] confidentiality\n"
    assert "mokutil" in of("no-driver", lines=lock)["secure-boot"]["remedy"]
    assert "secure-boot" not in of("rx7800xt", lines=lock)  # its driver is there


def secure_boot():
    top = os.path.join(TOP, "no-driver")
    unpack(machine("no-driver"), top)
    variable = os.path.join(top, SECURE_BOOT.lstrip("/"))
    os.makedirs(os.path.dirname(variable))
    for value, wanted in ((1, True), (0, False)):
        with open(variable, "wb") as f:
            f.write(bytes([6, 0, 0, 0, value]))
        assert ("secure-boot" in findings("--sysroot", top)) == wanted, value


def wsl():
    """What gfxbridge does not support there is said, and nothing is advised that changes nothing."""
    value = list_of("wsl2-rx7900xtx")
    assert value["ok"] and not any(f["remedy"] for f in value["findings"]), value
    found = {f["what"]: f["why"] for f in value["findings"]}
    for what in ("rocm cannot be used", "vulkan cannot be used"):
        assert "/dev/dxg" in found[what] and "not supported by gfxbridge yet" in found[what], found


def a_port_that_somebody_holds():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        env = {"GFXBRIDGE_PORT": str(port)}
        assert "port-in-use" not in findings(env=env)
        holder.listen()
        found = findings(env=env)["port-in-use"]
        assert f"port {port} " in found["what"] and f"process {os.getpid()})" in found["what"], found
        assert f"--port {port + 1}" in found["remedy"], found


def a_port_that_is_ours():
    server = Server(os.path.join(TOP, "data"))
    try:
        assert "port-in-use" not in findings(env={"GFXBRIDGE_PORT": str(server.port)})
    finally:
        server.stop()


def sandbox():
    value = answer("doctor", code=(0, 1))
    found = {f["code"]: f for f in value["findings"]}["sandbox"]
    assert value["sandbox"]["landlock"] >= 0 and "sandbox" in found["what"], value
    value = answer("doctor", code=1, env={"GFXBRIDGE_SANDBOX": "off"})
    found = {f["code"]: f for f in value["findings"]}["sandbox"]
    assert found["severity"] == "warn" and found["remedy"] == "unset GFXBRIDGE_SANDBOX", found
    assert not any(value["sandbox"][k] for k in ("landlock", "files", "network", "alone"))
    assert value["sandbox"]["notes"], value
    assert "sandbox" not in findings("--sysroot", machine("rx7800xt"))


def what_blocks_has_a_remedy():
    """On every captured machine; a system that no package is made for has none."""
    folder = os.path.join(SOURCE, "tests", "machines")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".machine"):
            continue
        for code, found in findings("--sysroot", os.path.join(folder, name)).items():
            assert found["severity"] != "block" or found["remedy"] or code == "no-package", (name,
                                                                                            found)


# A line as a program of this field prints it, and the code of its cause. The sources are in
# data/causes.tsv, beside the patterns.
MESSAGES = [
    ('rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: '
     'No such file or directory for GPU arch : gfx1036',
     'blas-kernels-missing'),
    ('rocBLAS error: Could not initialize Tensile host: No devices found',
     'kfd-permission'),
    ('hipBLASLt error: Heuristic Fetch Failed!',
     'too-slow'),
    ('unsupported GPU: gfx950',
     'gfx-not-in-package'),
    ('ROCM ERROR: NO KERNEL IMAGE IS AVAILABLE FOR EXECUTION ON THE DEVICE',
     'gfx-not-in-package'),
    ('docker: Error response from daemon: Unable to find group render: no matching entries in '
     'group file.',
     'kfd-permission'),
    ('HTTP 403 rate limit exceeded',
     'package-unavailable'),
    ('HTTP/1.1 416 Range Not Satisfiable',
     'package-unavailable'),
    ('HTTP 404 Not Found',
     'package-unavailable'),
    ('curl: (60) SSL certificate problem: unable to get local issuer certificate',
     'package-unavailable'),
    ('Illegal instruction (core dumped)',
     'engine-crash'),
    ('hipblas.dll not found',
     'library-missing'),
    ('ggml_vulkan: Requested buffer size exceeds device memory allocation limit: '
     'ErrorOutOfDeviceMemory',
     'memory-too-small'),
    ('UserWarning: Attempting to use hipBLASLt on an unsupported architecture! '
     'Overriding blas backend to hipblas',
     'ok'),
    ('ROCm error: no kernel image is available for execution on the device',
     'gfx-not-in-package'),
    ('ROCm error: device kernel image is invalid',
     'gfx-not-in-package'),
    ('CUDA error: invalid device function',
     'gfx-not-in-package'),
    ('hipErrorNoBinaryForGpu: Unable to find code object for all current devices!',
     'gfx-not-in-package'),
    ('No compatible code objects found for: gfx1151',
     'gfx-not-in-package'),
    ('Cannot find the function: Cijk_Ailk_Bljk_SB_MT64x64x16',
     'blas-kernels-missing'),
    ("./llama-server: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not "
     'found (required by ./llama-server)',
     'glibc-too-old'),
    ("./llama-server: /lib64/libstdc++.so.6: version `GLIBCXX_3.4.32' not found",
     'glibc-too-old'),
    ('./llama-server: error while loading shared libraries: libamdhip64.so.7: cannot'
     ' open shared object file: No such file or directory',
     'library-missing'),
    ('error while loading shared libraries: libhipblas.so.3: cannot open shared '
     'object file: No such file or directory',
     'library-missing'),
    ('libgomp.so.1: cannot open shared object file: No such file or directory',
     'library-missing'),
    ('libvulkan.so.1: cannot open shared object file: No such file or directory',
     'vulkan-loader-missing'),
    ('symbol lookup error: libggml-hip.so: undefined symbol: hipblasGemmEx_v2',
     'library-missing'),
    ('Unable to open /dev/kfd read-write: Permission denied',
     'kfd-permission'),
    ('open /dev/kfd: permission denied',
     'kfd-permission'),
    ('Unable to open /dev/kfd read-write: No such file or directory',
     'kfd-missing'),
    ('ROCk module is NOT loaded, possibly no GPU devices',
     'driver-missing'),
    ('hsa api call failure at: rocminfo.cc:1219 Call returned '
     'HSA_STATUS_ERROR_OUT_OF_RESOURCES: The runtime failed to allocate the '
     'necessary resources.',
     'kfd-permission'),
    ('amdgpu: amdgpu_device_initialize failed.',
     'render-permission'),
    ('ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected',
     'device-not-listed'),
    ('level=INFO source=amd_linux.go:296 msg="unsupported Radeon iGPU detected '
     'skipping" id=1 total="512 MiB"',
     'ok'),
    ('level=WARN msg="ollama recommends running the '
     'https://www.amd.com/en/support/linux-drivers" error="amdgpu version file '
     'missing: /sys/module/amdgpu/version"',
     'ok'),
    ('amdgpu 0000:c4:00.0: amdgpu: MES failed to respond to msg=REMOVE_QUEUE',
     'firmware-quirk'),
    ('amdgpu 0000:03:00.0: amdgpu: GPU reset begin!',
     'engine-crash'),
    ('[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx_0.0.0 timeout, signaled '
     'seq=5, emitted seq=7',
     'engine-hang'),
    ('amdgpu 0000:03:00.0: amdgpu: [gfxhub] page fault (src_id:0 ring:24 vmid:8 '
     'pasid:32770)',
     'engine-crash'),
    ('kfd kfd: amdgpu: DID 164e is missing, not supported in kfd',
     'kfd-missing'),
    ('kfd kfd: amdgpu: skipped device 1002:67df, PCI rejects atomics 730<0',
     'kfd-missing'),
    ('amdgpu 0000:03:00.0: Direct firmware load for amdgpu/psp_13_0_0_sos.bin failed'
     ' with error -2',
     'driver-missing'),
    ('amdgpu 0000:03:00.0: amdgpu: Fatal error during GPU init',
     'driver-missing'),
    ("modprobe: ERROR: could not insert 'amdgpu': Key was rejected by service",
     'driver-missing'),
    ('Memory access fault by GPU node-1 (Agent handle: 0x5581) on address 0x7f8. '
     'Reason: Page not present or supervisor privilege.',
     'engine-crash'),
    ('HW Exception by GPU node-1 (Agent handle: 0x6) reason :GPU Hang',
     'engine-crash'),
    ('ggml_backend_cuda_buffer_type_alloc_buffer: allocating 27846.97 MiB on device '
     '0: cudaMalloc failed: out of memory',
     'memory-too-small'),
    ('ggml_vulkan: Device memory allocation of size 4294967296 failed.',
     'memory-too-small'),
    ('Out of memory: Killed process 4711 (llama-server) total-vm:70000000kB',
     'memory-too-small'),
    ('Error: model requires more system memory (21.5 GiB) than is available (14.2 GiB)',
     'memory-too-small'),
    ("terminate called after throwing an instance of 'vk::DeviceLostError'",
     'engine-crash'),
    ('radv/amdgpu: The CS has been cancelled because the context is lost. This '
     'context is guilty of a hard recovery.',
     'engine-crash'),
    ('vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER',
     'vulkan-driver-missing'),
    ("gguf_init_from_file_impl: invalid magic characters: '<!DO', expected 'GGUF'",
     'engine-exit'),
    ('llama_model_load: error loading model: error loading model architecture: '
     "unknown model architecture: 'qwen9'",
     'model-unusable'),
    ("start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080",
     'engine-exit'),
    ('Error: listen tcp 127.0.0.1:11434: bind: address already in use',
     'engine-exit'),
    ('warning: no usable GPU found, --gpu-layers option will be ignored',
     'not-on-device'),
    ('Error: llama runner process has terminated: signal: aborted (core dumped)',
     'engine-crash'),
    ('The model has crashed without additional information. (Exit code: '
     '18446744072635812000)',
     'engine-crash'),
]


def messages_of_other_programs():
    for text, code in MESSAGES:
        harmless = code in ("ok", "too-slow")  # what only costs speed is no fault
        value = answer("doctor", "some words before\n" + text + "\nand after",
                       code=0 if harmless else 1)
        assert value["findings"][0]["severity"] == ("info" if harmless else "warn"), value
        assert value["recognised"] and value["findings"][0]["code"] == code, (text, value)
        assert value["findings"][0]["why"], text
    assert len({text for text, _ in MESSAGES}) >= 40


def a_limit_of_one_buffer_is_no_full_memory():
    value = answer("doctor", "Requested buffer size exceeds device memory allocation limit: "
                   "ErrorOutOfDeviceMemory", code=1)
    assert "buffer" in value["findings"][0]["why"] and "RADV" in value["findings"][0]["remedy"]


def remedies_name_options_that_exist():
    """Every gfxbridge command in a remedy of the tables, with its options."""
    for table in ("causes.tsv", "quirks.tsv"):
        with open(os.path.join(SOURCE, "data", table), encoding="utf-8") as f:
            text = f.read()
        for command, rest in re.findall(r"gfxbridge ([a-z]+)([^\t;,.()]*)", text):
            options = re.findall(r"--[a-z-]+", rest)
            if options:
                said = call(command, "--help").stdout + call("--help").stdout
                assert all(o in said for o in options), (table, command, rest)


def messages_have_sources():
    with open(os.path.join(SOURCE, "data", "causes.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f if line[0] not in "#\n"][1:]
    real = [r for r in rows if r[5] and r[5] != "measured"]
    assert len(real) >= 40, len(real)


try:
    tap.run([
        ("a card that cannot be used beside one that works", a_card_beside_one_that_works),
        ("what nobody can change is a fact", what_nobody_can_change_is_a_fact),
        ("groups: name, gid, command", groups),
        ("each kind of container", containers),
        ("a kernel built without KFD", kernel_without_kfd),
        ("a fault of the firmware is none of the kernel", firmware_and_kernel),
        ("a render node of another group than KFD's", render_node_of_another_group),
        ("the Vulkan driver's package by distribution", vulkan_package_by_distribution),
        ("the share of memory as a kernel argument", share_of_memory),
        ("every boot loader knows kernel arguments", kernel_argument_for_every_boot_loader),
        ("a driver that the kernel keeps away", driver_that_the_kernel_keeps_away),
        ("Secure Boot and a card without a driver", secure_boot),
        ("WSL: nothing is advised that changes nothing", wsl),
        ("a port that somebody holds", a_port_that_somebody_holds),
        ("a port that our own server holds", a_port_that_is_ours),
        ("what of the sandbox is in force", sandbox),
        ("what blocks has a remedy", what_blocks_has_a_remedy),
        ("at least 40 messages of other programs", messages_of_other_programs),
        ("a limit of one buffer is no full memory", a_limit_of_one_buffer_is_no_full_memory),
        ("remedies name options that exist", remedies_name_options_that_exist),
        ("their sources", messages_have_sources),
    ])
finally:
    shutil.rmtree(TOP, ignore_errors=True)
