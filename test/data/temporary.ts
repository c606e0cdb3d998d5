/** A folder of the test's own, and small tokenizers to use in it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type DocumentPart, readDocuments } from '../../src/data/documents.js';

/** A temporary folder that goes when the file's tests are done; `write` puts a file into it and gives its path. */
export function temporaryFolder(): { folder: string; write: (name: string, data: string | Uint8Array) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'babelgrad-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return {
    folder,
    write(name, data) {
      const path = join(folder, name);
      writeFileSync(path, data);
      return path;
    },
  };
}

/** The documents of a file, each whole. */
export async function documentsOf(path: string, field = 'text'): Promise<string[]> {
  const texts: string[] = [];
  let text = '';
  for (const part of await partsOf(path, field)) {
    text += part.text;
    if (!part.endOfDocument) continue;
    texts.push(text);
    text = '';
  }
  if (text !== '') throw new Error('the last document does not end');
  return texts;
}

export async function partsOf(path: string, field = 'text'): Promise<DocumentPart[]> {
  const parts: DocumentPart[] = [];
  for await (const part of readDocuments(path, field)) parts.push(part);
  return parts;
}
