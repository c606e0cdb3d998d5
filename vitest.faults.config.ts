import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.js';

/** What is done to the program from outside: loss of power, kills, full disks, hostile files. */
const config = mergeConfig(base, defineConfig({ test: { testTimeout: 600_000 } }));
config.test!.include = ['test/faults/**/*.faults.ts'];
export default config;
