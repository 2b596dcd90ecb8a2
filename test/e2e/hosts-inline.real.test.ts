/** Envoys that refuse tables whose hosts come by ADS, and ask for such tables all the same. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from 'xdsctl/components/ports.ts';
import type { Backend } from '../components/backends.ts';
import { answeredBy, ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { httpGateway, routeTo } from './harness/objects.ts';
import { configWarnings, rejections, startProxy } from './harness/proxy.ts';

const ns = 'edge';
const why = {
  old: 'it is an Envoy before 1.40',
  separate: 'it has no ADS, but separate streams',
} as const;
const kinds = [
  { name: 'old', version: '1.36.4', vhds: 'on-demand', flags: [] },
  { name: 'separate', version: undefined, vhds: 'true', flags: ['--separate-streams'] },
] as const;

const running = new Map<string, { readonly proxy: TestEnvoy; readonly port: number }>();
let backends: readonly Backend[] = [];
let config: ConfigDir;
let plane: ControlPlane;

function routed(host: string, to: string): UserObject {
  const gateways = kinds.map(({ name }) => name);
  return routeTo({ ...{ namespace: ns, name: host, host, gateways }, to: { host: to } });
}

beforeAll(async () => {
  config = await ConfigDir.create();
  backends = await startServed(['one', 'other'], { config, namespace: ns });
  const ports = new Map<string, number>();
  for (const { name } of kinds) {
    const port = await freePort();
    ports.set(name, port);
    await config.write(name, httpGateway(ns, name, { edge: name }, port));
  }
  for (const host of ['a.test', 'b.test']) await config.write(host, routed(host, 'one'));
  plane = await ControlPlane.start({ configDir: config.path });
  for (const { name, version, vhds, flags } of kinds) {
    const proxy = await startProxy({
      ...{ type: 'router', workload: `${name}.${ns}`, protocol: 'delta', xds: plane.xds },
      ...{ labels: { edge: name }, metadata: { WATERSHED_VHDS: vhds }, version, flags },
    });
    running.set(name, { proxy, port: ports.get(name) ?? 0 });
  }
});

afterAll(async () => {
  for (const { proxy } of running.values()) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

describe.each(kinds)('$name: an Envoy that asks for hosts apart', ({ name }) => {
  test('has them in their tables, serves them, and refuses nothing', async () => {
    const one = running.get(name);
    if (one === undefined) throw new Error('it does not run');
    const { proxy, port } = one;
    const served = async (host: string): Promise<string> =>
      answeredBy(await ask({ port, authority: host }));
    for (const host of ['a.test', 'b.test']) expect(await served(host)).toBe('one');
    expect(await served('later.test')).toBe('404');
    await config.write(`later-${name}`, routed('later.test', 'other'));
    await proxy.envoy.waitFor('a host', async () => (await served('later.test')) === 'other');
    await config.remove(`later-${name}`);
    await proxy.envoy.waitFor('none', async () => (await served('later.test')) === '404');
    const tables = JSON.stringify(await proxy.envoy.admin.configDump('dynamic_route_configs'));
    expect(tables).not.toContain('"vhds"');
    const listeners = JSON.stringify(await proxy.envoy.admin.configDump('dynamic_listeners'));
    expect(listeners).not.toContain('on_demand');
    expect(await rejections(proxy)).toBe(0);
    expect(await configWarnings(proxy)).toEqual([]);
  });

  test('is told of in the log of the control plane', async () => {
    expect(await plane.log()).toContain(`a proxy cannot have WATERSHED_VHDS: ${why[name]}`);
  });
});
