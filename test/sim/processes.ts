/** The processes of a simulated world: what runs in each, and what it is given. */
import { createIngester } from '@watershed/ingester/app.ts';
import { allKinds } from '@watershed/ingester/validate.ts';
import type { BlobStore } from '@watershed/blob/port.ts';
import type { Log } from '@watershed/log/port.ts';
import { createPusher } from '@watershed/pusher/app.ts';
import type { Part } from '@watershed/runtime/lifecycle.ts';
import type { Logger } from '@watershed/runtime/logger.ts';
import { Metrics } from '@watershed/runtime/metrics.ts';
import { Readiness } from '@watershed/runtime/readiness.ts';
import { createSealing } from '@watershed/runtime/sealing.ts';
import { noTracing } from '@watershed/runtime/tracing.ts';
import { createTranslator } from '@watershed/translator/app.ts';
import { createPlans } from '@watershed/translator/assembly/plans.ts';
import { SimSource } from './catalog.ts';
import type { Catalog, ClusterName } from './catalog.ts';
import type { SimGroup } from './group.ts';
import type { Life } from './life.ts';
import type { SimNetwork } from './network.ts';
import type { Random } from './random.ts';

/** What a process is given. */
export interface Surroundings {
  readonly life: Life;
  /** Of an ingester. */
  readonly cluster: ClusterName;
  /** Of the topics `endpoints` and `xds` alike. */
  readonly partitions: number;
  readonly log: Log;
  readonly blobs: BlobStore;
  readonly logger: Logger;
  readonly random: Random;
  readonly catalog: Catalog;
  readonly group: SimGroup;
  readonly network: SimNetwork;
  /** Pushers wait for what is missing as long as it takes; else as long as they do by default. */
  readonly isPatient: boolean;
  readonly onFatal: (error: unknown) => void;
}

const patience = { cutWaitMs: 120_000, partialAfterMs: 120_000, coldAfterMs: 120_000 };

export type Tier = 'ingester' | 'translator' | 'pusher';

export const create: Readonly<Record<Tier, (around: Surroundings) => Part>> = {
  ingester: (around) => {
    const source = new SimSource(around.catalog, around.cluster);
    around.life.atEnd(() => source.cut());
    return createIngester({
      ...common(around),
      sources: [source],
      kinds: allKinds,
      settings: {
        cluster: around.cluster,
        domain: 'cluster.local',
        rootNamespace: 'istio-system',
        ambient: false,
      },
      partitions: { endpoints: around.partitions, history: 1 },
      sealing: createSealing([new Uint8Array(32).fill(7)]),
    });
  },
  translator: (around) =>
    createTranslator({
      ...common(around),
      blobs: around.blobs,
      partitions: around.partitions,
      group: around.group.connect(around.life),
      plans: createPlans,
      cacheEntries: 10_000,
      assertion: 'always',
      graceMs: 30_000,
    }),
  pusher: (around) =>
    createPusher({
      ...common(around),
      blobs: around.blobs,
      partitions: around.partitions,
      name: around.life.name,
      options: {
        grpcAddr: { host: '127.0.0.1', port: 1 },
        debounceAfterMs: 100,
        debounceMaxMs: 2_000,
        edsDebounce: false,
        pushThrottle: 0,
        maxRequestsPerSecond: 0,
      },
      // How long clients are waited for is bounded: here they always answer, and ask, in the end.
      sessionLimits: { gateWaitMs: 60_000, ackWaitMs: 60_000, resumeGraceMs: 10_000 },
      digestKey: [7n, 7n],
      transport: around.network.listen(around.life),
      drainMs: 1_000,
      ...(around.isPatient ? patience : {}),
    }),
};

function common({ life, log, logger, random, onFatal }: Surroundings) {
  return {
    log,
    writer: life.name,
    newClaimId: (): string =>
      random.below(2 ** 32).toString(36) + random.below(2 ** 32).toString(36),
    time: life.time,
    logger,
    metrics: new Metrics(),
    tracing: noTracing,
    readiness: new Readiness(),
    onFatal,
  };
}
