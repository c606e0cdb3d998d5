/** Imports go down only: each folder may import those to its left, and the leaves (errors, files, random). */
const ENGINE = ['gpu', 'kernels', 'autograd', 'ops', 'optim', 'model'];
const ORDER = [
  ...ENGINE,
  'eval',
  'generate',
  'train',
  'run',
  'profile',
  'compile',
  'audit',
  'study',
  'sweep',
  'demo',
  'cli',
];
/** Folders that stand apart: what they may import. */
const APART = {
  numerics: [],
  scaling: [],
  parallel: [],
  data: [],
  tasks: ['data'],
  report: ['scaling'],
  checkpoint: [...ENGINE, 'data'],
  cases: ['gpu', 'kernels', 'ops', 'optim', 'numerics'],
  tune: ['gpu', 'kernels', 'cases', 'numerics'],
};

const folder = name => `^src/${name}/`;
const onlyFrom = (name, allowed) => ({
  name: `${name}-imports-down`,
  severity: 'error',
  from: { path: folder(name) },
  to: { path: '^src/[^/]+/', pathNot: [name, ...allowed].map(folder) },
});

module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    ...Object.entries(APART).map(([name, allowed]) => onlyFrom(name, allowed)),
    ...ORDER.map((name, rank) => {
      const apart = rank >= ORDER.indexOf('run') ? ['data', 'tune', 'checkpoint'] : [];
      const joint = rank >= ORDER.indexOf('train') ? ['parallel'] : [];
      const shown = rank >= ORDER.indexOf('audit') ? ['report', 'scaling', 'tasks'] : [];
      const judged = rank >= ORDER.indexOf('audit') ? ['numerics', 'cases'] : [];
      return onlyFrom(name, [...ORDER.slice(0, rank), ...apart, ...joint, ...shown, ...judged]);
    }),
    {
      name: 'webgpu-only-in-gpu',
      severity: 'error',
      from: { path: '^src/', pathNot: folder('gpu') },
      to: { path: 'node_modules/webgpu/' },
    },
    {
      name: 'libraries-of-c-only-in-gpu-and-parallel',
      severity: 'error',
      from: { path: '^src/', pathNot: ['gpu', 'parallel'].map(folder) },
      to: { path: 'node_modules/koffi/' },
    },
    {
      name: 'bench-imports-down',
      comment: 'the benchmark measures the engine and what trains with it, and knows no command',
      severity: 'error',
      from: { path: '^bench/' },
      to: { path: ['study', 'demo', 'cli'].map(folder) },
    },
    {
      name: 'bench-only-in-cli',
      comment: 'commands run and show what the benchmark measures; nothing else needs it',
      severity: 'error',
      from: { path: '^src/', pathNot: folder('cli') },
      to: { path: '^bench/' },
    },
    {
      name: 'files-only-above-the-engine',
      comment:
        'so that the engine also runs in a browser; kernels/source.ts, gpu/drivers.ts and gpu/kernel-files.ts are the places to replace',
      severity: 'error',
      from: {
        path: ['autograd', 'ops', 'optim', 'model', 'eval', 'generate', 'numerics', 'scaling', 'kernels', 'gpu'].map(
          folder,
        ),
        pathNot: ['^src/kernels/source.ts$', '^src/gpu/(drivers|kernel-files).ts$'],
      },
      to: { path: '^(node:)?(fs|path|child_process|readline)$' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
  },
};
