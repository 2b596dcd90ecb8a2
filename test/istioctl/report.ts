/**
 * `npm run report:istioctl`: runs the real istioctl against this control plane, with stock Envoys
 * behind it, and writes what it printed into `docs/istioctl.md`, between the two marks.
 * `ISTIOCTL=FILE` takes one that is there; otherwise it is built with Go, once (some minutes).
 */
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fetchOnce } from 'xdsctl/components/cache.ts';
import { run } from 'xdsctl/components/child.ts';
import { testCache, testProgress } from '../components/cache.ts';
import { startSmallMesh, type SmallMesh } from '../e2e/harness/small-mesh.ts';
import { until } from '../e2e/harness/wait.ts';
import { steps, type Step } from './steps.ts';

/** The main branch of August 2026: what 1.31 is made of. */
const version = 'v0.0.0-20260827124520-eed52ebb66ad';
const page = join(import.meta.dirname, '../../docs/istioctl.md');
const marks = ['<!-- report -->', '<!-- end of report -->'] as const;
const buildTimeoutMs = 1_800_000;
const stepTimeoutMs = 60_000;
/** `HOST-PID`; it stands in columns. */
const processName = new RegExp(
  String.raw`\b${hostname().replaceAll('.', String.raw`\.`)}-\d+`,
  'gu',
);
const maxLines = 40;
const maxColumns = 160;

async function istioctl(): Promise<string> {
  const own = process.env['ISTIOCTL'];
  if (own !== undefined && own !== '') return own;
  const make = async (directory: string): Promise<void> => {
    testProgress(`building istioctl ${version} (Go module proxy, once per machine)`);
    const { status, stderr } = await run(
      'go',
      ['install', `istio.io/istio/istioctl/cmd/istioctl@${version}`],
      { environment: { ...process.env, GOBIN: directory }, timeoutMs: buildTimeoutMs },
    );
    if (status !== 0) throw new Error(`go install failed: ${stderr.slice(-2_000)}`);
  };
  return join(
    await fetchOnce(testCache, { name: `istioctl-${version}`, make }, testProgress),
    'istioctl',
  );
}

/** Files that istioctl reads: what the control plane and an Envoy say of the same proxy. */
async function writeDumps({ plane, gateway, config }: SmallMesh): Promise<readonly string[]> {
  const ours = join(config.path, '.ours.json');
  const envoys = join(config.path, '.envoy.json');
  const clusters = join(config.path, '.clusters.json');
  const { admin } = gateway.envoy;
  await writeFile(ours, await plane.text('/debug/config_dump?proxyID=edge-1.shop&include_eds'));
  await writeFile(envoys, JSON.stringify(await admin.configDump()));
  await writeFile(clusters, (await admin.get('/clusters?format=json')).body);
  return [ours, envoys, clusters];
}

async function report(binary: string): Promise<string> {
  await using mesh = await startSmallMesh();
  const { plane } = mesh;
  await until('all is ACKed', async () => {
    const shown = (await plane.json('/debug/syncz')) as readonly { synced: boolean }[];
    return shown.length === 2 && shown.every(({ synced }) => synced);
  });
  const [ours = '', envoys = '', clusters = ''] = await writeDumps(mesh);
  /** What stands in the report → what it is here. */
  const places: readonly (readonly [string, string])[] = [
    ['127.0.0.1:15010', `${plane.xds.host}:${plane.xds.port}`],
    ['127.0.0.1:15012', `${plane.secureXds.host}:${plane.secureXds.port}`],
    ['ours.json', ours],
    ['envoy.json', envoys],
    ['clusters.json', clusters],
    ['certs/istio-system', await mesh.certificatesOf('istio-system')],
    ['certs/shop', await mesh.certificatesOf('shop')],
  ];
  const shown: string[] = [];
  for (const step of steps) {
    testProgress(step.command);
    shown.push(await showStep(binary, step, places));
  }
  return shown.join('\n');
}

async function showStep(
  binary: string,
  { command, says }: Step,
  places: readonly (readonly [string, string])[],
): Promise<string> {
  const args = command
    .split(' ')
    .map((word) => places.find(([shown]) => shown === word)?.[1] ?? word);
  const { stdout, stderr } = await run(binary, args, { timeoutMs: stepTimeoutMs });
  let text = `${stdout}${stderr}`;
  for (const [word, is] of places) text = text.replaceAll(is, word);
  text = text.replaceAll(processName, ({ length }) => 'pilot-0'.padEnd(length));
  const lines = text.replaceAll('\t', '    ').trimEnd().split('\n');
  const kept = lines
    .slice(0, maxLines)
    .map((line) => (line.length > maxColumns ? `${line.slice(0, maxColumns)}…` : line).trimEnd());
  const rest = lines.length - kept.length;
  const tail = rest > 0 ? [`… ${rest} more lines`] : [];
  const block = ['```', `$ istioctl ${command}`, ...kept, ...tail, '```'].join('\n');
  return `${says}\n\n${block}\n`;
}

const [begin, end] = marks;
const text = await readFile(page, 'utf8');
const [before, after] = [text.split(begin)[0], text.split(end)[1]];
if (before === undefined || after === undefined) throw new Error(`${page} has not its marks`);
const written = await report(await istioctl());
await writeFile(page, `${before}${begin}\n\n${written}\n${end}${after}`);
