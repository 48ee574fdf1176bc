#!/usr/bin/env python3
"""queries.py GFXBRIDGE: `explain` on what owners type, and on what other programs print of their GPUs.

Each input is written for this test in the form of the program that prints it; the kinds are those of docs/field.md."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call, machine  # noqa: E402


def ask(text, *options):
    done = subprocess.run([PROGRAM, "explain", "--json", *options, "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (text, done.stderr)
    return json.loads(done.stdout)


def refused(text, *words):
    done = subprocess.run([PROGRAM, "explain", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and all(w in done.stderr.replace("\n", " ") for w in words), (text, done)


def gives(table):
    """Text to targets, separated by blanks, "none" for a chip without one; and a name that is among the matches."""
    for text, gfx, *name in table:
        value = ask(text)
        found = sorted(str(a["gfx"] or "none") for a in value["answers"])
        assert found == sorted(gfx.split()), (text, found)
        if name:
            assert any(name[0] in (m["name"] or "") for m in value["matches"]), (text, value["matches"][:3])


LSPCI = "Advanced Micro Devices, Inc. [AMD/ATI]"


def ids():
    gives([("744c", "gfx1100"), ("0x73df", "gfx1031"), ("1002:7590", "gfx1200"), ("PCI_ID=1002:15BF", "gfx1103"), ("7550", "gfx1201"),
           ("PCI\\VEN_1002&DEV_744C&SUBSYS_E4711DA2&REV_C8\\6&2a", "gfx1100", "RX 7900 XTX"), ("VEN_1002&DEV_73BF", "gfx1030"),
           ("pci:v00001002d00001586sv0000F111sd0000000Abc03sc80i00", "gfx1151"), ("[1002:747e] (rev c8)", "gfx1101", "RX 7800 XT"),
           ("1002:744c (rev cc)", "gfx1100", "RX 7900 XT"), ("vendor_id 4098\ndevice_id 29772\n", "gfx1100"),
           ("DID 7340 is missing in supported_devices", "gfx1012")])
    refused("10de:2684", "not an AMD device")
    refused("vendorID = 0x10de\n deviceID = 0x2684", "not an AMD device")
    refused("1002:fffe", "contribute")


def lspci():
    gives([(f"2d:00.0 VGA compatible controller [0300]: {LSPCI} Navi 32 [Radeon RX 7700 XT / 7800 XT] [1002:747e] (rev ff)", "gfx1101"),
           (f"03:00.0 VGA compatible controller: {LSPCI} Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M] (rev cc)", "gfx1100", "RX 7900 XT"),
           (f"c5:00.0 Display controller: {LSPCI} Strix [Radeon 880M / 890M] (rev c1)", "gfx1150"),
           (f"04:00.0 VGA compatible controller: {LSPCI} Cezanne [Radeon Vega Series / Radeon Vega Mobile Series] (rev c8)", "gfx90c"),
           (f"06:00.0 VGA compatible controller: {LSPCI} Ellesmere [Radeon RX 470/480/570/570X/580/580X/590] (rev e7)", "gfx803"),
           (f"0b:00.0 VGA compatible controller: {LSPCI} Device 7550 (rev c0)", "gfx1201")])
    paste = f"""00:01.1 PCI bridge [0604]: Advanced Micro Devices, Inc. [AMD] Device [1022:14db]
03:00.0 VGA compatible controller [0300]: {LSPCI} Navi 48 [1002:7550] (rev c0)
\tSubsystem: Sapphire Technology Limited Device [1da2:e490]
03:00.1 Audio device [0403]: {LSPCI} Device [1002:ab40]
0e:00.0 VGA compatible controller [0300]: {LSPCI} Granite Ridge [1002:13c0] (rev c9)
"""
    gives([(paste, "gfx1036 gfx1201")])
    assert ask(paste)["ambiguous"] is False


def programs():
    rocminfo = """Agent 1
  Name:                    AMD Ryzen 9 9950X 16-Core Processor
Agent 2
  Name:                    gfx1201
  Marketing Name:          AMD Radeon RX 9070
  Chip ID:                 30032(0x7550)
      Name:                    amdgcn-amd-amdhsa--gfx1201
      Name:                    amdgcn-amd-amdhsa--gfx12-generic
"""
    vulkan = "GPU0:\n\tvendorID           = 0x1002\n\tdeviceID           = 0x73ff\n\tdeviceName         = AMD Radeon RX 6600 (RADV NAVI23)\n"
    gives([(rocminfo, "gfx1201"), (vulkan, "gfx1032"), ("  Name:      amdgcn-amd-amdhsa--gfx90a:sramecc+:xnack-", "gfx90a"),
           ("amdgcn-amd-amdhsa--gfx1036", "gfx1036"), ("Device 0: AMD Radeon RX 7900 XT, gfx1100 (0x1100), VMM: no, Wave Size: 32", "gfx1100"),
           ("gfx1151 (0x1151)", "gfx1151"), ("gcnArchName: gfx942:sramecc+:xnack-", "gfx942"), ("gfx_target_version 110003", "gfx1103"),
           ("gfx_target_version 90012", "gfx90c"), ("120000", "gfx1200"), ("90010", "gfx90a"), ("GC 11.5.2", "gfx1152"),
           ("HSA_OVERRIDE_GFX_VERSION=10.3.0", "gfx1030"), ("  Marketing Name:          AMD Radeon RX 6950 XT", "gfx1030"),
           ("Board Name (AMD)     AMD Radeon RX 7600 XT", "gfx1102"), ("Device Name      gfx1032", "gfx1032"),
           ("GPU[0]\t\t: Card Series: \t\tAMD Radeon RX 7900 GRE", "gfx1100", "GRE"), ("GPU[0]\t\t: Device ID: \t\t0x744c", "gfx1100"),
           ("[drm] initializing kernel modesetting (IP DISCOVERY 0x1002:0x73DF 0x1DA2:0xE445 0xC1).", "gfx1031", "RX 6700 XT"),
           ("AMD Radeon RX 6700 XT (radeonsi, navi22, LLVM 19.1.7, DRM 3.61) (0x73df)", "gfx1031"),
           ("Device-1: AMD Navi 21 [Radeon RX 6800/6800 XT / 6900 XT] vendor: Sapphire driver: amdgpu", "gfx1030")])


def vulkan_names():
    gives([("AMD Radeon RX 7800 XT (RADV NAVI32)", "gfx1101", "RX 7800 XT"), ("AMD Radeon Graphics (RADV RAPHAEL_MENDOCINO)", "gfx1036"),
           ("AMD Radeon Vega 11 Graphics (RADV RAVEN)", "gfx902"), ("AMD Radeon 780M Graphics (RADV PHOENIX)", "gfx1103"),
           ("AMD Radeon Graphics (RADV GFX1103_R1)", "gfx1103"), ("AMD Radeon 890M Graphics (RADV STRIX1)", "gfx1150"),
           ("AMD Radeon 8060S Graphics (RADV STRIX_HALO)", "gfx1151"), ("AMD Custom GPU 0932 (RADV VANGOGH)", "gfx1033"),
           ("AMD Radeon RX Vega (RADV VEGA10)", "gfx900"), ("AMD Radeon VII (RADV VEGA20)", "gfx906"),
           ("AMD Radeon Graphics (RADV RENOIR)", "gfx90c"), ("AMD Radeon RX 580 Series (RADV POLARIS10)", "gfx803"),
           ("ggml_vulkan: 0 = AMD Radeon RX 9060 XT (RADV GFX1200) (radv) | uma: 0", "gfx1200"), ("AMD Radeon R9 200 Series (RADV HAWAII)", "gfx701")])


def boards():
    gives([("Sapphire Pulse RX 7900 XTX", "gfx1100", "XTX"), ("ASRock Radeon RX 7900 XT Phantom Gaming 20GB OC", "gfx1100", "RX 7900 XT"),
           ("PowerColor Red Devil RX 9070 XT 16GB", "gfx1201"), ("XFX Speedster MERC 310 RX 7900 XTX Black Edition", "gfx1100"),
           ("Gigabyte Radeon RX 7600 GAMING OC 8G", "gfx1102"), ("ASUS ROG Strix RX 6800 XT OC", "gfx1030"), ("MSI RX 6600 MECH 2X 8G", "gfx1032"),
           ("XFX RX 580 8GB GTS", "gfx803"), ("ASUS Dual 9060 XT 16GB", "gfx1200"), ("Sapphire Radeon VII", "gfx906"),
           ("Radeon PRO W7900 48GB", "gfx1100"), ("AMD Instinct MI100 32GB", "gfx908"), ("AMD Radeon RX 6700 XT 12GB GDDR6", "gfx1031"),
           ("Raedon RX 7900 XTX", "gfx1100")])


def processors():
    gives([("8500G", "gfx1103"), ("Ryzen 5 8600G", "gfx1103"), ("AMD Ryzen 7 5700G with Radeon Graphics", "gfx90c"), ("5600G", "gfx90c"),
           ("AMD Ryzen AI MAX+ 395 w/ Radeon 8060S", "gfx1151"), ("Ryzen AI Max+ 395", "gfx1151"), ("Ryzen AI 9 HX 370", "gfx1150"), ("HX370", "gfx1150"),
           ("Ryzen AI 7 350", "gfx1152"), ("AMD Ryzen 9 7950X 16-Core Processor", "gfx1036"), ("7800X3D", "gfx1036"), ("9900X", "gfx1036"),
           ("3400G", "gfx902"), ("4750U", "gfx90c"), ("6900HX", "gfx1035"), ("7735HS", "gfx1035"), ("7520U", "gfx1036"), ("7945HX", "gfx1036"),
           ("7940HS", "gfx1103"), ("Z1 Extreme", "gfx1103"), ("Ryzen Z2 Extreme", "gfx1150"), ("Steam Deck", "gfx1033"), ("ROG Ally X", "gfx1103"),
           ("Framework Desktop", "gfx1151")])
    assert "740M" in ask("8300G")["means"] and ask("RX 6400")["means"] is None
    for name in ("Ryzen 7 5800X3D", "8400F", "Ryzen 5 7500F", "Threadripper 7970X", "AMD EPYC 9654", "Ryzen 5600", "5600X", "AMD FX-8350 Eight-Core Processor",
                 "Ryzen 5 5600X GeForce GTX 1080"):
        refused(name, "processor without a GPU")
    gives([("AMD EPYC 4364P", "gfx1036"), ("EPYC 4584PX", "gfx1036"), ("Ryzen 9 9850HX", "gfx1036"), ("Ryzen 7 PRO 250", "gfx1103"), ("Ryzen 40", "gfx1036"),
           ("Core i7-8809G", "gfx803"), ("AMD Ryzen 7 7840HS, GeForce RTX 4060", "gfx1103")])


def cards_are_no_processors():
    """A card's number with a letter looks like a processor's; its brand and the words of its maker tell them apart."""
    gives([("Sapphire Pulse RX 5700XT 8GB", "gfx1010", "RX 5700 XT"), ("ASUS Dual RX 5500XT EVO OC", "gfx1012"), ("Gigabyte RX 5600XT Windforce", "gfx1010"),
           ("MSI Radeon RX 5700XT Gaming X", "gfx1010"), ("Sapphire 5700XT 8GB", "gfx1010"), ("Sapphire Pulse RX 6700XT", "gfx1031"),
           ("Ryzen 5 5600 RX 7600", "gfx1102"), ("Ryzen 5 5600G RX 6700 XT", "gfx1031"), ("Ryzen 5 5600X 6-Core / RX 6700 XT", "gfx1031"),
           ("RX 7900 XTX + Ryzen 7 7800X3D", "gfx1100")])
    for name in ("NVIDIA GeForce GTX 1080X", "GTX 1080X", "Radeon HD 5850X"):
        refused(name, "no AMD GPU is called")


def processors_of_other_makers():
    for name in ("Intel Core i5-5200U", "i5-5300U", "Core i7-4600U", "Intel(R) Core(TM) i7-6500U CPU @ 2.50GHz", "i5-6300U", "Intel Xeon Gold V2600"):
        refused(name, "no AMD GPU is called")


def amounts_are_no_models():
    """Numbers of memory, disks and Windows stand near "Ryzen" and near nothing."""
    gives([("Ryzen 7 7840U on Windows 10", "gfx1103"), ("Ryzen 5 7535HS Windows 10 64-bit", "gfx1035"), ("Ryzen 7 7840U 250 GB SSD", "gfx1103"),
           ("CPU: AMD Ryzen 7 7840U\nMemory: 7600 MiB\n", "gfx1103")])


def cards_before_processors_in_a_paste():
    gives([("CPU: Intel Core i5-5200U\nGPU: AMD Radeon R7 M260\n", "gfx602 gfx802"), ("CPU: Intel Core i7-6500U\nGPU: Radeon RX 580\n", "gfx803"),
           ("CPU: AMD Ryzen 5 5600G\nGPU: AMD Radeon RX 6700 XT\n", "gfx1031"), ("CPU: AMD Ryzen 7 5700G\nGPU: AMD Radeon Graphics\n", "gfx90c"),
           ("OS: Arch Linux\nHost: ROG Ally X\nCPU: AMD Ryzen Z1 Extreme\n", "gfx1103")])
    text = "CPU: AMD Ryzen 5 5600X\nGPU: AMD Radeon RX 6700 XT\n"
    gives([(text, "gfx1031", "RX 6700 XT")])
    assert ask(text)["means"] is None


def exact_before_loose():
    gives([("Radeon 7500", "none", "7500"), ("7900 GRE", "gfx1100", "GRE"), ("7900M", "gfx1100", "7900M"), ("RX 6800M", "gfx1031"), ("RX 7700S", "gfx1102"),
           ("Radeon Pro 5500M", "gfx1012"), ("WX 9100", "gfx900"), ("R9700", "gfx1201"), ("5700xt", "gfx1010"), ("Vega64", "gfx900"), ("MI60", "gfx906"),
           ("Instinct MI50 32GB", "gfx906"), ("Radeon HD 7970", "gfx600"), ("840M", "gfx1152 gfx1153"), ("R5 230", "none"), ("RX 6750 GRE", "gfx1031 gfx1032")])
    for text in ("RX 7900 XT", "Sapphire RX 7900 XT"):
        assert all("XTX" not in m["name"] or "/" in m["name"] for m in ask(text)["matches"]), text
    refused("Strix Hallo", "Strix Halo")
    refused("Radeon RX 7900 XTXX", "RX 7900 XTX")
    refused("Radeon HD 7900 XTX", "no AMD GPU")
    refused("NVIDIA GeForce RTX 4090", "no AMD GPU")


def chips():
    gives([("Navi48", "gfx1201"), ("Gorgon Point", "gfx1150 gfx1152 gfx1153"), ("Phoenix2", "gfx1103"), ("Hawk Point", "gfx1103"), ("Krackan Point", "gfx1152"),
           ("Granite Ridge", "gfx1036"), ("MI6", "gfx803"), ("MI8", "gfx803"), ("Sienna Cichlid", "gfx1030"), ("Aldebaran", "gfx90a"), ("Fire Range", "gfx1036"),
           ("RDNA 4", "gfx1200 gfx1201"), ("Strix Halo", "gfx1151"), ("Polaris", "gfx803")])
    assert ask("Gorgon Point")["ambiguous"] is True


def unquoted_words():
    assert "gfx1010" in call("explain", "Sapphire", "Nitro+", "RX", "5700", "XT").stdout


def windows():
    """No override exists there; what has no driver there has neither Vulkan nor ROCm."""
    for name in ("680M", "1002:164e", "gfx1031", "gfx1103", "860M"):
        one = ask(name, "--os", "windows")["answers"][0]
        assert one["vulkan"]["works"] and all(p["via"] == "exact" for p in one["packages"]), (name, one)
    for name in ("1002:13fe", "BC-250", "MI300X", "MI100"):
        one = ask(name, "--os", "windows")["answers"][0]
        assert one["packages"] == [] and one["vulkan"]["works"] is False and "Windows driver" in one["vulkan"]["reason"], one


def packages_in_the_order_of_plan():
    """Exact before generic before override; what brings its ROCm before what needs the computer's."""
    ways = ["exact", "generic", "override"]
    for name in ("860M", "gfx1035", "gfx1036", "gfx1152", "gfx1012", "gfx1100"):
        rows = [p for p in ask(name)["answers"][0]["packages"] if p["installable"]]
        keys = [(ways.index(p["via"]), p["runtime"] == "system") for p in rows]
        assert keys == sorted(keys), (name, rows)
    p = answer("plan", "--sysroot", machine("strixhalo-cwsr"), code=(0, 3))
    planned = [c["package"] for c in p["choices"] if c["backend"] == "rocm" and c["state"] != "rejected"]
    told = [r["id"] for r in ask("gfx1151")["answers"][0]["packages"] if r["installable"]]
    assert [x for x in told if x in planned] == planned, (told, planned)


def a_computer_is_told_what_is_true_of_it():
    """Rows that its kernel, driver and firmware rule out are not said of it; of the card alone they are."""
    def ids_of(*options):
        return {q["id"] for a in answer("explain", *options)["answers"] for q in a["quirks"] if q["kind"] != "note"}
    here = ids_of("--sysroot", machine("strixhalo-cwsr"))
    assert not here & {"strix-halo-cwsr", "strix-halo-dkms", "strix-halo-mes-0x83", "strix-halo-old-rocm", "override-set-gfx1151"}, here
    assert {"strix-halo-cwsr", "strix-halo-dkms", "strix-halo-mes-0x83"} <= ids_of("gfx1151")


def hostile():
    for data in (b"\xff\xfe\x00\x01", b"[" * 100000, b"1002:" * 50000, b"gfx" * 50000, b"radeon\n" * 20000, b"w/ " * 66):
        done = subprocess.run([PROGRAM, "explain", "-"], input=data, capture_output=True, timeout=60)
        assert done.returncode in (0, 1, 2), (data[:20], done)


tap.run([
    ("ids: PCI, Windows, modalias, KFD", ids),
    ("lspci: with and without numbers, a whole paste", lspci),
    ("programs: rocminfo, vulkaninfo, clinfo, HIP, rocm-smi, dmesg, glxinfo, inxi", programs),
    ("names: Vulkan's", vulkan_names),
    ("names: boards and makers", boards),
    ("names: processors and computers", processors),
    ("names: cards that look like processors", cards_are_no_processors),
    ("names: processors of other makers", processors_of_other_makers),
    ("names: amounts are no models", amounts_are_no_models),
    ("paste: cards before processors", cards_before_processors_in_a_paste),
    ("names: exact before loose, slips", exact_before_loose),
    ("names: chips and families", chips),
    ("words without quotation marks", unquoted_words),
    ("windows: what does not exist there", windows),
    ("packages: in the order of plan", packages_in_the_order_of_plan),
    ("computer: what plan rules out is not said", a_computer_is_told_what_is_true_of_it),
    ("hostile bytes", hostile),
])
