/** Text out of message catalogues, as tools/help-text.mjs reads them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cataloguePages } from '../tools/help-text/catalogues.mjs';

const CODES = { en: ['en'], fr: ['fr'], zh: ['zh_CN'] };

/** A catalogue in the format of gettext's manual, "The Format of GNU MO Files", little-endian. */
function moFile(messages: Readonly<Record<string, string>>): Buffer {
  const all = { '': 'Content-Type: text/plain; charset=UTF-8\n', ...messages };
  const pairs = Object.entries(all).map(([id, text]) => [Buffer.from(`${id}\0`), Buffer.from(`${text}\0`)] as const);
  const head = Buffer.alloc(28 + 16 * pairs.length);
  [0x950412de, 0, pairs.length, 28, 28 + 8 * pairs.length, 0, head.length].forEach((word, i) => {
    head.writeUInt32LE(word, 4 * i);
  });
  let offset = head.length;
  const strings = [pairs.map(([id]) => id), pairs.map(([, text]) => text)].flat();
  strings.forEach((string, i) => {
    head.writeUInt32LE(string.length - 1, 28 + 8 * i);
    head.writeUInt32LE(offset, 28 + 8 * i + 4);
    offset += string.length;
  });
  return Buffer.concat([head, ...strings]);
}

const HELP = 'Choose the <b>folder</b> that files are _saved in when none is given.';
const PLURAL = 'One of the files could not be read, and was left as it is.';
const FRENCH = 'Choisissez le <b>dossier</b> où sont _enregistrés les fichiers.';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'babelgrad-catalogues-'));
  const write = (code: string, messages: Readonly<Record<string, string>>): void => {
    const file = join(root, `app/usr/share/locale/${code}/LC_MESSAGES/app.mo`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, moFile(messages));
  };
  write('fr', {
    [HELP]: `${FRENCH}\n\nCe paragraphe-ci est un autre, dit gettext à ses\nlecteurs.`,
    [`menu\u0004${PLURAL}\0Several files could not be read, and were left as they are.`]:
      'Un des fichiers n’a pas pu être lu, et reste ce qu’il est.\0Plusieurs fichiers n’ont pas pu être lus.',
    Cancel: 'Annuler',
  });
  write('zh_CN', {
    [HELP]: '请选择在没有指定文件夹时保存文件的位置。',
    Select_Place_selector: 'Select_Place_selector',
  });
  write('sv', { [HELP]: 'Välj den mapp som filerna sparas i när ingen annan har angetts.' });
});
afterAll(() => {
  rmSync(root, { recursive: true });
});

const textIn = (language: string) => Object.fromEntries(cataloguePages(root, 'app', language, CODES));

test("a language's messages are paragraphs without markup and shortcuts; labels are left out", () => {
  expect(textIn('fr')).toEqual({
    'app/app/1': [
      'Choisissez le dossier où sont enregistrés les fichiers.',
      'Ce paragraphe-ci est un autre, dit gettext à ses lecteurs.',
      'Un des fichiers n’a pas pu être lu, et reste ce qu’il est.',
    ],
  });
  expect(textIn('zh')).toEqual({ 'app/app/1': ['请选择在没有指定文件夹时保存文件的位置。'] });
});

test('English is what catalogues of the languages translate, once', () => {
  expect(textIn('en')).toEqual({
    'app/app/1': ['Choose the folder that files are saved in when none is given.', PLURAL],
  });
});
