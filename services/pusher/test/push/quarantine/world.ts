import { digestOf } from '@watershed/blob/digest.ts';
import { memoryBlobs } from '@watershed/blob/memory.ts';
import { topicSpecs } from '@watershed/log/topics.ts';
import type { Log } from '@watershed/log/port.ts';
import { Feedback, type Nack } from '@watershed/model/gen/record.ts';
import { topics } from '@watershed/model/keys.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { VirtualTime } from '@watershed/runtime/virtual-time.ts';
import { Life } from '../../../../../test/sim/life.ts';
import {
  SimLog,
  perfectNetwork,
  type Fate,
  type LogNetwork,
} from '../../../../../test/sim/log/log.ts';
import { SimStore } from '../../../../../test/sim/log/store.ts';
import { SimNetwork } from '../../../../../test/sim/network.ts';
import { createPusher, type Pusher } from '../../../src/app.ts';
import { versionText } from '../../../src/wire.ts';
import { CDS } from '../../session/support.ts';
import { scopeOfNode } from '../../support/scope.ts';
import { partitions, Translator } from '../../support/world.ts';

const spaces = ['shop', 'bank'] as const;
const scopes = Object.fromEntries(
  spaces.map((space) => {
    const id = `sidecar~10.0.0.1~web.${space}~${space}.svc.cluster.local`;
    return [space, scopeOfNode({ id, metadata: {} })];
  }),
);

/** What of the topic `feedback` a pusher has to do with. */
export type Link = Fate | 'slow' | 'down';

/** A version of a cluster that proxies of one kind may refuse. */
export interface Ballot {
  readonly namespace: string;
  /** Of the proxies. */
  readonly kind: string;
  readonly resource: string;
  readonly version: string;
}

export const ballotKey = ({ namespace, kind, resource, version }: Ballot): string =>
  [namespace, kind, resource, version].join('|');

/** A pusher's process. */
export class Process {
  readonly name: string;
  readonly life: Life;
  readonly #pusher: Pusher;
  /** What it keeps from proxies, as its log lines say: by `ballotKey`. */
  readonly verdicts = new Set<string>();
  readonly metrics = new Metrics();
  link: Link = 'taken';
  isStopping = false;

  constructor(world: QuarantineWorld, name: string) {
    this.name = name;
    this.life = new Life(name, world.time);
    const { life, metrics } = this;
    const common = { store: world.store, time: world.time };
    const [smooth, rough] = [
      new SimLog({ ...common, network: perfectNetwork }),
      new SimLog({ ...common, network: this.#network() }),
    ];
    for (const log of [smooth, rough]) life.atEnd(() => log.kill(() => 0));
    const log: Log = {
      ensureTopics: (specs) => smooth.ensureTopics(specs),
      append: (records) => rough.append(records),
      read: (topic, partition, from, signal) =>
        (topic === topics.feedback ? rough : smooth).read(topic, partition, from, signal),
      end: (...args) => smooth.end(...args),
      close: () => smooth.close(),
    };
    this.#pusher = createPusher({
      ...{ log, name, metrics, partitions, blobs: world.blobs, time: life.time },
      ...{ logger: this.#logger(), tracing: noTracing, readiness: new Readiness() },
      options: {
        grpcAddr: { host: name, port: 1 },
        debounceAfterMs: 10,
        debounceMaxMs: 100,
        edsDebounce: false,
        pushThrottle: 0,
        maxRequestsPerSecond: 0,
      },
      digestKey: [7n, 7n],
      transport: world.network.listen(life),
      drainMs: 500,
    });
  }

  start(): Promise<void> {
    return this.#pusher.start();
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.#pusher.stop(new AbortController().signal);
    this.life.end();
  }

  #network(): LogNetwork {
    return {
      ...perfectNetwork,
      down: () => this.link === 'down',
      latencyMs: () => (this.link === 'slow' ? 2_500 : 1),
      fate: () => (this.link === 'slow' || this.link === 'down' ? 'taken' : this.link),
      lateMs: () => 3_000,
    };
  }

  #logger(): Logger {
    const quiet = (): void => undefined;
    const say: Logger['info'] = (message, fields = {}) => {
      if (!message.startsWith('a version that proxies refused is kept')) return;
      const { scope, proxyVersion, resource, version } = fields;
      const namespace = spaces.find((space) => scopes[space]?.id === scope);
      const key = [namespace, proxyVersion, resource, textOf(String(version))].join('|');
      if (message.endsWith('no more')) this.verdicts.delete(key);
      else this.verdicts.add(key);
    };
    const logger: Logger = {
      ...{ debug: quiet, info: say, warn: say, error: quiet, fatal: quiet },
      enabled: () => false,
      with: () => logger,
    };
    return logger;
  }
}

const texts = new Map<string, string>();

/** A version as it was published. */
function textOf(wire: string): string {
  return texts.get(wire) ?? wire;
}

/** Real pushers, on a log, a network and a clock that are made of numbers. */
export class QuarantineWorld {
  readonly time = new VirtualTime();
  readonly store = new SimStore();
  readonly blobs = memoryBlobs();
  readonly network = new SimNetwork(this.time, { latencyMs: () => 1, blockedMs: () => 0 });
  readonly processes: Process[] = [];
  /** Told of each record of refusals, with who told. */
  onTold: ((pusher: string, nack: Nack | undefined) => void) | undefined;
  readonly #translator: Translator;

  constructor() {
    this.store.ensure(
      topicSpecs({ shards: partitions }).map((spec) =>
        spec.retention.kind === 'compact'
          ? { ...spec, retention: { kind: 'compact', tombstoneMs: 20_000 } as const }
          : spec,
      ),
    );
    this.store.onAppend = (_partition, { key, value }) => {
      const [kind, pusher = ''] = key.split('|');
      if (kind === 'n') this.onTold?.(pusher, nackOf(value));
    };
    const { store, time } = this;
    const log = new SimLog({ store, time, network: perfectNetwork });
    this.#translator = new Translator(log, this.blobs);
  }

  async begin(): Promise<void> {
    const written = this.#translator.selectors('', { labelKeys: [], locality: false });
    await this.time.advance(10);
    await written;
  }

  /** Of clusters, by name. */
  async publish(content: Readonly<Record<string, string>>): Promise<void> {
    for (const version of Object.values(content)) {
      texts.set(versionText(Buffer.from(digestOf(version), 'hex')), version);
    }
    const classes = spaces.map((space) => [scopes[space]?.id, scopes[space]?.scopeClass]);
    const written = this.#translator.publish({ [CDS]: content }, Object.fromEntries(classes));
    await this.time.advance(1);
    await written;
  }

  process(name: string): Process | undefined {
    return this.processes.find((one) => one.name === name && !one.life.over);
  }

  async start(name: string): Promise<void> {
    if (this.process(name) !== undefined) return;
    const process = new Process(this, name);
    this.processes.push(process);
    const started = process.start();
    await this.time.advance(5);
    await started;
  }

  /** Names of pushers that take streams. */
  get serving(): readonly string[] {
    const there = this.processes.filter(({ life, isStopping }) => !life.over && !isStopping);
    return there.map(({ name }) => name);
  }

  compact(): void {
    const partition = this.store.partition(topics.feedback, 0);
    partition.compact(partition.next, this.time.now());
  }

  /** What is told of refusals now, by who tells it. */
  get told(): readonly (readonly [pusher: string, ballot: Ballot, proxies: readonly string[]])[] {
    const last = new Map<string, Uint8Array | undefined>();
    const { records } = this.store.partition(topics.feedback, 0);
    for (const { key, value } of records) last.set(key, value);
    return [...last].flatMap(([key, value]) => {
      const nack = nackOf(value);
      return nack === undefined ? [] : [[key.split('|')[1] ?? '', ballotOf(nack), nack.proxies]];
    });
  }
}

export function ballotOf({ scope, proxyVersion, resource, version }: Nack): Ballot {
  const namespace = spaces.find((space) => scopes[space]?.id === scope) ?? '';
  const text = textOf(Buffer.from(version).toString());
  return { namespace, kind: proxyVersion, resource, version: text };
}

function nackOf(value: Uint8Array | undefined): Nack | undefined {
  if (value === undefined) return undefined;
  const { report } = Feedback.decode(value);
  return report?.$case === 'nack' ? report.value : undefined;
}
