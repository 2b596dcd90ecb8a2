import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCluster, type Cluster } from 'xdsctl/components/cluster.ts';
import { testCache, testProgress } from '../../components/cache.ts';
import { makeAuthority } from '../../components/certificates.ts';
import { AdsClient, listener, route as routeType } from '../harness/ads.ts';
import { ConfigDir } from '../harness/config-dir.ts';
import { httpGateway, istio, routeTo, service, tlsSecret } from '../harness/objects.ts';
import { childrenOf, type Collector, type SeenSpan } from '../harness/spans.ts';
import { until } from '../harness/wait.ts';

const ns = 'edge';
const key = makeAuthority('traces').issue({ commonName: 'shop.test', names: ['shop.test'] });
/** How many proxies each pusher has. */
const proxiesOf = [1, 10] as const;

function route(name: string): ReturnType<typeof routeTo> {
  const to = { host: `a.${ns}.svc.cluster.local` };
  const gateways = ['edge'];
  return routeTo({ namespace: ns, name: 'shop', host: 'shop.test', gateways, to, routeName: name });
}

async function writeShop(config: ConfigDir): Promise<void> {
  const workloads = [{ port: 8080 }];
  await config.write('a', ...service({ name: 'a', namespace: ns, port: 80, workloads }));
  await config.write('gateway', httpGateway(ns, 'edge', { edge: 'yes' }, 8000));
  await config.write('secret', tlsSecret(ns, 'cert', key));
  const port = { number: 8443, name: 'https', protocol: 'HTTPS' };
  const tls = { mode: 'SIMPLE', credentialName: 'cert' };
  const servers = [{ port, hosts: ['shop.test'], tls }];
  await config.write('tls', istio('Gateway', ns, 'secure', { selector: { edge: 'yes' }, servers }));
  await config.write('route', route('first'));
}

function connectProxies(cluster: Cluster): readonly AdsClient[] {
  return cluster.pushers.flatMap(({ grpc }, pusher) =>
    Array.from({ length: proxiesOf[pusher] ?? 0 }, (_, at) => {
      const client = new AdsClient({
        port: Number(grpc?.split(':').at(-1)),
        protocol: 'delta',
        nodeId: `router~127.0.0.1~edge-${pusher}-${at}.${ns}~${ns}.svc.cluster.local`,
        metadata: { NAMESPACE: ns, LABELS: { edge: 'yes' } },
      });
      client.connect();
      return client;
    }),
  );
}

/**
 * Three services as processes of their own, eleven proxies, and whatever collects traces: what is
 * asserted is what an operator finds there.
 */
export function tracesSuite(startCollector: () => Promise<Collector>): void {
  let collector: Collector;
  let config: ConfigDir;
  let cluster: Cluster;
  let proxies: readonly AdsClient[] = [];

  beforeAll(async () => {
    collector = await startCollector();
    config = await ConfigDir.create();
    await writeShop(config);
    const directory = await mkdtemp(join(tmpdir(), 'watershed-traces-'));
    const environment = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
    const where = { configDir: config.path, directory, environment, partitions: 4 };
    cluster = await startCluster({ ...where, cache: testCache, progress: testProgress });
    proxies = connectProxies(cluster);
    await until('all proxies have their routes', () =>
      proxies.every(
        (proxy) => proxy.names(routeType).length > 0 && proxy.names(listener).length > 1,
      ),
    );
  });

  afterAll(async () => {
    for (const proxy of proxies) proxy.cut();
    await cluster?.stop();
    if (cluster !== undefined) await rm(cluster.directory, { recursive: true, force: true });
    await config?.delete();
    await collector?.stop();
  });

  /** The trace of a change of one object alone (at the start all are read at once). */
  async function traceOf(object: string): Promise<readonly SeenSpan[]> {
    let seen: readonly SeenSpan[] = [];
    const isRoot = ({ attributes }: SeenSpan): boolean =>
      attributes['watershed.objects'] === object;
    const isWhole = async (): Promise<boolean> => {
      const spans = await collector.spans();
      const trace = spans.find(isRoot)?.trace;
      seen = spans.filter((span) => span.trace === trace);
      // A part ends before the whole, so whoever is there has its parts there.
      const ids = new Set(seen.map(({ id }) => id));
      const joined = seen.every((span) => span.parent === '' || ids.has(span.parent));
      return joined && seen.filter(({ name }) => name === 'push').length === proxiesOf.length;
    };
    await until(`the trace of ${object} is whole`, isWhole).catch((error: unknown) => {
      const names = seen.map(({ service, name }) => `${service} ${name}`);
      throw new Error(`seen were: ${names.join(', ')}`, { cause: error });
    });
    return seen;
  }

  test('one change is one trace, from the object through log, blobs and pushes to the ACKs', async () => {
    await config.write('route', route('second'));
    const spans = await traceOf('networking.istio.io/VirtualService/edge/shop');
    const [root, ...others] = spans.filter(({ parent }) => parent === '');
    if (root === undefined) throw new Error('the trace has no beginning');
    expect(others).toEqual([]);
    expect(root).toMatchObject({ service: 'watershed-ingester', name: 'ingest' });
    expect(childrenOf(spans, root, 'append')).toMatchObject([{ service: 'watershed-ingester' }]);
    // The shard that owns the table has more to say than the other one.
    const translations = childrenOf(spans, root, 'translate');
    expect(new Set(translations.map((span) => span.service))).toEqual(
      new Set(['watershed-translator']),
    );
    const below = (name: string): readonly SeenSpan[] =>
      translations.flatMap((translation) => childrenOf(spans, translation, name));
    const servicesOf = (name: string): readonly string[] => [
      ...new Set(below(name).map((span) => span.service)),
    ];
    expect(servicesOf('blob.put')).toEqual(['watershed-translator']);
    expect(servicesOf('append')).toEqual(['watershed-translator']);
    expect(servicesOf('blob.get')).toEqual(['watershed-pusher']);
    expect(servicesOf('push')).toEqual(['watershed-pusher']);
    const pushes = below('push');
    // A push to few proxies has a span for each of them, a push to many says how many there were.
    const proxiesSeen = pushes.map(({ attributes }) => Number(attributes['watershed.streams']));
    expect(proxiesSeen.toSorted((a, b) => a - b)).toEqual([...proxiesOf]);
    for (const push of pushes) {
      const streams = push.attributes['watershed.streams'];
      expect(push.attributes['watershed.acked']).toBe(streams);
      const acks = childrenOf(spans, push, 'ack').map(({ attributes }) => attributes);
      const node = `router~127.0.0.1~edge-0-0.${ns}~${ns}.svc.cluster.local`;
      expect(acks).toMatchObject(streams === 1 ? [{ 'watershed.proxy': node }] : []);
    }
  });

  test('a secret that changes is traced by its name, and nothing of its key is told', async () => {
    const other = makeAuthority('other').issue({ commonName: 'shop.test', names: ['shop.test'] });
    await config.write('secret', tlsSecret(ns, 'cert', other));
    await traceOf('/Secret/edge/cert');
    const text = await collector.text();
    expect(text).toContain('VirtualService/edge/shop');
    for (const secret of [key, other]) {
      const lines = secret.key.split('\n').filter((line) => line !== '' && !line.startsWith('-'));
      expect(lines.length).toBeGreaterThan(0);
      const base64 = Buffer.from(secret.key).toString('base64').slice(0, 200);
      for (const part of [...lines, base64]) expect(text).not.toContain(part);
    }
  });
}
