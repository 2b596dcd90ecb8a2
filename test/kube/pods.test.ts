import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeAuthority } from '../components/certificates.ts';
import type { ComposeFile, ComposeService } from '../components/compose.ts';
import { startTestKafka, type TestKafka } from '../components/kafka.ts';
import { kustomize } from '../components/kube.ts';
import { startTestRedis, type TestRedis } from '../components/redis.ts';
import { ComposeRun, listens } from '../deploy/compose-run.ts';
import { repository } from '../deploy/image.ts';
import { environmentOf, manifestsOf, type Manifest } from './cluster.ts';

/*
 * What the overlays start, started here as processes: with their commands, variables, mounts and
 * probes, and with what Secrets and volumes would hold.
 */

const ownAddress = 'pod.watershed-pusher.watershed.svc:15012';

let directory: string;
let kafka: TestKafka;
let redis: TestRedis;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watershed-pods-'));
  kafka = await startTestKafka({ config: { 'group.initial.rebalance.delay.ms': '0' } });
  redis = await startTestRedis();
}, 1_200_000);

afterAll(async () => {
  await redis?.stop();
  await kafka?.stop();
  await rm(directory, { recursive: true, force: true });
});

test('the one Pod of laptop serves xDS from its ConfigMap, by its own probe', async () => {
  const composed = await placed('laptop');
  try {
    await composed.start('watershed');
    await expectPorts(composed, 'watershed');
  } finally {
    await composed.stop();
  }
});

test('the Pods of cluster come up by their own probes when the Job has made the topics', async () => {
  const composed = await placed('cluster');
  try {
    await composed.runOnce('topics');
    await composed.start('ingester');
    await Promise.all([composed.start('translator'), composed.start('pusher')]);
    expect(composed.of('translator').length).toBe(2);
    expect(composed.of('pusher').length).toBe(2);
    for (const name of ['ingester', 'translator', 'pusher']) await expectPorts(composed, name);
  } finally {
    await composed.stop();
  }
});

async function expectPorts(composed: ComposeRun, name: string): Promise<void> {
  for (const { ports } of composed.of(name)) {
    expect(ports.size).toBeGreaterThan(0);
    for (const port of ports.values()) expect(await listens(port)).toBe(true);
  }
}

async function placed(overlay: string): Promise<ComposeRun> {
  const manifests = manifestsOf(await kustomize(join(repository, 'k8s/overlays', overlay)));
  const place = join(directory, overlay);
  await mkdir(place);
  await writeVolumes(place, manifests);
  const services = Object.fromEntries(manifests.flatMap((one) => serviceOf(manifests, one)));
  return new ComposeRun({
    file: { services } satisfies ComposeFile,
    app: repository,
    directory: place,
    network: new Map([
      ['kafka-bootstrap.kafka:9092', kafka.brokers[0] ?? ''],
      ['redis.redis:6379', redis.url.slice('redis://'.length)],
      // What a pusher says of itself, and no proxy is here to be told.
      [ownAddress, ownAddress],
    ]),
    binds: new Map(),
    // What listens on the Pod's loopback only is not to meet another's here.
    environment: { WATERSHED_GRPC_ADDR: '127.0.0.1:0' },
  });
}

/** As `ComposeRun` takes it; of an object that has no Pods: none. */
function serviceOf(
  manifests: readonly Manifest[],
  { spec }: Manifest,
): readonly (readonly [string, ComposeService])[] {
  const [container] = spec?.template?.spec.containers ?? [];
  if (container === undefined) return [];
  const { args, image, name, ports = [], readinessProbe, volumeMounts = [] } = container;
  const sources = new Map(
    (spec?.template?.spec.volumes ?? []).map((volume) => [
      volume.name,
      volume.configMap?.name ?? volume.secret?.secretName ?? '',
    ]),
  );
  const { path = '', port = '' } = readinessProbe?.httpGet ?? {};
  const number = ports.find((one) => one.name === port)?.containerPort;
  const probe = `fetch('http://127.0.0.1:${number}${path}').then(({ ok }) => process.exit(ok ? 0 : 1))`;
  const service: ComposeService = {
    image,
    command: args,
    environment: environmentOf(manifests, container),
    deploy: { replicas: spec?.replicas ?? 1 },
    healthcheck: { test: ['CMD', '/nodejs/bin/node', '--eval', probe] },
    volumes: volumeMounts.flatMap(({ name: volume, mountPath: target }) => {
      const source = sources.get(volume);
      return source === undefined ? [] : [{ type: 'volume', source, target } as const];
    }),
    // A claim is each Pod's own.
    tmpfs: volumeMounts.flatMap((mount) => (sources.has(mount.name) ? [] : [mount.mountPath])),
  };
  return [[name, service]];
}

/** ConfigMaps and Secrets as the kubelet mounts them. */
async function writeVolumes(place: string, manifests: readonly Manifest[]): Promise<void> {
  const authority = makeAuthority('proxies');
  const served = authority.issue({ commonName: 'watershed', names: ['watershed.watershed'] });
  const contents: Record<string, Readonly<Record<string, string>>> = {
    'watershed-sealing': { 'sealing.key': `${randomBytes(32).toString('base64')}\n` },
    'watershed-xds-tls': {
      'tls.crt': served.certificate,
      'tls.key': served.key,
      'ca.crt': authority.certificate,
    },
  };
  for (const { kind, metadata, data } of manifests) {
    if (kind === 'ConfigMap' && data !== undefined) contents[metadata.name] = data;
  }
  for (const [name, files] of Object.entries(contents)) {
    await mkdir(join(place, 'volumes', name), { recursive: true });
    for (const [file, text] of Object.entries(files)) {
      await writeFile(join(place, 'volumes', name, file), text, { mode: 0o440 });
    }
  }
}
