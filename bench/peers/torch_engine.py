"""PyTorch on the processor, in eager mode: what its user would write. See bench/engines/protocol.ts."""

import json
import math
import os
import platform
import re
import sys
import time


def blas_kernels():
    """OpenBLAS's widest kernels for this processor: a version that is older than it may take it for one without AVX."""
    try:
        with open("/proc/cpuinfo") as processors:
            flags = set(next(line for line in processors if line.startswith("flags")).split())
    except (OSError, StopIteration):
        return None
    names = {"avx512_bf16": "Cooperlake", "avx512f": "SkylakeX", "avx2": "Haswell"}
    return next((name for flag, name in names.items() if flag in flags), None)


kernels = blas_kernels()
if kernels:
    os.environ["OPENBLAS_CORETYPE"] = kernels

import numpy
import torch
import torch.nn.functional as F

RUN_MILLISECONDS = 20
MOST_REPETITIONS = 64


def floats(task, name, shape):
    values = numpy.fromfile(os.path.join(task["folder"], name + ".f32"), dtype=numpy.float32)
    return torch.from_numpy(values.reshape(shape).copy())


def attend(q, k, v, mask):
    """Causal attention on [B, H, T, D]: the fused one where this PyTorch has it."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return torch.softmax(scores.masked_fill(mask, -math.inf), -1) @ v


def causal_mask(T):
    return torch.ones(T, T, dtype=torch.bool).triu(1)


def matmul(task):
    size = task["size"]
    a, b = (floats(task, name, [size, size]) for name in "ab")

    def run():
        return a @ b

    return {"c": run()}, run, {}


def attention(task):
    B, T, H, D = (task[name] for name in "BTHD")
    q, k, v, dout = (
        floats(task, name, [B, T, H, D]).transpose(1, 2).contiguous() for name in ["q", "k", "v", "dout"]
    )
    for tensor in (q, k, v):
        tensor.requires_grad_()
    mask = causal_mask(T)

    def run():
        out = attend(q, k, v, mask)
        return (out, *torch.autograd.grad(out, [q, k, v], dout))

    results = dict(zip(["out", "dq", "dk", "dv"], (tensor.detach().transpose(1, 2) for tensor in run())))
    return results, run, {}


def adamw(task):
    settings = task["settings"]
    shape = [task["count"]]
    parameter = floats(task, "parameter", shape).requires_grad_()
    parameter.grad = floats(task, "gradient", shape)
    optimizer = adamw_optimizer([{"params": [parameter], "weight_decay": settings["weightDecay"]}], settings)
    state = optimizer.state[parameter]
    state["step"] = torch.tensor(float(settings["step"] - 1))
    state["exp_avg"] = floats(task, "m", shape)
    state["exp_avg_sq"] = floats(task, "v", shape)
    optimizer.step()
    results = {"parameter": parameter, "m": state["exp_avg"], "v": state["exp_avg_sq"]}
    return {name: tensor.detach().clone() for name, tensor in results.items()}, optimizer.step, {}


def adamw_optimizer(groups, settings):
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.AdamW(groups, lr=settings["lr"], betas=betas, eps=settings["eps"])


def step(task):
    B, T = task["B"], task["T"]
    model, settings = task["model"], task["settings"]
    H, D, layers = model["numAttentionHeads"], model["headDim"], model["numHiddenLayers"]
    weights = {spec["name"]: floats(task, spec["name"], spec["shape"]).requires_grad_() for spec in task["parameters"]}
    decayed = [weights[spec["name"]] for spec in task["parameters"] if spec["decay"]]
    kept = [weights[spec["name"]] for spec in task["parameters"] if not spec["decay"]]
    groups = [{"params": decayed, "weight_decay": settings["weightDecay"]}, {"params": kept, "weight_decay": 0.0}]
    optimizer = adamw_optimizer(groups, settings)
    words = numpy.fromfile(os.path.join(task["folder"], "batches.u32"), dtype=numpy.uint32).astype(numpy.int64)
    batches = torch.from_numpy(words.reshape(task["steps"], B, T + 1))
    frequencies = model["ropeTheta"] ** (-torch.arange(D // 2, dtype=torch.float64) / (D // 2))
    angles = torch.arange(T, dtype=torch.float64)[:, None] * frequencies
    cos, sin = angles.cos().float()[:, None, :], angles.sin().float()[:, None, :]
    mask = causal_mask(T)

    def linear(x, name):
        return F.linear(x, weights[name + ".weight"])

    def norm(x, name):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + model["rmsNormEps"])
        return x * scale * weights[name + ".weight"]

    def heads(x):
        return x.view(B, T, H, D)

    def rotate(x):
        first, second = x.chunk(2, -1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def loss_of(ids, targets):
        x = F.embedding(ids, weights["model.embed_tokens.weight"])
        for layer in range(layers):
            prefix = f"model.layers.{layer}."
            normed = norm(x, prefix + "input_layernorm")
            q, k = (rotate(heads(linear(normed, f"{prefix}self_attn.{name}_proj"))) for name in "qk")
            v = heads(linear(normed, prefix + "self_attn.v_proj"))
            mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
            x = x + linear(mixed.transpose(1, 2).reshape(B, T, H * D), prefix + "self_attn.o_proj")
            normed = norm(x, prefix + "post_attention_layernorm")
            gate = F.silu(linear(normed, prefix + "mlp.gate_proj"))
            x = x + linear(gate * linear(normed, prefix + "mlp.up_proj"), prefix + "mlp.down_proj")
        logits = linear(norm(x, "model.norm"), "lm_head")
        return F.cross_entropy(logits.view(B * T, -1), targets.reshape(-1))

    def train(batch):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), settings["clip"])
        optimizer.step()
        return loss.item()

    losses = [train(batch) for batch in batches]
    return {}, lambda: train(batches[0]), {"losses": losses}


WORKS = {"matmul": matmul, "attention": attention, "adamw": adamw, "step": step}


class Server:
    def __init__(self):
        self.run = None
        self.per_run = 1

    def once(self, times):
        started = time.perf_counter()
        for _ in range(times):
            self.run()
        return 1000 * (time.perf_counter() - started)

    def prepare(self, task, folder):
        results, self.run, more = WORKS[task["work"]](task)
        for name, tensor in results.items():
            tensor.detach().contiguous().numpy().tofile(os.path.join(folder, name + ".f32"))
        self.per_run = 1
        while self.once(self.per_run) < RUN_MILLISECONDS / 2 and self.per_run < MOST_REPETITIONS:
            self.per_run *= 2
        return more

    def measure(self, seconds):
        samples = []
        started = time.perf_counter()
        while not samples or time.perf_counter() - started < seconds:
            samples.append(self.once(self.per_run) / self.per_run)
        return samples

    def respond(self, request):
        if request["do"] == "prepare":
            return self.prepare(request["task"], request["results"])
        if request["do"] == "measure":
            return self.measure(request["seconds"])
        self.run = None
        return None


def blas():
    """The name of the BLAS that is loaded, and what is wrong with it."""
    with open("/proc/self/maps") as maps:
        names = {os.path.basename(line.split()[-1]) for line in maps if "/" in line}
    fast = [name for name in names if re.search("openblas|mkl|blis|atlas|nvpl", name)]
    if fast or "BLAS_INFO=mkl" in torch.__config__.show():
        return min(fast, default="MKL"), None
    if any(name.startswith("libblas") for name in names):
        return "reference BLAS", "its BLAS is the slow reference one: apt-get install libopenblas0-pthread"
    return "a BLAS of its own", None


def main():
    threads = int(sys.argv[1])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    server = Server()
    with os.fdopen(3, "w", buffering=1) as answers:

        def say(answer):
            answers.write(json.dumps(answer) + "\n")

        library, handicap = blas()
        device = f"CPU, {threads} threads, {library}, Python {platform.python_version()}"
        say({"value": {"version": torch.__version__, "device": device, "handicap": handicap}})
        for line in sys.stdin:
            try:
                say({"value": server.respond(json.loads(line))})
            except Exception as error:  # told to the benchmark, which goes on without this work
                say({"error": f"{type(error).__name__}: {error}"})


main()
