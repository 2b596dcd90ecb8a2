/** ztunnel's types from users' files to a stream, as ztunnel asks for them. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { until } from './harness/wait.ts';
import { address, authorization, ZtunnelClient } from './harness/ztunnel.ts';

const ns = 'shop';
const web = `${ns}/web.shop.svc.cluster.local`;
const uid = (name: string): string => `Kubernetes//Pod/${ns}/${name}`;

function pod(name: string, ip: string, ready = true): UserObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: ns, labels: { app: 'web' } },
    spec: { serviceAccountName: 'web' },
    status: { podIP: ip, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

function security(kind: string, name: string, namespace: string, spec: UserObject): UserObject {
  return { apiVersion: 'security.istio.io/v1', kind, metadata: { name, namespace }, spec };
}

const service: UserObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: ns },
  spec: {
    clusterIP: '10.96.0.1',
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, targetPort: 8080 }],
  },
};

let config: ConfigDir;
let plane: ControlPlane;

beforeAll(async () => {
  config = await ConfigDir.create();
  await config.write('web', service);
  for (const at of [1, 2, 3]) await config.write(`web-${at}`, pod(`web-${at}`, `10.1.0.${at}`));
  await config.write(
    'callers',
    security('AuthorizationPolicy', 'callers', ns, {
      selector: { matchLabels: { app: 'web' } },
      rules: [{ from: [{ source: { namespaces: [ns] } }] }],
    }),
  );
  plane = await ControlPlane.start({ configDir: config.path, args: ['--ambient'] });
});

afterAll(async () => {
  await plane?.delete();
  await config?.delete();
});

/** Encodings of workloads, services and policies so far. */
async function encodings(): Promise<number> {
  const metrics = await plane.metrics();
  const of = (type: string): number => metrics.sum('watershed_encodings_total', { type });
  return of('istio.workload.Address') + of('istio.security.Authorization');
}

describe('ztunnel', () => {
  test('asks for all by silence, and one Pod that changes is one encoding and one resource', async () => {
    const all = new ZtunnelClient();
    const other = new ZtunnelClient();
    for (const client of [all, other]) client.connect(plane.xds);
    await until('it has all', () => all.names(address).length === 4 && other.told.length > 1);
    expect(all.names(address)).toEqual([uid('web-1'), uid('web-2'), uid('web-3'), web]);
    expect(all.names(authorization)).toEqual([`${ns}/callers`]);
    expect(all.workload(uid('web-1'))).toMatchObject({
      name: 'web-1',
      serviceAccount: 'web',
      services: { [web]: { ports: [{ servicePort: 80, targetPort: 8080 }] } },
      authorizationPolicies: [`${ns}/callers`],
      status: 0,
    });
    const before = await encodings();
    const told = await all.during(() => config.write('web-2', pod('web-2', '10.1.0.2', false)));
    expect(told).toEqual([{ typeUrl: address, names: [uid('web-2')], removed: [] }]);
    expect(all.workload(uid('web-2'))?.status).toBe(1);
    expect(other.workload(uid('web-2'))?.status).toBe(1);
    expect((await encodings()) - before).toBe(1);
    const gone = await all.during(() => config.remove('web-3'));
    expect(gone).toEqual([{ typeUrl: address, names: [], removed: [uid('web-3')] }]);
    const back = await all.during(() => config.write('web-3', pod('web-3', '10.1.0.3')));
    expect(back).toEqual([{ typeUrl: address, names: [uid('web-3')], removed: [] }]);
    for (const client of [all, other]) client.disconnect();
  });

  test('on demand starts with nothing, finds by alias, and hears at once of what is not there', async () => {
    const client = new ZtunnelClient({ onDemand: true });
    const first = await client.during(() => client.connect(plane.xds));
    expect(first).toContainEqual({ typeUrl: address, names: [], removed: [] });
    const byIp = await client.during(() => client.ask('/10.1.0.1'));
    expect(byIp).toEqual([{ typeUrl: address, names: [uid('web-1')], removed: [] }]);
    expect(client.aliases(uid('web-1'))).toEqual(['/10.1.0.1']);
    const absent = await client.during(() => client.ask('/10.1.0.9'));
    expect(absent).toEqual([{ typeUrl: address, names: [], removed: ['/10.1.0.9'] }]);
    const later = await client.during(() => config.write('late', pod('late', '10.1.0.9')));
    expect(later).toEqual([{ typeUrl: address, names: [uid('late')], removed: [] }]);
    // A service comes with its workloads, by its virtual address too.
    const [vip] = await client.during(() => client.ask('/10.96.0.1'));
    expect(vip?.names).toContain(web);
    expect(vip?.names).toContain(uid('web-3'));
    const drained = await client.during(() =>
      config.write('web-3', pod('web-3', '10.1.0.3', false)),
    );
    expect(drained).toEqual([{ typeUrl: address, names: [uid('web-3')], removed: [] }]);
    await config.remove('late');
    await until('it is gone', () => !client.names(address).includes(uid('late')));
    client.disconnect();
  });

  test('comes back with the versions that it holds, and is sent nothing, by a new process too', async () => {
    for (const onDemand of [false, true]) {
      const client = new ZtunnelClient({ onDemand });
      client.connect(plane.xds);
      if (onDemand) client.ask('/10.1.0.1', web);
      await until('it has them', () => client.names(address).length === 4);
      client.disconnect();
      expect(await client.silently(() => client.connect(plane.xds))).toEqual([]);
      client.disconnect();
      await plane.stop();
      await plane.start();
      expect(await client.silently(() => client.connect(plane.xds), 1_500)).toEqual([]);
      client.disconnect();
      // What went meanwhile is told (rule 42), and what changed.
      await config.remove('web-1');
      await config.write('web-2', pod('web-2', '10.1.0.2', onDemand));
      await until(
        'it is read',
        async () => !(await plane.text('/debug/configz')).includes('web-1'),
      );
      client.connect(plane.xds);
      await until('it knows', () => !client.names(address).includes(uid('web-1')));
      await until('it knows', () => client.workload(uid('web-2'))?.status === (onDemand ? 0 : 1));
      client.disconnect();
      await config.write('web-1', pod('web-1', '10.1.0.1'));
    }
  });

  test('gets a policy that changes, and STRICT as a policy that the workloads name', async () => {
    const client = new ZtunnelClient();
    client.connect(plane.xds);
    await until('it has all', () => client.names(address).length === 4);
    const denied = security('AuthorizationPolicy', 'callers', ns, {
      action: 'DENY',
      rules: [{ from: [{ source: { principals: ['*/sa/evil'] } }] }],
    });
    const policies = (): string | undefined =>
      client.workload(uid('web-1'))?.authorizationPolicies.join();
    await config.write('callers', denied);
    await until('it is denied', () => client.policy(`${ns}/callers`)?.action === 1);
    expect(client.policy(`${ns}/callers`)).toMatchObject({ scope: 1 });
    await until('no workload names it', () => policies() === '');
    const strict = security('PeerAuthentication', 'default', 'istio-system', {
      mtls: { mode: 'STRICT' },
    });
    const name = 'istio-system/istio_converted_static_strict';
    await config.write('strict', strict);
    await until('workloads name it', () => policies() === name);
    expect(client.names(authorization)).toContain(name);
    const from = client.told.length;
    await config.remove('strict');
    await until('no workload names it', () => policies() === '');
    const removal = { typeUrl: authorization, names: [], removed: [name] };
    await vi.waitFor(() => expect(client.told.slice(from)).toContainEqual(removal), 20_000);
    client.disconnect();
  });
});
