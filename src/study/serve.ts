/** Serves a watched folder's page to browsers on this machine, and sends them what changes. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HttpBindings, serve } from '@hono/node-server';
import type { Hono } from 'hono';
import { messageOf, UserError } from '../errors.js';
import { LIVE_POLICY, type LivePage, livePageHtml, updateOf } from '../report/live.js';
import { type Listener, listenerOf } from './listener.js';
import { WatchedFolder } from './watched.js';

/** The address of this machine alone: no other reaches the page. */
const ADDRESS = '127.0.0.1';
/**
 * The hosts that are served. A page of another site may have its name resolve to this address, but asks for its own
 * host, and is refused.
 */
const HOST = /^(127\.0\.0\.1|localhost)(:\d+)?$/i;
const LOOK_EVERY_MS = 1000;
/** The server pauses this many times as long as the look before it took: the runs need the processor. */
const PAUSE = 3;

export interface WatchServer {
  readonly url: string;
  close(): void;
  [Symbol.dispose](): void;
}

const messageOfEvent = (event: string, data: unknown): Uint8Array =>
  Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);

/**
 * Serves the page of `folder`; `port` 0 takes a free port.
 * @throws UserError when there is no such folder, or the port is taken.
 * @example
 * import { serveWatch } from 'babelgrad';
 *
 * const server = await serveWatch('runs/english', 0);
 * console.log(server.url);
 * server.close();
 */
export async function serveWatch(folder: string, port: number): Promise<WatchServer> {
  const watched = new WatchedFolder(folder);
  /** The page that a new browser is given at once; its first update brings it to the present. */
  let latest = await watched.page();
  const listeners = new Set<Listener>();
  const closing = new AbortController();
  let isLooking = false;
  let shown: LivePage | undefined;
  let problem: string | undefined;
  const html = lastValue((page: LivePage) => Buffer.from(livePageHtml(page)));
  const wholePage = lastValue((page: LivePage) => messageOfEvent('update', updateOf(page)));

  /** Tells everyone what has changed since the last look. */
  const look = async () => {
    const send = (message: Uint8Array) => {
      for (const listener of listeners) listener.send(message);
    };
    for (const listener of listeners) listener.dropIfStuck();
    try {
      const page = await watched.page();
      if (problem !== undefined) send(messageOfEvent('calm', null));
      problem = undefined;
      if (page !== shown) send(shown ? messageOfEvent('update', updateOf(page, shown)) : wholePage(page));
      shown = latest = page;
    } catch (error) {
      if (problem !== messageOf(error)) send(messageOfEvent('problem', messageOf(error)));
      problem = messageOf(error);
    }
  };
  /** Looks as long as somebody listens; the first listener is told everything. */
  const lookOn = async () => {
    isLooking = true;
    shown = undefined;
    while (listeners.size > 0 && !closing.signal.aborted) {
      const started = performance.now();
      await look();
      const pause = Math.max(LOOK_EVERY_MS, PAUSE * (performance.now() - started));
      await sleep(pause, undefined, { signal: closing.signal }).catch(() => {});
    }
    isLooking = false;
  };

  const { serve, Hono, stream } = await loadServer();
  const app = new Hono<{ Bindings: HttpBindings }>();
  app.use(async (context, next) => {
    context.header('Cache-Control', 'no-store');
    context.header('Content-Security-Policy', LIVE_POLICY);
    context.header('X-Content-Type-Options', 'nosniff');
    if (!HOST.test(context.req.header('host') ?? '')) return context.text('this page is for this machine only\n', 403);
    return next();
  });
  app.get('/', context => context.body(html(latest), 200, { 'Content-Type': 'text/html; charset=utf-8' }));
  app.get('/events', context => {
    context.header('Content-Type', 'text/event-stream');
    return stream(context, async stream => {
      const listener = listenerOf(
        message => stream.write(message),
        () => context.env.outgoing.destroy(),
      );
      const gone = new Promise<void>(resolve => stream.onAbort(resolve));
      listeners.add(listener);
      if (isLooking) {
        // the update holds what changed between the listener's page and now
        if (shown) listener.send(wholePage(shown));
        if (problem !== undefined) listener.send(messageOfEvent('problem', problem));
      } else void lookOn();
      await gone;
      listeners.delete(listener);
    });
  });
  app.onError((error, context) => context.text(`${messageOf(error)}\n`, 500));

  const server = await listen(serve, app, port);
  const close = () => {
    closing.abort();
    server.close();
    server.closeAllConnections(); // a browser that listens would keep it open
  };
  return { url: `http://${ADDRESS}:${(server.address() as AddressInfo).port}/`, close, [Symbol.dispose]: close };
}

/** Returns a function that remembers its value for the last argument. */
function lastValue<From, To>(make: (from: From) => To): (from: From) => To {
  let last: { readonly from: From; readonly to: To } | undefined;
  return from => {
    if (last?.from !== from) last = { from, to: make(from) };
    return last.to;
  };
}

/**
 * Loads the packages that serve when they are needed: they load Node's own web classes, whose WebAssembly takes 8 GB of
 * addresses. Where a process may have less (`ulimit -v`), everything else works without them.
 */
async function loadServer() {
  const [{ serve }, { Hono }, { stream }] = await Promise.all([
    import('@hono/node-server'),
    import('hono'),
    import('hono/streaming'),
  ]);
  return { serve, Hono, stream };
}

function listen(start: typeof serve, app: Hono<{ Bindings: HttpBindings }>, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = start({ fetch: app.fetch, hostname: ADDRESS, port }, () => resolve(server)) as Server;
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE' || error.code === 'EACCES'
          ? new UserError(
              `port ${port} is ${error.code === 'EACCES' ? 'reserved' : 'in use'}; give another with --port, ` +
                'or 0 for one that is free',
            )
          : error,
      ),
    );
  });
}
