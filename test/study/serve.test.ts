import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../src/errors.js';
import { packageRoot } from '../../src/files.js';
import { listenerOf } from '../../src/study/listener.js';
import type { StudyPlan } from '../../src/study/plan.js';
import { runFolder } from '../../src/study/planned-run.js';
import { serveWatch, type WatchServer } from '../../src/study/serve.js';
import { linesOfStep, makeRun, makeStudy } from '../support/study.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-watch-'));
const servers: WatchServer[] = [];
afterEach(() => {
  for (const { close } of servers.splice(0)) close();
});
afterAll(() => rmSync(root, { recursive: true }));

async function watch(folder: string): Promise<string> {
  const server = await serveWatch(folder, 0);
  servers.push(server);
  return server.url;
}

/** A study whose first run from scratch is half done. */
function startedStudy(name: string): StudyPlan {
  const plan = makeStudy(join(root, name), { sizes: [1e5, 2e5] });
  makeRun(plan, plan.runs[0]!);
  makeRun(plan, plan.runs[1]!, 0.5);
  return plan;
}

function appendSteps(plan: StudyPlan, from: number, to: number): void {
  const run = plan.runs[1]!;
  const steps = Array.from({ length: to - from }, (_, i) => linesOfStep(plan, run, 1e5, from + 1 + i)).flat();
  const text = steps.map(line => `${JSON.stringify(line)}\n`).join('');
  appendFileSync(join(runFolder(plan.folder, run.name), 'metrics.jsonl'), text);
}

describe('the server', () => {
  /** `fetch` does not let a Host be chosen. */
  const statusFor = (url: string, host: string) =>
    new Promise<number>((resolve, reject) =>
      get(url, { headers: { host } }, response => {
        response.resume();
        resolve(response.statusCode!);
      }).on('error', reject),
    );

  test('answers this machine alone', async () => {
    const url = await watch(startedStudy('hosts').folder);
    expect(new URL(url).hostname).toBe('127.0.0.1');
    const { port } = new URL(url);
    expect(await statusFor(url, `127.0.0.1:${port}`)).toBe(200);
    expect(await statusFor(url, `localhost:${port}`)).toBe(200);
    expect(await statusFor(url, `rebound.example:${port}`)).toBe(403);
    expect(await statusFor(`${url}events`, `127.0.0.1.rebound.example:${port}`)).toBe(403);
    expect(await statusFor(`${url}study.json`, `127.0.0.1:${port}`)).toBe(404);
  });

  test('says that a port is in use, and that a folder is not there', async () => {
    const folder = startedStudy('port').folder;
    const port = Number(new URL(await watch(folder)).port);
    await expect(serveWatch(folder, port)).rejects.toThrow(UserError);
    await expect(serveWatch(folder, port)).rejects.toThrow(`port ${port} is in use`);
    await expect(serveWatch(join(root, 'nowhere'), 0)).rejects.toThrow('there is no folder');
  });

  test('sends everything once, then what has changed', async () => {
    const plan = startedStudy('events');
    const response = await fetch(`${await watch(plan.folder)}events`);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const nextUpdate = async () => {
      for (;;) {
        const match = /event: update\ndata: (.*)\n\n/.exec(text);
        if (match) {
          text = text.slice(match.index + match[0].length);
          return JSON.parse(match[1]!) as { ids: string[]; changed: Record<string, string> };
        }
        text += (await reader.read()).value;
      }
    };
    const first = await nextUpdate();
    expect(Object.keys(first.changed)).toEqual(first.ids);
    // steps alone move only the table of runs
    appendSteps(plan, 100, 110);
    expect(Object.keys((await nextUpdate()).changed)).toEqual(['runs']);
    // an evaluation moves the curves too
    appendSteps(plan, 110, 120);
    const third = await nextUpdate();
    expect(Object.keys(third.changed)).toContain('loss-compute');
    expect(third.changed.runs).toContain('<td>60%</td>');
    await reader.cancel();
  });
});

describe('the page is sent', () => {
  test('with a policy that allows its one script, no frame and no other site', async () => {
    const response = await fetch(await watch(startedStudy('policy').folder));
    const policy = response.headers.get('content-security-policy')!;
    for (const part of ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]) {
      expect(policy.split('; ')).toContain(part);
    }
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    const scripts = [...(await response.text()).matchAll(/<script[^>]*>(.*?)<\/script>/gs)].map(match => match[1]!);
    expect(scripts).toHaveLength(1);
    const hash = createHash('sha256').update(scripts[0]!).digest('base64');
    expect(/script-src ([^;]*)/.exec(policy)![1]).toBe(`'sha256-${hash}'`);
  });
});

describe('browsers that listen', () => {
  /** Opens connections that listen; `data` is told what each is sent. */
  const listenOn = (url: string, count: number, data: (i: number, text: string) => void) => {
    const { port, host } = new URL(url);
    return Array.from({ length: count }, (_, i) => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.write(`GET /events HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      socket.on('data', chunk => data(i, chunk.toString('latin1')));
      socket.on('error', () => {});
      return socket;
    });
  };

  test('200 of them are each told everything, and end with the command on Ctrl-C', async () => {
    const { folder } = startedStudy('many');
    const parameters = [join(packageRoot, 'dist/src/cli/main.js'), 'watch', folder, '--port', '0'];
    const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const url = /http:\S+/.exec(line.toString())![0];
    const updated = new Set<number>();
    const sockets = listenOn(url, 200, (i, text) => {
      if (text.includes('event: update')) updated.add(i);
    });
    const closed = sockets.map(socket => once(socket, 'close'));
    await vi.waitFor(() => expect(updated.size).toBe(200), { timeout: 60_000, interval: 100 });
    child.kill('SIGINT');
    expect((await once(child, 'exit'))[0]).toBe(0);
    await Promise.all(closed);
  });

  test('one that takes nothing for ten seconds is dropped, and no other', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const dropped: string[] = [];
      const taken: (() => void)[] = [];
      const stuck = listenerOf(
        () => new Promise<void>(() => {}),
        () => dropped.push('stuck'),
      );
      const slow = listenerOf(
        () => new Promise<void>(resolve => taken.push(resolve)),
        () => dropped.push('slow'),
      );
      const idle = listenerOf(
        () => Promise.resolve(),
        () => dropped.push('idle'),
      );
      const message = new Uint8Array(1);
      for (let second = 0; second < 12; second++) {
        stuck.send(message);
        slow.send(message);
        if (second === 0) idle.send(message);
        if (second >= 5) taken.shift()!(); // always five seconds behind
        await new Promise(resolve => setImmediate(resolve));
        vi.advanceTimersByTime(1000);
        for (const listener of [stuck, slow, idle]) listener.dropIfStuck();
      }
      expect(new Set(dropped)).toEqual(new Set(['stuck']));
    } finally {
      vi.useRealTimers();
    }
  });
});

/** Debian's; playwright-core brings none. */
const CHROMIUM = '/usr/bin/chromium';
if (!existsSync(CHROMIUM)) process.stderr.write(`no ${CHROMIUM}: the page is not looked at in a browser\n`);

describe.skipIf(!existsSync(CHROMIUM))('the page in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterAll(() => browser.close());

  async function open(url: string): Promise<{ page: Page; errors: string[] }> {
    const page = await browser.newPage({ viewport: { width: 390, height: 844 }, hasTouch: true });
    const errors: string[] = [];
    page.on('pageerror', error => errors.push(error.message));
    page.on('console', message => {
      if (message.type() === 'error') errors.push(message.text());
    });
    await page.goto(url);
    await page.waitForSelector('#live[data-state="live"]');
    return { page, errors };
  }
  // as text, since the tests are compiled without a browser's types
  const dotsIn = (section: string) => `document.querySelectorAll('#${section} svg circle[r="2.4"]').length`;

  test('curves of a study grow, and the window stays where it is', async () => {
    const plan = startedStudy('grows');
    const { page, errors } = await open(await watch(plan.folder));
    expect(await page.evaluate(dotsIn('loss-compute'))).toBe(5);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);

    const offsetOf = () => page.evaluate<number>("document.getElementById('runs').getBoundingClientRect().top");
    await page.setViewportSize({ width: 390, height: 200 }); // so low that the last section can be at its top
    await page.evaluate("document.getElementById('runs').scrollIntoView()");
    const before = await offsetOf();
    appendSteps(plan, 100, 160);
    makeRun(plan, plan.runs[2]!); // figures come into being above
    await page.waitForSelector('#transfer svg');
    expect(Math.abs((await offsetOf()) - before)).toBeLessThan(2);
    await page.waitForFunction(`${dotsIn('loss-compute')} === 8`);
    expect(await page.textContent('#runs')).toContain('80%');
    expect(errors).toEqual([]);
    await page.close();
  });

  test('the pointer near a dot, and a tap on it, name its run', async () => {
    const { page } = await open(await watch(startedStudy('tap').folder));
    const dot = page.locator('#loss-compute svg circle[r="2.4"]').first();
    await dot.scrollIntoViewIfNeeded();
    // the event of scrolling comes with the next frame, and hides a tip
    await page.evaluate('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))');
    const box = (await dot.boundingBox())!;
    await page.mouse.move(box.x + 4, box.y + 5);
    expect(await page.textContent('#tip')).toContain('0.1M-scratch-fr\n120G FLOPs, 200k tokens\nfr loss ');
    expect(await page.isVisible('#tip')).toBe(true);
    await page.mouse.move(box.x + 100, box.y - 60);
    expect(await page.isVisible('#tip')).toBe(false);
    await page.touchscreen.tap(box.x + 4, box.y + 5);
    expect(await page.isVisible('#tip')).toBe(true);
    await page.close();
  });

  test('a folder waits for its first run, and what cannot be read is said until it can', async () => {
    const folder = join(root, 'runs');
    mkdirSync(folder);
    const { page } = await open(await watch(folder));
    expect(await page.textContent('main')).toContain('Waits for a run');
    const plan = startedStudy('origin');
    const run = join(folder, 'first');
    mkdirSync(run);
    const { name } = plan.runs[1]!;
    cpSync(runFolder(plan.folder, name), run, { recursive: true });
    await page.waitForSelector('#held-out svg:visible');
    // the contents grow with the page
    expect(await page.textContent('nav')).toMatch(/Held-out loss, in .*Runs/s);
    expect(await page.textContent('#runs')).toContain(name);
    writeFileSync(join(folder, 'first', 'config.json'), '{}');
    await page.waitForSelector('#live[data-state="problem"]');
    expect(await page.textContent('#live')).toContain('is not the configuration of a run');
    cpSync(runFolder(plan.folder, name), run, { recursive: true });
    await page.waitForSelector('#live[data-state="live"]');
    await page.close();
  });

  test('a connection that is lost is shown', async () => {
    const { page } = await open(await watch(startedStudy('lost').folder));
    for (const { close } of servers.splice(0)) close();
    await page.waitForSelector('#live[data-state="lost"]');
    await page.close();
  });
});
