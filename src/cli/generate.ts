import { join } from 'node:path';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { readRows } from '../data/rows.js';
import { readText } from '../data/text-stream.js';
import { UserError } from '../errors.js';
import { checkGeneration } from '../generate/generate.js';
import {
  type Generation,
  generate,
  loadModel,
  openDevice,
  type Pace,
  type Precision,
  readEndIds,
  type SpecialTokens,
  TextTokenizer,
} from '../index.js';
import { checkedModelFolder } from './checked-files.js';
import type { CommandResult, Terminal } from './command.js';
import { notYetWriting } from './writing.js';

interface GenerateOptions {
  model: string;
  prompt: string[];
  prompts?: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed: number;
  stop: string[];
  context?: number;
  batch: number;
  specialTokens: SpecialTokens;
  precision: Precision;
  verify: boolean;
  adapter?: string;
}

/** The command `generate`. */
export async function runGenerate(terminal: Terminal, options: GenerateOptions): Promise<CommandResult> {
  const folder = await checkedModelFolder(terminal, options.model, options.verify);
  const prompts = await readPrompts(options);
  const tokenizer = TextTokenizer.load(join(folder, 'tokenizer.json'));
  const { specialTokens } = options;
  const ids = await Promise.all(prompts.map(prompt => tokenizer.encodePrompt(prompt, { specialTokens })));
  const settings = { ...options, endIds: [tokenizer.separatorId, ...readEndIds(folder)] };
  checkGeneration(readModelConfig(folder), ids, settings);
  const warning = notYetWriting(folder);
  if (warning !== undefined) terminal.note(`note: ${warning}`);
  const device = await openDevice({ adapter: options.adapter });
  try {
    const { precision } = options;
    const model = await loadModel(device, folder, { precision, trainable: false, onNote: terminal.note });
    const shown = showInOrder(terminal, prompts);
    const generation = await generate(model, ids, ids => tokenizer.decode(ids), settings, shown);
    notePaces(terminal, generation);
    return {
      model: folder,
      results: generation.results.map((result, i) => ({
        prompt: prompts[i],
        promptTokens: ids[i]!.length,
        ...result,
      })),
      prefill: withRate(generation.prefill),
      decode: withRate(generation.decode),
    };
  } finally {
    device.close();
  }
}

/** Reads the prompts. @throws UserError when there is none, or the file cannot be read. */
async function readPrompts({ prompt, prompts: file }: GenerateOptions): Promise<string[]> {
  const prompts = [...prompt, ...(file === undefined ? [] : await promptsOf(file))];
  if (prompts.length === 0) throw new UserError('there is nothing to continue; give --prompt or --prompts');
  return prompts;
}

/**
 * Reads the field `prompt` of each object of a .jsonl, or else each line: a blank one too, so that results go by line.
 */
async function promptsOf(file: string): Promise<string[]> {
  const prompts: string[] = [];
  if (/\.jsonl(\.(gz|zst))?$/.test(file)) {
    for await (const row of readRows(file)) prompts.push(row.text('prompt'));
    return prompts;
  }
  let text = '';
  for await (const part of readText(file)) text += part;
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

/**
 * Prints prompts with their continuations in order. Of several that run at once, the first that is not done grows on
 * the screen. The first prompt is printed only with its continuation: until then something may go wrong.
 */
function showInOrder(terminal: Terminal, prompts: readonly string[]) {
  const waiting = [...prompts];
  const finished = new Set<number>();
  let current = 0;
  const flush = () => {
    terminal.write(waiting[current]!);
    waiting[current] = '';
  };
  return {
    onText(prompt: number, text: string) {
      waiting[prompt] += text;
      if (prompt === current) flush();
    },
    onFinish(prompt: number) {
      finished.add(prompt);
      while (finished.has(current)) {
        flush();
        terminal.print();
        current++;
        if (current === prompts.length) return;
        terminal.print();
        flush();
      }
    },
  };
}

const rateOf = ({ tokens, seconds }: Pace): number | undefined => (tokens > 0 ? tokens / seconds : undefined);
const withRate = (pace: Pace) => ({ ...pace, tokensPerSecond: rateOf(pace) });

function notePaces(terminal: Terminal, { prefill, decode }: Generation): void {
  const describe = (name: string, pace: Pace) => {
    const rate = rateOf(pace);
    const speed = rate === undefined ? '' : ` at ${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`;
    return `${name} ${pace.tokens} tokens${speed}`;
  };
  terminal.note(`${describe('prefill', prefill)}, ${describe('decode', decode)}`);
}
