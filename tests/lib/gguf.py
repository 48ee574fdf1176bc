"""GGUF files made by the tests: a writer, and small models with the tensors of real architectures.

Weights are zeros (the file is sparse) unless a tensor has data, sizes and names are real: what the
engine allocates depends on nothing else. The weights of random_model are random: what it computes is
of interest too.
"""
import itertools
import math
import os
import random
import struct
import sys

U8, I8, U16, I16, U32, I32, F32T, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
# Tensor types: number, elements of a block, bytes of a block.
F32, F16, Q8_0, Q4_K, Q6_K = (0, 1, 4), (1, 1, 2), (8, 32, 34), (12, 256, 144), (14, 256, 210)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32T: "<f", BOOL: "<?",
        U64: "<Q", I64: "<q", F64: "<d"}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, data):
    return string(data) if kind == STRING else struct.pack(PACK[kind], data)


class Array:
    def __init__(self, kind, items):
        self.kind, self.items = kind, items

    def bytes(self):
        return struct.pack("<IQ", self.kind, len(self.items)) + b"".join(
            value(self.kind, item) for item in self.items)


class File:
    """keys: {name: (kind, value) or Array}; tensors: [(name, dims, type)]."""

    def __init__(self, architecture):
        self.architecture = architecture
        self.keys = {"general.architecture": (STRING, architecture)}
        self.tensors = []
        self.data = {}
        self.alignment = 32

    def own(self, **numbers):
        """Keys of the architecture: __ stands for a dot."""
        for name, number in numbers.items():
            key = f"{self.architecture}.{name.replace('__', '.')}"
            if isinstance(number, (tuple, Array)):
                self.keys[key] = number
            elif isinstance(number, bool):
                self.keys[key] = (BOOL, number)
            elif isinstance(number, float):
                self.keys[key] = (F32T, number)
            else:
                self.keys[key] = (U32, number)

    def tensor(self, name, *dims, type=F32, data=None):
        """data: the bytes; None for zeros."""
        self.tensors.append((name, dims, type))
        if data:
            self.data[name] = data

    def header(self):
        """(bytes of the header, sizes of the tensors)."""
        out = [b"GGUF", struct.pack("<Iqq", 3, len(self.tensors), len(self.keys))]
        for key, entry in self.keys.items():
            out.append(string(key))
            if isinstance(entry, Array):
                out.append(struct.pack("<I", ARRAY) + entry.bytes())
            else:
                out.append(struct.pack("<I", entry[0]) + value(*entry))
        at = 0
        sizes = []
        for name, dims, (number, block, size) in self.tensors:
            elements = 1
            for dim in dims:
                elements *= dim
            sizes.append(elements // block * size)
            out.append(string(name) + struct.pack("<I", len(dims)) +
                       b"".join(struct.pack("<q", dim) for dim in dims) +
                       struct.pack("<IQ", number, at % (1 << 64)))
            at = self.pad(at + sizes[-1])
        return b"".join(out), sizes

    def pad(self, n):
        return -(-n // self.alignment) * self.alignment

    def write(self, path):
        header, sizes = self.header()
        with open(path, "wb") as f:
            f.write(header)
            at = self.pad(len(header))
            for (name, _, _), size in zip(self.tensors, sizes):
                f.seek(at)
                f.write(self.data.get(name, b""))
                at = self.pad(at + size)
            f.truncate(at)
        return path


def sentencepiece(f, n):
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    tokens += [f"w{i}" for i in range(n - len(tokens))]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (n - 259)
    f.keys["tokenizer.ggml.model"] = (STRING, "llama")
    f.keys["tokenizer.ggml.tokens"] = Array(STRING, tokens)
    f.keys["tokenizer.ggml.scores"] = Array(F32T, [-float(i) for i in range(n)])
    f.keys["tokenizer.ggml.token_type"] = Array(I32, kinds)
    f.keys["tokenizer.ggml.bos_token_id"] = (U32, 1)
    f.keys["tokenizer.ggml.eos_token_id"] = (U32, 2)


def letters(f, n):
    """As sentencepiece, with tokens that English and programs are made of: few for a text."""
    sentencepiece(f, n)
    space = "\u2581"
    pieces = [space, *"abcdefghijklmnopqrstuvwxyz0123456789.,:;?\"'()[]{}<=-+_ATQWMI\n"]
    pieces += [space + c for c in "abcdefhilmnoprstuw0123456789\"[{"]
    pieces += """th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co
        me de hi ri ro ic ne ea ra ce li ch ll be ma si om ur ho us el la ge no ec lo un id so am ow ut il ot et""".split()
    pieces += ["the", "and", "ing", space + "the", space + "and", space + "is", space + "it", space + "in",
               "name", "weight", "colours", "\":", "\",", "},", "{\"", "[\"", "\"]", space * 2, space * 4]
    tokens = f.keys["tokenizer.ggml.tokens"].items
    for i, piece in enumerate(dict.fromkeys(pieces)):
        tokens[259 + i] = piece


def wordpiece(f, n):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += ["\u2581" + chr(97 + i) for i in range(26)]
    tokens += [f"\u2581w{i}" for i in range(n - len(tokens))]
    f.keys["tokenizer.ggml.model"] = (STRING, "bert")
    f.keys["tokenizer.ggml.pre"] = (STRING, "jina-v2-en")
    f.keys["tokenizer.ggml.tokens"] = Array(STRING, tokens)
    f.keys["tokenizer.ggml.token_type"] = Array(I32, [3] * 5 + [1] * (n - 5))
    f.keys["tokenizer.ggml.token_type_count"] = (U32, 2)
    for name, number in (("bos", 2), ("eos", 3), ("unknown", 1), ("seperator", 3), ("padding", 0),
                         ("cls", 2), ("mask", 4)):
        f.keys[f"tokenizer.ggml.{name}_token_id"] = (U32, number)


def start(architecture, *, layers, width, context, heads, heads_kv, ff, vocabulary, head=None,
          words=sentencepiece):
    f = File(architecture)
    f.keys["general.name"] = (STRING, f"test {architecture}")
    f.keys["general.file_type"] = (U32, 15)
    f.own(context_length=context, embedding_length=width, block_count=layers, feed_forward_length=ff,
          attention__head_count=heads, attention__head_count_kv=heads_kv)
    if head:
        f.own(attention__key_length=head, attention__value_length=head)
    words(f, vocabulary)
    f.tensor("token_embd.weight", width, vocabulary, type=Q6_K if width % 256 == 0 else Q8_0)
    return f


def attention(f, i, width, heads, heads_kv, head, *, norms=False, bias=False, type=Q4_K):
    b = f"blk.{i}."
    for name, n in (("q", heads), ("k", heads_kv), ("v", heads_kv)):
        f.tensor(b + f"attn_{name}.weight", width, n * head, type=type)
        if bias:
            f.tensor(b + f"attn_{name}.bias", n * head)
    f.tensor(b + "attn_output.weight", heads * head, width, type=type)
    if norms:
        f.tensor(b + "attn_q_norm.weight", head)
        f.tensor(b + "attn_k_norm.weight", head)


def mlp(f, i, width, ff, type=Q4_K):
    b = f"blk.{i}."
    f.tensor(b + "ffn_gate.weight", width, ff, type=type)
    f.tensor(b + "ffn_up.weight", width, ff, type=type)
    f.tensor(b + "ffn_down.weight", ff, width, type=type)


def experts(f, i, width, ff, n, type=Q4_K, down=None):
    b = f"blk.{i}."
    f.tensor(b + "ffn_gate_inp.weight", width, n)
    f.tensor(b + "ffn_gate_exps.weight", width, ff, n, type=type)
    f.tensor(b + "ffn_down_exps.weight", ff, width, n, type=down or type)
    f.tensor(b + "ffn_up_exps.weight", width, ff, n, type=type)


def norms(f, i, width, *names):
    for name in names:
        f.tensor(f"blk.{i}.{name}.weight", width)


def dense():
    """As Qwen1.5-0.5B with fewer layers: every head has keys and values of its own."""
    f = start("qwen2", layers=6, width=1024, context=32768, heads=16, heads_kv=16, ff=2816,
              vocabulary=151936)
    f.own(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e6)
    f.tensor("output_norm.weight", 1024)
    f.tensor("output.weight", 1024, 151936, type=Q6_K)
    for i in range(6):
        norms(f, i, 1024, "attn_norm", "ffn_norm")
        attention(f, i, 1024, 16, 16, 64, bias=True)
        mlp(f, i, 1024, 2816)
    return f


def grouped():
    """As Llama-3.2-1B with fewer layers: four heads share keys and values; output is the
    embeddings."""
    f = start("llama", layers=5, width=2048, context=131072, heads=32, heads_kv=8, ff=8192,
              vocabulary=128256)
    f.own(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=5e5, rope__dimension_count=64,
          vocab_size=128256)
    f.tensor("output_norm.weight", 2048)
    for i in range(5):
        norms(f, i, 2048, "attn_norm", "ffn_norm")
        attention(f, i, 2048, 32, 8, 64)
        mlp(f, i, 2048, 8192)
    return f


def mixture():
    """As Qwen3-30B-A3B with fewer layers and experts."""
    f = start("qwen3moe", layers=4, width=2048, context=40960, heads=32, heads_kv=4, ff=6144,
              vocabulary=151936, head=128)
    f.own(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e6, expert_count=32,
          expert_used_count=8, expert_feed_forward_length=768)
    f.tensor("output_norm.weight", 2048)
    f.tensor("output.weight", 2048, 151936, type=Q6_K)
    for i in range(4):
        norms(f, i, 2048, "attn_norm", "ffn_norm")
        attention(f, i, 2048, 32, 4, 128, norms=True)
        experts(f, i, 2048, 768, 32)
    return f


def window():
    """As gemma-3-1b with fewer layers: five of six see a window of 512."""
    f = start("gemma3", layers=12, width=1152, context=32768, heads=4, heads_kv=1, ff=6912,
              vocabulary=262144, head=256)
    f.own(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e6,
          attention__sliding_window=512)
    f.tensor("output_norm.weight", 1152)
    for i in range(12):
        norms(f, i, 1152, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        attention(f, i, 1152, 4, 1, 256, norms=True, type=Q8_0)
        mlp(f, i, 1152, 6912, type=Q8_0)
    return f


def latent():
    """As GLM-4.7-Flash with fewer layers and experts: compressed keys, no values."""
    width, heads, layers, ff = 2048, 20, 4, 1536
    f = start("deepseek2", layers=layers, width=width, context=202752, heads=heads, heads_kv=1,
              ff=10240, vocabulary=154880)
    f.own(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=1e6, rope__dimension_count=64,
          attention__q_lora_rank=768, attention__kv_lora_rank=512, attention__key_length=576,
          attention__value_length=512, attention__key_length_mla=256,
          attention__value_length_mla=256, expert_count=16, expert_used_count=4,
          expert_feed_forward_length=ff, expert_shared_count=1, expert_weights_scale=1.8,
          expert_weights_norm=True, expert_gating_func=2, leading_dense_block_count=1,
          vocab_size=154880)
    f.tensor("output_norm.weight", width)
    f.tensor("output.weight", width, 154880, type=Q6_K)
    for i in range(layers):
        b = f"blk.{i}."
        norms(f, i, width, "attn_norm", "ffn_norm")
        f.tensor(b + "attn_q_a.weight", width, 768, type=Q4_K)
        f.tensor(b + "attn_q_a_norm.weight", 768)
        f.tensor(b + "attn_q_b.weight", 768, heads * 256, type=Q4_K)
        f.tensor(b + "attn_kv_a_mqa.weight", width, 576, type=Q4_K)
        f.tensor(b + "attn_kv_a_norm.weight", 512)
        f.tensor(b + "attn_k_b.weight", 192, 512, heads, type=Q8_0)
        f.tensor(b + "attn_v_b.weight", 512, 256, heads, type=Q8_0)
        f.tensor(b + "attn_output.weight", heads * 256, width, type=Q4_K)
        if i == 0:
            mlp(f, i, width, 10240)
            continue
        f.tensor(b + "exp_probs_b.bias", 16)
        experts(f, i, width, ff, 16)
        f.tensor(b + "ffn_gate_shexp.weight", width, ff, type=Q4_K)
        f.tensor(b + "ffn_up_shexp.weight", width, ff, type=Q4_K)
        f.tensor(b + "ffn_down_shexp.weight", ff, width, type=Q4_K)
    return f


def hybrid():
    """As granite-4.0-h-1b with fewer layers: Mamba-2 layers with a state, every tenth layer with attention."""
    width, layers, heads, inner, state, groups, ssm_heads = 1536, 10, 12, 3072, 128, 1, 48
    f = start("granitehybrid", layers=layers, width=width, context=131072, heads=heads,
              heads_kv=4, ff=4096, vocabulary=100352)
    kv = [4 if i % 10 == 5 else 0 for i in range(layers)]
    f.own(attention__head_count_kv=Array(I32, kv), attention__layer_norm_rms_epsilon=1e-5,
          rope__freq_base=1e4, rope__dimension_count=128, ssm__conv_kernel=4, ssm__inner_size=inner,
          ssm__state_size=state, ssm__group_count=groups, ssm__time_step_rank=ssm_heads,
          attention__scale=0.0078125, embedding_scale=12.0, residual_scale=0.22, logit_scale=8.0,
          vocab_size=100352)
    f.tensor("output_norm.weight", width)
    for i in range(layers):
        b = f"blk.{i}."
        norms(f, i, width, "attn_norm", "ffn_norm")
        if kv[i]:
            attention(f, i, width, heads, 4, 128)
        else:
            convolved = inner + 2 * groups * state
            f.tensor(b + "ssm_in.weight", width, 2 * inner + 2 * groups * state + ssm_heads,
                     type=Q4_K)
            f.tensor(b + "ssm_conv1d.weight", 4, convolved)
            f.tensor(b + "ssm_conv1d.bias", convolved)
            f.tensor(b + "ssm_dt.bias", ssm_heads)
            f.tensor(b + "ssm_a", 1, ssm_heads)
            f.tensor(b + "ssm_d", 1, ssm_heads)
            f.tensor(b + "ssm_norm.weight", inner // groups, groups)
            f.tensor(b + "ssm_out.weight", inner, width, type=Q4_K)
        mlp(f, i, width, 4096)
    return f


def embedding():
    """As bge-small-en: BERT, no cache."""
    width = 384
    f = start("bert", layers=12, width=width, context=512, heads=12, heads_kv=12, ff=1536,
              vocabulary=30522, words=wordpiece)
    f.own(attention__layer_norm_epsilon=1e-12, attention__causal=False, pooling_type=2)
    f.tensor("position_embd.weight", width, 512)
    f.tensor("token_types.weight", width, 2)
    f.tensor("token_embd_norm.weight", width)
    f.tensor("token_embd_norm.bias", width)
    for i in range(12):
        b = f"blk.{i}."
        attention(f, i, width, 12, 12, 32, bias=True, type=Q8_0)
        f.tensor(b + "attn_output.bias", width)
        for name in ("attn_output_norm", "layer_output_norm"):
            f.tensor(b + name + ".weight", width)
            f.tensor(b + name + ".bias", width)
        f.tensor(b + "ffn_up.weight", width, 1536, type=Q8_0)
        f.tensor(b + "ffn_up.bias", 1536)
        f.tensor(b + "ffn_down.weight", 1536, width, type=Q8_0)
        f.tensor(b + "ffn_down.bias", width)
    return f


def vision():
    """As Qwen2-VL-2B with fewer layers, the part that reads; projector() is the part that sees."""
    f = start("qwen2vl", layers=5, width=1536, context=32768, heads=12, heads_kv=2, ff=8960,
              vocabulary=151936)
    f.own(attention__layer_norm_rms_epsilon=1e-6, rope__freq_base=1e6,
          rope__dimension_sections=Array(I32, [16, 24, 24, 0]))
    f.tensor("output_norm.weight", 1536)
    for i in range(5):
        norms(f, i, 1536, "attn_norm", "ffn_norm")
        attention(f, i, 1536, 12, 2, 128, bias=True)
        mlp(f, i, 1536, 8960)
    return f


def projector():
    """The part of Qwen2-VL that turns pictures into embeddings of 1536, with fewer layers."""
    f = File("clip")
    width, ff, layers = 1280, 5120, 2
    f.keys.update({
        "general.type": (STRING, "mmproj"), "clip.has_vision_encoder": (BOOL, True),
        "clip.projector_type": (STRING, "qwen2vl_merger"), "clip.use_gelu": (BOOL, False),
        "clip.use_silu": (BOOL, False),
        "clip.vision.image_mean": Array(F32T, [0.48, 0.46, 0.41]),
        "clip.vision.image_std": Array(F32T, [0.27, 0.26, 0.28]),
    })
    for key, number in (("image_size", 560), ("patch_size", 14), ("embedding_length", width),
                        ("feed_forward_length", ff), ("projection_dim", 1536), ("block_count", layers),
                        ("attention.head_count", 16)):
        f.keys[f"clip.vision.{key}"] = (U32, number)
    f.keys["clip.vision.attention.layer_norm_epsilon"] = (F32T, 1e-6)
    f.tensor("v.patch_embd.weight", 14, 14, 3, width)
    f.tensor("v.patch_embd.weight.1", 14, 14, 3, width)
    for i in range(layers):
        b = f"v.blk.{i}."
        for name, rows, columns in (("attn_q", width, width), ("attn_k", width, width),
                                    ("attn_v", width, width), ("attn_out", width, width),
                                    ("ffn_up", width, ff), ("ffn_down", ff, width)):
            f.tensor(b + name + ".weight", rows, columns, type=F16)
            f.tensor(b + name + ".bias", columns)
        for name in ("ln1", "ln2"):
            f.tensor(b + name + ".weight", width)
            f.tensor(b + name + ".bias", width)
    f.tensor("v.post_ln.weight", width)
    f.tensor("v.post_ln.bias", width)
    for n, (rows, columns) in ((0, (5120, 5120)), (2, (5120, 1536))):
        f.tensor(f"mm.{n}.weight", rows, columns, type=F16)
        f.tensor(f"mm.{n}.bias", columns)
    return f


def tiny():
    """A llama of 100 KB for damage: small, and everything that a header has."""
    f = start("llama", layers=2, width=64, context=512, heads=4, heads_kv=2, ff=128, vocabulary=320)
    f.own(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=1e4, rope__dimension_count=16,
          vocab_size=320)
    f.keys["general.alignment"] = (U32, 32)
    f.tensor("output_norm.weight", 64)
    f.tensor("output.weight", 64, 320, type=Q8_0)
    for i in range(2):
        norms(f, i, 64, "attn_norm", "ffn_norm")
        attention(f, i, 64, 4, 2, 16, type=Q8_0)
        mlp(f, i, 64, 128, type=Q8_0)
    return f


SHAPES = {make.__name__: make for make in
          (dense, grouped, mixture, window, latent, hybrid, embedding, vision)}


def write_all(directory):
    """{shape: path} of all shapes, and "projector"."""
    os.makedirs(directory, exist_ok=True)
    made = dict(SHAPES, projector=projector)
    return {name: make().write(os.path.join(directory, f"{name}.gguf"))
            for name, make in made.items()}


# ---- random weights: a model that computes something ----

Q4_0, IQ4_XS, MXFP4 = (2, 32, 18), (23, 256, 136), (39, 32, 17)
# Of a type whose blocks any bytes fill: where the 16-bit scale is, how far the numbers spread with a
# scale of 1, where the minimum is and how many scales it has (ggml-common.h of llama.cpp).
SCALES = {Q4_0: (0, 4.6, None, 0), Q8_0: (0, 73.9, None, 0), Q4_K: (0, 255.0, 2, 7.5),
          Q6_K: (208, 1367.0, None, 0), IQ4_XS: (0, 1300.0, None, 0)}


def random_halves(dice, n, spread):
    """n numbers of F16 around 0: a random sign and fraction, the exponent that gives the spread."""
    exponent = round(math.log2(spread / 1.53)) + 15
    high = bytes((i & 0x83) | exponent << 2 for i in range(256))
    out = bytearray(2 * n)
    out[0::2] = dice.randbytes(n)
    out[1::2] = dice.randbytes(n).translate(high)
    return bytes(out)


def random_blocks(dice, n, kind, spread):
    """n numbers of this type around 0."""
    _, block, size = kind
    if kind == F32:
        return struct.pack("<f", 1.0) * n  # norms
    if kind == F16:
        return random_halves(dice, n, spread)
    blocks = n // block
    out = bytearray(dice.randbytes(blocks * size))
    if kind == MXFP4:
        out[0::size] = bytes([127 + round(math.log2(spread / 3.2))]) * blocks
        return bytes(out)
    scale, unit, minimum, middle = SCALES[kind]
    for at, number in ((scale, spread / unit), (minimum, spread / unit * middle)):
        if at is not None:
            low, high = struct.pack("<e", number)
            out[at::size] = bytes([low]) * blocks
            out[at + 1::size] = bytes([high]) * blocks
    return bytes(out)


def random_model(path, *, layers=24, width=1024, ff=4096, heads=16, heads_kv=4, types=(Q4_K, Q6_K),
                 seed=1, context=4096):
    """A llama whose weights are random, of sizes that keep its numbers in bounds: 0.37 billion unless said
    otherwise. Its matrices have the types in turn, its logits spread as those of trained models do."""
    dice, head, vocabulary = random.Random(seed), width // heads, 512
    f = start("llama", layers=layers, width=width, context=context, heads=heads, heads_kv=heads_kv, ff=ff,
              vocabulary=vocabulary, words=letters)
    f.own(attention__layer_norm_rms_epsilon=1e-5, rope__freq_base=1e4, rope__dimension_count=head,
          vocab_size=vocabulary)
    f.tensors = []
    turn = itertools.cycle(types)
    f.tensor("token_embd.weight", width, vocabulary, type=F16)
    f.tensor("output_norm.weight", width)
    for i in range(layers):
        norms(f, i, width, "attn_norm", "ffn_norm")
        for name, rows, columns in (("attn_q", width, width), ("attn_k", width, heads_kv * head),
                                    ("attn_v", width, heads_kv * head), ("attn_output", width, width),
                                    ("ffn_gate", width, ff), ("ffn_up", width, ff), ("ffn_down", ff, width)):
            f.tensor(f"blk.{i}.{name}.weight", rows, columns, type=next(turn))
    f.tensor("output.weight", width, vocabulary, type=next(turn))
    gains = {"token_embd": math.sqrt(width), "attn_q": 1.7, "attn_k": 1.7, "output": 3.0}
    for name, dims, kind in f.tensors:
        spread = gains.get(name.split(".")[-2], 1.0) / math.sqrt(dims[0])
        f.data[name] = random_blocks(dice, math.prod(dims), kind, spread)
    rows = f.data["output.weight"]
    silent = len(rows) // vocabulary * 259  # only tokens of text are ever answered
    f.data["output.weight"] = bytes(silent) + rows[silent:]
    return f.write(path)


if __name__ == "__main__":
    random_model(sys.argv[1])
