/**
 * What the peers import from package.json beside this file, which is installed only where they are measured: untyped.
 */
declare module '@jax-js/jax';
declare module '@tensorflow/tfjs';
declare module '@tensorflow/tfjs-backend-webgpu';
declare module 'onnxruntime-node';
