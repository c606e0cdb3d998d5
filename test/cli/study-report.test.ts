import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { runCommand } from '../support/command.js';
import { makeRun, makeStudy } from '../support/study.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-study-cli-'));
afterAll(() => rmSync(root, { recursive: true }));
beforeAll(() => {
  const plan = makeStudy(join(root, 'study'), { sizes: [1e5, 3e5] });
  for (const run of plan.runs) makeRun(plan, run);
});

test('study report writes its files, and makes the same figures from its points alone', async () => {
  const first = await runCommand(root, ['study', 'report', 'study', '--bootstrap', '3', '--json']);
  expect(first.stderr).toContain('│ fr   │ 0.1M │');
  expect(first.status).toBe(0);
  const result = JSON.parse(first.stdout);
  expect(result.path).toBe(join('study', 'report', 'report.html'));
  for (const file of result.files) expect(existsSync(join(root, file))).toBe(true);
  expect(result.findings).toHaveLength(7);
  expect(result.findings[0]).toMatchObject({
    section: 'transfer',
    verdict: expect.stringMatching(/^(reproduced|in part|not reproduced|open)$/),
  });

  const points = join('study', 'report', 'points.csv');
  const again = await runCommand(root, ['study', 'report', '--points', points, '--out', 'alone', '--bootstrap', '3']);
  expect(again.status).toBe(0);
  expect(again.stdout).toContain(`report: ${join('alone', 'report.html')}`);
  for (const file of ['figures/equal-loss-fr.svg', 'fits/fr-cpt.json', 'points.csv']) {
    expect(readFileSync(join(root, 'alone', file), 'utf8')).toBe(
      readFileSync(join(root, 'study', 'report', file), 'utf8'),
    );
  }
  // a fit goes on to plan
  const plan = ['plan', '--compute', '1e14', '--law', join('alone', 'fits', 'fr-cpt.json'), '--json'];
  expect((await runCommand(root, plan)).status).toBe(0);
});

test('bad usage is named', async () => {
  for (const [parameters, message] of [
    [['study', 'report'], "give the study's folder, or its points"],
    [['study', 'report', 'study', '--points', 'p.csv'], 'one of the two'],
    [['study', 'report', 'nowhere'], "'nowhere' holds no study"],
    [['watch', 'nowhere'], "there is no folder 'nowhere' to watch"],
    [['watch', 'study', '--port', '70000'], 'at most 65535'],
  ] as const) {
    const { status, stderr } = await runCommand(root, parameters);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  }
});

test('watch says where it is, refuses a port that is taken, and ends with Ctrl-C', async () => {
  const main = join(packageRoot, 'dist/src/cli/main.js');
  const child = spawn(process.execPath, [main, 'watch', 'study', '--port', '0'], { cwd: root });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const url = /http:\/\/127\.0\.0\.1:\d+\//.exec(String(line))![0];
  expect(await (await fetch(url)).text()).toContain('Loss against compute');
  const second = await runCommand(root, ['watch', 'study', '--port', new URL(url).port]);
  expect(second.stderr).toContain('is in use; give another with --port');
  expect(second.status).toBe(2);
  const listening = await fetch(`${url}events`); // does not keep it from ending
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);
  await listening.body?.cancel().catch(() => {});
});
