/**
 * A pusher on the embedded log, with one scope and some clusters of a given size, of which one
 * changes. Orders come and reports go as lines of JSON.
 *
 *     server.ts [--bytes 10240] [--clusters 1] [--transport net|http2|grpc-js]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import type { BlobStore } from '@watershed/blob/port.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import type { Log } from '@watershed/log/port.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { ManifestContent, XdsRecord } from '@watershed/model/gen/record.ts';
import { topics, xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { createPusher } from '@watershed/pusher/app.ts';
import { parseNode, scopeOf } from '@watershed/pusher/node-scope.ts';
import { transports, type Transport } from '@watershed/pusher/server/transports.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { nodeIdOf, type Measured, type ServerOrder, type ServerReport } from './messages.ts';

/** The scope of the clients' nodes. */
const { id: scope, scopeClass } = scopeOf(
  parseNode(Node.encode(Node.fromPartial({ id: nodeIdOf(0) })).finish()),
  { labelKeys: [], locality: false },
);

const typeUrl = resourceTypes.cluster;

interface Setup {
  readonly transport: Transport;
  /** Of each cluster. */
  readonly bytes: number;
  readonly clusters: number;
}

/** What the log has of one scope. */
class Publisher {
  readonly #log: Log;
  readonly #blobs: BlobStore;
  readonly #setup: Setup;
  #epoch = 0;

  constructor(log: Log, blobs: BlobStore, setup: Setup) {
    this.#log = log;
    this.#blobs = blobs;
    this.#setup = setup;
  }

  async begin(): Promise<void> {
    const names = Array.from({ length: this.#setup.clusters }, (_, at) => `cluster-${at}`);
    const shared = names.map((name) => ({ name, variant: '' }));
    const content = ManifestContent.encode({
      types: [{ typeUrl, shared, own: [], whole: false }],
    }).finish();
    const digest = digestOf(content);
    await this.#blobs.put([{ digest, bytes: content }]);
    const manifest = { scope, content: Buffer.from(digest, 'hex'), scopeClass };
    const selectors = { labelKeys: [], locality: false };
    await this.#append(xdsKeys.selectors(''), { $case: 'selectors', value: selectors });
    await this.#append(xdsKeys.manifest(scope), { $case: 'manifest', value: manifest });
    await this.publish(names);
  }

  async publish(names: readonly string[]): Promise<void> {
    this.#epoch++;
    for (const name of names) {
      const bytes = Buffer.alloc(this.#setup.bytes, `${name}, change ${this.#epoch} `);
      const digest = digestOf(bytes);
      await this.#blobs.put([{ digest, bytes }]);
      const id = Buffer.from(digest, 'hex');
      const resource = {
        typeUrl,
        name,
        variant: '',
        version: id,
        fragments: [id],
        refs: [],
        aliases: [],
        groups: [],
        inlined: [],
      };
      const value = { ...resource, size: bytes.length };
      await this.#append(xdsKeys.resource(typeUrl, name, ''), { $case: 'resource', value });
    }
    const mark = { partition: 0, epoch: this.#epoch };
    await this.#append(xdsKeys.watermark(0), { $case: 'watermark', value: mark });
  }

  async #append(key: string, record: XdsRecord['record']): Promise<void> {
    const value = XdsRecord.encode({ record, epoch: this.#epoch }).finish();
    await this.#log.append([{ topic: topics.xds, partition: 0, key, value }]);
  }
}

async function main(setup: Setup): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'fanout-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const log = await openEmbeddedLog({ dir, time: systemTime });
  await log.ensureTopics(topicSpecs({ shards: 1 }));
  const blobs = memoryBlobs();
  const metrics = new Metrics();
  const publisher = new Publisher(log, blobs, setup);
  await publisher.begin();
  const pusher = createPusher({
    log,
    blobs,
    partitions: 1,
    name: 'bench',
    time: systemTime,
    logger: quiet(),
    metrics,
    tracing: noTracing,
    readiness: new Readiness(),
    transport: setup.transport,
    options: {
      grpcAddr: { host: '127.0.0.1', port: 0 },
      debounceAfterMs: 10,
      debounceMaxMs: 1_000,
      edsDebounce: false,
      pushThrottle: 0,
      maxRequestsPerSecond: 0,
    },
  });
  await pusher.start();
  // Each look wakes the process: with one a millisecond they were a tenth of what was measured.
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const report = (message: ServerReport): void => console.log(JSON.stringify(message));
  report({ kind: 'ready', port: Number(pusher.address.split(':').at(-1)) });
  for await (const line of createInterface({ input: process.stdin })) {
    const order: ServerOrder = JSON.parse(line);
    if (order.kind === 'change') {
      delay.reset();
      await publisher.publish(['cluster-0']);
      report({ kind: 'changed' });
      continue;
    }
    if (order.collect) globalThis.gc?.();
    report(await measured(metrics, delay));
  }
  process.exit();
}

async function measured(
  metrics: Metrics,
  delay: ReturnType<typeof monitorEventLoopDelay>,
): Promise<Measured> {
  const { user, system } = process.cpuUsage();
  const resumed = { type: 'cds', outcome: 'unchanged' };
  return {
    kind: 'measured',
    rssBytes: process.memoryUsage().rss,
    cpuUs: user + system,
    acked: await metrics.value('watershed_acks_total', { type: 'cds' }),
    own: {
      encodings: await metrics.value('watershed_encodings_total', { type: 'cds-response' }),
      resumed: await metrics.value('watershed_resumes_total', resumed),
      stallP99Ms: delay.percentile(99) / 1e6,
      stallMaxMs: delay.max / 1e6,
    },
  };
}

function quiet() {
  const logging = new Logging({
    scopes: ['pusher'],
    levels: 'all:error',
    json: true,
    clock: systemTime,
    write: (line) => process.stderr.write(line),
  });
  return logging.scope('pusher');
}

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '10240' },
    clusters: { type: 'string', default: '1' },
    transport: { type: 'string', default: 'net' },
  },
});
const transport = transports.find((one) => one === values.transport);
if (transport === undefined) throw new RangeError(`--transport ${values.transport}`);
await main({ transport, bytes: Number(values.bytes), clusters: Number(values.clusters) });
