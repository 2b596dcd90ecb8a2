import { ProxyType, ScopeClass } from '@watershed/model/gen/record.ts';
import { Node } from '@watershed/proto/envoy/config/core/v3/base.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNode, scopeOf, type ProxyNode } from '../src/node-scope.ts';

const id = 'sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local';

function parse(metadata: Record<string, unknown> = {}, more: object = {}): ProxyNode {
  const node = Node.fromPartial({ id, metadata, ...more });
  return parseNode(Node.encode(node).finish());
}

const none = { labelKeys: [], locality: false };

describe('a node', () => {
  it("is read as istio's agents write it", () => {
    const node = parse(
      {
        LABELS: { app: 'web', version: 'v1' },
        NAMESPACE: 'shop',
        CLUSTER_ID: 'east',
        NETWORK: 'net1',
        INTERCEPTION_MODE: 'TPROXY',
        POD_PORTS: '[{"name":"http","containerPort":8080,"protocol":"TCP"},{"containerPort":9}]',
        SERVICE_ACCOUNT: 'web',
        WATERSHED_CERTS: 'files',
        ISTIO_VERSION: '1.29.1',
      },
      {
        locality: { region: 'r', zone: 'z', subZone: 's' },
        userAgentVersionType: {
          $case: 'userAgentBuildVersion',
          value: { version: { majorNumber: 1, minorNumber: 40, patch: 0 } },
        },
      },
    );
    expect(node).toEqual({
      id,
      type: 0,
      namespace: 'shop',
      pod: 'web-1',
      podNamespace: 'shop',
      dnsDomain: 'shop.svc.cluster.local',
      labels: { app: 'web', version: 'v1' },
      cluster: 'east',
      network: 'net1',
      interception: 'TPROXY',
      proxyless: false,
      certificates: true,
      serviceAccount: 'web',
      podPorts: { http: 8080 },
      region: 'r',
      zone: 'z',
      subZone: 's',
      version: '1.40.0',
      istioVersion: '1.29.1',
      hostsApart: false,
      hostsOnDemand: false,
      hostsInline: '',
      ownStreams: 0,
      resourceTtl: false,
      resourceInSotw: false,
    });
  });

  it('that generates for gRPC is the workload itself, whose calls nothing intercepts', () => {
    const node = parse({ GENERATOR: 'grpc', INTERCEPTION_MODE: 'REDIRECT' });
    expect(node).toMatchObject({ proxyless: true, interception: 'NONE' });
    expect(scopeOf(node, none).id).not.toBe(scopeOf(parse({ INTERCEPTION_MODE: 'NONE' }), none).id);
    const router = { id: id.replace('sidecar', 'router') };
    expect(parse({ GENERATOR: 'grpc' }, router).proxyless).toBe(false);
  });

  const noAds = 'it has no ADS, but separate streams';
  const isOld = 'it is an Envoy before 1.40';
  it.each([
    ['envoy', '1.40.0', {}, ''],
    ['envoy', '2.0.0', {}, ''],
    ['envoy', '1.36.4', {}, isOld],
    ['envoy', '1.39.9', {}, isOld],
    ['envoy', '0.50.0', {}, isOld],
    // Of others it is not known, so they are taken at their word.
    ['envoy', '', {}, ''],
    ['my-client', '0.1.0', {}, ''],
    ['', '1.36.4', {}, ''],
    ['envoy', '1.40.0', { WATERSHED_STREAMS: 'grpc' }, noAds],
    ['my-client', '', { WATERSHED_STREAMS: 'delta-grpc' }, noAds],
  ])('%s %s with %j has hosts apart only by ADS of a known kind: %j', (agent, told, how, why) => {
    const more = {
      id: id.replace('sidecar', 'router'),
      userAgentName: agent,
      userAgentVersionType: { $case: 'userAgentVersion', value: told },
    };
    for (const wanted of ['true', 'on-demand']) {
      const node = parse({ WATERSHED_VHDS: wanted, ...how }, more);
      const hostsApart = why === '';
      const hostsOnDemand = hostsApart && wanted === 'on-demand';
      expect(node).toMatchObject({ hostsApart, hostsOnDemand, hostsInline: why });
      // The on_demand filter comes with the scope.
      expect(scopeOf(node, none).scopeClass.hostsOnDemand).toBe(hostsOnDemand);
    }
    const silent = { hostsApart: false, hostsOnDemand: false, hostsInline: '' };
    expect(parse(how, more)).toMatchObject(silent);
    expect(parse({ WATERSHED_VHDS: 'on-demand' })).toMatchObject({ hostsOnDemand: false });
  });

  it.each([
    ['', 'node.id ""'],
    ['waypoint~1~a.b~b.svc.cluster.local', 'TYPE sidecar, router or ztunnel'],
    ['__proto__~1~a.b~b.svc.cluster.local', 'TYPE sidecar, router or ztunnel'],
    ['sidecar~1~nodot~b.svc.cluster.local', 'POD.NAMESPACE'],
    ['sidecar~1~a.b', 'POD.NAMESPACE'],
    ['sidecar~1~a.B|B~d', 'not the name of a namespace'],
  ])('with the id %j is refused with a reason', (wrong, reason) => {
    const bytes = Node.encode(Node.fromPartial({ id: wrong })).finish();
    expect(() => parseNode(bytes)).toThrow(reason);
  });

  it.each([
    [{ LABELS: { app: 1 } }, 'LABELS[app]'],
    [{ LABELS: ['a'] }, 'metadata LABELS "a list": not a map'],
    [
      { LABELS: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`l${i}`, ''])) },
      'over 256',
    ],
    [{ NETWORK: { a: 1 } }, 'metadata NETWORK "object": not a string'],
    [{ CLUSTER_ID: 'c'.repeat(300) }, 'over 253 characters'],
    [{ CLUSTER_ID: '\u001b[2J' }, 'control characters'],
    [{ INTERCEPTION_MODE: 'SOME' }, 'not REDIRECT, TPROXY or NONE'],
    [{ WATERSHED_STREAMS: 'rest' }, 'not grpc or delta-grpc'],
    [{ POD_PORTS: '{' }, 'not JSON'],
    [{ POD_PORTS: [{ name: 'x', containerPort: 99_999 }] }, 'not a port'],
  ])('with metadata %j is refused with a reason', (metadata, reason) => {
    expect(() => parse(metadata)).toThrow(reason);
  });

  it('of more than half a megabyte is refused before it is decoded', () => {
    expect(() => parse({ X: 'x'.repeat(600_000) })).toThrow('over 524288');
  });

  it('of any bytes is read or refused, and never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          parseNode(bytes);
        } catch (error) {
          expect(error).toMatchObject({ name: 'OperatingError', code: 'invalid' });
        }
      }),
    );
  });
});

describe('a scope', () => {
  it('is told by the labels that selectors name, and no others', () => {
    const one = parse({ LABELS: { app: 'web', hash: '1' } });
    const other = parse({ LABELS: { app: 'web', hash: '2' } });
    const api = parse({ LABELS: { app: 'api' } });
    const byApp = { labelKeys: ['app'], locality: false };
    expect(scopeOf(one, byApp).id).toBe(scopeOf(other, byApp).id);
    expect(scopeOf(one, byApp).id).not.toBe(scopeOf(api, byApp).id);
    expect(scopeOf(one, none).id).toBe(scopeOf(api, none).id);
    expect(
      scopeOf(one, { labelKeys: ['absent', '__proto__'], locality: false }).scopeClass.labels,
    ).toEqual({});
  });

  it('is one for all ztunnels, whatever their nodes say', () => {
    const scopes = [
      'ztunnel~10.0.0.1~ztunnel-a.istio-system~istio-system.svc.cluster.local',
      'ztunnel~10.0.0.2~ztunnel-b.other~other.svc.cluster.local',
    ]
      .map((ztunnel) =>
        Node.fromPartial({
          id: ztunnel,
          metadata: { LABELS: { a: ztunnel }, POD_PORTS: 7, INTERCEPTION_MODE: 'X' },
        }),
      )
      .map((node) =>
        scopeOf(parseNode(Node.encode(node).finish()), { labelKeys: ['a'], locality: true }),
      );
    expect(new Set(scopes.map((scope) => scope.id)).size).toBe(1);
    expect(scopes[0]?.scopeClass).toEqual(
      ScopeClass.create({ type: ProxyType.PROXY_TYPE_ZTUNNEL }),
    );
  });

  it('is told by the locality only where something depends on it', () => {
    const one = parse({}, { locality: { region: 'a' } });
    const other = parse({}, { locality: { region: 'b' } });
    expect(scopeOf(one, none).id).toBe(scopeOf(other, none).id);
    const byLocality = { labelKeys: [], locality: true };
    expect(scopeOf(one, byLocality).id).not.toBe(scopeOf(other, byLocality).id);
  });
});
