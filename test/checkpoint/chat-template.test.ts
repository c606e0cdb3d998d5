/** Chat templates: where they are read from, and that llama.cpp is told them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readChatTemplate } from '../../src/checkpoint/chat-template.js';
import { GPT2_PATTERN } from '../../src/data/patterns.js';
import { exported, folderOf } from '../support/gguf.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-chat-template-'));
afterAll(() => rmSync(root, { recursive: true }));

const TEMPLATE = "{% for message in messages %}<|user|>\n{{ message['content'] }}é{% endfor %}";
const named = [
  { name: 'tool_use', template: 'other' },
  { name: 'default', template: TEMPLATE },
];

function folderWith(config?: unknown, jinja?: string): string {
  const folder = mkdtempSync(join(root, 'folder-'));
  if (config !== undefined) writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  if (jinja !== undefined) writeFileSync(join(folder, 'chat_template.jinja'), jinja);
  return folder;
}

test.each<[string, string | undefined, string]>([
  ['a file of its own, before another', TEMPLATE, folderWith({ chat_template: 'other' }, TEMPLATE)],
  ['a text in tokenizer_config.json', TEMPLATE, folderWith({ chat_template: TEMPLATE })],
  ['the default of several', TEMPLATE, folderWith({ chat_template: named })],
  ['none of several', undefined, folderWith({ chat_template: named.slice(0, 1) })],
  ['none', undefined, folderWith({ chat_template: null })],
  ['no file', undefined, folderWith()],
])('a template is read from %s', (_, expected, folder) => {
  expect(readChatTemplate(folder)).toBe(expected);
});

test('a template that is none is refused by its file and field', () => {
  expect(() => readChatTemplate(folderWith({ chat_template: 7 }))).toThrow(/tokenizer_config\.json'.*chat_template/);
});

test('an export as GGUF has it, or no such key', async () => {
  const folder = await folderOf(root, 'Llama 2, F16', GPT2_PATTERN);
  expect((await exported(root, folder, 'F16')).values).not.toHaveProperty('tokenizer.chat_template');
  writeFileSync(join(folder, 'chat_template.jinja'), TEMPLATE);
  expect((await exported(root, folder, 'F16')).values['tokenizer.chat_template']).toBe(TEMPLATE);
});
