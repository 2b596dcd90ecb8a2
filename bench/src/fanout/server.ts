/** A pusher on the embedded log, with one scope and one cluster of a given size. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { openEmbeddedLog } from '@watershed/log/embedded.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import { ManifestContent, XdsRecord } from '@watershed/model/gen/record.ts';
import { topics, xdsKeys } from '@watershed/model/keys.ts';
import { resourceTypes } from '@watershed/proto/any.ts';
import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { createPusher } from '@watershed/pusher/app.ts';
import { parseNode, scopeOf } from '@watershed/pusher/node-scope.ts';
import { systemTime } from '@watershed/runtime/clock.ts';
import { Logging } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { nodeIdOf, type ServerOrder, type ServerReport, type ServerSetup } from './messages.ts';

/** The scope of the clients' nodes. */
const { id: scope, scopeClass } = scopeOf(
  parseNode(Node.encode(Node.fromPartial({ id: nodeIdOf(0) })).finish()),
  { labelKeys: [], locality: false },
);

const typeUrl = resourceTypes.cluster;
const name = 'cluster';

async function main(setup: ServerSetup): Promise<(order: ServerOrder) => Promise<void>> {
  const dir = mkdtempSync(join(tmpdir(), 'fanout-'));
  process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
  const log = await openEmbeddedLog({ dir, time: systemTime });
  await log.ensureTopics(topicSpecs({ shards: 1 }));
  const blobs = memoryBlobs();
  const metrics = new Metrics();
  let epoch = 0;
  const append = async (key: string, record: XdsRecord['record']): Promise<void> => {
    const value = XdsRecord.encode({ record, epoch }).finish();
    await log.append([{ topic: topics.xds, partition: 0, key, value }]);
  };
  const publish = async (): Promise<void> => {
    epoch++;
    const bytes = Buffer.alloc(setup.bytes, `change ${epoch} `);
    const digest = digestOf(bytes);
    await blobs.put([{ digest, bytes }]);
    const id = Buffer.from(digest, 'hex');
    const value = {
      typeUrl,
      name,
      variant: '',
      version: id,
      fragments: [id],
      size: bytes.length,
      refs: [],
      aliases: [],
      groups: [],
    };
    await append(xdsKeys.resource(typeUrl, name, ''), { $case: 'resource', value });
    const mark = { partition: 0, epoch };
    await append(xdsKeys.watermark(0), { $case: 'watermark', value: mark });
  };
  const content = ManifestContent.encode({
    types: [{ typeUrl, shared: [{ name, variant: '' }], own: [], whole: false }],
  }).finish();
  await blobs.put([{ digest: digestOf(content), bytes: content }]);
  const manifest = { scope, content: Buffer.from(digestOf(content), 'hex'), scopeClass };
  await append(xdsKeys.selectors(''), {
    $case: 'selectors',
    value: { labelKeys: [], locality: false },
  });
  await append(xdsKeys.manifest(scope), { $case: 'manifest', value: manifest });
  await publish();
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
    },
  });
  await pusher.start();
  report({ kind: 'ready', port: Number(pusher.address.split(':').at(-1)) });
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  return async (order) => {
    if (order.kind === 'change') {
      await publish();
      report({ kind: 'changed' });
      return;
    }
    if (order.kind !== 'measure') return;
    if (order.collect) globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    report({
      kind: 'measured',
      rssBytes: process.memoryUsage().rss,
      cpuUs: user + system,
      encodings: await metrics.value('watershed_encodings_total', { type: 'cds-response' }),
      stallMs: delay.max / 1e6,
    });
    delay.reset();
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

function report(message: ServerReport): void {
  process.send?.(message);
}

let handle: ((order: ServerOrder) => Promise<void>) | undefined;
process.on('message', (order: ServerOrder) => {
  if (order.kind === 'setup') void main(order.setup).then((made) => (handle = made));
  else void handle?.(order);
});

process.on('disconnect', () => process.exit());
