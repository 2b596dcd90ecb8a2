/** Whatever happened to the files, the log ends up with what they say. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedLog } from '@watershed/log/embedded.ts';
import { Fold } from '@watershed/log/fold.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createIngester, type Ingester } from '../src/app.ts';
import { allKinds } from './kinds/all-kinds.ts';
import { MemoryFiles, type Files } from './memory-files.ts';
import { openLog, sealing, service, settings } from './support.ts';

const partitions = { endpoints: 3, history: 1 };

class World {
  readonly files: Files = new Map();
  readonly #log: EmbeddedLog;
  #source = new MemoryFiles(this.files);
  #ingester: Ingester | undefined;

  constructor(log: EmbeddedLog) {
    this.#log = log;
  }

  async start(): Promise<void> {
    this.#source = new MemoryFiles(this.files);
    const logging = new Logging({
      scopes: ['x'],
      levels: 'none',
      json: true,
      clock: systemTime,
      write: () => undefined,
    });
    this.#ingester = createIngester({
      log: this.#log,
      sources: [this.#source],
      kinds: allKinds,
      settings,
      partitions,
      writer: 'test',
      sealing,
      time: systemTime,
      logger: logging.scope('x'),
      metrics: new Metrics(),
      tracing: noTracing,
      readiness: new Readiness(),
      onFatal: (error) => {
        throw error;
      },
    });
    await this.#ingester.start();
    await this.#ingester.synced;
  }

  write(edit: Files): Promise<void> {
    return this.#source.write(edit);
  }

  /** Without waiting for what is under way: as when it is killed. */
  async kill(): Promise<void> {
    await this.#ingester?.stop(AbortSignal.abort());
  }

  /** Waits until all is written, and reads it back. */
  async folded(): Promise<Record<string, string>> {
    await this.#ingester?.flushed();
    const all: Record<string, string> = {};
    const places = [['config', 0] as const];
    const more = Array.from(
      { length: partitions.endpoints },
      (_, at) => ['endpoints', at] as const,
    );
    for (const [topic, partition] of [...places, ...more]) {
      const fold = new Fold();
      const stop = new AbortController();
      for await (const batch of this.#log.read(topic, partition, undefined, stop.signal)) {
        fold.apply(batch);
        if (fold.caughtUp) break;
      }
      stop.abort();
      for (const [key, value] of fold.entries()) {
        all[`${topic} ${key}`] = Buffer.from(value).toString('hex');
      }
    }
    return all;
  }
}

async function withWorld<T>(run: (world: World, log: EmbeddedLog) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'history-'));
  const log = await openLog(dir, partitions.endpoints);
  const world = new World(log);
  try {
    return await run(world, log);
  } finally {
    await world.kill();
    await log.close();
    await rm(dir, { recursive: true });
  }
}

// ---------------------------------------------------------------- what files hold

function meshThatExports(to: string): string {
  return `---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data: { mesh: "defaultServiceExportTo: ['${to}']" }
`;
}

function virtualService(of: string, spec: string): string {
  return `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: ${of}, namespace: shop }
spec: { ${spec} }
`;
}

const name = fc.constantFrom('a', 'b', 'c');
const good = fc.oneof(
  fc.tuple(name, fc.constantFrom(80, 81, 82)).map(([of, port]) => service(of, port)),
  fc.tuple(name, fc.constantFrom('v1', 'v2')).map(
    ([of, version]) => `---
apiVersion: v1
kind: Pod
metadata: { name: ${of}, namespace: shop, labels: { version: ${version} } }
`,
  ),
  fc.tuple(name, fc.constantFrom('10.0.0.1', '10.0.0.2')).map(
    ([of, address]) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: ${of}, namespace: shop, labels: { kubernetes.io/service-name: ${of} } }
addressType: IPv4
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: [${address}], targetRef: { kind: Pod, name: ${of} } }]
`,
  ),
  fc.constantFrom('.', '*').map(meshThatExports),
  // Of these the second gives no record of its own.
  name.map((of) => virtualService('root', `hosts: [${of}], http: [{ delegate: { name: ${of} } }]`)),
  fc
    .tuple(name, fc.constantFrom('a', 'b'))
    .map(([of, to]) => virtualService(of, `http: [{ route: [{ destination: { host: ${to} } }] }]`)),
);
const bad = fc.oneof(
  name.map((of) => service(of, 99_999)),
  name.map((of) => service(of).replace('ports: [', 'ports: [[')),
  fc.constant('---\nhello\n'),
);
const goodFile = fc.array(good, { maxLength: 5 }).map((documents) => documents.join(''));
const anyFile = fc
  .array(fc.oneof({ weight: 3, arbitrary: good }, bad), { maxLength: 5 })
  .map((documents) => documents.join(''));

const path: fc.Arbitrary<string> = fc.constantFrom('1.yaml', '2.yaml', '3.yaml');
const step = fc.oneof(
  { weight: 5, arbitrary: fc.tuple(path, anyFile).map(([file, text]) => new Map([[file, text]])) },
  { weight: 1, arbitrary: path.map((file) => new Map([[file, '']])) },
  { weight: 1, arbitrary: fc.constant('restart' as const) },
  { weight: 1, arbitrary: fc.constant('kill' as const) },
);

test('after any history of edits and restarts, the log holds what the files say', async () => {
  const history = fc.array(step, { maxLength: 12 });
  const last = fc.tuple(goodFile, goodFile, goodFile);
  await fc.assert(
    fc.asyncProperty(history, last, async (steps, [one, two, three]) => {
      const end = new Map([
        ['1.yaml', one],
        ['2.yaml', two],
        ['3.yaml', three],
      ]);
      const lived = await withWorld(async (world) => {
        await world.start();
        for (const each of steps) {
          if (each === 'restart') await world.folded();
          if (typeof each === 'string') {
            await world.kill();
            await world.start();
          } else {
            await world.write(each);
          }
        }
        await world.write(end);
        return world.folded();
      });
      const fresh = await withWorld(async (world) => {
        for (const [file, text] of end) if (text !== '') world.files.set(file, text);
        await world.start();
        return world.folded();
      });
      expect(lived).toEqual(fresh);
    }),
    { numRuns: 8, endOnFailure: true },
  );
});

/** An object whose place of record has it no more, and that may be where another file is broken. */
const movedWithoutAWord: Files[] = [
  { '3.yaml': service('c') },
  { '1.yaml': service('c', 99_999) + meshThatExports('.') },
  { '3.yaml': service('b').replace('ports: [', 'ports: [[') },
  { '1.yaml': meshThatExports('.') },
].map((files) => new Map(Object.entries(files)));

/** Its record was written when it was in the first file; it was in the second when that broke. */
const movedBeforeItBroke: Files[] = [
  { '1.yaml': service('c') },
  { '2.yaml': service('c') },
  { '1.yaml': service('a') },
  { '2.yaml': '---\nhello\n' },
].map((files) => new Map(Object.entries(files)));

test('one that replayed the log and one that saw it live hold the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      await withWorld(async (world) => {
        await world.start();
        for (const each of steps) if (typeof each !== 'string') await world.write(each);
        const live = await world.folded();
        await world.kill();
        await world.start();
        expect(await world.folded()).toEqual(live);
      });
    }),
    {
      numRuns: 6,
      endOnFailure: true,
      examples: [[movedWithoutAWord], [movedBeforeItBroke]],
    },
  );
});
