#!/usr/bin/env node
/**
 * `npm run demo`: the sample shop behind a real Envoy, and a change that its traffic follows.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { complain, runCommand } from '@watershed/runtime/command.ts';
import { describeError } from '@watershed/runtime/errors.ts';
import { defineOptions } from '@watershed/runtime/options.ts';
import type { Program } from '@watershed/runtime/options-parse.ts';
import { version } from '@watershed/runtime/version.ts';
import { envoyBootstrap } from './bootstrap.ts';
import { cacheDirectory } from './components/cache.ts';
import { fetchEnvoy } from './components/envoy-fetch.ts';
import { startEnvoy } from './components/envoy.ts';
import { startWatershed } from './components/watershed.ts';
import { ask, closeConnections, count } from './demo/requests.ts';
import { openShop, swapWeights, type Shop } from './demo/shop.ts';

const catalog = 'catalog.shop.test';
const storefront = 'shop.example.com';
const requests = 400;
const convergeMs = 20_000;

const table = defineOptions({
  keep: {
    type: 'bool',
    flag: '--keep',
    default: false,
    doc: 'Everything keeps running until Ctrl-C.',
  },
});

/** What was started, in order; stopped in the reverse one. */
const stops: (() => Promise<void>)[] = [];
let stopping: Promise<void> | undefined;

const program: Program<typeof table> = {
  name: 'demo',
  typed: 'npm run demo --',
  description: 'The sample shop behind a real Envoy, and a change that its traffic follows.',
  version,
  table,
};

const input = { argv: process.argv.slice(2), environment: process.env };
await runCommand(program, input, async ({ keep }) => {
  process.on('SIGINT', () => void stopAll().then(() => process.exit(130)));
  process.on('SIGTERM', () => void stopAll().then(() => process.exit(143)));
  let status = 0;
  try {
    await demo(keep);
  } catch (error) {
    // After Ctrl-C, whatever was under way fails.
    if (stopping === undefined) {
      status = 1;
      complain(program.name, [describeError(error)]);
    }
  }
  await stopAll();
  return status;
});

async function demo(keep: boolean): Promise<void> {
  title('Watershed demo: a small shop behind a real Envoy');
  const cache = cacheDirectory(process.env);
  const binary = await fetchEnvoy({ cache, progress: (line) => say(dim(line)) });
  const directory = await mkdtemp(join(tmpdir(), 'watershed-demo-'));
  stops.push(() => rm(directory, { recursive: true, force: true }));

  const shop = await openShop(directory);
  stops.push(async () => {
    closeConnections();
    await Promise.all(shop.backends.map((backend) => backend.stop()));
  });
  const listening = shop.backends.map(({ name, port }) => `${name} :${port}`).join('  ');
  say(`backends        ${listening}`);
  const monitoring = await startAll(shop, directory, binary);

  title('Requests through the gateway');
  await show(shop, storefront, '/', 'web');
  await show(shop, storefront, '/cart', 'cart');
  await show(shop, storefront, '/orders', 'orders');
  await showSplit(shop);
  await follow(shop);
  if (!keep) {
    say('');
    return;
  }
  title('Everything keeps running until Ctrl-C');
  say(`edit            ${shop.configDir}`);
  say(`ask             curl -H 'Host: ${catalog}' http://127.0.0.1:${shop.port}/`);
  say(`see             npx xdsctl proxy-status --monitoringAddr ${monitoring}`);
  await new Promise(() => setInterval(() => undefined, 60_000));
}

/** Returns the control plane's monitoring address. */
async function startAll(shop: Shop, directory: string, binary: string): Promise<string> {
  let startedAt = performance.now();
  const watershed = await startWatershed({
    configDir: shop.configDir,
    dataDir: join(directory, 'data'),
    logFile: join(directory, 'watershed.log'),
  });
  stops.push(async () => void (await watershed.child.stop(10_000)));
  say(
    `control plane   xDS ${watershed.grpc}, monitoring ${watershed.monitoring}${took(startedAt)}`,
  );

  startedAt = performance.now();
  const envoy = await startEnvoy({
    binary,
    directory: join(directory, 'envoy'),
    bootstrap: envoyBootstrap({
      node: 'router~127.0.0.1~gateway.shop~shop.svc.cluster.local',
      xdsHost: '127.0.0.1',
      xdsPort: Number(watershed.grpc.split(':').at(-1)),
      delta: true,
      labels: { 'gateway.networking.k8s.io/gateway-name': 'shop' },
      metadata: {},
      adminPort: 0,
      certDir: undefined,
    }),
  });
  stops.push(() => envoy.stop());
  await envoy.waitReady();
  await envoy.waitFor('to listen', async () => {
    return (await ask(shop.port, storefront, '/').catch(() => undefined))?.status === 200;
  });
  const admin = `admin 127.0.0.1:${envoy.adminPort}`;
  say(`Envoy gateway   http://127.0.0.1:${shop.port}, ${admin}${took(startedAt)}`);
  return watershed.monitoring;
}

async function show(shop: Shop, host: string, path: string, expected: string): Promise<void> {
  const { status, backend, body } = await ask(shop.port, host, path);
  say(asked(`GET ${host}${path}`, `${status}  ${bold(backend)}`));
  if (backend !== expected) throw new Error(`expected ${expected}, not ${status} ${body}`);
}

async function showSplit(shop: Shop): Promise<void> {
  const by = await count(requests, shop.port, catalog);
  const percent = Math.round((100 * (by.get('catalog-v1') ?? 0)) / requests);
  const split = `${bold('catalog-v1')} ${percent} %  ${bold('catalog-v2')} ${100 - percent} %`;
  say(asked(`GET ${catalog}/, ${requests} times`, `200  ${split}`));
}

function asked(what: string, answer: string): string {
  return `${what.padEnd(34)} ${answer}`;
}

/** Edits the file and waits until most requests go to v2. */
async function follow(shop: Shop): Promise<void> {
  title('The canary takes over: catalog v1 90 % → 10 %, v2 10 % → 90 %');
  const file = await swapWeights(shop);
  const startedAt = performance.now();
  say(`edited          ${file}`);
  for (;;) {
    const by = await count(20, shop.port, catalog);
    if ((by.get('catalog-v2') ?? 0) > 10) break;
    if (performance.now() - startedAt > convergeMs) throw new Error('the traffic did not follow');
  }
  say(`followed        after ${Math.round(performance.now() - startedAt)} ms, by Envoy's answers`);
  await showSplit(shop);
}

function stopAll(): Promise<void> {
  stopping ??= (async () => {
    if (stops.length > 0) say(dim('stopping what was started'));
    for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) await stop();
  })();
  return stopping;
}

function say(line: string): void {
  process.stdout.write(`${line === '' ? '' : '  '}${line}\n`);
}

function title(line: string): void {
  process.stdout.write(`\n${bold(line)}\n`);
}

function took(startedAt: number): string {
  return dim(`  (${((performance.now() - startedAt) / 1_000).toFixed(1)} s)`);
}

function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout });
}

function dim(text: string): string {
  return styleText('dim', text, { stream: process.stdout });
}
