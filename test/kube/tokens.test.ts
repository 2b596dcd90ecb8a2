/** Tokens of service accounts, as a real API server makes them and says whose they are. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resourceTypes } from '@watershed/proto/any.ts';
import { deltaAds, DeltaClient, node } from '../../services/pusher/test/support/client.ts';
import { credentials } from '@grpc/grpc-js';
import { startKube, type Kube } from '../components/kube.ts';
import { ConfigDir } from '../e2e/harness/config-dir.ts';
import { ControlPlane } from '../e2e/harness/control-plane.ts';
import { service } from '../e2e/harness/objects.ts';
import { until } from '../e2e/harness/wait.ts';
import { repository } from '../deploy/image.ts';

let kube: Kube;
let directory: string;
let config: ConfigDir;
let plane: ControlPlane;

async function create(path: string, object: object): Promise<unknown> {
  const { status, body } = await kube.ask({ method: 'POST', path, body: JSON.stringify(object) });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body;
}

const core = '/api/v1/namespaces';

async function account(namespace: string, name: string): Promise<void> {
  await create(`${core}/${namespace}/serviceaccounts`, { metadata: { name } });
}

async function tokenOf(
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>> = { audiences: ['istio-ca'] },
): Promise<string> {
  const path = `${core}/${namespace}/serviceaccounts/${name}/token`;
  const body = (await create(path, { spec })) as { readonly status: { readonly token: string } };
  return body.status.token;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'watershed-tokens-'));
  kube = await startKube();
  for (const name of ['watershed', 'shop', 'pay']) await create(core, { metadata: { name } });
  await account('watershed', 'watershed-pusher');
  for (const [namespace, name] of [
    ['shop', 'web'],
    ['shop', 'gone'],
    ['pay', 'web'],
  ] as const) {
    await account(namespace, name);
  }
  const role = await readFile(join(repository, 'k8s/components/token-review/role.yaml'), 'utf8');
  for (const document of parseAllDocuments(role)) {
    const object = document.toJS() as { readonly kind: string };
    await create(`/apis/rbac.authorization.k8s.io/v1/${object.kind.toLowerCase()}s`, object);
  }
  await writeFile(join(directory, 'token'), await tokenOf('watershed', 'watershed-pusher', {}));
  config = await ConfigDir.create();
  await config.write('a', ...service({ name: 'a', namespace: 'shop', port: 80, workloads: [] }));
  plane = await ControlPlane.start({
    configDir: config.path,
    args: ['--tokenReview', kube.url, '--tokenReviewCAFile', kube.caFile],
    environment: {
      WATERSHED_TOKEN_REVIEW_TOKEN_FILE: join(directory, 'token'),
      XDS_AUTH_PLAINTEXT: 'true',
    },
  });
}, 4_000_000);

afterAll(async () => {
  await plane?.delete();
  await config?.delete();
  await kube?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** What becomes of a proxy of a namespace that shows a token. */
async function outcome(token: string, namespace = 'shop'): Promise<string> {
  const proxy = node(`sidecar~10.0.0.1~web-1.${namespace}~${namespace}.svc.cluster.local`);
  const client = new DeltaClient(
    plane.xds.port,
    proxy,
    deltaAds,
    credentials.createInsecure(),
    token,
  );
  try {
    client.request(resourceTypes.cluster);
    await until('an answer', () => client.responses.length > 0 || client.status !== undefined);
    return client.responses.length > 0 ? 'served' : (client.status?.details ?? '');
  } finally {
    client.close();
  }
}

test("a service account's token is taken for its own namespace, and for no other", async () => {
  const token = await tokenOf('shop', 'web');
  expect(await outcome(token)).toBe('served');
  expect(await outcome(token, 'pay')).toContain('pay');
  expect(await outcome(await tokenOf('pay', 'web'), 'pay')).toBe('served');
});

test('one for another audience, or with another signature, is refused', async () => {
  const other = await tokenOf('shop', 'web', { audiences: ['vault'] });
  expect(await outcome(other)).toContain('does not take it');
  const [head, body] = (await tokenOf('shop', 'web')).split('.');
  expect(await outcome(`${head}.${body}.${'A'.repeat(86)}`)).toContain('does not take it');
});

test('one of an account that was deleted is refused, as is one of a Pod that is gone', async () => {
  const ofAccount = await tokenOf('shop', 'gone');
  expect(
    (await kube.ask({ method: 'DELETE', path: `${core}/shop/serviceaccounts/gone` })).status,
  ).toBe(200);
  expect(await outcome(ofAccount)).toContain('does not take it');
  const pod = {
    metadata: { name: 'web-1' },
    spec: { serviceAccountName: 'web', containers: [{ name: 'a', image: 'a' }] },
  };
  const { metadata } = (await create(`${core}/shop/pods`, pod)) as {
    readonly metadata: { readonly uid: string };
  };
  const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: 'web-1', uid: metadata.uid };
  const bound = { audiences: ['istio-ca'], boundObjectRef };
  const [kept, dropped] = [
    await tokenOf('shop', 'web', bound),
    await tokenOf('shop', 'web', bound),
  ];
  expect(await outcome(kept)).toBe('served');
  const path = `${core}/shop/pods/web-1?gracePeriodSeconds=0`;
  expect((await kube.ask({ method: 'DELETE', path })).status).toBe(200);
  expect(await outcome(dropped)).toContain('does not take it');
});

test('a pusher whose account has no right to ask takes none', async () => {
  await writeFile(join(directory, 'token'), await tokenOf('pay', 'web', {}));
  expect(await outcome(await tokenOf('shop', 'web'))).toContain('cannot be asked');
});
