/** This engine, under the same conditions as the others. */
import { openDevice } from '../../src/gpu/open-device.js';
import type { ModelConfig } from '../../src/model/config.js';
import type { Work } from '../work.js';
import { adamwWork } from '../works/adamw.js';
import { attentionWork } from '../works/attention.js';
import { matmulWork } from '../works/matmul.js';
import { batchOf, modelConfig, stepWork } from '../works/step.js';
import type { OpenEngine, PreparedTask } from './protocol.js';

export const open: OpenEngine = async adapter => {
  const device = await openDevice({ adapter });
  return {
    version: 'this checkout',
    device: device.adapter.name,
    async prepare(task) {
      switch (task.work) {
        case 'matmul':
          return prepared(await matmulWork(device, 'NN', task.size));
        case 'attention':
          return prepared(await attentionWork(device, { ...task, KV: task.H }));
        case 'adamw':
          return prepared(await adamwWork(device, task.count));
        case 'step': {
          // weights and batches are made as the files were
          const config: ModelConfig = modelConfig(task.model, task.model.vocabSize, false, task.T);
          const batches = Array.from({ length: task.steps }, (_, i) => batchOf(config, task, i));
          const work = await stepWork(device, config, task, { batches });
          return { ...prepared(work), losses: work.losses, costs: work.costs };
        }
      }
    },
  };
};

/** The works check themselves against float64. */
const prepared = (work: Work): PreparedTask => ({
  check: work.check,
  run: times => work.run(times),
  dispose: () => work.destroy(),
});
