"""PyTorch on an NVIDIA GPU, as its user would write it: cuBLAS, fused attention, fused AdamW, torch.compile.

Serves works by the protocol of bench/engines/protocol.ts, several at a time. Values are drawn here: what is compared is
time. A product is held to float64, which also tells whether TF32 is off; of a step the losses must be finite.
"""

import json
import os
import platform
import sys
import time

import torch
import torch.nn.functional as F

RUN_MILLISECONDS = 20
MOST_REPETITIONS = 1024
CHECKED_ROWS = 8
STEPS = 3
DEVICE = "cuda"
TYPES = {"f32": torch.float32, "f16": torch.float16}
# of the sums of K products of values below 1/2, as a part of the largest: TF32 would be off by 2^-11
CLOSE = {"f32": 1e-4, "f16": 1e-2}


def uniform(*shape, dtype=torch.float32):
    return (torch.rand(*shape, device=DEVICE) - 0.5).to(dtype)


def matmul(task):
    size, form, dtype = task["size"], task["form"], TYPES[task["precision"]]
    a, b = uniform(size, size, dtype=dtype), uniform(size, size, dtype=dtype)
    left = a.T if form == "TN" else a
    right = b.T if form == "NT" else b

    def run():
        return left @ right

    exact = left[:CHECKED_ROWS].double() @ right.double()
    error = ((run()[:CHECKED_ROWS].double() - exact).abs().max() / exact.abs().max()).item()
    if not error <= CLOSE[task["precision"]]:
        raise ValueError(f"its product is off by {error} of the largest element")
    return run, {"check": f"off by {error:.1e} of the largest element"}


def attention(task):
    B, T, H, D = (task[name] for name in "BTHD")
    q, k, v, dout = (uniform(B, H, T, D, dtype=TYPES[task["precision"]]) for _ in range(4))
    for tensor in (q, k, v):
        tensor.requires_grad_()

    def run():
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return torch.autograd.grad(out, [q, k, v], dout)

    return run, {}


def adamw(task):
    parameter = uniform(task["count"]).requires_grad_()
    parameter.grad = uniform(task["count"])
    optimizer = torch.optim.AdamW([parameter], lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, fused=True)
    return optimizer.step, {}


class Llama(torch.nn.Module):
    def __init__(self, model, T):
        super().__init__()
        self.model = model
        hidden, mlp, vocabulary = model["hiddenSize"], model["intermediateSize"], model["vocabSize"]
        H, KV, D = model["numAttentionHeads"], model["numKeyValueHeads"], model["headDim"]

        def matrix(rows, columns):
            return torch.nn.Parameter(torch.randn(rows, columns, device=DEVICE) * 0.02)

        def ones():
            return torch.nn.Parameter(torch.ones(hidden, device=DEVICE))

        self.embedding = matrix(vocabulary, hidden)
        self.layers = torch.nn.ModuleList(
            torch.nn.ParameterDict(
                {
                    "qkv": matrix((H + 2 * KV) * D, hidden),
                    "o": matrix(hidden, H * D),
                    "gate_up": matrix(2 * mlp, hidden),
                    "down": matrix(hidden, mlp),
                    "attention_norm": ones(),
                    "mlp_norm": ones(),
                }
            )
            for _ in range(model["numHiddenLayers"])
        )
        self.norm = ones()
        self.head = self.embedding if model["tieWordEmbeddings"] else matrix(vocabulary, hidden)
        frequencies = model["ropeTheta"] ** (-torch.arange(D // 2, dtype=torch.float64) / (D // 2))
        angles = torch.arange(T, dtype=torch.float64)[:, None] * frequencies
        self.register_buffer("cos", angles.cos().float().to(DEVICE)[:, None, :])
        self.register_buffer("sin", angles.sin().float().to(DEVICE)[:, None, :])

    def normed(self, x, weight):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, x.shape[-1:], weight, self.model["rmsNormEps"])
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.model["rmsNormEps"]) * weight

    def rotate(self, x):
        first, second = x.chunk(2, -1)
        cos, sin = self.cos.to(x.dtype), self.sin.to(x.dtype)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    def forward(self, ids, targets):
        B, T = ids.shape
        model = self.model
        H, KV, D = model["numAttentionHeads"], model["numKeyValueHeads"], model["headDim"]
        x = F.embedding(ids, self.embedding)
        for layer in self.layers:
            qkv = F.linear(self.normed(x, layer["attention_norm"]), layer["qkv"]).view(B, T, H + 2 * KV, D)
            q, k, v = qkv.split([H, KV, KV], 2)
            q, k, v = (part.transpose(1, 2) for part in (self.rotate(q), self.rotate(k), v))
            if H != KV:
                k, v = (part.repeat_interleave(H // KV, 1) for part in (k, v))
            mixed = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
            x = x + F.linear(mixed.transpose(1, 2).reshape(B, T, H * D), layer["o"])
            gate, up = F.linear(self.normed(x, layer["mlp_norm"]), layer["gate_up"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer["down"])
        logits = F.linear(self.normed(x, self.norm), self.head)
        return F.cross_entropy(logits.view(B * T, -1).float(), targets.reshape(-1))


def step(task):
    """A training step, or with `update` false forward and backward alone."""
    B, T, halves = task["B"], task["T"], task["precision"] == "f16"
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    model = Llama(task["model"], T)
    loss_of = torch.compile(model) if task["compiled"] else model
    ids = torch.randint(task["model"]["vocabSize"], (B, T + 1), device=DEVICE)
    parameters = list(model.parameters())
    matrices = [parameter for parameter in parameters if parameter.dim() > 1]
    vectors = [parameter for parameter in parameters if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    scaler = torch.cuda.amp.GradScaler(enabled=halves)

    def run():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, dtype=torch.float16, enabled=halves):
            loss = loss_of(ids[:, :-1], ids[:, 1:])
        scaler.scale(loss).backward()
        if task["update"]:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            scaler.step(optimizer)
            scaler.update()
        return loss

    losses = [run().item() for _ in range(STEPS)]
    if not all(loss < float("inf") for loss in losses):
        raise ValueError(f"the losses of its first steps are {losses}")
    peak = torch.cuda.max_memory_allocated() - before
    return run, {"losses": losses, "costs": {"peakBytes": peak}}


WORKS = {"matmul": matmul, "attention": attention, "adamw": adamw, "step": step}


class Server:
    def __init__(self):
        self.works = {}

    def once(self, run, times):
        started = time.perf_counter()
        for _ in range(times):
            run()
        torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - started)

    def prepare(self, task):
        run, more = WORKS[task["work"]](task)
        times = 1
        while self.once(run, times) < RUN_MILLISECONDS / 2 and times < MOST_REPETITIONS:
            times *= 2
        self.works[task["name"]] = (run, times)
        return more

    def measure(self, name, seconds):
        run, times = self.works[name]
        samples = []
        started = time.perf_counter()
        while not samples or time.perf_counter() - started < seconds:
            samples.append(self.once(run, times) / times)
        return samples

    def respond(self, request):
        if request["do"] == "prepare":
            return self.prepare(request["task"])
        if request["do"] == "measure":
            return self.measure(request["work"], request["seconds"])
        self.works.clear()
        torch._dynamo.reset()  # which holds compiled models
        torch.cuda.empty_cache()
        return None


def main():
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    server = Server()
    with os.fdopen(3, "w", buffering=1) as answers:

        def say(answer):
            answers.write(json.dumps(answer) + "\n")

        device = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, Python {platform.python_version()}"
        say({"value": {"version": torch.__version__, "device": device}})
        for line in sys.stdin:
            try:
                say({"value": server.respond(json.loads(line))})
            except Exception as error:  # told to the benchmark, which goes on without this work
                say({"error": f"{type(error).__name__}: {error}"})


main()
