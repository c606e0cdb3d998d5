/** The token folders of a run: the data that it is trained and evaluated on. */
import { notesOfChecksums } from '../checkpoint/whole.js';
import { damageOf } from '../checksums.js';
import type { DocumentMarks } from '../data/document-marks.js';
import { TokenDataset } from '../data/shards.js';
import { UserError } from '../errors.js';

export interface Data {
  readonly sources: readonly { readonly name: string; readonly tokens: TokenDataset }[];
  readonly heldOut: ReadonlyMap<string, TokenDataset>;
  readonly tokenizerJson: string;
  /** The marks around every document. */
  readonly marks: DocumentMarks;
  close(): void;
}

/**
 * Opens the data sets of a run.
 * @throws UserError when one is missing or damaged, or their tokenizers or marks differ.
 */
export function openData(
  sources: readonly { readonly name: string; readonly path: string }[],
  heldOutPaths?: Readonly<Record<string, string>>,
): Data {
  const opened = new Map<string, TokenDataset>();
  const open = (path: string) => {
    const dataset = opened.get(path) ?? TokenDataset.open(path);
    opened.set(path, dataset);
    return dataset;
  };
  const close = () => {
    for (const dataset of opened.values()) dataset.close();
  };
  try {
    const openSources = sources.map(({ name, path }) => ({ name, tokens: open(path) }));
    const twice = sources.find(({ name, path }) => sources.some(other => other.name === name && other.path !== path));
    if (twice && !heldOutPaths) {
      throw new UserError(
        `two sources are named '${twice.name}': give each language one name, ` +
          'or say with heldOut which text is evaluated',
      );
    }
    const names = heldOutPaths ?? Object.fromEntries(sources.map(({ name, path }) => [name, path]));
    const heldOut = new Map(Object.entries(names).map(([language, path]) => [language, open(path)]));
    const [first, ...others] = [...opened.values()];
    for (const other of others) {
      if (other.index.tokenizer !== first!.index.tokenizer) {
        throw new UserError(
          `'${first!.folder}' and '${other.folder}' were made with different tokenizers; tokenize both with one`,
        );
      }
      if (marksOf(other.index) !== marksOf(first!.index)) {
        throw new UserError(
          `'${first!.folder}' and '${other.folder}' have different tokens around their documents (--bos, ` +
            '--separator); tokenize both alike',
        );
      }
    }
    const { tokenizerJson, index: marks } = first!;
    return { sources: openSources, heldOut, tokenizerJson, marks, close };
  } catch (error) {
    close();
    throw error;
  }
}

/**
 * Checks the data sets of a run by their checksums; of one that is evaluated alone, what is held out.
 * @returns what the user should know.
 * @throws UserError naming the file that is damaged.
 */
export async function checkDataFiles({ sources, heldOut }: Pick<Data, 'sources' | 'heldOut'>): Promise<string[]> {
  const trained = new Set(sources.map(({ tokens }) => tokens));
  const notes: string[] = [];
  for (const dataset of new Set([...trained, ...heldOut.values()])) {
    const shards = dataset.index.shards.map(({ file }) => file);
    notes.push(...(await checkDataFolder(dataset.folder, file => trained.has(dataset) || !shards.includes(file))));
  }
  return notes;
}

/** Checks the files of a data set that `wanted` takes. @throws UserError naming the one that is damaged. */
export async function checkDataFolder(folder: string, wanted: (file: string) => boolean): Promise<string[]> {
  const damage = await damageOf(folder, wanted);
  if (damage !== undefined) throw new UserError(`${damage}; take another copy, or run 'tokenize' again`);
  return notesOfChecksums(folder, 'index.json');
}

const marksOf = ({ separatorId, startIds }: DocumentMarks): string => [separatorId, ...startIds].join(' ');
