import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import { expect, it } from 'vitest';
import { Caller, type CallerOptions } from '../../src/identity/caller.ts';
import { parseSpiffeId } from '../../src/identity/spiffe.ts';
import { uriNames } from '../../src/server/peer-names.ts';

const web = { namespace: 'shop', serviceAccount: 'web', pod: '' };
const webId = 'sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local';

function node(id = webId, metadata: Record<string, unknown> = {}): Uint8Array {
  return Node.encode(Node.fromPartial({ id, metadata })).finish();
}

function caller(options: Partial<CallerOptions> = {}): Caller {
  return new Caller({
    trust: 'verified',
    identities: [web],
    policy: {
      gatewayAccounts: new Set(),
      nodeAccounts: new Set(),
      operatorNamespaces: new Set(['istio-system']),
    },
    onDenied: () => undefined,
    ...options,
  });
}

const denied = expect.objectContaining({ code: 'denied' });
const invalid = expect.objectContaining({ code: 'invalid' });

it('a node is what its identity says: namespace, in the id and in the metadata, and account', () => {
  const told: string[] = [];
  const claim = (id: string, metadata = {}, options: Partial<CallerOptions> = {}): unknown =>
    caller({ onDenied: (message) => told.push(message), ...options }).claim(node(id, metadata));
  expect(claim(webId)).toMatchObject({ namespace: 'shop' });
  expect(claim(webId, { SERVICE_ACCOUNT: 'web' })).toMatchObject({ serviceAccount: 'web' });
  expect(told).toEqual([]);
  const other = 'sidecar~10.0.0.1~web-1.bank~shop.svc.cluster.local';
  expect(() => claim(webId, { NAMESPACE: 'bank' })).toThrow(denied);
  expect(() => claim(other, { NAMESPACE: 'shop' })).toThrow(denied);
  expect(() => claim(other)).toThrow(denied);
  expect(() => claim(webId, { SERVICE_ACCOUNT: 'admin' })).toThrow(denied);
  expect(told).toHaveLength(4);
  expect(told[3]).toContain('shop/admin, the client is shop/web');
});

it('one of several identities is enough, a token of one Pod speaks for that Pod only', () => {
  const both = [{ ...web, namespace: 'bank' }, web];
  expect(caller({ identities: both }).claim(node()).namespace).toBe('shop');
  const bound = [{ ...web, pod: 'web-1' }];
  expect(caller({ identities: bound }).claim(node()).pod).toBe('web-1');
  const second = node('sidecar~10.0.0.2~web-2.shop~shop.svc.cluster.local');
  expect(() => caller({ identities: bound }).claim(second)).toThrow(denied);
});

it('only listed accounts may be routers, if any are listed', () => {
  const router = node('router~10.0.0.1~web-1.shop~shop.svc.cluster.local');
  const policy = (...accounts: string[]): CallerOptions['policy'] => ({
    gatewayAccounts: new Set(accounts),
    nodeAccounts: new Set(accounts),
    operatorNamespaces: new Set(),
  });
  expect(caller({ policy: policy() }).claim(router).pod).toBe('web-1');
  expect(caller({ policy: policy('shop/web') }).claim(router).pod).toBe('web-1');
  expect(() => caller({ policy: policy('shop/gateway') }).claim(router)).toThrow(denied);
  expect(caller({ policy: policy('shop/gateway') }).claim(node()).pod).toBe('web-1');
});

it('only listed accounts may be a ztunnel, which is told of all namespaces', () => {
  const ztunnel = node('ztunnel~10.0.0.1~web-1.shop~shop.svc.cluster.local');
  const policy = (...accounts: string[]): CallerOptions['policy'] => ({
    gatewayAccounts: new Set(),
    nodeAccounts: new Set(accounts),
    operatorNamespaces: new Set(),
  });
  expect(() => caller({ policy: policy() }).claim(ztunnel)).toThrow(denied);
  expect(caller({ policy: policy('shop/web') }).claim(ztunnel).pod).toBe('web-1');
  expect(caller({ trust: 'local', identities: [] }).claim(ztunnel).pod).toBe('web-1');
});

it('rule 2: a later message need not name the node, and must not name another', () => {
  for (const trust of ['verified', 'local', 'anonymous'] as const) {
    const one = caller({ trust });
    expect(() => one.claim(undefined)).toThrow(invalid);
    const first = one.claim(node());
    expect(one.claim(undefined)).toBe(first);
    expect(one.claim(node())).toBe(first);
    expect(one.claim(node(webId, { LABELS: { app: 'web' } }))).toBe(first);
    const second = 'sidecar~10.0.0.1~web-2.shop~shop.svc.cluster.local';
    expect(() => one.claim(node(second))).toThrow(invalid);
    expect(() => one.claim(node(webId, { SERVICE_ACCOUNT: 'web' }))).toThrow(invalid);
  }
});

it('rule 2: the node of an operator’s question is kept for later messages, if he may be it', () => {
  const told: string[] = [];
  const operator = [{ namespace: 'istio-system', serviceAccount: 'istiod', pod: '' }];
  const asking = (id: string, identities: CallerOptions['identities'] = operator): Caller => {
    const one = caller({ identities, onDenied: (message) => told.push(message) });
    one.operate(node(id));
    return one;
  };
  const ownId = 'sidecar~10.0.0.1~istiod-1.istio-system~istio-system.svc.cluster.local';
  const own = asking(ownId);
  expect(own.claim(undefined)).toMatchObject({ id: ownId });
  expect(own.claim(node(ownId))).toBe(own.claim(undefined));
  expect(() => own.claim(node())).toThrow(denied);
  // Another's, or none at all: nothing was claimed by that, so nothing is told of.
  for (const id of [webId, 'somebody']) {
    expect(() => asking(id).claim(undefined)).toThrow(invalid);
    expect(asking(id).claim(node(ownId))).toMatchObject({ id: ownId });
  }
  expect(told).toHaveLength(1);
  expect(() => asking(webId, [web])).toThrow(denied);
});

it('every later claim is checked against the identity again', () => {
  const one = caller();
  one.claim(node());
  expect(() => one.claim(node(webId, { NAMESPACE: 'bank' }))).toThrow(denied);
  expect(() => one.claim(node(webId, { NAMESPACE: 'bank' }))).toThrow(denied);
});

it('secrets are for the verified and for this machine; others state is for operators', () => {
  const operator = [{ namespace: 'istio-system', serviceAccount: 'istiod', pod: '' }];
  const rights = (options: Partial<CallerOptions>): readonly boolean[] => {
    const { mayHaveSecrets, mayOperate } = caller(options);
    return [mayHaveSecrets, mayOperate];
  };
  expect(rights({})).toEqual([true, false]);
  expect(rights({ identities: operator })).toEqual([true, true]);
  expect(rights({ trust: 'local', identities: [] })).toEqual([true, true]);
  expect(rights({ trust: 'anonymous', identities: [] })).toEqual([false, false]);
});

it("an identity is istio's form of a SPIFFE id, of a trust domain that is trusted", () => {
  const domains = ['cluster.local', 'old.example'];
  const of = (id: string): unknown => parseSpiffeId(id, domains);
  expect(of('spiffe://cluster.local/ns/shop/sa/web')).toEqual(web);
  expect(of('spiffe://old.example/ns/shop/sa/web')).toEqual(web);
  for (const id of [
    'spiffe://other/ns/shop/sa/web',
    'spiffe://ns/shop/sa/web',
    'spiffe://cluster.local/ns/shop/sa/web/more',
    'spiffe://cluster.local/ns/shop/sa/',
    'spiffe://cluster.local/ns/shop%2Fx/sa/web',
    'https://cluster.local/ns/shop/sa/web',
    `spiffe://cluster.local/ns/shop/sa/${'w'.repeat(3_000)}`,
    'constructor',
  ]) {
    expect(of(id)).toBeUndefined();
  }
});

it('a name that pretends to be several is no name at all', () => {
  const plain = 'DNS:a.example, URI:spiffe://a/ns/b/sa/c, IP Address:10.0.0.1, URI:spiffe://d';
  expect(uriNames(plain)).toEqual(['spiffe://a/ns/b/sa/c', 'spiffe://d']);
  // As Node writes them (CVE-2021-44532).
  expect(uriNames('URI:"http://x, URI:spiffe://a/ns/b/sa/c"')).toEqual([]);
  expect(uriNames('DNS:"a\\", URI:spiffe://a", URI:spiffe://d')).toEqual(['spiffe://d']);
  expect(uriNames('')).toEqual([]);
});
