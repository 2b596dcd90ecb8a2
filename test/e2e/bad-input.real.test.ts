import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { Backend } from '../components/backends.ts';
import { makeAuthority } from '../components/certificates.ts';
import { answeredBy, ask } from '../components/clients.ts';
import type { TestEnvoy } from '../components/envoy.ts';
import { startServed } from './harness/backends.ts';
import { ConfigDir, type UserObject } from './harness/config-dir.ts';
import { ControlPlane } from './harness/control-plane.ts';
import { gatewayApi, httpGateway, istio, tlsSecret } from './harness/objects.ts';
import { freePort } from 'xdsctl/components/ports.ts';
import { protocols, rejections, startEdge, type Protocol } from './harness/proxy.ts';
import { askTls } from './harness/tls-client.ts';
import { until } from './harness/wait.ts';

const ns = 'edge';
const gateways = ['edge', 'edge-tls'];
const authority = makeAuthority('test root');
let backends: readonly Backend[] = [];
const proxies = new Map<Protocol, TestEnvoy>();
const ports = new Map<Protocol, { readonly http: number; readonly https: number }>();
let config: ConfigDir;
let plane: ControlPlane;

function certificate(commonName: string): { certificate: string; key: string } {
  return authority.issue({ commonName, names: ['shop.test'] });
}

function route(
  name: string,
  host: string,
  to: string,
  more: Readonly<Record<string, unknown>> = {},
): UserObject {
  const http = [{ route: [{ destination: { host: to } }], ...more }];
  const all = gateways.flatMap((gateway) => protocols.map((one) => `${gateway}-${one}`));
  return istio('VirtualService', ns, name, { hosts: [host], gateways: all, http });
}

const good = route('shop', 'shop.test', 'a');

interface Case {
  readonly title: string;
  /** What `shop.yaml` becomes; before it holds the good route. */
  readonly text: string;
  /** Of a line `SEVERITY KIND NAMESPACE/NAME: FIELD VALUE: REASON`. */
  readonly said: RegExp;
}

const goodText = stringify(good);
const deep = `${'{ a: '.repeat(200)}1${' }'.repeat(200)}`;
const bomb = Array.from({ length: 9 }, (_, level) => {
  const items = level === 0 ? 'x' : `*l${level - 1}`;
  return `l${level}: &l${level} [${Array.from({ length: 9 }, () => items).join(', ')}]`;
}).join('\n');

const cases: readonly Case[] = [
  {
    title: 'malformed YAML',
    text: 'kind: [\n',
    said: /^error VirtualService edge\/shop: .*cannot be read whole/mu,
  },
  {
    title: 'an unknown field',
    text: stringify(route('shop', 'shop.test', 'b', { tiemout: '3s' })),
    said: /^error VirtualService edge\/shop: spec\.http\[0\]\.tiemout "3s": no such field/mu,
  },
  {
    title: 'a wrong type',
    text: stringify(route('shop', 'shop.test', 'b', { timeout: 3 })),
    said: /^error VirtualService edge\/shop: spec\.http\[0\]\.timeout 3: /mu,
  },
  {
    title: 'an unknown kind under the same name',
    text: goodText.replace('kind: VirtualService', 'kind: VirtualServise'),
    said: /^error VirtualServise edge\/shop: apiVersion .* not supported/mu,
  },
  {
    title: 'a regular expression of over 1,024 characters',
    text: stringify(
      route('shop', 'shop.test', 'b', { match: [{ uri: { regex: 'a'.repeat(1_025) } }] }),
    ),
    said: /^error VirtualService edge\/shop: spec\.http\[0\]\.match\[0\]\.uri.*1024/mu,
  },
  {
    title: 'a regular expression that is none',
    text: stringify(route('shop', 'shop.test', 'b', { match: [{ uri: { regex: '(' } }] })),
    said: /^error VirtualService edge\/shop: spec\.http\[0\]\.match\[0\]\.uri/mu,
  },
  {
    title: 'a document of 10 MB',
    text: `${stringify(route('shop', 'shop.test', 'b'))}data: ${'x'.repeat(10 * 1024 * 1024)}\n`,
    said: /^error File .*shop\.yaml: .*more than/mu,
  },
  {
    title: 'deep nesting',
    text: `${stringify(route('shop', 'shop.test', 'b'))}deep: ${deep}\n`,
    said: /^error File .*shop\.yaml: .*nested deeper/mu,
  },
  {
    title: 'a bomb of aliases',
    text: `${stringify(route('shop', 'shop.test', 'b'))}${bomb}\n`,
    said: /^error File .*shop\.yaml: .*alias/mu,
  },
];

interface Found {
  readonly severity: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly field: string;
  readonly value: string;
  readonly reason: string;
}

async function diagnostics(): Promise<string> {
  const found = (await plane.json('/debug/diagnosticz')) as readonly Found[];
  return found
    .map(({ severity, kind, namespace, name, field, value, reason }) => {
      const object = namespace === '' ? name : `${namespace}/${name}`;
      const what = [field, value].filter((part) => part !== '').join(' ');
      return `${severity} ${kind} ${object}: ${what}${what === '' ? '' : ': '}${reason}`;
    })
    .join('\n');
}

async function said(pattern: RegExp): Promise<void> {
  let last = '';
  await until(`${pattern} is said`, async () => {
    last = await diagnostics();
    return pattern.test(last);
  }).catch((cause: unknown) => {
    throw new Error(`it said:\n${last}`, { cause });
  });
}

/** Every proxy routes this host to this backend. */
async function served(host: string, name: string): Promise<void> {
  for (const { http } of ports.values()) {
    expect(answeredBy(await ask({ port: http, authority: host }))).toBe(name);
  }
}

async function servedSoon(host: string, name: string): Promise<void> {
  await until(`${host} goes to ${name}`, async () => {
    await served(host, name);
    return true;
  });
}

beforeAll(async () => {
  config = await ConfigDir.create();
  backends = await startServed(['a', 'b'], { config, namespace: ns });
  for (const protocol of protocols) {
    const [http, https] = [await freePort(), await freePort()];
    ports.set(protocol, { http, https });
    const selector = { edge: protocol };
    const server = {
      port: { number: https, name: 'https', protocol: 'HTTPS' },
      ...{ hosts: ['*'], tls: { mode: 'SIMPLE', credentialName: 'cert' } },
    };
    await config.write(
      `gateways-${protocol}`,
      httpGateway(ns, `edge-${protocol}`, selector, http),
      istio('Gateway', ns, `edge-tls-${protocol}`, { selector, servers: [server] }),
    );
  }
  await config.write('secret', tlsSecret(ns, 'cert', certificate('good')));
  await config.write('shop', good);
  await config.write('other', route('other', 'other.test', 'b'));
  plane = await ControlPlane.start({ configDir: config.path });
  for (const protocol of protocols) {
    proxies.set(protocol, await startEdge(protocol, { namespace: ns, xds: plane.xds }));
  }
});

afterEach(async () => {
  for (const proxy of proxies.values()) expect(await rejections(proxy)).toBe(0);
});

afterAll(async () => {
  for (const proxy of proxies.values()) await proxy.stop();
  await plane?.delete();
  await config?.delete();
  for (const backend of backends) await backend.stop();
});

test.each(cases)('$title: told of, last good kept, all else served', async ({ text, said: by }) => {
  await config.writeText('shop.yaml', text);
  await said(by);
  await served('shop.test', 'a');
  await served('other.test', 'b');
  // All else moves on while the bad object is there.
  await config.write('other', route('other', 'other.test', 'a'));
  await servedSoon('other.test', 'a');
  await config.write('other', route('other', 'other.test', 'b'));
  await config.write('shop', good);
  await until('nothing is said any more', async () => (await diagnostics()) === '');
  await servedSoon('other.test', 'b');
  await served('shop.test', 'a');
});

test('an object that is written twice: the first file counts, and is told of', async () => {
  await config.write('zz', route('shop', 'shop.test', 'b'));
  await said(/^error VirtualService edge\/shop: metadata\.name "shop": is written twice/mu);
  await served('shop.test', 'a');
  await config.remove('zz');
  await until('nothing is said any more', async () => (await diagnostics()) === '');
});

test('hosts that differ by case or a trailing dot are one host', async () => {
  await config.write('shop', route('shop', 'SHOP.Test.', 'b'));
  await servedSoon('shop.test', 'b');
  await config.write('shop', good);
  await servedSoon('shop.test', 'a');
});

test('routes that conflict: the first by age and name is served, nothing is refused', async () => {
  // Files have no age.
  await config.write('zz', route('zz', 'shop.test', 'nobody'), route('aa', 'Shop.test', 'b'));
  await servedSoon('shop.test', 'b');
  await served('other.test', 'b');
  await config.remove('zz');
  await servedSoon('shop.test', 'a');
});

test('a backend that is absent is told of and answered with 500; another is served', async () => {
  await config.write(
    'api',
    gatewayApi('Gateway', ns, 'api', {
      gatewayClassName: 'watershed',
      listeners: [{ name: 'http', port: 8080, protocol: 'HTTP' }],
    }),
    gatewayApi('HTTPRoute', ns, 'broken', {
      parentRefs: [{ name: 'api' }],
      rules: [
        { backendRefs: [{ name: 'nobody', port: 80 }] },
        {
          matches: [{ path: { value: '/private' } }],
          backendRefs: [{ name: 'a', namespace: 'other', port: 80 }],
        },
      ],
    }),
  );
  await said(/^\w+ HTTPRoute edge\/broken: .*backendRefs\[0\].*nobody/mu);
  await said(/^\w+ HTTPRoute edge\/broken: .*backendRefs\[0\].*ReferenceGrant/mu);
  await served('shop.test', 'a');
  await config.remove('api');
  await until('nothing is said any more', async () => (await diagnostics()) === '');
});

test('a Secret whose key is of another certificate: the last good one is served', async () => {
  const shown = async (): Promise<readonly string[]> => {
    const names: string[] = [];
    for (const { https } of ports.values()) {
      const { commonName } = await askTls({
        ...{ port: https, host: 'shop.test', ca: authority.certificate },
      });
      names.push(commonName);
    }
    return names;
  };
  expect(await shown()).toEqual(['good', 'good']);
  const mixed = { ...certificate('bad'), key: certificate('else').key };
  await config.write('secret', tlsSecret(ns, 'cert', mixed));
  await said(/^error Secret edge\/cert: .*key/mu);
  expect(await diagnostics()).not.toContain('PRIVATE KEY');
  expect(await shown()).toEqual(['good', 'good']);
  await config.write('secret', tlsSecret(ns, 'cert', certificate('new')));
  await until('the new one is served', async () => {
    return (await shown()).every((name) => name === 'new');
  });
});
