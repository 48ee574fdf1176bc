#!/usr/bin/env python3
"""messages.py GFXBRIDGE: `doctor TEXT` on what programs of this field print when something is wrong, and when nothing is.

Each message is written for this test after the source that prints it: data/causes.tsv names sources. The kinds are
those of docs/field.md; nothing here ran on an AMD GPU."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import tap  # noqa: E402
from gfxbridge import PROGRAM, answer, call  # noqa: E402

GPU = "amdgpu 0000:2d:00.0: amdgpu: "


def findings(text):
    done = subprocess.run([PROGRAM, "doctor", "--json", "-"], input=text, capture_output=True, text=True, timeout=60)
    value = json.loads(done.stdout)
    assert done.returncode == (0 if value["ok"] else 1), done
    return value["findings"]


def root(text):
    found = findings(text)
    assert found, f"not recognised: {text}"
    return found[0]


def means(code, words, *messages, harmless=False):
    """Each message has this code, and what is said of it has these words."""
    for message in messages:
        f = root(message)
        said = f["why"] + " " + (f["remedy"] or "")
        assert f["code"] == code, (message, f)
        assert all(w in said for w in ([words] if isinstance(words, str) else words)), (message, said)
        assert (f["severity"] == "info") == harmless, (message, f)


def kernel_page_faults():
    means("engine-crash", "page fault",
          GPU + "[gfxhub] page fault (src_id:0 ring:40 vmid:8 pasid:32771)",
          GPU + "[gfxhub0] no-retry page fault (src_id:0 ring:24 vmid:3 pasid:32769)",
          GPU + "[mmhub0] retry page fault (src_id:0 ring:0 vmid:2 pasid:32780)",
          "amdgpu 0000:0b:00.0: [mmhub] VMC page fault (src_id:0 ring:173 vmid:2 pasid:32768)",
          GPU + "GCVM_L2_PROTECTION_FAULT_STATUS:0x00901431", GPU + "VM_L2_PROTECTION_FAULT_STATUS:0x00000000",
          GPU + "MMVM_L2_PROTECTION_FAULT_STATUS:0x00141A51",
          "amdgpu 0000:01:00.0: GPU fault detected: 146 0x0c80440c for process llama-server",
          "[drm] VM_CONTEXT1_PROTECTION_FAULT_ADDR   0x00101A3F")


def kernel_hangs_and_resets():
    means("engine-hang", ["queue hung", "restart the program", "Vulkan"],
          GPU + "Failed to evict process queues", "amdgpu: Failed to evict queue 3", "amdgpu: Failed to quiesce KFD",
          "kfd kfd: amdgpu: qcm fence wait loop timeout expired",
          "[ 5138.001] The cp might be in an unrecoverable state due to an unsuccessful queues preemption",
          GPU + "Failed to suspend process 0x8007", "amdgpu: Resetting wave fronts (cpsch) on dev 00000000b1d5",
          GPU + "Failed to restore process queues", "amdgpu: HIQ MQD's queue_doorbell_id0 is not 0, Queue preemption time out")
    means("engine-hang", "in time",
          GPU + "ring gfx_0.0.0 timeout, signaled seq=71, emitted seq=73",
          "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring comp_1.0.1 timeout, signaled seq=5, emitted seq=7",
          GPU + "ring sdma0 timeout, signaled seq=1, emitted seq=2", GPU + "ring vcn_unified_0 timeout, signaled seq=8",
          "[drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring gfx timeout, but soft recovered")
    means("engine-crash", "reset the GPU",
          GPU + "GPU reset begin!. Source:  3", GPU + "GPU reset(7) succeeded!", GPU + "VRAM is lost due to GPU reset!",
          GPU + "GPU Recovery Failed: -110", GPU + "GPU mode1 reset", GPU + "GPU reset end with ret = -62",
          GPU + "soft reset failed, will fallback to full reset!")
    means("firmware-quirk", ["MES", "linux-firmware"],
          GPU + "MES failed to respond to msg=SUSPEND", GPU + "MES failed to response msg=2",
          GPU + "MES(1) failed to respond to msg=REMOVE_QUEUE", GPU + "MES ring buffer is full.",
          GPU + "failed to remove hardware queue from MES, doorbell=0x1a02")
    means("engine-crash", "lost the card", GPU + "device lost from bus!",
          "pcieport 0000:00:01.1: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer")


def kernel_memory():
    means("memory-too-small", "no_system_mem_limit",
          "amdgpu: SVM mapping failed, exceeds resident system memory limit",
          "amdgpu: SVM mapping 0x7f0000 failed: exceeds resident system memory limit")
    means("memory-too-small", ["model", "context"],
          "[drm:amdgpu_cs_ioctl [amdgpu]] *ERROR* Not enough memory for command submission!",
          "[TTM] Failed to find memory space for buffer 0x00000000e8d6 eviction", "amdgpu: init_user_pages: Failed to get user pages: -1",
          "Out of memory: Killed process 4711 (llama-server) total-vm:48GB",
          "Memory cgroup out of memory: Killed process 12 (ollama)",
          "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=python3,pid=9")


def kernel_start():
    means("driver-missing", "", "amdgpu 0000:07:00.0: probe with driver amdgpu failed with error -12",
          "amdgpu: probe of 0000:0a:00.0 failed with error -22", GPU + "Fatal error -12 during GPU init",
          GPU + "amdgpu_device_ip_init failed", "[drm:amdgpu_device_init [amdgpu]] *ERROR* hw_init of IP block <psp> failed -22",
          "modprobe: ERROR: could not insert 'amdgpu': Required key not available",
          GPU + "SMU: I'm not done with your previous command: SMN_C2PMSG_66:0x00000006")
    means("driver-missing", "VBIOS", GPU + "Unable to locate a BIOS ROM", "amdgpu 0000:06:00.0: Invalid PCI ROM header signature: expecting 0xaa55")
    means("driver-missing", "older than it", GPU + "get invalid ip discovery binary signature",
          "[drm:amdgpu_discovery_set_ip_blocks [amdgpu]] *ERROR* amdgpu_discovery_init failed")
    means("driver-missing", ["firmware", "linux-firmware"],
          GPU + "Direct firmware load for amdgpu/psp_14_0_2_sos.bin failed with error -2",
          "amdgpu 0000:03:00.0: firmware: failed to load amdgpu/gc_11_5_1_imu.bin (-2)",
          GPU + "fail to request/validate imu microcode", "[drm] *ERROR* Failed to load gpu_info firmware \"amdgpu/navi12_gpu_info.bin\"")
    means("driver-missing", "Above 4G", "pci 0000:03:00.0: BAR 0: no space for [mem size 0x400000000 64bit pref]",
          "amdgpu 0000:03:00.0: Not enough PCI address space for a large BAR.")


def kernel_kfd():
    means("kfd-missing", "newer kernel", "kfd kfd: amdgpu: GC IP 0b0504 not supported in kfd",
          "kfd kfd: DID 7550 is missing in supported_devices", "kfd kfd: amdgpu: GC IP 0c0001  not supported in kfd")
    means("kfd-missing", ["first GCN", "Vulkan"], "kfd kfd: amdgpu: TAHITI  not supported in kfd",
          "kfd kfd: VERDE  not supported in kfd", "kfd kfd: amdgpu: PITCAIRN  not supported in kfd")
    means("kfd-missing", "will not get it", "kfd kfd: amdgpu: KABINI  not supported in kfd")
    means("kfd-missing", "slot", "kfd kfd: skipped device 1002:699f, PCI rejects atomics 730<0",
          GPU + "PCIE atomic ops is not supported")
    means("kfd-missing", "compute", "kfd kfd: amdgpu: device 1002:15d8 NOT added due to errors",
          "kfd kfd: error getting iommu info. is the iommu enabled?")


def kfd_by_errno():
    cases = [("Permission denied", "EACCES", "kfd-permission", "group"), ("Operation not permitted", "EPERM", "kfd-permission", "device policy"),
             ("Invalid argument", "EINVAL", "kfd-missing", "locked"), ("Cannot allocate memory", "ENOMEM", "kfd-missing", "no memory"),
             ("No such file or directory", "ENOENT", "kfd-missing", "no /dev/kfd"), ("No such device", "ENODEV", "kfd-missing", "given its GPUs up"),
             ("No such device or address", "ENXIO", "kfd-missing", "no driver answers"), ("Input/output error", "EIO", "kfd-missing", "failed"),
             ("Too many open files", "EMFILE", "engine-exit", "ulimit")]
    for text, name, code, words in cases:
        means(code, words, f"Unable to open /dev/kfd read-write: {text}", f"open /dev/kfd: {text.lower()}",
              f'openat(AT_FDCWD, "/dev/kfd", O_RDWR|O_CLOEXEC) = -1 {name} ({text})', f"could not open /dev/kfd ({text})")
    means("render-permission", "group", "failed to open /dev/dri/renderD129: Permission denied",
          'openat(AT_FDCWD, "/dev/dri/renderD128", O_RDWR) = -1 EACCES (Permission denied)',
          "MESA: error: radv: could not open /dev/dri/renderD128: Permission denied")
    means("kfd-missing", "host", 'docker: Error response from daemon: error gathering device information while adding custom device "/dev/kfd": no such file or directory.')


def hsa_by_number_and_name():
    named = {0x1000: "ERROR", 0x1001: "ERROR_INVALID_ARGUMENT", 0x1002: "ERROR_INVALID_QUEUE_CREATION", 0x1003: "ERROR_INVALID_ALLOCATION",
             0x1004: "ERROR_INVALID_AGENT", 0x1005: "ERROR_INVALID_REGION", 0x1006: "ERROR_INVALID_SIGNAL", 0x1007: "ERROR_INVALID_QUEUE",
             0x1008: "ERROR_OUT_OF_RESOURCES", 0x1009: "ERROR_INVALID_PACKET_FORMAT", 0x100a: "ERROR_RESOURCE_FREE",
             0x100b: "ERROR_NOT_INITIALIZED", 0x100c: "ERROR_REFCOUNT_OVERFLOW", 0x100d: "ERROR_INCOMPATIBLE_ARGUMENTS",
             0x100e: "ERROR_INVALID_INDEX", 0x100f: "ERROR_INVALID_ISA", 0x1010: "ERROR_INVALID_CODE_OBJECT",
             0x1011: "ERROR_INVALID_EXECUTABLE", 0x1012: "ERROR_FROZEN_EXECUTABLE", 0x1013: "ERROR_INVALID_SYMBOL_NAME",
             0x1014: "ERROR_VARIABLE_ALREADY_DEFINED", 0x1015: "ERROR_VARIABLE_UNDEFINED", 0x1016: "ERROR_EXCEPTION",
             0x1017: "ERROR_INVALID_ISA_NAME", 0x1018: "ERROR_INVALID_CODE_SYMBOL", 0x1019: "ERROR_INVALID_EXECUTABLE_SYMBOL",
             0x1020: "ERROR_INVALID_FILE", 0x1021: "ERROR_INVALID_CODE_OBJECT_READER", 0x1022: "ERROR_INVALID_CACHE",
             0x1023: "ERROR_INVALID_WAVEFRONT", 0x1024: "ERROR_INVALID_SIGNAL_GROUP", 0x1025: "ERROR_INVALID_RUNTIME_STATE",
             0x1026: "ERROR_FATAL", 40: "ERROR_INVALID_MEMORY_POOL", 41: "ERROR_MEMORY_APERTURE_VIOLATION",
             42: "ERROR_ILLEGAL_INSTRUCTION", 43: "ERROR_MEMORY_FAULT", 44: "CU_MASK_REDUCED", 45: "ERROR_OUT_OF_REGISTERS",
             46: "ERROR_RESOURCE_BUSY", 47: "ERROR_NOT_SUPPORTED"}
    for number, name in named.items():
        by_name = root(f"HSA_STATUS_{name}")
        for text in (f"HSA_STATUS_{name}: some words. code: 0x{number:x}", f"Queue error - HSA error {number}", f"hsa_status: {number:#X}",
                     f"hsa runtime failed, error code: {number}"):
            assert root(text)["why"] == by_name["why"], (text, name)
    means("gfx-not-in-package", "another gfx", "HSA_STATUS_ERROR_ILLEGAL_INSTRUCTION", "HSA exception: code: 0x2a")
    means("engine-crash", "memory fault", "HSA_STATUS_ERROR_MEMORY_APERTURE_VIOLATION: The agent attempted to access memory")
    means("engine-crash", "ROCm 10.0.0", "gfx1012: HSA_STATUS_ERROR_OUT_OF_RESOURCES code: 0x1008")
    assert "10.0.0" not in root("gfx1102: HSA_STATUS_ERROR_OUT_OF_RESOURCES code: 0x1008")["why"]
    means("engine-crash", "not its own", "Memory access fault by GPU node-2 on address 0x7f1c. Reason: Unknown.",
          "Memory access fault by GPU node-11 (Agent handle: 0x5581) on address (nil). Reason: Write access to a read-only page.")


def hip_by_number_and_name():
    named = {1: "InvalidValue", 2: "OutOfMemory", 3: "NotInitialized", 9: "InvalidConfiguration", 13: "InvalidSymbol", 17: "InvalidDevicePointer",
             35: "InsufficientDriver", 98: "InvalidDeviceFunction", 100: "NoDevice", 101: "InvalidDevice", 200: "InvalidImage",
             201: "InvalidContext", 205: "MapFailed", 209: "NoBinaryForGpu", 214: "ECCNotCorrectable", 217: "PeerAccessUnsupported",
             218: "InvalidKernelFile", 301: "FileNotFound", 302: "SharedObjectSymbolNotFound", 303: "SharedObjectInitFailed",
             304: "OperatingSystem", 400: "InvalidHandle", 500: "NotFound", 600: "NotReady", 700: "IllegalAddress", 701: "LaunchOutOfResources",
             702: "LaunchTimeOut", 709: "ContextIsDestroyed", 710: "Assert", 719: "LaunchFailure", 720: "CooperativeLaunchTooLarge",
             801: "NotSupported", 900: "StreamCaptureUnsupported", 910: "GraphExecUpdateFailure", 999: "Unknown", 1052: "RuntimeMemory",
             1053: "RuntimeOther"}
    for number, name in named.items():
        by_name = root(f"hipError{name}")
        for text in (f"HIP error {number} at line 12", f"HIP failure {number}: x", f"call failed with hipError_t({number})", f"[hipError{name}]"):
            assert root(text)["why"] == by_name["why"], (text, name)
    same = [("NoDevice", "no ROCm-capable device is detected"), ("InvalidImage", "device kernel image is invalid"),
            ("LaunchFailure", "unspecified launch failure"), ("OutOfMemory", "HIP error: out of memory"),
            ("NoBinaryForGpu", "no kernel image is available for execution on the device"), ("InvalidDevice", "invalid device ordinal"),
            ("IllegalAddress", "an illegal memory access was encountered"), ("InvalidDeviceFunction", "invalid device function")]
    for name, sentence in same:
        for text in (sentence, f"CUDA error: {sentence.replace('HIP error: ', '')}", f"RuntimeError: HIP error: {sentence.replace('HIP error: ', '')}"):
            assert root(text)["why"] == root(f"hipError{name}")["why"], text
    means("memory-too-small", "model", "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.10 GiB. GPU 0 has 100 MiB free",
          "ROCm error: out of memory", "hipMalloc failed with error code 2: out of memory")


def blas_and_miopen():
    means("blas-kernels-missing", "kernel", "CUBLAS_STATUS_NOT_SUPPORTED", "rocblas_status_not_implemented",
          "RuntimeError: CUDA error: HIPBLAS_STATUS_INTERNAL_ERROR when calling `hipblasGemmEx`", "rocblas_status_arch_mismatch",
          "rocBLAS error: Cannot read /opt/rocm/lib/rocblas/library/TensileLibrary.dat: No such file or directory for GPU arch : gfx1032",
          "rocBLAS error: Could not initialize Tensile host:", "HIPBLAS_STATUS_NOT_INITIALIZED")
    means("memory-too-small", "", "HIPBLAS_STATUS_ALLOC_FAILED", "rocblas_status_memory_error", "miopenStatusAllocFailed")
    means("engine-crash", "MIOpen", "RuntimeError: miopenStatusUnknownError", "MIOpen Error: /root/src/ocl/convolutionocl.cpp:517: no solution", "miopenStatusUnsupportedOp")
    means("engine-crash", "compiler", "MIOpen(HIP): Error [Compile] 'hiprtcCompileProgram(prog.get(), c_options.size())'", "LLVM ERROR: Cannot select: x")
    means("too-slow", "rocBLAS", "hipBLASLt failed, falling back to rocBLAS", "rocblas_status_perf_degraded", harmless=True)
    means("ok", "", "MIOpen(HIP): Warning [IsEnoughWorkspace] [GetSolutionsFallback AI] Solver <GemmFwdRest>, workspace required: 12",
          "Attempting to use hipBLASLt on an unsupported architecture!", harmless=True)


def loader():
    means("library-missing", "package that holds libamdhip64", "libamdhip64.so.7: cannot open shared object file: No such file or directory",
          "\tlibamdhip64.so.6 => not found")
    means("library-missing", "rocBLAS", "ImportError: librocblas.so.4: cannot open shared object file: No such file or directory")
    means("library-missing", "hipBLASLt", "OSError: libhipblaslt.so.1: cannot open shared object file")
    means("library-missing", "comgr", "libamd_comgr.so.2: cannot open shared object file: No such file or directory")
    means("library-missing", "of the library's name", "librocsolver.so.0: cannot open shared object file", "libMIOpen.so.1: cannot open shared object file")
    means("library-missing", "NVIDIA", "libcudart.so.12: cannot open shared object file: No such file or directory")
    means("library-missing", "two releases", "symbol lookup error: undefined symbol: hipGetDevicePropertiesR0600, version hip_6.0",
          "undefined symbol: _ZNK3c1010TensorImpl15decref_pyobjectEv", "ImportError: /venv/vllm/_C.abi3.so: undefined symbol: _ZN5torch3jit17parseSchemaOrNameERKSs",
          "undefined symbol: rocblas_gemm_ex3")
    means("glibc-too-old", "library", "llama-server: /lib64/libc.so.6: version `GLIBC_2.39' not found", "version `GLIBCXX_3.4.32' not found",
          "/usr/lib/libstdc++.so.6: version `CXXABI_1.3.15' not found (required by ./libggml-hip.so)")
    means("vulkan-loader-missing", "loader", "libvulkan.so.1: cannot open shared object file: No such file or directory")
    means("library-missing", "missing or broken", "libfoo.so.3: cannot open shared object file: No such file or directory")


def vulkan():
    means("engine-crash", "reset", "vk::Queue::submit: ErrorDeviceLost", "VK_ERROR_DEVICE_LOST", "vkQueueSubmit failed: -4",
          "terminate called after throwing an instance of 'vk::DeviceLostError'", "VkResult(-4)", "DXGI_ERROR_DEVICE_HUNG (0x887A0006)")
    means("memory-too-small", "memory", "vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "VK_ERROR_OUT_OF_HOST_MEMORY", "vkAllocateMemory failed with -2",
          "ggml_vulkan: Device memory allocation of size 1073741824 failed.")
    means("vulkan-driver-missing", "", "vkCreateInstance failed: -9", "VK_ERROR_INCOMPATIBLE_DRIVER", "VK_ERROR_INITIALIZATION_FAILED",
          "ggml_vulkan: No devices found.", "VK_ERROR_EXTENSION_NOT_PRESENT")
    means("vulkan-driver-missing", ["older than the GPU", "container"], "amdgpu: unknown (family_id, chip_external_rev): (149, 17)",
          "amdgpu: unknown (family_id, chip_external_rev): (152, 81)")
    means("engine-crash", "", "radv/amdgpu: The CS has been cancelled because the context is lost. This context is guilty of a hard recovery.",
          "amdgpu: The CS has been rejected, see dmesg for more information (-22).", "ggml_vulkan: Compute pipeline creation failed for matmul_q4_k")


def exit_codes():
    windows = [(0xC0000005, "ACCESS_VIOLATION", "engine-crash", "memory that is not its own"), (0xC000001D, "ILLEGAL_INSTRUCTION", "engine-crash", "illegal instruction"),
               (0xC0000135, "DLL_NOT_FOUND", "library-missing", "DLL"), (0xC0000139, "ENTRYPOINT_NOT_FOUND", "library-missing", "another release"),
               (0xC0000142, "DLL_INIT_FAILED", "library-missing", "DLL"), (0xC000007B, "INVALID_IMAGE_FORMAT", "library-missing", "DLL"),
               (0xC0000409, "STACK_BUFFER_OVERRUN", "engine-crash", "fast fail"), (0xC0000374, "HEAP_CORRUPTION", "engine-crash", "memory was damaged"),
               (0xC00000FD, "STACK_OVERFLOW", "engine-crash", "stack"), (0xC0000017, "NO_MEMORY", "memory-too-small", "memory")]
    for n, name, code, words in windows:
        means(code, words, f"STATUS_{name}", f"{n:#x}", f"exit status {n:#x}", f"process exited with code {n}", f"exit code {n - (1 << 32)}",
              f"(Exit code: {(1 << 64) + n - (1 << 32)}). Unknown error.", f"returned 0x{n:X}")
    means("engine-crash", "Windows", "(Exit code: 18446744072635810000). Unknown error. Try a different model and/or config.")
    means("engine-crash", "crashed", "Segmentation fault (core dumped)", "llama-server exited with code 139", "signal: segmentation fault")
    means("engine-crash", "instruction", "Illegal instruction (core dumped)", "exit code 132", "traps: llama-server[5] trap invalid opcode ip:55d1")
    means("memory-too-small", "killed", "exited with code 137", "signal: killed", "State: OOMKilled")


def programs_words():
    means("device-not-listed", "", "ggml_cuda_init: failed to initialize ROCm: unknown error", "ggml_cuda_init: failed to initialize ROCm: no ROCm-capable device is detected",
          "RuntimeError: No HIP GPUs are available", "AssertionError: Torch not compiled with CUDA enabled",
          "RuntimeError: Found no NVIDIA driver on your system.", "RuntimeError: Failed to infer device type", "Failed to get memory info for hip device id 1",
          "ggml_cuda_init: found 0 ROCm devices", "INFO 10-03 No platform detected, vLLM is running on UnspecifiedPlatform",
          'time=2026-01-02 level=INFO source=gpu.go:1 msg="no compatible amdgpu devices detected"')
    means("not-on-device", "", "load_tensors: offloaded 0/49 layers to GPU", "whisper_backend_init_gpu: no GPU found",
          "warning: no usable GPU found, --gpu-layers option will be ignored", "warning: one possible reason is that llama.cpp was compiled without GPU support",
          'msg="inference compute" id=0 library=cpu variant=avx2')
    means("gfx-not-in-package", "", 'level=WARN msg="amdgpu is not supported (supported types:[gfx1030 gfx1100 gfx1101])" gpu_type=gfx1036',
          "Error: Unsupported GPU: gfx902", "TypeError: flash attention is not supported on gfx1031")
    means("engine-crash", "", 'level=INFO source=runner.go:498 msg="failure during GPU discovery" error="runner crashed"', "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
          "rpc error: code = Unavailable desc = error reading from server: EOF", "RuntimeError: Engine core initialization failed. See root cause above.")
    means("memory-too-small", "", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
          "ValueError: Free memory on device (9.1/15.9 GiB) on startup is less than desired GPU memory utilization (0.9, 14.3 GiB)",
          "Error: model requires more system memory (12.1 GiB) than is available (7.4 GiB)", "llama_kv_cache: failed to allocate buffer for kv cache",
          "DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes.")
    means("model-unusable", "", "error loading model: unknown model architecture: 'qwen9'")
    means("engine-exit", "", "whisper_model_load: invalid model data (bad magic)",
          "dial tcp 127.0.0.1:11434: connect: connection refused", "llama-server failed to start", "failed to find a memory slot for batch of size 512")
    means("library-missing", "plugin", "load_backend: failed to load /opt/llama/libggml-hip.so", "failed to dlopen ggml-rocm.so")
    means("policy", "", 'could not select device driver "" with capabilities: [[gpu]].')


# ---- a whole paste: its root, what follows, what is harmless ----

def the_root_of_a_paste():
    """The first line that can be a cause, not the loudest; what follows from it is not told as a cause of its own."""
    log = f"""[  100.000] {GPU}[gfxhub] page fault (src_id:0 ring:153 vmid:8 pasid:32773)
[  100.001] {GPU}  in process llama-server pid 4242 thread llama-server pid 4242
[  100.002] {GPU}GCVM_L2_PROTECTION_FAULT_STATUS:0x00801031
[  110.500] {GPU}ring comp_1.2.0 timeout, signaled seq=9, emitted seq=11
[  110.600] {GPU}GPU reset begin!. Source:  1
[  112.000] {GPU}GPU reset(2) succeeded!
llama-server: HSA_STATUS_ERROR_OUT_OF_RESOURCES: The runtime failed to allocate the necessary resources. code: 0x1008
Aborted (core dumped)
"""
    found = findings(log)
    assert "page fault" in found[0]["why"] and "line 1:" in found[0]["what"] and "0000:2d:00.0" in found[0]["what"], found[0]
    later = {f["what"].split(":")[0] for f in found[1:] if f["code"] == "engine-crash"}
    assert later == {"follows from it"}, found
    ollama = """time=2026-04-01T10:00:00Z level=INFO source=routes.go:1 msg="server config" env="map[HSA_OVERRIDE_GFX_VERSION: HIP_VISIBLE_DEVICES:]"
rocBLAS error: Cannot read /usr/lib/ollama/rocm/rocblas/library/TensileLibrary.dat: No such file or directory for GPU arch : gfx1036
SIGABRT: abort
time=2026-04-01T10:00:01Z level=ERROR source=server.go:9 msg="llama runner terminated" error="exit status 2"
Error: llama runner process has terminated: exit status 2
"""
    assert findings(ollama)[0]["code"] == "blas-kernels-missing", findings(ollama)
    torch = """/opt/venv/torch/nn/modules/linear.py:134: UserWarning: Attempting to use hipBLASLt on an unsupported architecture!
Traceback (most recent call last):
  File "main.py", line 3, in <module>
torch.OutOfMemoryError: HIP out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 7.98 GiB of which 100.00 MiB is free.
"""
    found = findings(torch)
    assert [f["code"] for f in found] == ["memory-too-small", "ok"], found
    vllm = """(EngineCore_0 pid=9) torch.AcceleratorError: HIP error: invalid device function
(EngineCore_0 pid=9) HIP kernel errors might be asynchronously reported at some other API call
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
    assert findings(vllm)[0]["code"] == "gfx-not-in-package", findings(vllm)
    both = "HIP out of memory\nVK_ERROR_INCOMPATIBLE_DRIVER\n"  # two causes: neither follows from the other
    assert [f["severity"] for f in findings(both)] == ["warn", "warn"]
    assert "line" not in root("HIP out of memory")["what"]


def what_changes_does_not_matter():
    """Addresses, codes, devices, prefixes, quoting, capitals."""
    for text in ("Nov 30 12:00:01 box kernel: amdgpu 0000:c4:00.0: amdgpu: FAILED to evict process queues", "failed to evict process queues",
                 "<3>[12] kfd: Failed to evict process queues\r", "> amdgpu: Failed to evict   process queues"):
        assert root(text)["code"] == "engine-hang", text
    for text in ("HSA_STATUS_ERROR_MEMORY_FAULT", "error=\"hsa_status_error_memory_fault\"", "(HSA_STATUS_ERROR_MEMORY_FAULT)"):
        assert "not its own" in root(text)["why"], text
    assert root("HIP error: 719")["why"] == root("hip error (719)")["why"]
    assert findings("hip error 7190") == [] and findings("hipErrorNoDeviceAtAll") == [] and findings("error 0xC00001350") == []


HEALTHY = """[    3.100] [drm] amdgpu kernel modesetting enabled.
[    3.200] [drm] initializing kernel modesetting (IP DISCOVERY 0x1002:0x744C 0x1DA2:0xE471 0xC8).
[    3.300] amdgpu 0000:03:00.0: amdgpu: Fetched VBIOS from VFCT
[    3.400] amdgpu 0000:03:00.0: amdgpu: VRAM: 24560M 0x0000008000000000 - 0x00000085FEFFFFFF (24560M used)
[    3.500] amdgpu: HMM registered 24560MB device memory
[    3.600] kfd kfd: amdgpu: Allocated 3969056 bytes on gart
[    3.700] kfd kfd: amdgpu: added device 1002:744c
[    3.800] [drm] Initialized amdgpu 3.61.0 for 0000:03:00.0 on minor 1
ggml_cuda_init: found 1 ROCm devices:
  Device 0: AMD Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no, Wave Size: 32
load_backend: loaded ROCm backend from /opt/llama/libggml-hip.so
load_tensors: offloaded 33/33 layers to GPU
ggml_vulkan: Found 1 Vulkan devices:
ggml_vulkan: 0 = AMD Radeon RX 7900 XTX (RADV NAVI31) (radv) | uma: 0 | fp16: 1 | warp size: 64
llama_kv_cache: ROCm0 KV buffer size = 448.00 MiB
srv  log_server_r: request: POST /v1/chat/completions 127.0.0.1 200
main: server is listening on http://127.0.0.1:8080 - starting the main loop
time=2026-02-03T10:00:00Z level=INFO source=routes.go:1511 msg="server config" env="map[CUDA_VISIBLE_DEVICES: HSA_OVERRIDE_GFX_VERSION: HTTPS_PROXY: ROCR_VISIBLE_DEVICES:]"
time=2026-02-03T10:00:01Z level=INFO source=types.go:42 msg="inference compute" id=0 library=ROCm compute=gfx1100 name=ROCm0 total="24.0 GiB"
INFO 02-03 10:00:02 [api_server.py:1] vLLM API server version 0.20.1
whisper_backend_init_gpu: device 0: ROCm0 (type: 1)
Total VRAM 24560 MB, total RAM 64211 MB
pytorch version: 2.9.1+rocm7.1
"""


def a_healthy_log_has_no_cause():
    assert findings(HEALTHY) == [], findings(HEALTHY)
    for line in HEALTHY.splitlines():
        assert findings(line) == [], (line, findings(line))


# Lines that a computer prints where all is well, or of which the GPU has no part.
NO_CAUSE = """[    1.1] [drm] amdgpu: MODE1 reset
[    1.2] amdgpu 0000:03:00.0: amdgpu: BACO reset
[    1.3] amdgpu 0000:03:00.0: amdgpu: GPU smu mode is fine, trying to resume
[    1.4] amdgpu 0000:03:00.0: amdgpu: Unsupported power profile mode 0 on RENOIR
[    1.5] amdgpu 0000:03:00.0: amdgpu: finishing device.
[    1.6] ucsi_acpi USBC000:00: probe of USBC000:00 failed with error -5
[    1.7] i2c_hid_acpi: probe of i2c-ELAN failed with error -121
[    1.8] uvcvideo: probe of 1-5:1.0 failed with error -22
[    1.9] pci 0000:00:1f.4: BAR 4: can't assign [io size 0x0020]
[    2.0] pci 0000:02:00.0: BAR 13: failed to assign [io size 0x1000]
[    2.1] pcieport 0000:00:1c.0: BAR 15: no space for [mem size 0x00200000 64bit pref]
[    2.2] pnp 00:05: can't reserve [mem 0xfed00000-0xfed003ff]
[    2.3] DMAR: Enable enhanced fault handling: fault nothing
[    2.4] DMAR: dmar0: Using Queued invalidation, no fault seen
[    2.5] usb 1-2: surprise removal of the device
[    2.6] pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)
[    2.7] iwlwifi 0000:05:00.0: Unable to change power state from D3cold to D0, device inaccessible
[    2.8] i915 0000:00:02.0: Invalid PCI ROM header signature: expecting 0xaa55, got 0xffff
[    2.9] bluetooth hci0: command ring is full, timeout in 5 s
[    3.0] OF: reserved mem: Failed to reserve memory for node 'x'
[    3.1] nvidia: disagrees about version of symbol module_layout
keyctl_read: Required key not available
amdgpu 0000:03:00.0: amdgpu: ring gfx_0.0.0 uses VM inv eng 0 on hub 0
:3:rocdevice.cpp :2245: 1 us: Allocate hsa host memory 0x7f1c8000, size 0x1000
:3:hip_device_runtime.cpp: hipGetDeviceCount returned 2
hipGetDeviceCount returned 1
vkEnumeratePhysicalDevices returned 2
vkEnumeratePhysicalDevices returned 5 devices, VkResult 5
:3:hiprtc.cpp :71: hiprtcCompileProgram: Returned HIPRTC_SUCCESS
rccl: NCCL WARN Missing "iommu=pt" from kernel command line
using rocblas.dll from C:\\llama\\rocblas.dll
loaded library C:\\Windows\\System32\\amdhip64_7.dll
loaded C:\\llama\\hipblas.dll and VCRUNTIME140.dll
module amdkmdag.sys version 32.0.1
nvidia-container-cli version 1.17.0
audit: apparmor="DENIED" info="access violation" profile="snap"
foo.c: exception handled
modprobe: ERROR: could not insert 'vboxdrv': Key was rejected by service
MIOpen(HIP): Info [Find] max error 0.001
deviceName = llvmpipe (LLVM 19.1.7, 256 bits)
GPU1: llvmpipe, PHYSICAL_DEVICE_TYPE_CPU
ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero)), SwiftShader driver)
missing tensor info mapping for blk.0.attn_q.weight
[GIN] 2026/01/02 - 10:00:00 | 404 | 20us | 127.0.0.1 | GET "/favicon.ico" 404 Not Found
INFO: 127.0.0.1:5000 - "GET /favicon.ico HTTP/1.1" 404 Not Found
npm ERR! Could not resolve dependency: peer react
Could not connect to wayland display
btrfs: invalid device: /dev/loop0
nginx: client aborted the request
Aborted upload of part 3
exit code 4
exit code 11
"""

# Harmless, and told as harmless.
NOTES = ['time=x level=INFO source=runner.go:1 msg="experimental Vulkan support disabled.  To enable, set OLLAMA_VULKAN=1"',
         "amdgpu: module verification failed: signature and/or required key missing - tainting kernel",
         "warning: failed to mlock 4096-byte buffer (after previously locking 0 bytes): Cannot allocate memory",
         "ERROR: ld.so: object 'libgamemode.so' from LD_PRELOAD cannot be preloaded (cannot open shared object file): ignored.",
         "/usr/lib32/libvulkan_radeon.so: wrong ELF class: ELFCLASS32",
         'msg="dropping integrated GPU. To enable, set OLLAMA_IGPU_ENABLE=1"', 'msg="unsupported Radeon iGPU detected skipping" id=0 total="512.0 MiB"',
         'msg="Unable to load cudart library /usr/lib/libcuda.so.1" error="libcuda.so.1: cannot open shared object file"',
         "amdgpu 0000:c1:00.0: amdgpu: psp gfx command LOAD_TA(0x1) failed and response status is (0x7)"]


def harmless_lines_have_no_cause():
    for line in NO_CAUSE.splitlines():
        assert findings(line) == [], (line, findings(line))
    assert findings(NO_CAUSE) == [], findings(NO_CAUSE)
    means("ok", "", *NOTES, harmless=True)


def what_was_narrowed_is_still_found():
    means("driver-missing", "Above 4G", "amdgpu 0000:03:00.0: BAR 0: can't assign mem [size 0x10000000]",
          "pci 0000:03:00.0: BAR 0 [mem size 0x400000000 64bit pref]: failed to assign", "pci 0000:03:00.0: BAR 0: failed to assign [mem size 0x10000000 64bit pref]",
          "amdgpu 0000:03:00.0: BAR 2: can't reserve [mem 0xe0000000-0xe01fffff]")
    means("engine-crash", "IOMMU", "DMAR: [DMA Read NO_PASID] Request device [03:00.0] fault addr 0xf7000 [fault reason 0x06]",
          "amdgpu 0000:03:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000d]")
    means("engine-crash", "lost the card", "amdgpu 0000:03:00.0: Unable to change power state from D3cold to D0, device inaccessible",
          "amdgpu 0000:03:00.0: surprise removal of the card")
    means("kfd-missing", "slot", "kfd kfd: skipped device 1002:699f, PCI rejects atomics 730<0")
    later = findings("amdgpu: PCIE atomic ops is not supported\namdgpu: ring gfx_0.0.0 timeout, signaled seq=1\n")
    assert later[0]["code"] == "engine-hang", later
    means("memory-too-small", "", "hipMalloc returned error 2", "vkAllocateMemory returned -2", "VkResult(-1)")
    means("library-missing", "ROCm library", "The code execution cannot proceed because hipblas.dll was not found.", "failed to load C:\\llama\\rocblas.dll",
          "librocblas.dll: LoadLibrary failed with error 126")
    means("library-missing", "HIP runtime", "amdhip64_7.dll could not be loaded", "Could not find module 'C:\\x\\amdhip64.dll' (or one of its dependencies)")
    means("library-missing", "Visual C++", "VCRUNTIME140_1.dll was not found", "MSVCP140.dll was not found")
    means("engine-hang", "TDR", "Display driver amdkmdag stopped responding and has successfully recovered.", "VIDEO_TDR_FAILURE (amdkmdag.sys)")
    means("vulkan-software-only", "processor", "ggml_vulkan: 0 = llvmpipe (LLVM 19.1.7, 256 bits) (llvmpipe) | uma: 0", "OpenGL renderer string: llvmpipe (LLVM 19.1.7)")
    means("model-unusable", "part", "missing tensor 'blk.12.attn_q.weight'", "missing tensor 'output.weight'")
    means("package-unavailable", "no file of this name", "Err:4 http://archive.example/debian bookworm/main amd64 x  404  Not Found [IP: 1.2.3.4 80]",
          "HTTP request sent, awaiting response... 404 Not Found", "curl: (22) The requested URL returned error: 404")
    means("offline", "", "  Could not resolve 'archive.example'", "curl: (6) Could not resolve host: github.com",
          "Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)")
    means("engine-crash", "memory that is not its own", "Windows fatal exception: access violation")
    means("engine-crash", "C++ exception", "Unhandled C++ exception at 0x7ff")
    means("engine-crash", "", "exit code -11", "exit code -4", "run.sh: line 3: 4711 Aborted ./llama-server")


def unknown_says_what_to_send():
    for text, program, send in [('time=x level=ERROR source=a.go:3 msg="a new trouble"', "Ollama", "OLLAMA_DEBUG"), ("ggml_new_thing: it broke", "llama.cpp", "--version"),
                                ("amdgpu 0000:03:00.0: amdgpu: something new", "amdgpu", "dmesg"), ("(EngineCore pid=1) vllm said no", "vLLM", "traceback"),
                                ("MESA: warning: something", "Mesa", "vulkaninfo"), ("got prompt and then nothing", "ComfyUI", "console"),
                                ("whisper_full: strange", "whisper.cpp", "version"), ("[LM Studio] a plugin sulks", "LM Studio", "log"),
                                ("lemonade: odd", "Lemonade", "log_level"), ("HIP is unhappy", "HIP", "AMD_LOG_LEVEL")]:
        done = call("doctor", text)
        assert "No known cause" in done.stdout and program in done.stdout and send in done.stdout.replace("\n", " "), (text, done.stdout)
    assert "no program is known" in call("doctor", "the cat sat on the mat").stdout.replace("\n", " ")
    assert answer("doctor", "ggml_new_thing: it broke")["recognised"] is False


def hostile_pastes():
    """Bytes that are no text, terminal escapes, one endless line, a million short ones."""
    done = subprocess.run([PROGRAM, "doctor", "-"], input=b"\xff\xfe\x00\x1b[31m\nhipErrorNoDevice \x1b]0;x\x07\n", capture_output=True, timeout=60)
    assert b"\x1b" not in done.stdout and b"device-not-listed" in done.stdout, done
    for data in (b"*" * 900000, b"#|*\n" * 200000, b"hip " * 200000, b"amdgpu\n" * 120000):
        done = subprocess.run([PROGRAM, "doctor", "-"], input=data, capture_output=True, timeout=120)
        assert done.returncode == 0, done


tap.run([
    ("kernel: page faults of every hub", kernel_page_faults),
    ("kernel: hangs, timeouts, resets", kernel_hangs_and_resets),
    ("kernel: memory", kernel_memory),
    ("kernel: a card that does not start, firmware", kernel_start),
    ("kernel: no compute support", kernel_kfd),
    ("nodes: each error number of opening", kfd_by_errno),
    ("status: HSA by number and name", hsa_by_number_and_name),
    ("status: HIP by number, name and sentence", hip_by_number_and_name),
    ("status: hipBLAS, rocBLAS, MIOpen", blas_and_miopen),
    ("loader: libraries, symbols, versions", loader),
    ("vulkan: results, RADV", vulkan),
    ("exit codes: Windows and Linux", exit_codes),
    ("programs: llama.cpp, Ollama, LM Studio, whisper.cpp, PyTorch, vLLM", programs_words),
    ("paste: read to its root", the_root_of_a_paste),
    ("paste: what changes does not matter", what_changes_does_not_matter),
    ("paste: a healthy log has no cause", a_healthy_log_has_no_cause),
    ("paste: harmless lines of other devices and programs", harmless_lines_have_no_cause),
    ("paste: what was narrowed is still found", what_was_narrowed_is_still_found),
    ("unknown: which program speaks and what to send", unknown_says_what_to_send),
    ("paste: hostile bytes", hostile_pastes),
])
