/** ONNX Runtime's WebGPU provider, which brings a Dawn of its own and chooses its adapter itself. Forward only. */
import koffi from 'koffi';
import { readFloats, versionOf } from './files.mjs';

/** Products in a row, so that copying inputs and result, which every run does, weighs little. */
const CHAIN = 4;

export async function open() {
  try {
    koffi.load('libvulkan.so.1'); // where the loader is not on the system's path
  } catch {
    // it looks for one itself
  }
  const ort = await import('onnxruntime-node');
  return {
    version: versionOf('onnxruntime-node'),
    device: 'the adapter that its own Dawn takes first',
    note: `${CHAIN} products a run, whose inputs and result are copied`,
    async prepare(task) {
      return task.work === 'matmul'
        ? matmul(ort.default ?? ort, task)
        : { unsupported: 'forward only: no gradient, no optimizer' };
    },
  };
}

async function matmul(ort, task) {
  const { size } = task;
  const feeds = Object.fromEntries(
    ['a', 'b'].map(name => [name, new ort.Tensor('float32', readFloats(task, name), [size, size])]),
  );
  const session = length =>
    ort.InferenceSession.create(productModel(size, length), { executionProviders: ['webgpu'], logSeverityLevel: 3 });
  const single = await session(1);
  const { c } = await single.run(feeds);
  await single.release();
  const chain = await session(CHAIN);
  return {
    results: { c: Float32Array.from(c.data) },
    timesPerRun: CHAIN,
    async run(times) {
      for (let i = 0; i < times; i++) await chain.run(feeds);
    },
    dispose: () => chain.release(),
  };
}

/** An ONNX model (protobuf) of c = a·b·b·…: `length` products. */
function productModel(size, length) {
  const names = Array.from({ length }, (_, i) => (i === length - 1 ? 'c' : `c${i}`));
  const nodes = names.map((name, i) =>
    message(1, text(1, i === 0 ? 'a' : names[i - 1]), text(1, 'b'), text(2, name), text(4, 'MatMul')),
  );
  const value = (field, name) => {
    const dimension = message(1, number(1, size));
    const tensor = message(1, number(1, 1), message(2, dimension, dimension)); // float32, its shape
    return message(field, text(1, name), message(2, tensor));
  };
  const graph = message(7, ...nodes, text(2, 'product'), value(11, 'a'), value(11, 'b'), value(12, 'c'));
  return Uint8Array.from([...number(1, 8), ...graph, ...message(8, number(2, 17))]); // IR version 8, opset 17
}

const varint = n => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))]);
const number = (field, value) => [...varint(field * 8), ...varint(value)];
const message = (field, ...parts) => {
  const bytes = parts.flat();
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
};
const text = (field, string) => message(field, [...new TextEncoder().encode(string)]);
