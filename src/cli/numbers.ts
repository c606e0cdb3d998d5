/** Numbers from the command line and on it. */
import { InvalidArgumentError } from 'commander';

/** Returns a parser for a whole number of at least `minimum`; it understands 1e6 and 1_000_000. */
export function wholeNumber(minimum: number): (text: string) => number {
  return text => {
    const value = Number(text.replaceAll('_', ''));
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`It must be a whole number of at least ${minimum}.`);
    }
    return value;
  };
}

/** Parses a number above 0, with fractions. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0) {
    throw new InvalidArgumentError('It must be a number above 0.');
  }
  return value;
}

/** Parses bytes, in the decimal units that Hugging Face uses: `5GB`, `500MB`, `1000000`. */
export function byteSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(KB|MB|GB)?$/i.exec(text.trim());
  const unit = { KB: 1e3, MB: 1e6, GB: 1e9 }[match?.[2]?.toUpperCase() ?? ''] ?? 1;
  const bytes = Math.floor(Number(match?.[1]) * unit);
  if (!match || bytes < 1) throw new InvalidArgumentError('It must be a size such as 5GB, 500MB or 1000000.');
  return bytes;
}

/** Parses a number, with fractions; what is sensible is for the caller to say. */
export function anyNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

/** Returns bytes as KiB, MiB or GiB. */
export function showBytes(bytes: number): string {
  const power = Math.min(3, Math.max(1, Math.floor(Math.log2(bytes) / 10)));
  return `${(bytes / 1024 ** power).toFixed(1)} ${'KMG'[power - 1]}iB`;
}
