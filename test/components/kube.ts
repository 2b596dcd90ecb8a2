/** A real Kubernetes API server, with the etcd it keeps its objects in: no nodes, no controllers. */
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, startChild, type Child } from 'xdsctl/components/child.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { until } from '../e2e/harness/wait.ts';
import { goTool, type GoTool } from './go-tool.ts';

const version = '1.37.0';
const buildTimeoutMs = 3_600_000;
const startTimeoutMs = 120_000;
const requestTimeoutMs = 30_000;
const runTimeoutMs = 60_000;

const stamp = [
  `-X k8s.io/component-base/version.gitVersion=v${version}`,
  `-X k8s.io/component-base/version.gitMajor=${version.split('.')[0]}`,
  `-X k8s.io/component-base/version.gitMinor=${version.split('.')[1]}`,
].join(' ');

const kubeTool = { version, modules: 'kube', linking: `-s -w ${stamp}`, buildTimeoutMs };
const tools = {
  kustomize: {
    name: 'kustomize',
    version: '5.8.2',
    package: 'sigs.k8s.io/kustomize/kustomize/v5',
  },
  /** The one that this Kubernetes is built with. */
  etcd: { ...kubeTool, name: 'etcd', package: 'go.etcd.io/etcd/server/v3' },
  apiserver: {
    ...kubeTool,
    name: 'kube-apiserver',
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
  },
} as const satisfies Readonly<Record<string, GoTool>>;

/** Builds what is not at hand yet, the quick ones first. Of a cold machine, 10 to 25 minutes. */
export async function buildKubeTools(): Promise<void> {
  for (const tool of Object.values(tools)) await goTool(tool);
}

/** What `kustomize build` prints, or throws what it says. */
export async function kustomize(directory: string): Promise<string> {
  const args = ['build', directory];
  const { status, stdout, stderr } = await run(await goTool(tools.kustomize), args, {
    timeoutMs: runTimeoutMs,
  });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** What it thinks of it, though it was taken. */
  readonly warnings: readonly string[];
}

export interface KubeRequest {
  readonly method: 'DELETE' | 'GET' | 'PATCH' | 'POST';
  /** With its query. */
  readonly path: string;
  readonly body?: string;
  /** Default `application/json`. */
  readonly contentType?: string;
}

export interface Kube extends AsyncDisposable {
  readonly url: string;
  /** What its certificate is signed by. */
  readonly caFile: string;
  /** As an administrator. */
  ask(call: KubeRequest): Promise<Answer>;
  stop(): Promise<void>;
}

export async function startKube(): Promise<Kube> {
  const etcdBinary = await goTool(tools.etcd);
  const apiserverBinary = await goTool(tools.apiserver);
  const directory = await mkdtemp(join(tmpdir(), 'watershed-kube-'));
  const children: Child[] = [];
  const stop = async (): Promise<void> => {
    for (const child of children.toReversed()) await child.stop(10_000);
    await rm(directory, { recursive: true, force: true });
  };
  const start = (name: string, command: string, args: readonly string[]): void => {
    children.push(startChild({ command, args, logFile: join(directory, `${name}.log`) }));
  };
  try {
    const client = `http://127.0.0.1:${await freePort()}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    start('etcd', etcdBinary, [
      ...['--data-dir', join(directory, 'etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
      ...['--listen-client-urls', client, '--advertise-client-urls', client],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
      ...['--initial-cluster', `default=${peer}`],
    ]);
    const port = await freePort();
    const token = randomBytes(16).toString('hex');
    start('apiserver', apiserverBinary, await apiserverArgs(directory, port, client, token));
    const kube = {
      url: `https://127.0.0.1:${port}`,
      caFile: join(directory, 'pki/apiserver.crt'),
      ask: (call: KubeRequest) => ask(directory, port, token, call),
    };
    try {
      const ready = { method: 'GET', path: '/readyz' } as const;
      const isReady = async (): Promise<boolean> => (await kube.ask(ready)).status === 200;
      await until('kube-apiserver is ready', isReady, startTimeoutMs);
    } catch (error) {
      const log = await readFile(join(directory, 'apiserver.log'), 'utf8');
      throw new Error(log.slice(-4_000), { cause: error });
    }
    return { ...kube, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function apiserverArgs(
  directory: string,
  port: number,
  etcd: string,
  token: string,
): Promise<readonly string[]> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyFile = join(directory, 'accounts.key');
  const publicFile = join(directory, 'accounts.pub');
  const tokenFile = join(directory, 'tokens.csv');
  await writeFile(keyFile, privateKey.export({ type: 'sec1', format: 'pem' }));
  const publicKey = createPublicKey(privateKey);
  await writeFile(publicFile, publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(tokenFile, `${token},admin,admin,"system:masters"\n`);
  return [
    ...['--etcd-servers', etcd, '--bind-address', '127.0.0.1', '--secure-port', String(port)],
    // Of nobody: it is not to look for an interface that others reach.
    ...['--advertise-address', '192.0.2.1'],
    // It makes a certificate of its own there.
    ...['--cert-dir', join(directory, 'pki'), '--token-auth-file', tokenFile],
    ...['--authorization-mode', 'RBAC', '--endpoint-reconciler-type', 'none'],
    ...['--service-account-issuer', 'https://kubernetes.default.svc'],
    ...['--service-account-key-file', publicFile, '--service-account-signing-key-file', keyFile],
    ...['--service-cluster-ip-range', '10.96.0.0/16', '--profiling=false'],
  ];
}

async function ask(
  directory: string,
  port: number,
  token: string,
  { method, path, body, contentType = 'application/json' }: KubeRequest,
): Promise<Answer> {
  const ca = await readFile(join(directory, 'pki/apiserver.crt'));
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': contentType };
    const options = { host: '127.0.0.1', port, method, path, headers, ca, agent: false };
    const call = request({ ...options, timeout: requestTimeoutMs });
    call.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.once('error', reject);
      response.once('end', () => {
        const { statusCode: status = 0, headers: answered } = response;
        const warnings = [answered['warning'] ?? []].flat();
        resolve({ status, body: parsed(text), warnings });
      });
    });
    call.once('timeout', () => call.destroy(new Error(`no answer to ${method} ${path}`)));
    call.once('error', reject);
    call.end(body);
  });
}

/** Most answers are JSON; `/readyz` is a word. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
