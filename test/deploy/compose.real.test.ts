import { once } from 'node:events';
import { access, cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from 'xdsctl/components/child.ts';
import { ask, closeConnections } from 'xdsctl/demo/requests.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { parse } from 'yaml';
import { startBackend, type Backend } from '../components/backends.ts';
import { readCompose, type ComposeFile, type ComposeService } from '../components/compose.ts';
import { startTestEnvoy } from '../components/envoy.ts';
import { startTestKafka, type TestKafka } from '../components/kafka.ts';
import { startTestRedis, type TestRedis } from '../components/redis.ts';
import { until } from '../e2e/harness/wait.ts';
import { ComposeRun, listens } from './compose-run.ts';
import { buildImage, repository, stagesOf } from './image.ts';

const objectsTarget = '/etc/watershed/objects';

let directory: string;
let file: ComposeFile;
/** Those whose image is ours. */
let ours: readonly (readonly [string, ComposeService])[];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watershed-compose-'));
  file = await readCompose(join(repository, 'docker-compose.yml'));
  ours = Object.entries(file.services).filter(([, { image }]) => image === 'watershed');
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('the file', () => {
  test('is taken by Docker Compose, and has what it is said to have', () => {
    expect(ours.map(([name]) => name)).toEqual(['ingester', 'pusher', 'topics', 'translator']);
    expect(file.services['translator']?.deploy?.replicas).toBe(2);
    expect(file.services['pusher']?.deploy?.replicas).toBe(2);
    expect(Object.keys(file.services)).toEqual(
      expect.arrayContaining(['kafka', 'redis', 'envoy', 'jaeger', 'prometheus', 'grafana']),
    );
  });

  test('would be refused with a field that Compose does not know', async () => {
    const text = await readFile(join(repository, 'docker-compose.yml'), 'utf8');
    const wrong = join(directory, 'wrong.yml');
    await writeFile(wrong, text.replace('  redis:\n', '  redis:\n    imagine: redis\n'));
    await expect(readCompose(wrong)).rejects.toThrow('imagine');
  });

  test('runs our image without rights, on a root that cannot be written', () => {
    for (const [, service] of ours) {
      expect(service).toMatchObject({
        user: '65532:65532',
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
    }
  });

  test('publishes ports on this machine alone', () => {
    const ports = Object.values(file.services).flatMap((service) => service.ports ?? []);
    expect(ports.length).toBeGreaterThan(0);
    expect(ports.filter(({ host_ip: host }) => host !== '127.0.0.1')).toEqual([]);
  });

  test('mounts files that are there', async () => {
    const mounts = Object.values(file.services).flatMap(({ volumes = [] }) => volumes);
    const sources = mounts.flatMap(({ type, source }) => (type === 'bind' ? [source] : []));
    await Promise.all(sources.map((source) => access(source)));
    expect(sources.length).toBeGreaterThan(4);
  });

  test('scrapes services that are in it, on the port of their monitoring', async () => {
    const text = await readFile(join(repository, 'k8s/compose/prometheus.yml'), 'utf8');
    const { scrape_configs: jobs } = parse(text) as {
      scrape_configs: { dns_sd_configs: { names: string[]; port: number }[] }[];
    };
    const scraped = jobs.flatMap((job) => job.dns_sd_configs);
    expect(scraped.flatMap(({ names }) => names)).toEqual(['ingester', 'translator', 'pusher']);
    for (const { names, port } of scraped) {
      const environment = file.services[names[0] ?? '']?.environment;
      expect(environment?.['WATERSHED_MONITORING_ADDR']).toBe(`:${port}`);
    }
  });

  test("has Envoy's bootstrap as xdsctl prints it", async () => {
    const args = ['bootstrap', 'envoy', '--delta', '--xds-address', 'pusher:15010'];
    args.push('--node', 'router~0.0.0.0~gateway.shop~shop.svc.cluster.local');
    args.push('--label', 'gateway.networking.k8s.io/gateway-name=shop');
    const main = join(repository, 'cli/src/main.ts');
    const { stdout } = await run(process.execPath, [main, ...args], { timeoutMs: 30_000 });
    expect(await readFile(join(repository, 'k8s/compose/envoy.json'), 'utf8')).toBe(stdout);
  });

  test('builds an image with nothing in it but Node and the program, for a user without rights', async () => {
    const stages = await stagesOf(join(repository, 'k8s/image/Dockerfile'));
    const last = stages.at(-1)?.map(({ verb, rest }) => `${verb} ${rest}`) ?? [];
    expect(last[0]).toMatch(/^FROM gcr\.io\/distroless\/nodejs24-.*:nonroot$/u);
    expect(last).toContain('USER 65532:65532');
    expect(last.filter((line) => line.startsWith('RUN'))).toEqual([]);
  });
});

describe('its services, as processes', () => {
  let kafka: TestKafka;
  let redis: TestRedis;
  let jaeger: Server;
  let backend: Backend;
  let composed: ComposeRun;
  let gatewayPort: number;
  let exports = 0;
  const opened: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const app = join(directory, 'app');
    await mkdir(app);
    await buildImage(join(repository, 'k8s/image/Dockerfile'), app);
    kafka = await startTestKafka({ config: kafkaConfig(file.services['kafka']) });
    opened.push(() => kafka.stop());
    redis = await startTestRedis(file.services['redis']?.command?.slice(1) ?? []);
    opened.push(() => redis.stop());
    jaeger = createServer((request, response) => {
      if (request.url === '/v1/traces') exports += 1;
      request.resume().once('end', () => response.end());
    }).listen(0, '127.0.0.1');
    await once(jaeger, 'listening');
    opened.push(async () => jaeger.close());
    backend = await startBackend({ name: 'whoami' });
    opened.push(() => backend.stop());
    gatewayPort = await freePort();
    composed = new ComposeRun({
      file,
      app,
      directory,
      network: new Map([
        ['kafka:9092', kafka.brokers[0] ?? ''],
        ['redis:6379', redis.url.slice('redis://'.length)],
        ['jaeger:4318', addressOf(jaeger)],
      ]),
      binds: new Map([[objectsTarget, await placedObjects()]]),
    });
    opened.push(() => composed.stop());
    // As `depends_on` asks.
    await composed.runOnce('topics');
    await composed.start('ingester');
    await Promise.all([composed.start('translator'), composed.start('pusher')]);
  });

  afterAll(async () => {
    for (const close of opened.toReversed()) await close();
  });

  /** What the ingester reads, with the backend and the gateway's port as they are here. */
  async function placedObjects(): Promise<string> {
    const source = file.services['ingester']?.volumes?.find(
      ({ target }) => target === objectsTarget,
    )?.source;
    const to = join(directory, 'objects');
    await cp(source ?? '', to, { recursive: true });
    for (const name of await readdir(to)) {
      const text = await readFile(join(to, name), 'utf8');
      const here = text
        .replace('number: 8080', `number: ${gatewayPort}`)
        .replace('address: backend', 'address: localhost')
        .replace('targetPort: 80', `targetPort: ${backend.port}`);
      await writeFile(join(to, name), here);
    }
    return to;
  }

  test('start from the image in the order of depends_on, and each health check succeeds', () => {
    const waits = (name: string) => Object.keys(file.services[name]?.depends_on ?? {}).toSorted();
    expect(waits('topics')).toEqual(['kafka']);
    expect(waits('ingester')).toEqual(['topics']);
    expect(waits('translator')).toEqual(['redis', 'topics']);
    expect(waits('pusher')).toEqual(['ingester', 'redis', 'topics']);
    expect(composed.of('ingester').length).toBe(1);
    expect(composed.of('translator').length).toBe(2);
    expect(composed.of('pusher').length).toBe(2);
  });

  test('listen on every port that is published', async () => {
    for (const replica of composed.replicas) {
      for (const { target } of file.services[replica.service]?.ports ?? []) {
        expect(await listens(replica.ports.get(target) ?? 0)).toBe(true);
      }
    }
  });

  test('share the partitions out among the translators', async () => {
    const owned = (): Promise<readonly number[]> =>
      Promise.all(
        composed.of('translator').map(({ ports }) => metric(ports, 'watershed_partitions_owned')),
      );
    const isHalved = async (): Promise<boolean> => (await owned()).every((count) => count === 32);
    await until('each has its half', isHalved, 60_000);
  });

  test("route a request through the sample's Envoy to its backend, at whichever pusher", async () => {
    for (const { ports } of composed.of('pusher')) {
      const text = await readFile(join(repository, 'k8s/compose/envoy.json'), 'utf8');
      const bootstrap = text
        .replaceAll('"pusher"', '"127.0.0.1"')
        .replaceAll('15010', String(ports.get(15_010)));
      const envoy = await startTestEnvoy({ bootstrap });
      try {
        await envoy.envoy.waitReady();
        await until('the backend answers', async () => {
          const { backend: name } = await ask(gatewayPort, 'echo.example.com', '/');
          return name === 'whoami';
        });
      } finally {
        closeConnections();
        await envoy.stop();
      }
    }
  });

  test('send traces to Jaeger', async () => {
    expect(await until('spans are exported', () => exports > 0)).toBe(true);
  });
});

function addressOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return `127.0.0.1:${address.port}`;
}

async function metric(ports: ReadonlyMap<number, number>, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${ports.get(15_014)}/metrics`);
  return Number(new RegExp(`^${name} (\\S+)$`, 'mu').exec(await answer.text())?.[1]);
}

/** Its image turns `KAFKA_A_B` into `a.b`; what places it (addresses, roles, files) is the test's. */
function kafkaConfig(service: ComposeService | undefined): Record<string, string> {
  const placed = /NODE_ID|PROCESS_ROLES|QUORUM|LISTENER|LOG_DIRS/u;
  const entries = Object.entries(service?.environment ?? {}).flatMap(([variable, value]) =>
    placed.test(variable)
      ? []
      : [[variable.slice('KAFKA_'.length).toLowerCase().replaceAll('_', '.'), value] as const],
  );
  if (entries.length < 5) throw new Error('no configuration of Kafka');
  return Object.fromEntries(entries);
}
