/** Packages with parts in native code. They are loaded when they are first needed: what needs none runs without. */
import { createRequire } from 'node:module';
import { messageOf, UserError } from './errors.js';

const require = createRequire(import.meta.url);

/** Loads a package of CommonJS. @throws UserError that says what to install when its native part is not there. */
export function requireNative<Module>(name: string): Module {
  try {
    return require(name) as Module;
  } catch (error) {
    throw nativeError(name, error);
  }
}

/** Returns the error for a package that cannot be loaded. */
export function nativeError(name: string, error: unknown): UserError {
  const [reason] = messageOf(error).split('\n');
  return new UserError(
    `this needs the package '${name}' with its part for ${process.platform}-${process.arch}, which cannot be loaded ` +
      `(${reason}); install it with 'npm install ${name} --include=optional'`,
  );
}
