#!/usr/bin/env python3
"""hybrids.py GFXBRIDGE: plans of captured machines, as a user of the program sees them."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import gguf  # noqa: E402
import tap  # noqa: E402
from gfxbridge import answer, machine  # noqa: E402


def plan(name, *options):
    return answer("plan", "--sysroot", machine(name), *options, code=(0, 3))


def chosen(value):
    return value["choices"][value["chosen"]]


def of(value, **wanted):
    """The choices that have all these fields."""
    return [c for c in value["choices"] if all(c[k] == v for k, v in wanted.items())]


def card_before_its_small_neighbour():
    for name, gfx in (("rx7900xtx-raphael", "gfx1100"), ("rx9070xt-graniteridge", "gfx1201"),
                      ("rx9060xt-graniteridge", "gfx1200")):
        gpus = answer("detect", "--sysroot", machine(name))["gpus"]
        card = next(g for g in gpus if g["gfx"] == gfx)
        small = next(g for g in gpus if g["gfx"] == "gfx1036")
        first = chosen(plan(name))
        assert (first["backend"], first["gfx"]) == ("rocm", gfx), (name, first)
        assert first["gpus"] == [card["pci"]], (name, first["gpus"])
        # ROCr counts KFD's GPU nodes in their order: the card alone is left visible.
        place = sorted([card["kfd_node"], small["kfd_node"]]).index(card["kfd_node"])
        assert first["env"]["ROCR_VISIBLE_DEVICES"] == str(place), (name, first["env"])


def every_backend_has_a_choice_in_order():
    value = plan("rx7900xtx-raphael")
    order = [c["backend"] for c in value["choices"] if c["state"] != "rejected"]
    firsts = sorted({b: order.index(b) for b in order}.items(), key=lambda item: item[1])
    assert [b for b, _ in firsts] == ["rocm", "vulkan", "cpu"], firsts


def no_gpu():
    value = plan("no-gpu-vm")
    assert chosen(value)["backend"] == "cpu"
    for backend in ("rocm", "vulkan"):
        rejected = of(value, backend=backend)
        assert rejected and all(c["state"] == "rejected" and c["reason"] for c in rejected)


def strix_halo_without_the_kernel_fix():
    value = plan("strixhalo-old-kernel")
    assert of(value, backend="rocm", code="kernel-quirk")
    assert not of(value, backend="rocm", code="ok")
    assert chosen(value)["backend"] == "vulkan"
    assert chosen(plan("strixhalo-cwsr"))["backend"] == "rocm"


def partitions():
    gpus = answer("detect", "--sysroot", machine("mi300x-x8-cpx"))["gpus"]
    amd = [g for g in gpus if g["vendor_id"] == "1002"]
    assert len(amd) == 8 and all(g["partitions"] == 8 and g["gfx"] == "gfx942" for g in amd), amd
    value = plan("mi300x-x8-cpx")
    assert {c["gpus"][0] for c in of(value, backend="rocm", state="usable")} == {
        g["pci"] for g in amd}


def rx5700xt():
    value = plan("rx5700xt")
    first = chosen(value)
    assert (first["backend"], first["gfx"], first["code"]) == ("rocm", "gfx1010", "ok"), first
    without = of(value, backend="rocm", code="gfx-not-in-package")
    assert without and "gfx1010" in without[0]["reason"], without


def family_name_is_no_promise():
    value = plan("rx7900xtx-raphael", "--gpu", "0000:18:00.0")
    archive = of(value, package="llamacpp-rocm-gfx103X-linux", gfx="gfx1036")
    assert archive and archive[0]["code"] == "gfx-not-in-package", archive
    assert "gfx1036" in archive[0]["reason"]


def vulkan_when_no_rocm_package_can_be_had():
    value = plan("rx7900xtx-raphael", "--no-network")
    assert {c["code"] for c in of(value, backend="rocm")} & {"offline"}
    value = plan("rx7900xtx-raphael", "--policy", "vulkan")
    assert chosen(value)["backend"] == "vulkan"
    assert {c["code"] for c in of(value, backend="rocm")} == {"policy"}


def model_of_36_gib():
    """As a 70B at Q4_K; its tensors are a hole in the file and take no room."""
    f = gguf.start("llama", layers=80, width=8192, context=8192, heads=64, heads_kv=8, ff=28672,
                   vocabulary=32000)
    f.own(attention__layer_norm_rms_epsilon=1e-5)
    f.tensor("output_norm.weight", 8192)
    f.tensor("output.weight", 8192, 32000, type=gguf.Q6_K)
    for i in range(80):
        gguf.norms(f, i, 8192, "attn_norm", "ffn_norm")
        gguf.attention(f, i, 8192, 64, 8, 128)
        gguf.mlp(f, i, 8192, 28672)
    return f


def model_that_does_not_fit():
    with tempfile.TemporaryDirectory(prefix="gfxbridge-hybrids-") as top:
        path = model_of_36_gib().write(os.path.join(top, "large.gguf"))
        size = os.path.getsize(path)
        value = plan("rx7900xtx-raphael", "--model", path)
    assert value["model"]["bytes"] == size > 36 << 30, value["model"]
    choice = chosen(value)
    assert (choice["backend"], choice["gfx"]) == ("rocm", "gfx1100"), choice
    assert 0 < choice["gpu_layers"] < 81 and choice["need_bytes"] <= choice["have_bytes"], choice
    assert f"{choice['gpu_layers']} of the model's 81 layers" in choice["reason"], choice["reason"]


tap.run([
    ("card before its small neighbour, which is hidden", card_before_its_small_neighbour),
    ("rocm, then vulkan, then cpu", every_backend_has_a_choice_in_order),
    ("no GPU: cpu chosen, the others rejected with sentences", no_gpu),
    ("Strix Halo without the CWSR fix: kernel-quirk, Vulkan chosen", strix_halo_without_the_kernel_fix),
    ("8x MI300X CPX: every partition is understood", partitions),
    ("RX 5700 XT: a package with gfx1010, and one without", rx5700xt),
    ("a gfx103X archive without gfx1036 is rejected", family_name_is_no_promise),
    ("no ROCm package to be had", vulkan_when_no_rocm_package_can_be_had),
    ("a model larger than the card: what fits of it", model_that_does_not_fit),
])
