import { setTimeout as sleep } from 'node:timers/promises';
import { RouteConfiguration } from '@watershed/proto/envoy/config/route/v3/route.ts';
import { AdsClient, cluster, route } from './harness/ads.ts';
import { ConfigDir } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, istio, routeTo, service } from './harness/objects.ts';
const ns = 'edge';
const host = 'shop.test';
const fqdn = (n: string) => `${n}.edge.svc.cluster.local`;
const config = await ConfigDir.create();
const serviceOf = (name: string, at: readonly number[]) =>
  service({
    name,
    namespace: ns,
    port: 80,
    workloads: at.map((i) => ({ port: 1000 + i, labels: { version: i % 2 === 0 ? 'v1' : 'v2' } })),
  });
const gateways = ['edge'];
const mkroute = (to: string, routeName: string, subset?: string) =>
  routeTo({
    namespace: ns,
    name: 'shop',
    host,
    gateways,
    to: { host: fqdn(to), ...(subset === undefined ? {} : { subset }) },
    routeName,
  });
const rule = (a: string, b: string) =>
  istio('DestinationRule', ns, 'a', {
    host: fqdn('a'),
    subsets: [
      { name: a, labels: { version: 'v1' } },
      { name: b, labels: { version: 'v2' } },
    ],
  });
const changes: Record<string, (t: number) => Promise<void>> = {
  rename: (t) => config.write('routes', mkroute('a', `name-${t}`)),
  swap: (t) => config.write('routes', mkroute(t % 2 === 0 ? 'b' : 'a', 'swapped')),
  subset: async (t) => {
    await config.write('routes', mkroute('a', 'subsets', `s${t}`), rule(`s${t}`, `t${t}`));
    await config.remove('rule');
  },
  unsubset: async () => {
    await config.write('routes', mkroute('a', 'plain'), rule('v1', 'v2'));
  },
  add: async (t) => {
    await config.write(`new-${t}`, ...serviceOf(`new-${t}`, [t % 3]));
    await config.write('routes', mkroute(`new-${t}`, 'new'), rule('v1', 'v2'));
  },
  remove: async (t) => {
    await config.write('routes', mkroute('a', 'old'), rule('v1', 'v2'));
    for (let at = 0; at <= t; at++) await config.remove(`new-${at}`);
  },
  endpoints: (t) =>
    config.write('a', ...serviceOf('a', [[0], [0, 1], [2], [0, 1, 2], [1, 2]][t % 5]!)),
};
await config.write('a', ...serviceOf('a', [0, 1]));
await config.write('b', ...serviceOf('b', [2]));
await config.write('routes', mkroute('a', 'first'));
await config.write('rule', rule('v1', 'v2'));
await config.write('gw', httpGateway(ns, 'edge', { edge: 'x' }, 12345));
const plane = await ControlPlane.start({ configDir: config.path });
const t0 = performance.now();
let violations = 0;
const mk = (protocol: 'delta' | 'sotw') => {
  const trail: string[] = [];
  const c: AdsClient = new AdsClient({
    port: plane.xds.port,
    protocol,
    nodeId: 'router~10.0.0.1~w.edge~edge.svc.cluster.local',
    metadata: { NAMESPACE: 'edge', LABELS: { edge: 'x' }, CLUSTER_ID: 'Kubernetes' },
    onResponse: (r) => {
      trail.push(
        `${Math.round(performance.now() - t0)} ${protocol} ${r.typeUrl.split('.').at(-1)} +${r.names.map((n) => n.replace('.edge.svc.cluster.local', '')).join(',')} -${r.removed.join(',')}`,
      );
      setImmediate(() => {
        const have = new Set(c.names(cluster));
        const bad = c
          .names(route)
          .flatMap((n) =>
            RouteConfiguration.decode(c.body(route, n)!).virtualHosts.flatMap((v) =>
              v.routes.flatMap((x) =>
                x.action?.$case === 'route' &&
                x.action.value.clusterSpecifier?.$case === 'cluster' &&
                !have.has(x.action.value.clusterSpecifier.value)
                  ? [x.action.value.clusterSpecifier.value]
                  : [],
              ),
            ),
          );
        if (bad.length > 0 && violations++ < 6) {
          console.log('VIOLATION', protocol, bad, '\n' + trail.slice(-8).join('\n'));
        }
      });
      return true;
    },
  });
  return { c, trail };
};
const clients = [mk('delta'), mk('sotw')];
for (const { c } of clients) {
  c.connect();
  await c.settle();
}
const names = Object.keys(changes);
for (let step = 0; step < 70; step++) {
  const n = names[step % names.length]!;
  for (const { trail } of clients) trail.push(`${Math.round(performance.now() - t0)} STEP ${n}`);
  await changes[n]!(Math.floor(step / names.length));
  await sleep(40 + ((step * 37) % 160));
}
console.log('violations', violations);
await plane.delete();
await config.delete();
