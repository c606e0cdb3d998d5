"""Logits of a Hugging Face LLaMA, Mistral, Qwen2, Qwen3, Phi-3, OLMo 2, SmolLM3, Gemma, Gemma 2 or Gemma 3 folder in
float64, with plain PyTorch: a reader apart from the project's own.

    echo '[[1, 2, 3]]' | python3 llama_torch.py FOLDER... > logits.f64      # [B, T, vocab_size] each, little-endian

It needs torch and numpy, neither transformers nor safetensors. Architecture and rope scaling are written after
transformers' modeling_llama.py, modeling_rope_utils.py, modeling_qwen2.py (biases of Q, K and V) and
modeling_qwen3.py (norms over the heads of Q and K), modeling_phi3.py (Q, K and V as one matrix, gate and up as one)
modular_olmo2.py (norms behind attention and MLP, and over all of Q and of K), modular_smollm3.py (layers without
rotation), modeling_gemma.py (norms by 1 + weight, GELU, scaled embeddings), modeling_gemma2.py (norms behind attention
and MLP too, layers within a window, soft caps) and modeling_gemma3.py (norms over the heads of Q and K, a rotation of
their own in layers within a window).
"""
import json
import math
import os
import sys

import numpy
import torch


def to_double(data, dtype):
    if dtype == "BF16":  # the upper half of a float32
        words = numpy.frombuffer(data, dtype="<u2").astype("<u4") << 16
        return words.view("<f4").astype("<f8")
    return numpy.frombuffer(data, dtype={"F32": "<f4", "F16": "<f2"}[dtype]).astype("<f8")


def read_file(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    return {
        name: torch.from_numpy(to_double(data[slice(*entry["data_offsets"])], entry["dtype"]).copy()).reshape(entry["shape"])
        for name, entry in header.items()
    }


def read_weights(folder):
    index = os.path.join(folder, "model.safetensors.index.json")
    if not os.path.exists(index):
        return read_file(os.path.join(folder, "model.safetensors"))
    places = json.load(open(index))["weight_map"]
    shards = {file: read_file(os.path.join(folder, file)) for file in set(places.values())}
    return {name: shards[file][name] for name, file in places.items()}


def inverse_frequencies(config, size):
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rope.get("rope_theta") or config.get("rope_theta") or 10000.0
    inverse = 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float64) / size)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return inverse
    if kind == "linear":
        return inverse / rope["factor"]
    assert kind == "llama3", kind
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    wavelength = 2 * math.pi / inverse
    scaled = torch.where(wavelength > original / low, inverse / factor, inverse)
    smooth = (original / wavelength - low) / (high - low)
    between = (1 - smooth) * scaled / factor + smooth * scaled
    is_medium = ~(wavelength < original / high) & ~(wavelength > original / low)
    return torch.where(is_medium, between, scaled)


def forward(config, weights, ids):
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    size = config.get("head_dim") or config["hidden_size"] // heads
    B, T = ids.shape
    is_gemma, is_gemma3 = config["model_type"].startswith("gemma"), config["model_type"] == "gemma3_text"
    has_windows = is_gemma3 or config["model_type"] == "gemma2"
    pattern = config["sliding_window_pattern"] if is_gemma3 else 2
    positions = torch.arange(T, dtype=torch.float64)
    causal = torch.ones(T, T, dtype=torch.bool).triu(1)

    def rotation(inverse):
        angles = torch.outer(positions, inverse)
        return torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()

    everywhere = rotation(inverse_frequencies(config, size)), causal
    if has_windows:
        inverse = inverse_frequencies(config, size)
        if is_gemma3:
            inverse = config["rope_local_base_freq"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        beyond = torch.ones(T, T, dtype=torch.bool).tril(-(config["sliding_window"] or T))
        locally = rotation(inverse), causal | beyond

    def norm(x, name):
        weight = weights[name] + 1.0 if is_gemma else weights[name]
        return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config.get("rms_norm_eps", 1e-6))

    def soft_cap(x, name):
        return torch.tanh(x / config[name]) * config[name] if config.get(name) else x

    def split(x, count):
        return x.view(B, T, count, size).transpose(1, 2)

    def norm_heads(x, name):
        return norm(x, name) if config["model_type"] == "qwen3" or is_gemma3 else x

    def rotate(x, cos, sin):
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return x * cos + torch.cat([-second, first], -1) * sin

    fused, is_olmo = config["model_type"] == "phi3", config["model_type"] == "olmo2"
    scale = (config["query_pre_attn_scalar"] if has_windows else size) ** -0.5
    x = weights["model.embed_tokens.weight"][ids]
    if is_gemma:
        x = x * config["hidden_size"] ** 0.5
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        is_local = has_windows and (layer + 1) % pattern != 0
        (cos, sin), masked = locally if is_local else everywhere

        if config["model_type"] == "smollm3" and not config["no_rope_layers"][layer]:
            cos, sin = torch.ones_like(cos), torch.zeros_like(sin)

        def linear(x, name):
            return x @ weights[f"{prefix}{name}.weight"].T

        def before(x, name):
            return x if is_olmo else norm(x, prefix + name)

        def after(x, name):
            return norm(x, prefix + name) if is_olmo or has_windows else x

        def project(x, name):
            y = linear(x, name)
            return y + weights[f"{prefix}{name}.bias"] if config["model_type"] == "qwen2" else y

        normed = before(x, "input_layernorm.weight")
        if fused:
            q, k, v = linear(normed, "self_attn.qkv_proj").split([heads * size, kv_heads * size, kv_heads * size], -1)
        else:
            q, k, v = (project(normed, f"self_attn.{part}_proj") for part in "qkv")
        if is_olmo:
            q, k = norm(q, prefix + "self_attn.q_norm.weight"), norm(k, prefix + "self_attn.k_norm.weight")
        q = rotate(norm_heads(split(q, heads), prefix + "self_attn.q_norm.weight"), cos, sin)
        k = rotate(norm_heads(split(k, kv_heads), prefix + "self_attn.k_norm.weight"), cos, sin)
        k = k.repeat_interleave(heads // kv_heads, 1)
        v = split(v, kv_heads).repeat_interleave(heads // kv_heads, 1)
        scores = soft_cap(q @ k.transpose(2, 3) * scale, "attn_logit_softcapping").masked_fill(masked, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, heads * size)
        x = x + after(linear(mixed, "self_attn.o_proj"), "post_attention_layernorm.weight")
        normed = before(x, f"{'pre_feedforward' if has_windows else 'post_attention'}_layernorm.weight")
        if fused:
            gate, up = linear(normed, "mlp.gate_up_proj").chunk(2, -1)
        else:
            gate, up = linear(normed, "mlp.gate_proj"), linear(normed, "mlp.up_proj")
        gate = torch.nn.functional.gelu(gate, approximate="tanh") if is_gemma else gate * torch.sigmoid(gate)
        mixed = linear(gate * up, "mlp.down_proj")
        x = x + after(mixed, "post_feedforward_layernorm.weight")
    is_tied = config.get("tie_word_embeddings", is_gemma or config["model_type"] == "smollm3")
    head = "model.embed_tokens.weight" if is_tied else "lm_head.weight"
    return soft_cap(norm(x, "model.norm.weight") @ weights[head].T, "final_logit_softcapping")


if __name__ == "__main__":
    ids = torch.tensor(json.load(sys.stdin))
    for folder in sys.argv[1:]:
        config = json.load(open(os.path.join(folder, "config.json")))
        logits = forward(config, read_weights(folder), ids)
        sys.stdout.buffer.write(logits.numpy().astype("<f8").tobytes())
