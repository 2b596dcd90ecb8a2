/** What a newcomer types: `npm start`, the commands that it prints, and `npm run demo`. */
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freePort } from 'xdsctl/components/ports.ts';
import { fetchEnvoy } from 'xdsctl/components/envoy-fetch.ts';
import { testCache, testProgress } from '../components/cache.ts';
import { listens, Shell } from './harness/shell.ts';
import { until } from './harness/wait.ts';

let directory = '';
let running: Shell[] = [];

function shell(command: string): Shell {
  const started = new Shell(command);
  running.push(started);
  return started;
}

/** The commands that a start prints, and its output with each of them on one line. */
function commandsIn(output: string) {
  const text = output.replaceAll('\\\n', '');
  const [bootstrap = '', envoy = '', status = ''] = [
    /^ +(npx xdsctl bootstrap .*)$/mu,
    /^ +(\$\(npx xdsctl fetch envoy\) .*)$/mu,
    /^ +(npx xdsctl proxy-status .*)$/mu,
  ].map((command) => command.exec(text)?.[1] ?? 'false');
  return { text, bootstrap, envoy, status };
}

/** That it has named: the ones of samples are given up where they are taken. */
function portsIn({ output }: Shell): readonly number[] {
  const ports = new Set([...output.matchAll(/:(\d{4,5})\b/gu)].map(([, port]) => Number(port)));
  // Of the gateway, the control plane and Envoy's admin; the others are of backends.
  expect(ports.size).toBeGreaterThan(4);
  return [...ports];
}

async function listening(shell: Shell): Promise<readonly number[]> {
  const ports = portsIn(shell);
  const all = await Promise.all(ports.map(listens));
  return ports.filter((_, at) => all[at]);
}

/** Those that dashboards and alerts made for istiod read, once a proxy is there. */
const istiods = [
  ...['istio_build', 'istiod_uptime_seconds', 'pilot_info', 'process_resident_memory_bytes'],
  ...['pilot_services', 'pilot_virt_services', 'pilot_inbound_updates', 'pilot_push_triggers'],
  ...['pilot_k8s_cfg_events', 'pilot_k8s_reg_events', 'pilot_total_rejected_configs'],
  ...['galley_validation_passed', 'galley_validation_failed', 'pilot_total_xds_internal_errors'],
  ...['pilot_xds', 'pilot_xds_pushes', 'pilot_total_xds_rejects', 'pilot_xds_push_time'],
  ...['pilot_xds_config_size_bytes', 'pilot_proxy_convergence_time', 'pilot_xds_write_timeout'],
];

beforeEach(async () => {
  await fetchEnvoy({ cache: testCache, progress: testProgress });
  directory = await mkdtemp(join(tmpdir(), 'watershed-start-'));
});

afterEach(async () => {
  for (const one of running.reverse()) await one.stop('SIGKILL');
  running = [];
  await rm(directory, { recursive: true, force: true });
});

test('npm start says what listens where, and the commands that it prints work', async () => {
  const addresses = '--grpcAddr 127.0.0.1:0 --monitoringAddr 127.0.0.1:0';
  const started = shell(`npm start -- ${addresses} --dataDir ${directory}`);
  await until('it is ready', () => /proxy-status .*\n\n/u.test(started.output), 60_000);
  expect(started.output).toMatch(/xDS +127\.0\.0\.1:\d+/u);
  const { text, bootstrap, envoy, status } = commandsIn(started.output);
  expect(await shell(bootstrap).ended).toBe(0);
  const proxy = shell(envoy);
  await until('the gateway is in sync', async () => {
    const asked = shell(status);
    expect(await asked.ended).toBe(0);
    return /gateway\.shop .*SYNCED.*SYNCED.*SYNCED.*SYNCED/u.test(asked.output);
  });
  expect(await listens(8080)).toBe(true);
  const monitoring = /monitoring +(http:\S+)/u.exec(started.output)?.[1] ?? '';
  const metrics = await (await fetch(`${monitoring}/metrics`)).text();
  const exported = new Set([...metrics.matchAll(/^# TYPE (\S+)/gmu)].map(([, name]) => name));
  expect(istiods.filter((name) => !exported.has(name))).toEqual([]);
  expect(metrics).toMatch(/^pilot_services [1-9]\d*$/mu);
  await proxy.stop();
  await started.stop();
  expect(started.output).not.toContain('forced');
  const port = Number(/xDS +127\.0\.0\.1:(\d+)/u.exec(text)?.[1]);
  expect([await listens(8080), await listens(port)]).toEqual([false, false]);
});

test('the commands that npm start prints fit the configuration that it was given', async () => {
  const port = await freePort();
  const config = join(directory, 'my config');
  await mkdir(config);
  const about =
    'apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: { name: edge, namespace: infra }\n';
  const server = `{ port: { number: ${port}, name: http, protocol: HTTP }, hosts: ["*"] }`;
  const spec = `spec: { selector: { istio: ingress, app: edge }, servers: [${server}] }\n`;
  await writeFile(join(config, 'gateway.yaml'), about + spec);
  const started = shell(
    `npm start -- --allowPlaintext --grpcAddr :0 --monitoringAddr :0 ` +
      `--dataDir '${directory}/my data' --configDir '${config}'`,
  );
  await until('it is ready', () => /proxy-status .*\n\n/u.test(started.output), 60_000);
  expect(started.output).toContain(`gateway (infra/edge), which then listens on port ${port}`);
  expect(started.output).not.toContain('npm run demo');
  const { bootstrap, envoy, status } = commandsIn(started.output);
  expect(await shell(bootstrap).ended).toBe(0);
  const proxy = shell(envoy);
  await until('the gateway listens', () => listens(port));
  expect(await shell(status).ended).toBe(0);
  await proxy.stop();
  await started.stop();
});

test("npm start reads the directories that a MeshConfig's configSources name, in istiod's spelling", async () => {
  await mkdir(join(directory, 'config'));
  const about = 'apiVersion: v1\nkind: Service\nmetadata: { name: named, namespace: shop }\n';
  const spec = 'spec: { selector: { app: named }, ports: [{ name: http, port: 80 }] }\n';
  await writeFile(join(directory, 'config', 'service.yaml'), about + spec);
  const mesh = join(directory, 'mesh.yaml');
  await writeFile(mesh, `configSources: [{ address: "fs://${directory}/config" }]\n`);
  const addresses = '--grpcAddr 127.0.0.1:0 --monitoringAddr 127.0.0.1:0';
  const started = shell(
    `PILOT_DEBOUNCE_AFTER=5ms PILOT_DEBOUNCE_MAX=1s PILOT_ENABLE_EDS_DEBOUNCE=true ` +
      `PILOT_PUSH_THROTTLE=10 PILOT_XDS_CACHE_SIZE=100 npm start -- ${addresses} ` +
      `--dataDir ${directory} --meshConfig ${mesh}`,
  );
  await until('it is ready', () => /proxy-status .*\n\n/u.test(started.output), 60_000);
  const monitoring = /monitoring +(http:\S+)/u.exec(started.output)?.[1] ?? '';
  const objects = await (await fetch(`${monitoring}/debug/configz`)).text();
  expect(objects).toContain('"named"');
  await started.stop();
});

test('npm start ends at once, and says why, when the MeshConfig is not there', async () => {
  const started = shell(`npm start -- --dataDir ${directory} --meshConfig ${directory}/none.yaml`);
  expect(await started.ended).toBe(1);
  expect(started.output).toMatch(/^watershed: --meshConfig: ".*none\.yaml": does not exist$/mu);
});

test('npm start ends at once, and says why in one line, when its port is taken', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const options = `--grpcAddr 127.0.0.1:${port} --monitoringAddr 127.0.0.1:0`;
  const level = '--log_output_level default:warn';
  const started = shell(`npm start --silent -- ${options} ${level} --dataDir ${directory}`);
  expect(await started.ended).toBe(1);
  const said = started.output.split('\n').filter((line) => line !== '' && !line.startsWith('npm '));
  expect(said).toHaveLength(1);
  expect(said[0]).toMatch(/cannot listen on 127\.0\.0\.1:\d+.*EADDRINUSE/u);
  taken.close();
});

test('npm start hands SIGTERM on, and the server stops in order', async () => {
  const addresses = '--grpcAddr 127.0.0.1:0 --monitoringAddr 127.0.0.1:0';
  const started = shell(`exec npm start -- ${addresses} --dataDir ${directory}`);
  await until('it is ready', () => /proxy-status .*\n\n/u.test(started.output), 60_000);
  started.signal('SIGTERM');
  // Its output is closed when npm and the server have both ended.
  expect(await started.ended).toBe(0);
  expect(started.output).toMatch(/"signal":"SIGTERM".*"stopping"/u);
  expect(started.output).not.toContain('forced');
});

test('npm start ends at once, and says why, when its data directory cannot be used', async () => {
  const file = join(directory, 'file');
  await writeFile(file, '');
  for (const dir of ['/proc/x', file]) {
    const started = shell(`npm start -- --dataDir ${dir}`);
    expect(await started.ended).toBe(1);
    expect(started.output).toContain(`watershed: --dataDir: "${dir}": E`);
  }
});

test('npm start can be stopped while it waits for its directory', async () => {
  const addresses = '--grpcAddr 127.0.0.1:0 --monitoringAddr 127.0.0.1:0';
  const options = `${addresses} --dataDir ${directory} --configDir ${directory}/none`;
  const started = shell(`exec node_modules/.bin/node standalone/src/main.ts ${options}`);
  await until('it waits', () => started.output.includes('does not exist'), 60_000);
  await started.stop('SIGTERM');
  expect(await started.ended).toBe(0);
  expect(started.output).not.toContain('unsettled');
});

test('npm run demo shows the traffic follow a change, and leaves nothing behind', async () => {
  const demo = shell('npm run demo');
  expect(await demo.ended).toBe(0);
  expect(demo.output).toMatch(/GET shop\.example\.com\/cart +200 +cart/u);
  expect(demo.output).toMatch(/followed +after \d+ ms/u);
  const shares = [...demo.output.matchAll(/catalog-v2 (\d+) %/gu)].map(([, share]) =>
    Number(share),
  );
  expect(shares[0]).toBeLessThan(20);
  expect(shares[1]).toBeGreaterThan(80);
  expect(await listening(demo)).toEqual([]);
});

test('npm run demo stops all that it started on Ctrl-C', async () => {
  const demo = shell('npm run demo -- --keep');
  await until('all is running', () => demo.output.includes('until Ctrl-C'), 60_000);
  expect(await listening(demo)).toEqual(portsIn(demo));
  await demo.stop();
  expect(await listening(demo)).toEqual([]);
});
