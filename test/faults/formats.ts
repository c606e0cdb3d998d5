/** Every format that is read: a small sound file of it, how it is changed, and all that reads it. */
import { data } from './formats/data.js';
import { findings } from './formats/findings.js';
import type { Format } from './formats/format.js';
import { configs } from './formats/model.js';
import { runs } from './formats/run.js';
import { studies } from './formats/study.js';
import { tokenizers } from './formats/tokenizer.js';

export const FORMATS: readonly Format[] = [...configs, ...tokenizers, ...data, ...runs, ...studies, ...findings];
