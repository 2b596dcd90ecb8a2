/** The whole that suites are run on: one process on either log, or the three services. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { testCache, testProgress } from '../../components/cache.ts';
import { startTestKafka } from '../../components/kafka.ts';
import { ControlPlane, MetricValues } from './control-plane.ts';

export const planeKinds = ['embedded', 'kafka', 'services'] as const;
export type PlaneKind = (typeof planeKinds)[number];

export interface Plane {
  /** Where proxies connect to; with several pushers, another one each time. */
  readonly xds: { readonly host: string; readonly port: number };
  /** Of all its processes together. */
  metrics(): Promise<MetricValues>;
  /** As a crash of every process; the log and the blobs stay. */
  kill(): Promise<void>;
  /** Resolves when it is ready again. */
  start(): Promise<void>;
  /** Stops it and removes its data. */
  delete(): Promise<void>;
}

export async function startPlane(kind: PlaneKind, configDir: string): Promise<Plane> {
  if (kind === 'embedded') return await ControlPlane.start({ configDir });
  if (kind === 'services') return await Services.start(configDir);
  const kafka = await startTestKafka();
  const args = ['--kafkaBrokers', kafka.brokers.join(',')];
  const plane = await ControlPlane.start({ configDir, args });
  return {
    get xds() {
      return plane.xds;
    },
    metrics: () => plane.metrics(),
    kill: () => plane.kill(),
    start: () => plane.start(),
    delete: async () => {
      await plane.delete();
      await kafka.stop();
    },
  };
}

class Services implements Plane {
  readonly #cluster: Cluster;
  #next = 0;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  static async start(configDir: string): Promise<Services> {
    const directory = await mkdtemp(join(tmpdir(), 'watershed-services-'));
    const environment = { ...process.env, WATERSHED_ASSERT_EVERY: '1' };
    const cluster = await startCluster({
      ...{ configDir, directory, environment, partitions: 16 },
      ...{ cache: testCache, progress: testProgress },
    });
    return new Services(cluster);
  }

  get xds(): Plane['xds'] {
    const { pushers } = this.#cluster;
    const grpc = pushers[this.#next++ % pushers.length]?.grpc ?? '';
    return { host: '127.0.0.1', port: Number(grpc.split(':').at(-1)) };
  }

  async metrics(): Promise<MetricValues> {
    const scrapes = this.#cluster.services.map(async ({ monitoring }) => {
      return await (await fetch(`http://${monitoring}/metrics`)).text();
    });
    return new MetricValues((await Promise.all(scrapes)).join('\n'));
  }

  async kill(): Promise<void> {
    await Promise.all(this.#cluster.services.map((service) => service.kill()));
  }

  async start(): Promise<void> {
    for (const service of this.#cluster.services) service.start();
    await Promise.all(this.#cluster.services.map((service) => service.whenReady()));
  }

  async delete(): Promise<void> {
    await this.#cluster.stop();
    await rm(this.#cluster.directory, { recursive: true, force: true });
  }
}
