/** Lets code believe that it runs on another platform. */
import { onTestFinished } from 'vitest';

/** Sets `process.platform` until the test ends. */
export function pretendPlatform(platform: NodeJS.Platform): void {
  const own = Object.getOwnPropertyDescriptor(process, 'platform')!;
  Object.defineProperty(process, 'platform', { ...own, value: platform });
  onTestFinished(() => void Object.defineProperty(process, 'platform', own));
}
