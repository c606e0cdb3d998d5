// Draws the README's picture from the runs of the demo: the held-out loss of the target language, from scratch and by
// CPT.
//
//   node tools/readme-picture.mjs runs/demo docs/demo.png
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pngOf } from '../dist/src/report/picture.js';
import { heldOutPlot } from '../dist/src/report/plots.js';
import { readRun } from '../dist/src/report/runs.js';

const [demo, out] = process.argv.slice(2);
if (!demo || !out) throw new Error('usage: node tools/readme-picture.mjs DEMO-FOLDER OUT.png');
const runs = ['french-scratch', 'french-cpt'].map(name => readRun(join(demo, name)));
writeFileSync(out, pngOf(heldOutPlot(runs, 'fr', 'tokens', 'wide', 720)));
