/** Numbers from the command line and on it. */
import { InvalidArgumentError } from 'commander';
import { short } from '../report/numbers.js';

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

/** Parses a share of at least 0 and below 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value < 1)) {
    throw new InvalidArgumentError('It must be a number of at least 0 and below 1.');
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

/** Parses the speed of a link, in bits/s as networks are named: `100Gb`, `1Gb`, `400Mb`. */
export function linkSpeed(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(Mb|Gb|Tb)(?:\/s|ps|it)?$/i.exec(text.trim());
  const unit = { mb: 1e6, gb: 1e9, tb: 1e12 }[match?.[2]?.toLowerCase() ?? ''];
  const bits = Number(match?.[1]) * (unit ?? Number.NaN);
  if (!(bits > 0)) throw new InvalidArgumentError('It must be the speed of a link such as 100Gb or 400Mb (bits/s).');
  return bits;
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

/** Returns a duration in words: 93784 → '1.09 days'. */
export function duration(seconds: number): string {
  const units: readonly [number, string][] = [
    [365.25 * 86400, 'years'],
    [86400, 'days'],
    [3600, 'hours'],
    [60, 'minutes'],
    [1, 'seconds'],
  ];
  const [size, name] = units.find(([size]) => seconds >= size) ?? units.at(-1)!;
  return `${short(seconds / size)} ${name}`;
}
